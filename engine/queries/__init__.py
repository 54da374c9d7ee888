"""Reads of the results store: every SQL statement of the app."""
