"""Generators of the structures of Open Defects."""
