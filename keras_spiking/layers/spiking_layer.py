"""The base class of all spiking neurons."""

from typing import Any
from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking import surrogates
from keras_spiking.layers.options import TemporalOptions
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.bounded import bounded
from keras_spiking.parameter import Alias
from keras_spiking.parameter import Parameter
from keras_spiking.validation import check_bool

__all__ = ["SpikingLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingLayer(TemporalLayer):
    """Base class of spiking neurons over `(batch, time, ...)` sequences.

    In every time step a neuron charges, fires and resets:

        H[t] = charge(X[t], V[t-1])
        S[t] = heaviside(H[t] - v_threshold)
        V[t] = H[t] (1 - S[t]) + v_reset S[t]      (hard reset)
        V[t] = H[t] - v_threshold S[t]             (soft reset, v_reset=None)

    For a neuron of your own, override `charge`. For one with more states than
    the membrane potential, name them in `state_names` and override `step`. If
    they do not start at 0, override `get_initial_state`, too. All you write are
    equations in `keras.ops`: the loop over time, gradients, masks and precision
    are taken care of.

    The state starts fresh in every call. It is float32 under every dtype policy
    (float64 under `"float64"`); spikes are 0 and 1 in the compute dtype. A
    membrane potential that overflows counts as 1e18: it fires, and a hard reset
    forgets it.

    Args:
        v_threshold: Float or array that broadcasts over the features, >= 0. A
            neuron fires at and above it. Defaults to `1.0`.
        v_reset: Float or array, the membrane potential after a spike and at the
            start. `None` resets softly: the threshold is subtracted, and the
            membrane potential starts at 0. Defaults to `0.0`.
        surrogate: Name, `Surrogate` or callable, see
            `keras_spiking.surrogates.get`. Defaults to `"sigmoid"`.
        detach_reset: Boolean, whether the gradient does not flow through the
            spike in the reset. Defaults to `False`.
        return_sequences: Boolean, whether to return the spikes of all steps or
            of the last one (under a mask: the last unmasked one). Defaults to
            `True`.
        return_state: Boolean, whether to return the final states in addition.
            Defaults to `False`.
        stateful: Boolean, whether a call starts from the state that the last
            call left behind; `reset_state()` starts afresh. Needs a fixed batch
            size. Defaults to `False`.
        learnable: Parameters that `fit` trains: a name, a list of names, or a
            dictionary from names to `"layer"`, `"channel"` or `"neuron"`, which
            says how values are shared. Otherwise, a parameter has as many values
            as it was given. Values are kept within their valid range. Defaults to
            `None`.
        data_format: `"channels_last"` or `"channels_first"`, where the channels
            of `learnable={...: "channel"}` are. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor of input currents, `(batch, time, ...)`.
        initial_state: Tensor or list of tensors `(batch, ...)`, the states to
            start from, membrane potential first.
        mask: Boolean tensor `(batch, time)`. In masked steps neurons emit no
            spike and hold their state.

    Input shape:
        `(batch, time, ...)`, features of any rank.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`. With
        `return_state=True` a tuple of this and the states, each `(batch, ...)`.

    Raises:
        ValueError: if a parameter is out of its range, the input has no time
            axis, or a stateful layer meets another batch size.

    Example:

    >>> class SquareIF(keras_spiking.layers.SpikingLayer):
    ...     def charge(self, x, v):
    ...         return v + keras.ops.square(x)
    >>> spikes = SquareIF(surrogate="atan")(keras.ops.ones((2, 5, 3)))
    >>> tuple(spikes.shape)
    (2, 5, 3)

    References:
        - [Neftci et al., 2019](https://arxiv.org/abs/1901.09948)
        - [Fang et al., 2023](https://arxiv.org/abs/2310.16620)
    """

    # Arguments that a subclass passes on with other defaults.
    defaults: dict[str, Any] = {}

    v_threshold = Parameter(minimum=0.0)
    v_reset = Parameter(optional=True)

    def __init__(
        self,
        v_threshold: ArrayLike = 1.0,
        *,
        v_reset: ArrayLike | None = 0.0,
        surrogate: Any = "sigmoid",
        detach_reset: bool = False,
        **kwargs: Unpack[TemporalOptions],
    ):
        super().__init__(**kwargs)
        self.v_threshold = v_threshold
        self.v_reset = v_reset
        self.surrogate = surrogates.get(surrogate)
        self.detach_reset = check_bool("detach_reset", detach_reset)

    def with_defaults(self, options) -> Any:
        """Keyword arguments for the base class."""
        return self.defaults | options

    def charge(self, x, v):
        """The membrane potential `H[t]` before a spike: override this.

        Args:
            x: Tensor `(batch, ...)`, the input `X[t]`.
            v: Tensor `(batch, ...)`, the membrane potential `V[t-1]`.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement `charge(x, v)`, or `state_names` "
            "and `step` if it has more states."
        )

    def fire(self, h):
        """Spikes where the membrane potential reaches the threshold."""
        return self.surrogate(h - self.v_threshold)

    def reset(self, h, spikes):
        """The membrane potential `V[t]` after the spikes."""
        h, spikes = bounded(h), self.reset_spikes(spikes)
        if self.v_reset is None:
            return h - self.v_threshold * spikes
        return h * (1.0 - spikes) + self.v_reset * spikes

    def reset_spikes(self, spikes):
        """The spikes as the reset sees them: without gradient if it is detached."""
        return ops.stop_gradient(spikes) if self.detach_reset else spikes

    def step(self, x, states):
        """One time step, a pure function.

        Args:
            x: Tensor `(batch, ...)`, the input `X[t]`.
            states: Tuple of tensors as `get_initial_state` returns it.

        Returns:
            The spikes and a tuple of the new states.
        """
        (v,) = states
        h = self.charge(x, v)
        spikes = self.fire(h)
        return spikes, (self.reset(h, spikes),)

    def get_initial_state(self, x):
        """States before the first step, for an input `x` of one step.

        The membrane potential starts at `baseline`, all other states at 0.
        """
        v, *others = super().get_initial_state(x)
        return (v + self.baseline, *others)

    @property
    def baseline(self):
        """Where the membrane potential starts, and what it leaks to in a `LIFLayer`:
        `v_reset`, or 0 if the reset is soft."""
        return 0.0 if self.v_reset is None else self.v_reset

    rest = Alias("baseline")

    def get_config(self):
        return {
            **super().get_config(),
            "surrogate": surrogates.serialize(self.surrogate),
            "detach_reset": self.detach_reset,
        }


def check_soft_reset(cls, keywords):
    """Raises `ValueError` if a neuron whose reset is soft is asked for a hard one."""
    if keywords.get("v_reset") is not None:
        raise ValueError(
            f"The reset of {cls.__name__} is soft: leave out `v_reset`. "
            f"Received: v_reset={keywords['v_reset']!r}"
        )
