"""Our own reference data."""
