"""Which implementation serves each layer of a model, and why."""

import keras

from keras_spiking import config
from keras_spiking.backends import fused


class Explanation(list):
    """A list of dictionaries that prints as a table."""

    def __str__(self):
        columns = ("layer", "implementation", "reason")
        rows = [columns, *([row[c] for c in columns] for row in self)]
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        return "\n".join(
            f"{name:{widths[0]}}  {implementation:{widths[1]}}  {reason}".rstrip()
            for name, implementation, reason in rows
        )


def explain(model):
    """Says which implementation serves each layer over time, and why.

    Args:
        model: A Keras layer or model. Layers inside of containers and models
            inside of it are found, too.

    Returns:
        A list of dictionaries with the keys `"layer"`, `"implementation"`
        (`"fused"` or `"reference"`) and `"reason"`, which prints as a table.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((8, 3)), keras_spiking.layers.LIFLayer(name="lif")]
    ... )
    >>> [row["layer"] for row in keras_spiking.backends.explain(model)]
    ['lif']
    """
    return Explanation(_explain(layer) for layer in _temporal_layers(model, []))


def _temporal_layers(layer, found):
    from keras_spiking.layers.containers.contained import inner_layers
    from keras_spiking.layers.temporal_layer import TemporalLayer

    if isinstance(layer, TemporalLayer) and not any(layer is f for f in found):
        found.append(layer)
    for inner in inner_layers(layer):
        _temporal_layers(inner, found)
    return found


def _explain(layer):
    library, reason = None, None
    if config.fused() == "never":
        reason = 'fused kernels are switched off: set_fused("never")'
    elif not layer.built:
        reason = "the layer has not been built yet"
    else:
        _, library, _, reason = fused.choose(layer, layer.features)
    if library is not None:
        kernel = f"C, {library.dtype}, for {keras.config.backend()}"
        reason = f"a kernel made from its equations ({kernel})"
    return {
        "layer": layer.name,
        "implementation": "reference" if library is None else "fused",
        "reason": reason,
    }
