"""Recurrent cells whose gates are spikes, for `keras.layers.RNN`."""

from typing import Any
from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_spiking import surrogates
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer


class SpikingCellOptions(LayerOptions, total=False):
    """Arguments of the cells after the first."""

    use_bias: bool
    surrogate: Any
    kernel_initializer: Any
    recurrent_initializer: Any
    bias_initializer: Any


class _SpikingCell(Layer):
    """A cell with `gates` linear maps of the input and of its last output."""

    gates = 1
    states = 1
    biases = 1

    def __init__(
        self,
        units: int,
        *,
        use_bias: bool = True,
        surrogate: Any = "erf",
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.units = check_integer("units", units, minimum=1)
        self.use_bias = check_bool("use_bias", use_bias)
        self.surrogate = surrogates.get(surrogate)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.state_size = [self.units] * self.states
        self.output_size = self.units

    def build(self, input_shape):
        width = self.units * self.gates
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], width),
            initializer=self.kernel_initializer,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel",
            shape=(self.units, width),
            initializer=self.recurrent_initializer,
        )
        if self.use_bias:
            shape = (width,) if self.biases == 1 else (self.biases, width)
            self.bias = self.add_weight(
                name="bias", shape=shape, initializer=self.bias_initializer
            )

    def _from_input(self, x):
        y = ops.matmul(x, ops.convert_to_tensor(self.kernel))
        return y + self._biases()[0] if self.use_bias else y

    def _from_output(self, h):
        y = ops.matmul(h, ops.convert_to_tensor(self.recurrent_kernel))
        return y + self._biases()[1] if self.use_bias and self.biases == 2 else y

    def _biases(self):
        bias = ops.convert_to_tensor(self.bias)
        return [bias] if self.biases == 1 else ops.unstack(bias, 2)

    def get_config(self):
        serialize = keras.initializers.serialize
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "surrogate": surrogates.serialize(self.surrogate),
            "kernel_initializer": serialize(self.kernel_initializer),
            "recurrent_initializer": serialize(self.recurrent_initializer),
            "bias_initializer": serialize(self.bias_initializer),
        }


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingRNNCell(_SpikingCell):
    """Cell of a vanilla recurrent network whose outputs are spikes.

        h[t] = heaviside(W x[t] + U h[t-1] + b)

    For dropout that stays the same over time, put `keras_spiking.layers.Dropout`
    before the `keras.layers.RNN`.

    Args:
        units: Integer >= 1, the number of outputs.
        use_bias: Boolean. Defaults to `True`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"erf"`.
        kernel_initializer: Initializer of `W`. Defaults to `"glorot_uniform"`.
        recurrent_initializer: Initializer of `U`. Defaults to `"orthogonal"`.
        bias_initializer: Initializer of `b`. Defaults to `"zeros"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, features)`, the input of one time step.
        states: List of one tensor `(batch, units)`, the last output.

    Example:

    >>> layer = keras.layers.RNN(keras_spiking.layers.SpikingRNNCell(4))
    >>> layer(keras.ops.ones((2, 8, 3))).shape
    (2, 4)

    References:
        - [Lotfi Rezaabad and Vishwanath, 2020](https://arxiv.org/abs/2007.06176)
    """

    def call(self, inputs, states, training=None):
        h = self.surrogate(self._from_input(inputs) + self._from_output(states[0]))
        return h, [h]


