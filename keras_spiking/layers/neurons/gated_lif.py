from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layers.options import SurrogateOptions
from keras_spiking.layers.per_step import first_step
from keras_spiking.layers.per_step import weight_at
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Fraction
from keras_spiking.parameter import normalize_learnable
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number
from keras_spiking.validation import check_timesteps
from keras_spiking.validation import refuse_keywords

__all__ = ["GatedLIFLayer"]

FRACTIONS = "alpha beta gamma tau v_threshold linear_decay v_subreset".split()


@keras.saving.register_keras_serializable("keras_spiking")
class GatedLIFLayer(SpikingLayer):
    """Gated LIF neurons (GLIF), which learn what kind of neurons they are.

    Three gates mix exponential with linear leakage (`alpha`), weighted with raw
    input (`beta`), and proportional with constant reset (`gamma`):

        L[t] = (1 - alpha (1 - tau)) V[t-1]
        V[t] = L[t] - (1 - alpha) linear_decay
               + (1 - beta (1 - conduct[t])) X[t]
               - (gamma L[t] + (1 - gamma) v_subreset) S[t-1]
        S[t] = heaviside(V[t] - v_threshold)

    All of them, from the gates to the threshold, are learned as sigmoids of
    weights, and so stay between 0 and 1.

    Args:
        T: Integer, the number of time steps, each with a conductance of its own,
            or `None` for one that is the same at all steps of sequences of any
            length. Defaults to `None`.
        inplane: Integer, the number of channels, each with weights of its own,
            or `None`: one of each kind for the layer, unless `learnable` says
            otherwise. Defaults to `None`.
        init_linear_decay: Float or array, the initial linear leakage. Defaults to
            `init_v_threshold / (2 T)`, with `T = 4` if there is none.
        init_v_subreset: Float or array, what the constant reset subtracts.
            Defaults to `init_v_threshold`.
        init_tau: Float or array, what the exponential leakage leaves of the
            membrane potential. Defaults to `0.25`.
        init_v_threshold: Float or array. Defaults to `0.5`.
        init_conduct: Float, the conductance. Defaults to `0.5`.
        init_alpha: Float or array, gate of the leakage. Defaults to `0.5`.
        init_beta: Float or array, gate of the input. Defaults to `0.5`.
        init_gamma: Float or array, gate of the reset. Defaults to `0.5`.
        **kwargs: The other arguments of `SpikingLayer`, without `v_threshold`
            and `v_reset`. `learnable` is a dictionary that says how weights are
            shared, such as `{"alpha": "neuron"}`.

    Call arguments:
        inputs: Tensor of input currents, `(batch, time, ...)`.
        initial_state: List of two tensors, `(batch, ...)`.
        mask: Boolean tensor `(batch, time)`.

    Input shape:
        `(batch, T, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`. The states are
        the membrane potential `v` and the last `spikes`.

    Raises:
        ValueError: if an initial value is not between 0 and 1, or the input does
            not have `T` time steps or `inplane` channels.
        TypeError: if `v_threshold` or `v_reset` is given.

    Example:

    >>> layer = keras_spiking.layers.GatedLIFLayer(T=8, inplane=10)
    >>> spikes = layer(keras.random.uniform((2, 8, 10)))
    >>> len(layer.trainable_weights)
    8

    References:
        - [Yao et al., 2022](https://arxiv.org/abs/2210.13768)
    """

    state_names = ("v", "spikes")
    alpha = Fraction()
    beta = Fraction()
    gamma = Fraction()
    tau = Fraction()
    v_threshold = Fraction()
    linear_decay = Fraction()
    v_subreset = Fraction()
    conduct = Fraction(optional=True)

    def __init__(
        self,
        T: int | None = None,
        *,
        inplane: int | None = None,
        init_linear_decay: ArrayLike | None = None,
        init_v_subreset: ArrayLike | None = None,
        init_tau: ArrayLike = 0.25,
        init_v_threshold: ArrayLike = 0.5,
        init_conduct: float = 0.5,
        init_alpha: ArrayLike = 0.5,
        init_beta: ArrayLike = 0.5,
        init_gamma: ArrayLike = 0.5,
        **kwargs: Unpack[SurrogateOptions],
    ):
        refuse_keywords(
            type(self),
            kwargs,
            v_threshold="it is learned, from `init_v_threshold`",
            v_reset="the reset is learned, from `init_v_subreset` and `init_gamma`",
        )
        self.T = None if T is None else check_timesteps(T, "T")
        if inplane is not None:
            inplane = check_integer("inplane", inplane, minimum=1)
            learnable = normalize_learnable(kwargs.get("learnable"), type(self))
            names = FRACTIONS if T else [*FRACTIONS, "conduct"]
            kwargs["learnable"] = learnable | dict.fromkeys(names, "channel")
        super().__init__(init_v_threshold, v_reset=None, **kwargs)
        self.inplane = inplane
        threshold = type(self).v_threshold.given(self)
        if init_linear_decay is None:
            init_linear_decay = threshold / (2 * (T or 4))
        self.linear_decay = init_linear_decay
        self.v_subreset = threshold if init_v_subreset is None else init_v_subreset
        self.tau = init_tau
        self.init_conduct = check_number("init_conduct", init_conduct, above=0, below=1)
        self.conduct = None if T else self.init_conduct
        self.alpha = init_alpha
        self.beta = init_beta
        self.gamma = init_gamma

    def build(self, inputs_shape, initial_state_shape=None):
        super().build(inputs_shape, initial_state_shape)
        shape = type(self).beta.weight(self).shape
        if self.inplane and self.inplane not in shape:
            raise ValueError(
                f"GatedLIFLayer '{self.name}' has weights for inplane="
                f"{self.inplane} channels. Received an input of shape "
                f"{tuple(inputs_shape)}."
            )
        if self.T:
            ones = (1,) * (len(self.features) - len(shape))
            initial = type(self).conduct.to_weight(self.init_conduct)
            self.conduct_per_step = self.add_weight(
                name="conduct",
                shape=(self.T, *ones, *shape),
                initializer=keras.initializers.Constant(initial),
                dtype=self.state_dtype,
                autocast=False,
            )

    def call(self, inputs, initial_state=None, mask=None):
        if self.T:
            weight = weight_at(self.conduct_per_step, first_step(self, inputs))
            inputs = ops.cast(inputs, self.state_dtype)
            inputs = self._conducted(inputs, type(self).conduct.from_weight(weight))
        return super().call(inputs, initial_state, mask)

    def _conducted(self, x, conduct):
        return (1.0 - self.beta * (1.0 - conduct)) * x

    def step(self, x, states):
        """One time step. With `T`, `x` has gone through the conductance before."""
        v, spikes = states
        if not self.T:
            x = self._conducted(x, self.conduct)
        spikes = self.reset_spikes(spikes)
        left = (1.0 - self.alpha * (1.0 - self.tau)) * v
        reset = (self.gamma * left + (1.0 - self.gamma) * self.v_subreset) * spikes
        v = bounded(left - (1.0 - self.alpha) * self.linear_decay + x - reset)
        spikes = self.fire(v)
        return spikes, (v, spikes)

    def get_config(self):
        config = super().get_config()
        del config["v_reset"], config["conduct"]
        for name in FRACTIONS:
            config[f"init_{name}"] = config.pop(name)
        config.update(T=self.T, inplane=self.inplane, init_conduct=self.init_conduct)
        return config
