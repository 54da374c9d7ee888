"""The results store: its schema, its only writer, and read-only access."""