class _GatedCell(_SpikingCell):
    """A cell whose candidate may have another surrogate than its gates."""

    def __init__(
        self,
        units: int,
        *,
        candidate_surrogate: Any = None,
        **kwargs: Unpack[SpikingCellOptions],
    ):
        super().__init__(units, **kwargs)
        if candidate_surrogate is not None:
            candidate_surrogate = surrogates.get(candidate_surrogate)
        self.candidate_surrogate = candidate_surrogate

    def _candidate(self, x):
        return (self.candidate_surrogate or self.surrogate)(x)

    def get_config(self):
        config, candidate = super().get_config(), self.candidate_surrogate
        if candidate is not None:
            candidate = surrogates.serialize(candidate)
        return {**config, "candidate_surrogate": candidate}


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingLSTMCell(_GatedCell):
    """LSTM cell whose gates and cell state are spikes.

        i, f, g, o = heaviside(W x[t] + U h[t-1] + b)
        c[t] = min(f c[t-1] + i g, 1)
        h[t] = o c[t]

    in four gates: input, forget, candidate and output. The minimum passes the
    gradient as if it were not there.

    Args:
        units: Integer >= 1, the number of outputs.
        candidate_surrogate: The surrogate of `g`. Defaults to `None`: `surrogate`.
        use_bias: Boolean. Defaults to `True`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"erf"`.
        kernel_initializer: Initializer of `W`. Defaults to `"glorot_uniform"`.
        recurrent_initializer: Initializer of `U`. Defaults to `"orthogonal"`.
        bias_initializer: Initializer of `b`. Defaults to `"zeros"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, features)`, the input of one time step.
        states: List of two tensors `(batch, units)`, last output and cell state.

    Example:

    >>> cell = keras_spiking.layers.SpikingLSTMCell(4)
    >>> layer = keras.layers.Bidirectional(keras.layers.RNN(cell))
    >>> layer(keras.ops.ones((2, 8, 3))).shape
    (2, 8)

    References:
        - [Lotfi Rezaabad and Vishwanath, 2020](https://arxiv.org/abs/2007.06176)
    """

    gates = 4
    states = 2

    def call(self, inputs, states, training=None):
        h, c = states
        gates = self._from_input(inputs) + self._from_output(h)
        i, f, g, o = ops.split(gates, 4, axis=-1)
        i, f, o = (self.surrogate(gate) for gate in (i, f, o))
        g = self._candidate(g)
        c = f * c + i * g
        c = straight_through(ops.minimum(c, 1.0), c)
        h = o * c
        return h, [h, c]


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingGRUCell(_GatedCell):
    """GRU cell whose gates are spikes.

        r, z = heaviside(W_rz x[t] + U_rz h[t-1] + b_rz)
        n = heaviside(W_n x[t] + b_n + r (U_n h[t-1] + c_n))
        h[t] = (1 - z) n + z h[t-1]

    The bias has the shape `(2, 3 units)`, as in `keras.layers.GRUCell`: the second
    row is added to `U h[t-1]`. With `reset_after=False` it has one row, and the reset
    gate comes before the product: `n = heaviside(W_n x[t] + b_n + U_n (r h[t-1]))`.

    Args:
        units: Integer >= 1, the number of outputs.
        reset_after: Boolean, whether the reset gate comes after the product with
            `U_n`. Defaults to `True`.
        candidate_surrogate: The surrogate of `n`. Defaults to `None`: `surrogate`.
        use_bias: Boolean. Defaults to `True`.
        surrogate: Name, `Surrogate` or callable. Defaults to `"erf"`.
        kernel_initializer: Initializer of `W`. Defaults to `"glorot_uniform"`.
        recurrent_initializer: Initializer of `U`. Defaults to `"orthogonal"`.
        bias_initializer: Initializer of `b`. Defaults to `"zeros"`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, features)`, the input of one time step.
        states: List of one tensor `(batch, units)`, the last output.

    Example:

    >>> layer = keras.layers.RNN(keras_spiking.layers.SpikingGRUCell(4))
    >>> layer(keras.ops.ones((2, 8, 3))).shape
    (2, 4)

    References:
        - [Cho et al., 2014](https://arxiv.org/abs/1406.1078)
    """

    gates = 3

    def __init__(
        self,
        units: int,
        *,
        reset_after: bool = True,
        candidate_surrogate: Any = None,
        **kwargs: Unpack[SpikingCellOptions],
    ):
        super().__init__(units, candidate_surrogate=candidate_surrogate, **kwargs)
        self.reset_after = check_bool("reset_after", reset_after)
        self.biases = 2 if reset_after else 1

    def call(self, inputs, states, training=None):
        (h,) = states
        split = 2 * self.units
        from_input, from_output = self._from_input(inputs), self._from_output(h)
        gates = self.surrogate(from_input[:, :split] + from_output[:, :split])
        r, z = ops.split(gates, 2, axis=-1)
        if self.reset_after:
            from_output = r * from_output[:, split:]
        else:
            kernel = ops.convert_to_tensor(self.recurrent_kernel)
            from_output = ops.matmul(r * h, kernel[:, split:])
        n = self._candidate(from_input[:, split:] + from_output)
        h = (1.0 - z) * n + z * h
        return h, [h]

    def load_own_variables(self, store):
        # Files of 0.1.0 have one row: the bias of the input.
        bias = store["2"][...] if self.use_bias else None
        if bias is not None and bias.shape != tuple(self.bias.shape):
            zeros = np.zeros_like(bias)
            store = {"0": store["0"], "1": store["1"], "2": np.stack([bias, zeros])}
        super().load_own_variables(store)

    def get_config(self):
        return {**super().get_config(), "reset_after": self.reset_after}
