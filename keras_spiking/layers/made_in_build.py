"""Layers that make others in `build`, which `model.quantize` of Keras finds."""

from typing import Any

import keras


class MadeInBuild:
    """Saves how layers that are made in `build` have been quantised.

    They stand in no configuration, and a Dense that is not quantised cannot load the
    weights of one that is.
    """

    _quantized = None

    def made_in_build(self) -> list[Any]:
        """The layers of weights that `build` makes."""
        raise NotImplementedError

    def make_dense(self, units, *, name, **kwargs):
        """A Dense, quantised if the one that was saved is."""
        saved = (self._quantized or {}).get(name)
        if saved is not None:
            dense = keras.saving.deserialize_keras_object(saved)
            if not isinstance(dense, keras.layers.Dense) or dense.units != units:
                raise ValueError(
                    f"The saved '{name}' must be a Dense with {units} units. "
                    f"Received: {dense!r}"
                )
            return dense
        return keras.layers.Dense(units, name=name, **kwargs)

    def get_build_config(self):
        config = super().get_build_config()
        quantized = {}
        for layer in self.made_in_build() if self.built else ():
            if layer.quantization_mode is not None:
                saved = keras.saving.serialize_keras_object(layer)
                saved.pop("build_config")  # `build` builds it
                quantized[layer.name] = saved
        return {**config, "quantized": quantized} if quantized else config

    def build_from_config(self, config):
        self._quantized = config.get("quantized")
        super().build_from_config(config)
