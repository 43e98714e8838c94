"""How sparse a model is."""

import keras
import numpy as np

from keras_spiking.pruning.masks import masks_of

__all__ = ["SparsityReport", "report"]


class SparsityReport(list):
    """A list of dictionaries, one for each kernel, that prints as a table.

    The keys are `"kernel"` (its path), `"weights"` (how many), `"connections"` (how
    many are not 0) and `"sparsity"` (the fraction that is 0).

    Attributes:
        weights: Integer, how many there are in all kernels.
        connections: Integer, how many of these are not 0.
        sparsity: Float, the fraction of all that is 0.
    """

    weights: int
    connections: int
    sparsity: float

    def __init__(self, masks: dict[str, np.ndarray]):
        super().__init__(_row(path, m.size, int(m.sum())) for path, m in masks.items())
        self.weights = sum(row["weights"] for row in self)
        self.connections = sum(row["connections"] for row in self)
        self.sparsity = _row("", self.weights, self.connections)["sparsity"]

    def __str__(self):
        rows = [*self, _row("all kernels", self.weights, self.connections)]
        width = max(len(row["kernel"]) for row in rows)
        lines = [f"{'kernel':{width}}  {'weights':>12}  {'connections':>12}  sparsity"]
        lines += [
            f"{row['kernel']:{width}}  {row['weights']:12,}  {row['connections']:12,}  "
            f"{100 * row['sparsity']:6.2f} %"
            for row in rows
        ]
        return "\n".join(lines)


def report(model: keras.layers.Layer) -> SparsityReport:
    """How many connections each kernel of a model has, and how sparse it is.

    Args:
        model: A built Keras model or layer.

    Returns:
        A list of dictionaries that prints as a table: `SparsityReport`.

    Example:

    >>> layer = keras.layers.Dense(2, name="dense")
    >>> layer.build((None, 3))
    >>> print(keras_spiking.pruning.report(layer))
    kernel             weights   connections  sparsity
    dense/kernel             6             6    0.00 %
    all kernels              6             6    0.00 %
    """
    return SparsityReport(masks_of(model))


def _row(path, weights, connections):
    sparsity = 1.0 - connections / weights if weights else 0.0
    return {
        "kernel": path,
        "weights": weights,
        "connections": connections,
        "sparsity": sparsity,
    }
