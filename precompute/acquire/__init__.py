"""Bring in datasets, weights and predictions."""
