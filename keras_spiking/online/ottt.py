import functools

import keras
from keras import ops

from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers import streaming
from keras_spiking.layers.containers import contained
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.online.online_model import OnlineModel
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class OTTT(OnlineModel):
    """Online training through time: gradients with traces of the inputs.

    As in `SLTT` no gradient goes back in time. But each synapse keeps a trace of
    what has entered it,

        tr[t] = tr[t-1] - tr[t-1] / tau + X[t],

    and the gradient of its weights at a step takes the trace in place of the
    input, so that earlier inputs, which the membrane potential of the neurons
    behind still holds, get their part of the credit. Layers behind the last
    neurons have no membrane to hold anything and no trace.

    Args:
        layer: See `OnlineModel`.
        timesteps: See `OnlineModel`.
        tau: Float >= 1, the time constant of the traces in time steps: that of
            the neurons. Defaults to `2.0`.
        **kwargs: `reduce`, see `OnlineModel`.

    Example:

    >>> stack = [keras.layers.Dense(8), keras_spiking.layers.LIFLayer(tau=3.0)]
    >>> model = keras_spiking.online.OTTT(
    ...     stack + [keras.layers.Dense(2)], timesteps=10, tau=3.0
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("adam", "mse")
    ...     x, y = keras.ops.ones((4, 3)), keras.ops.ones((4, 2))
    ...     history = model.fit(x, y, verbose=0)

    References:
        - [Xiao et al., 2022](https://arxiv.org/abs/2210.04195)
    """

    def __init__(self, layer, timesteps=None, tau=2.0, **kwargs):
        super().__init__(layer, timesteps, **kwargs)
        self.tau = check_number("tau", tau, minimum=1.0)

    def hooks(self):
        layers = list(all_layers(self.network).values())
        neurons = [isinstance(layer, TemporalLayer) for layer in layers]
        return [
            (layer, functools.partial(_with_trace, layer, self.tau))
            for i, layer in enumerate(layers)
            if _is_synapse(layer) and any(neurons[i:])
        ]

    def get_config(self):
        return {**super().get_config(), "tau": self.tau}


def _is_synapse(layer):
    has_weights = layer.trainable_variables and not layer.non_trainable_variables
    holds_layers = contained.inner_layers(layer) or contained.has_time_axis(layer)
    return bool(has_weights) and not holds_layers


def _with_trace(layer, tau, call, x, *args, **kwargs):
    slot = streaming.Slot()
    trace = ops.stop_gradient(x)
    if slot.previous is not None:
        trace = trace + slot.previous - slot.previous / tau
    slot.put(trace)
    with frozen(layer):
        outputs = call(x, *args, **kwargs)
    # Adds nothing but a gradient, which goes to the weights only.
    credit = call(trace, *args, **kwargs)
    return outputs + credit - ops.stop_gradient(credit)


def frozen(layer):
    """A scope in which no gradient reaches the weights of a layer."""
    variables = layer.variables
    values = [ops.stop_gradient(ops.convert_to_tensor(v)) for v in variables]
    return keras.StatelessScope(zip(variables, values))
