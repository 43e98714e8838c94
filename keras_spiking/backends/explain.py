"""Which implementation runs each layer of a model, and why."""

from typing import Any

import keras

from keras_spiking import config
from keras_spiking.backends import fused
from keras_spiking.backends.products import serving

_QUANTISED = (keras.layers.Dense, keras.layers.EinsumDense)


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


def explain(model: keras.layers.Layer) -> Explanation:
    """Shows which implementation runs each layer over time and each product, and why.

    Args:
        model: A Keras layer or model. Layers in containers, wrappers and models inside
            of it are found, too.

    Returns:
        A list of dictionaries with the keys `"layer"`, `"implementation"`
        and `"reason"`, which prints as a table. Layers over time are `"fused"` or run
        on the `"reference"`. Products in containers that have been called are
        `"event-driven"` or `"dense"`, those that Keras has quantised are `"dense"`.

    Example:

    >>> model = keras.Sequential(
    ...     [keras.Input((8, 3)), keras_spiking.layers.LIFLayer(name="lif")]
    ... )
    >>> [row["layer"] for row in keras_spiking.backends.explain(model)]
    ['lif']
    """
    from keras_spiking.inspection.selection import all_layers

    layers = all_layers(model)
    rows = [_row(name, layer) for name, layer in layers.items()]
    return Explanation(row for row in rows if row is not None)


def _row(name, layer):
    from keras_spiking.layers.containers import native
    from keras_spiking.layers.containers.contained import inner_layers
    from keras_spiking.layers.temporal_layer import TemporalLayer

    kernel = None
    if type(layer) in _QUANTISED and layer.quantization_mode is not None:
        reason = f"Keras has quantised it ({layer.quantization_mode}), and computes it"
        return {"layer": name, "implementation": "dense", "reason": reason}
    product = native.product_of(layer) if layer in native.called else None
    if product in serving.served:
        implementation, reason = serving.explain(product)
        return {"layer": name, "implementation": implementation, "reason": reason}
    if isinstance(layer, TemporalLayer):
        kernel, reason = _choice(layer)
    elif isinstance(layer, keras.layers.RNN):
        reason = "Keras runs its loop over time"
    elif getattr(layer, "has_time_axis", False) is True and not inner_layers(layer):
        reason = "it has no loop over time: `keras.ops` computes all steps at once"
    else:
        return None
    implementation = "reference" if kernel is None else "fused"
    return {"layer": name, "implementation": implementation, "reason": reason}


def _choice(layer) -> tuple[Any, str]:
    if config.fused() == "never":
        return None, 'fused kernels are switched off: set_fused("never")'
    if not layer.built:
        return None, "the layer has not been built yet"
    _, library, _, reason = fused.choose(layer, layer.features)
    if library is not None:
        kernel = f"C, {library.dtype}, for {keras.config.backend()}"
        reason = f"a kernel made from its equations ({kernel})"
        if steps := fused.steps_in_chunks(library, layer.features):
            reason += f"; from {steps} steps on, chunks of them run side by side"
    return library, reason
