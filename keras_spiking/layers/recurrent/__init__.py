"""Recurrent cells for `keras.layers.RNN`."""
