"""Bytes in, checked configurations out."""
