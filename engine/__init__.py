"""Registries, file formats, arithmetic on arrays, and the results store."""
