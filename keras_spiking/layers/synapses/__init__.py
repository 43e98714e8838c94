"""Synapses: weights and filters between neurons."""
