import contextlib
import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_spiking import backends
from keras_spiking.inspection import wiring
from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers import streaming
from keras_spiking.layers.containers import contained
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.online.online_model import InCallContext
from keras_spiking.online.online_model import OnlineModel
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class OTTT(OnlineModel):
    """Online training through time: gradients with traces of the inputs.

    As in `SLTT` no gradient goes back in time. But each synapse keeps a trace of
    what has entered it,

        tr[t] = decay tr[t-1] + X[t],

    and the gradient of its weights at a step takes the trace in place of the
    input, so that earlier inputs, which the membrane potential of the neurons
    after it still holds, get their part of the credit. The trace decays as these
    neurons do: by `1 - 1 / tau` for `LIFLayer` and `ParametricLIFLayer`, whose present
    `tau` is taken, by 1 for `IFLayer`. Layers after the last neurons have no membrane
    to hold anything and no trace.

    Args:
        layer: See `OnlineModel`.
        timesteps: See `OnlineModel`.
        tau: Float >= 1, the time constant of the traces in time steps, for neurons
            whose decay is not one number, such as `QIFLayer`, or `None`: that of the
            neurons. Defaults to `None`.
        reduce: See `OnlineModel`. Defaults to `"mean"`.

    Raises:
        ValueError: if `tau` contradicts the neurons, or, without `tau`, the decay of
            neurons is not one number.

    Example:

    >>> stack = [keras.layers.Dense(8), keras_spiking.layers.LIFLayer(tau=3.0)]
    >>> model = keras_spiking.online.OTTT(
    ...     stack + [keras.layers.Dense(2)], timesteps=10
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("adam", "mse")
    ...     x, y = keras.ops.ones((4, 3)), keras.ops.ones((4, 2))
    ...     history = model.fit(x, y, verbose=0)

    References:
        - [Xiao et al., 2022](https://arxiv.org/abs/2210.04195)
    """

    def __init__(
        self,
        layer: Any,
        timesteps: int | None = None,
        tau: float | None = None,
        reduce: str = "mean",
        **kwargs: Any,
    ):
        if tau is not None:
            tau = check_number("tau", tau, minimum=1.0)
        super().__init__(layer, timesteps, reduce, **kwargs)
        self.tau = tau
        self._behind = None
        layers = list(all_layers(self.network).values())
        first = [isinstance(x, TemporalLayer) for x in layers[1:]] + [False]
        for neuron in layers[1 + first.index(False) :]:
            if isinstance(neuron, TemporalLayer):
                with contextlib.suppress(AttributeError):  # of weights not yet built
                    self._check_decay(neuron)

    def build(self, input_shape):
        super().build(input_shape)
        batch, *features = self.network.step_shape(input_shape)
        self._step_shape = (batch or 1, *features)
        self._behind = None

    def hooks(self):
        layers = all_layers(self.network)
        if self._behind is None:
            neurons = {n: x for n, x in layers.items() if isinstance(x, TemporalLayer)}
            synapses = {n: x for n, x in layers.items() if _is_synapse(x)}
            self._behind = {
                name: self._neurons_behind(synapse, neurons)
                for name, synapse in synapses.items()
            }
        hooks = []
        for name, behind in self._behind.items():
            decays = [self._decay(layers[neuron]) for neuron in behind]
            if len(set(decays)) > 1:
                raise ValueError(
                    "OTTT needs neurons of one decay after a layer. Received: "
                    f"{behind} after '{name}'"
                )
            hooks += [
                (layers[name], functools.partial(_with_trace, layers[name], decay))
                for decay in decays[:1]
            ]
        return hooks

    def _neurons_behind(self, synapse, neurons):
        # Whatever the weights are: JAX keeps those of a training elsewhere.
        weights = [(v, np.ones(v.shape)) for v in self.network.variables]

        def step(x):
            values = [(v, ops.convert_to_tensor(w, v.dtype)) for v, w in weights]
            return self.network.advance(x, None, None, values)[0]

        def run():
            InCallContext(step)(ops.zeros(self._step_shape), training=True)

        with backends.active().outside_of_tracing():
            found = wiring.reached(run, synapse, neurons.values())
        return [n for n, x in neurons.items() if any(x is y for y in found)]

    def _decay(self, neuron):
        """What a time step leaves of a membrane potential: a float or a function."""
        if self.tau is not None:
            return 1.0 - 1.0 / self.tau
        if _learns(neuron):
            return functools.partial(_leak, neuron)
        with backends.active().outside_of_tracing():
            return decay_of(neuron)

    def _check_decay(self, neuron):
        decay = decay_of(neuron)
        what = f"{type(neuron).__name__} '{neuron.name}'"
        if isinstance(decay, str):
            if self.tau is None:
                raise ValueError(
                    f"OTTT cannot tell how traces before {what} decay, which "
                    f"{decay}: pass `tau`."
                )
        elif self.tau is not None:
            its = "has no leak" if decay == 1.0 else f"has tau={1.0 / (1.0 - decay):g}"
            its = "learns it" if _learns(neuron) else its
            if _learns(neuron) or abs(decay - 1.0 + 1.0 / self.tau) > 1e-4:
                raise ValueError(
                    f"`tau` must be that of the neurons, but {what} {its}. "
                    f"Received: tau={self.tau}. Leave it out."
                )

    def get_config(self):
        return {**super().get_config(), "tau": self.tau}


