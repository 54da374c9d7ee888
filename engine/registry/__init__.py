"""What is known about models, datasets and ensembles: TOML tables and their types."""
