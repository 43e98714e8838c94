"""Weights of a network from a file."""


def load_weights(model, weights):
    """Loads weights into a network from a file of Keras."""
    model.load_weights(weights)
