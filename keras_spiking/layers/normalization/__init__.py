"""Normalization that knows of time and of the threshold."""
