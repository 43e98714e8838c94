import functools
import math
import random
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_spiking import backends
from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers import streaming
from keras_spiking.layers.neurons.leaky_integrator import LILayer
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.online.online_model import OnlineModel
from keras_spiking.online.ottt import frozen
from keras_spiking.online.wiring import find_synapses
from keras_spiking.online.wiring import has_channels_first
from keras_spiking.online.wiring import kernel
from keras_spiking.online.wiring import patches
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer


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
    unless `detach_reset=True`. Memory is needed for every synapse and sample: with
    convolutions for every weight at every place of their outputs.

    With `feedback="random"` learning signals need no weights of the synapses after a
    neuron: the gradient at the outputs `y` of the readout, its last layer with weights,
    reaches all neurons directly, by fixed random weights,

        l_j[t] = sum_k B_jk dL[t]/dy_k[t],    B_jk ~ N(0, 1 / neurons of the layer)

    Args:
        layer: See `OnlineModel`. Recurrent connections are those of
            `RecurrentGraph` or `ElementwiseRecurrent`. What is trained must be
            `Dense`, `Conv1D`, `Conv2D` and `Conv3D` layers, with standardised weights
            or not; those before neurons without an activation.
        timesteps: See `OnlineModel`.
        reduce: See `OnlineModel`. Defaults to `"mean"`.
        feedback: How learning signals reach neurons: `"symmetric"`, through the layers
            after them, or `"random"`. Defaults to `"symmetric"`.
        seed: Integer >= 0, for the random feedback, or `None`: another one for each
            model, which is saved with it. Defaults to `None`.

    Raises:
        ValueError: when training starts, if other layers have trainable weights,
            the input of neurons is not a sum of outputs of dense and convolutional
            layers, or the readout has several time constants.

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

    def __init__(
        self,
        layer: Any,
        timesteps: int | None = None,
        reduce: str = "mean",
        feedback: str = "symmetric",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(layer, timesteps, reduce, **kwargs)
        self.feedback = check_choice("feedback", feedback, ("symmetric", "random"))
        if seed is not None:
            check_integer("seed", seed, minimum=0)
        self.seed = random.randint(1, 10**9) if seed is None else seed

    def build(self, input_shape):
        super().build(input_shape)
        batch, *features = self.network.step_shape(input_shape)
        self._step_shape = (batch or 1, *features)
        self._synapses = None
        self._feedback_weights = None

    def synapses(self) -> dict:
        """The synapses of each layer of neurons, see `find_synapses`."""
        if self._synapses is None:
            self._synapses = find_synapses(self.network, self._step_shape)
        return self._synapses

    def feedback_weights(self) -> dict[str, np.ndarray]:
        """Random weights from the outputs of the readout to each layer of neurons.

        Returns:
            Dictionary from names of neurons to arrays `(neurons, outputs)`.
        """
        if self._feedback_weights is None:
            layers = all_layers(self.network)
            *hidden, (_, (*_, readout)) = self.synapses().items()
            outputs = _size(self, layers[readout])
            self._feedback_weights = {}
            for i, (name, (synapse, *_)) in enumerate(hidden):
                neurons = _size(self, layers[synapse])
                values = np.random.default_rng([self.seed, i])
                values = values.normal(0.0, neurons**-0.5, (neurons, outputs))
                self._feedback_weights[name] = values.astype("float32")
        return self._feedback_weights

    def hooks(self):
        found, layers = self.synapses(), all_layers(self.network)
        *_, readout = [x for x in layers.values() if isinstance(x, TemporalLayer)]
        seen, around = {}, []
        is_random = self.feedback == "random"
        feedback = self.feedback_weights() if is_random else {}
        for name, synapses in found.items():
            synapses = [layers[synapse] for synapse in synapses]
            if name is not None:
                neuron = layers[name]
                kappa = 0.0 if neuron is readout else _kept_by(readout)
                arguments = (neuron, synapses, seen, kappa, name in feedback)
                around.append((neuron, functools.partial(_at_neuron, *arguments)))
                at_synapse = functools.partial(_at_synapse, seen)
                around += [(s, functools.partial(at_synapse, s)) for s in synapses]
        if feedback:
            sources = [(layers[name], b) for name, b in feedback.items()]
            hook = functools.partial(_at_readout, seen, sources)
            around.append((synapses[-1], hook))  # of the last neurons, or after them
        return around

    def get_config(self):
        config = super().get_config()
        return {**config, "feedback": self.feedback, "seed": self.seed}


def _size(model, synapse):
    shape = synapse.compute_output_shape(synapse.get_build_config()["input_shape"])
    if None in shape[1:]:
        raise ValueError(
            f"{type(model).__name__} with random feedback needs layers of known size. "
            f"Received: '{synapse.name}' with outputs of shape {tuple(shape)}"
        )
    return math.prod(shape[1:])


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


def _at_synapse(seen, layer, call, x, *args, **kwargs):
    seen[layer] = ops.stop_gradient(x)
    with frozen(layer):
        return call(x, *args, **kwargs)


def _at_readout(seen, sources, call, x, *args, **kwargs):
    """Sends the gradient at the readout to all neurons, by random weights."""
    outputs = call(x, *args, **kwargs)
    for neuron, feedback in sources:
        # Of value 0, as what it gives a gradient to.
        credit = ops.reshape(seen[neuron], (-1, len(feedback)))
        sent = ops.matmul(credit, ops.convert_to_tensor(feedback, credit.dtype))
        outputs = outputs + ops.cast(
            ops.reshape(sent, ops.shape(outputs)), outputs.dtype
        )
    return outputs


def _at_neuron(layer, synapses, seen, kappa, is_apart, call, inputs, *args, **kwargs):
    states = layer.states_before(inputs)
    outputs = call(inputs, *args, **kwargs)
    slot = streaming.Slot()
    channels_first = has_channels_first(synapses[0])

    def at_places(tensor):
        """`(batch, ...)` to `(batch, places, 1, neurons at a place)`."""
        tensor = ops.moveaxis(tensor, 1, -1) if channels_first else tensor
        shape = ops.shape(tensor)
        return ops.reshape(tensor, (shape[0], math.prod(shape[1:-1]), 1, shape[-1]))

    derivatives = _derivatives(layer, inputs[:, 0], states)
    derivatives = [[at_places(d) for d in row] for row in derivatives]
    x, weights = _joined(synapses, seen, layer.state_dtype)
    x = ops.expand_dims(x, 3)
    vectors, trace = slot.previous or ([0.0] * len(states), 0.0)

    def by_weights(by_input, *by_states):
        """How a result of the step depends on the weights, `(batch, place, i, j)`."""
        terms = [d * vector for d, vector in zip(by_states, vectors)]
        return sum(terms, by_input * x)

    new, *vectors = [by_weights(*row) for row in derivatives]
    trace = kappa * trace + new
    slot.put((vectors, trace))
    # Adds nothing but a gradient, which goes to the weights only.
    zeros = weights - ops.stop_gradient(weights)
    credit = ops.sum(trace * zeros, axis=2)
    if channels_first:
        credit = ops.swapaxes(credit, 1, 2)
    credit = ops.reshape(credit, (-1, *inputs.shape[2:]))
    if is_apart:
        seen[layer] = credit
        return ops.stop_gradient(outputs)
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
        return [ops.stop_gradient(g) for g in gradients]

    return [row(i) for i in range(len(before))]


def _joined(synapses, seen, dtype):
    """The inputs of all synapses as one, and their weights; 1 is a bias' input."""
    inputs, weights = [], []
    for synapse in synapses:
        x = ops.cast(patches(synapse, seen[synapse]), dtype)
        inputs.append(x)
        weights.append(kernel(synapse))
        if synapse.use_bias:
            inputs.append(ops.ones_like(x[..., :1]))
            weights.append(ops.expand_dims(synapse.bias, 0))
    weights = [ops.cast(w, dtype) for w in weights]
    return ops.concatenate(inputs, axis=-1), ops.concatenate(weights, axis=0)
