"""Attention over time, channels, space and tokens."""
