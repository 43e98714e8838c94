import inspect
from typing import Unpack

import keras

from keras_spiking.layers import recording
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.nested_config import with_objects


@keras.saving.register_keras_serializable("keras_spiking")
class WithStates(Layer):
    """Returns the states of all time steps together with a layer's output.

    They are tensors like any other, with gradients: for losses on membrane potentials,
    or a readout of them. `V[t]` is the potential after the reset, as in
    `return_state=True`, which returns that of the last step.

    Such a layer runs in `keras.ops`, not as a fused kernel: to look at potentials while
    a model runs as it does, use `keras_spiking.callbacks.StateMonitor`.

    Args:
        layer: `TemporalLayer` with `return_sequences=True`, such as `LIFLayer`.
        states: Name, or tuple of names, of `layer.state_names`. Defaults to `"v"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, ...)`.
        initial_state: Tensor or list of tensors `(batch, ...)`, see `SpikingLayer`.
        mask: Boolean tensor `(batch, time)`. In masked steps states stay as they were.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        A tuple of what the layer returns, `(batch, time, ...)`, and each of the
        states, `(batch, time, ...)` in float32.

    Raises:
        TypeError: if `layer` is not a `TemporalLayer`.
        ValueError: if it does not return the spikes of all steps and nothing else, or
            has no state of that name.

    Example:

    >>> layer = keras_spiking.layers.WithStates(keras_spiking.layers.IFLayer())
    >>> spikes, v = layer(keras.ops.full((1, 4, 1), 0.375))
    >>> [float(x) for x in keras.ops.reshape(v, (-1,))]
    [0.375, 0.75, 0.0, 0.375]
    """

    has_time_axis = True

    def __init__(
        self,
        layer: TemporalLayer,
        *,
        states: str | tuple[str, ...] = "v",
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        if not isinstance(layer, TemporalLayer):
            raise TypeError(
                "WithStates takes a layer with states over time, such as LIFLayer. "
                f"Received: layer={layer!r}"
            )
        if not layer.return_sequences or layer.return_state:
            raise ValueError(
                "The layer in WithStates must return the outputs of all steps and "
                f"nothing else. Received: return_sequences={layer.return_sequences}, "
                f"return_state={layer.return_state}"
            )
        self.state_names = (states,) if isinstance(states, str) else tuple(states)
        unknown = [n for n in self.state_names if n not in layer.state_names]
        if unknown or not self.state_names:
            raise ValueError(
                f"`states` must be among those of {type(layer).__name__}, "
                f"{', '.join(layer.state_names)}. Received: states={states!r}"
            )
        self.layer = layer
        self.supports_masking = True

    def build(self, inputs_shape, initial_state_shape=None):
        if not self.layer.built:
            self.layer.build(inputs_shape)

    def call(self, inputs, initial_state=None, mask=None, training=None):
        arguments = {} if training is None else self._training(training)
        with recording.of(self.layer) as record:
            outputs = self.layer(inputs, initial_state, mask=mask, **arguments)
        if record.states is None:
            raise ValueError(
                f"{type(self.layer).__name__} '{self.layer.name}' has no step that "
                "could be looked at here."
            )
        named = self.layer.named(record.states)
        return (outputs, *(named[name] for name in self.state_names))

    def _training(self, training):
        takes = "training" in inspect.signature(self.layer.call).parameters
        return {"training": training} if takes else {}

    def compute_output_spec(self, inputs, initial_state=None, mask=None, training=None):
        outputs = self.layer.compute_output_spec(inputs)
        batch, time, *features = inputs.shape
        x = keras.KerasTensor((batch, *features), dtype=self.layer.state_dtype)
        states = self.layer.named(self.layer.get_initial_state(x))
        return (
            outputs,
            *(
                keras.KerasTensor((s.shape[0], time, *s.shape[1:]), dtype=s.dtype)
                for s in (states[name] for name in self.state_names)
            ),
        )

    def compute_output_shape(self, inputs_shape, initial_state_shape=None):
        spec = self.compute_output_spec(keras.KerasTensor(inputs_shape))
        return tuple(tensor.shape for tensor in spec)

    def compute_mask(self, inputs, mask=None):
        mask = keras.tree.flatten(mask)[0]
        return [mask] * (1 + len(self.state_names))

    def get_config(self):
        return {
            **super().get_config(),
            "layer": keras.saving.serialize_keras_object(self.layer),
            "states": list(self.state_names),
        }

    @classmethod
    def from_config(cls, config):
        return cls(**with_objects(config, "layer"))
