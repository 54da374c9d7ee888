"""Predictions for visitors of the app."""
