"""Dropout over time: of neurons and of connections."""
