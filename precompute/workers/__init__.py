"""One way to run a model: worker processes in environments of their own."""
