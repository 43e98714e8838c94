import functools

import keras
from keras import ops

from keras_spiking import backends
from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers import streaming
from keras_spiking.layers.neurons.leaky_integrator import LILayer
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.online.online_model import OnlineModel
from keras_spiking.online.ottt import frozen
from keras_spiking.online.wiring import find_synapses


@keras.saving.register_keras_serializable("keras_spiking")
class EProp(OnlineModel):
    """Eligibility propagation, for recurrent layers of spiking neurons.

    Each synapse from `i` to `j` carries forward in time how the states `h` of its
    neuron depend on its weight (the eligibility vector), and from that how the
    neuron's spike `z` does (the eligibility trace):

        eps_ij[t] = dh_j[t]/dh_j[t-1] eps_ij[t-1] + dh_j[t]/dw_ij
        e_ij[t] = dz_j[t]/dh_j[t-1] eps_ij[t-1] + dz_j[t]/dw_ij
        grad_ij = sum_t l_j[t] F(e_ij)[t]

    The learning signal `l_j[t]` is the gradient of the loss at a step with respect
    to the spike, through the layers after it at that step. `F` is the low-pass filter
    of the readout if that is an `LILayer`. Left out is what a spike does to other
    neurons at later steps: without recurrent connections, and with one layer of
    neurons before the readout, the gradient is that of backpropagation
    through time.

    The derivatives are those of the neuron's own step, for `LIFLayer`, `ALIFLayer`
    and every other neuron that does not look at its neighbours, through its reset
    unless `detach_reset=True`. Memory is needed for every synapse and sample.

    Args:
        layer: See `OnlineModel`. Recurrent connections are those of
            `RecurrentGraph` or `ElementwiseRecurrent`. What is trained must be
            `Dense` layers; those before neurons without an activation.
        timesteps: See `OnlineModel`.
        reduce: See `OnlineModel`. Defaults to `"mean"`.

    Raises:
        ValueError: when training starts, if other layers have trainable weights,
            the input of neurons is not a sum of outputs of `Dense` layers, or the
            readout has several time constants.

    Example:

    >>> recurrent = keras_spiking.layers.RecurrentGraph(
    ...     nodes={
    ...         "encode": keras.layers.Dense(8),
    ...         "neurons": keras_spiking.layers.ALIFLayer(),
    ...         "feedback": keras.layers.Dense(8, use_bias=False),
    ...     },
    ...     edges=[
    ...         ("input", "encode"),
    ...         ("encode", "neurons"),
    ...         ("neurons", "feedback"),
    ...         ("feedback", "neurons"),
    ...         ("neurons", "output"),
    ...     ],
    ... )
    >>> readout = [keras.layers.Dense(2), keras_spiking.layers.LILayer()]
    >>> model = keras_spiking.online.EProp([recurrent, *readout])
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("adam", "mse")
    ...     x, y = keras.ops.ones((4, 10, 3)), keras.ops.ones((4, 2))
    ...     history = model.fit(x, y, verbose=0)

    References:
        - [Bellec et al., 2020](https://doi.org/10.1038/s41467-020-17236-y)
    """

    def build(self, input_shape):
        super().build(input_shape)
        batch, *features = self.network.step_shape(input_shape)
        self._step_shape = (batch or 1, *features)
        self._synapses = None

    def hooks(self):
        if self._synapses is None:
            self._synapses = find_synapses(self.network, self._step_shape)
        layers = all_layers(self.network)
        *_, readout = [x for x in layers.values() if isinstance(x, TemporalLayer)]
        seen, around = {}, []
        for name, synapses in self._synapses.items():
            neuron, synapses = layers[name], [layers[synapse] for synapse in synapses]
            kappa = 0.0 if neuron is readout else _kept_by(readout)
            hook = functools.partial(_at_neuron, neuron, synapses, seen, kappa)
            around.append((neuron, hook))
            around += [(s, functools.partial(_at_synapse, s, seen)) for s in synapses]
        return around


def _kept_by(readout):
    """What a time step leaves of what a leaky readout holds."""
    if not isinstance(readout, LILayer):
        return 0.0
    if not isinstance(readout.tau, float):
        raise ValueError(
            "EProp needs a readout with the same `tau` for all outputs. Received: "
            f"LILayer '{readout.name}' with tau={readout.tau}"
        )
    return 1.0 - 1.0 / readout.tau


def _at_synapse(layer, seen, call, x, *args, **kwargs):
    seen[layer] = ops.stop_gradient(x)
    with frozen(layer):
        return call(x, *args, **kwargs)


def _at_neuron(layer, synapses, seen, kappa, call, inputs, *args, **kwargs):
    states = layer.states_before(inputs)
    outputs = call(inputs, *args, **kwargs)
    slot = streaming.Slot()
    derivatives = _derivatives(layer, inputs[:, 0], states)
    x, weights = _joined(synapses, seen, layer.state_dtype)
    x = ops.expand_dims(x, 2)
    vectors, trace = slot.previous or ([0.0] * len(states), 0.0)

    def by_weights(by_input, *by_states):
        """How a result of the step depends on the weights, `(batch, i, j)`."""
        terms = [d * vector for d, vector in zip(by_states, vectors)]
        return sum(terms, by_input * x)

    new, *vectors = [by_weights(*row) for row in derivatives]
    trace = kappa * trace + new
    slot.put((vectors, trace))
    # Adds nothing but a gradient, which goes to the weights only.
    zeros = weights - ops.stop_gradient(weights)
    credit = ops.sum(trace * zeros, axis=1)
    return outputs + ops.cast(ops.expand_dims(credit, 1), outputs.dtype)


def _derivatives(layer, x, states):
    """Of outputs and states after a step (rows) by input and states before it."""
    before = [ops.cast(x, layer.state_dtype), *states]
    before = [ops.stop_gradient(tensor) for tensor in before]

    def row(i):
        def function(tensors):
            outputs, states = layer.step(tensors[0], tensors[1:])
            return ops.sum([outputs, *states][i]), ()

        gradients = backends.active().value_and_gradients(function, before)[1]
        return [ops.stop_gradient(ops.expand_dims(g, 1)) for g in gradients]

    return [row(i) for i in range(len(before))]


def _joined(synapses, seen, dtype):
    """The inputs of all synapses as one, and their weights; 1 is a bias' input."""
    inputs, weights = [], []
    for synapse in synapses:
        x = ops.cast(seen[synapse], dtype)
        inputs.append(x)
        weights.append(synapse.kernel)
        if synapse.use_bias:
            inputs.append(ops.ones_like(x[:, :1]))
            weights.append(ops.expand_dims(synapse.bias, 0))
    weights = [ops.cast(w, dtype) for w in weights]
    return ops.concatenate(inputs, axis=1), ops.concatenate(weights, axis=0)
