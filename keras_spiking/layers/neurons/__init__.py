"""Neurons: what happens to the membrane potential in one time step."""