def decay_of(neuron: TemporalLayer) -> float | str:
    """What a time step leaves of a membrane potential, or why that is no number.

    Args:
        neuron: Layer, built or not.
    """
    states = _rest(neuron)
    spikes = isinstance(neuron, SpikingLayer)
    if type(neuron).charge is SpikingLayer.charge if spikes else len(states) > 1:
        return "has a step of its own"
    if len(states) > 1:
        # Without spikes only memories of the input leave their place.
        after = neuron.step(states[0] + 1e-3, states)[1][1:]
        if any(ops.convert_to_numpy(a != b).any() for a, b in zip(after, states[1:])):
            return "holds its input in another state, too"
    leaks = [ops.convert_to_numpy(_leak(neuron, v)) for v in (0.0, -3.0)]
    if np.ptp(leaks[0]) > 1e-6:
        return "has several time constants"
    if np.abs(leaks[0] - leaks[1]).max() > 1e-4:
        return "does not decay exponentially"
    return float(np.round(leaks[0].flat[0], 6))


def _leak(neuron, offset=0.0):
    """The derivative of the next membrane potential by the present one."""
    v, *others = _rest(neuron)

    def following(v):
        if isinstance(neuron, SpikingLayer):
            return neuron.charge(ops.zeros_like(v), v)
        return neuron.step(ops.zeros_like(v), (v, *others))[1][0]

    leak = following(v + (offset + 0.5)) - following(v + (offset - 0.5))
    return ops.reshape(leak, ()) if leak.shape == (1, 1) else leak


def _rest(neuron):
    """The initial states of as few neurons as the parameters are for."""
    weights = [(p.weight(neuron), p.given(neuron)) for p in neuron.declared.values()]
    shapes = [np.shape(given if w is None else w) for w, given in weights]
    shape = np.broadcast_shapes((1, 1), *shapes)
    return neuron.get_initial_state(ops.zeros(shape, neuron.state_dtype))


def _learns(neuron):
    learned = [
        p.learnable or p.name in neuron.learnable for p in neuron.declared.values()
    ]
    return any(learned) or bool(neuron.trainable_variables)


def _is_synapse(layer):
    has_weights = layer.trainable_variables and not layer.non_trainable_variables
    holds_layers = contained.inner_layers(layer) or contained.has_time_axis(layer)
    return bool(has_weights) and not holds_layers


def _with_trace(layer, decay, call, x, *args, **kwargs):
    slot = streaming.Slot()
    trace = ops.stop_gradient(x)
    if slot.previous is not None:
        decay = ops.stop_gradient(decay()) if callable(decay) else decay
        trace = trace + ops.cast(decay, trace.dtype) * slot.previous
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
