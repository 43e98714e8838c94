"""Encoders: numbers become spikes."""
