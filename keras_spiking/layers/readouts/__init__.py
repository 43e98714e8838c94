"""Readouts: spikes become numbers."""
