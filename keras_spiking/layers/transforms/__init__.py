"""Transforms of the values at each time step."""
