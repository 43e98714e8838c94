"""Containers: layers that run other layers over time."""
