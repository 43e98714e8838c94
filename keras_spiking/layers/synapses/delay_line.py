"""What layers that delay sequences have in common: the past, and learned delays."""

from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking import backends
from keras_spiking.constraints import Interval
from keras_spiking.layers import streaming
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.temporal_layer import check_fixed_shape
from keras_spiking.layers.temporal_layer import for_batch_of
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number
from keras_spiking.validation import check_time_axis


class DelayLineOptions(LayerOptions, total=False):
    """Arguments of layers that delay."""

    stateful: bool


class DelayLine(Layer):
    """Puts the last `length` steps before a sequence.

    Args:
        stateful: Boolean, whether a call goes on where the last one ended.
        **kwargs: The arguments of `keras.layers.Layer`.
    """

    has_time_axis = True

    def __init__(self, *, stateful: bool = False, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.stateful = check_bool("stateful", stateful)
        self.supports_masking = True

    @property
    def length(self):
        """The longest delay in time steps."""
        raise NotImplementedError

    def build(self, input_shape):
        check_time_axis(self, input_shape)
        if self.stateful:
            batch, _, *features = input_shape
            check_fixed_shape(self, (batch, *features))
            self.batch_size = batch
            self.past = self.add_weight(
                name="past",
                shape=(batch, self.length, *features),
                initializer="zeros",
                dtype=self.compute_dtype,
                trainable=False,
                autocast=False,
            )

    def reset_state(self):
        """Forgets what came in before."""
        if not self.stateful:
            raise ValueError(
                f"Layer '{self.name}' has no state between calls to reset: it "
                "was made with `stateful=False`."
            )
        if self.built:
            self.past.assign(ops.zeros(self.past.shape, self.past.dtype))

    def with_past(self, inputs):
        """The inputs, after the `length` steps before them."""
        slot = streaming.Slot()
        past = slot.previous
        if past is None and self.stateful:
            # A copy: PyTorch assigns in place, and the gradient needs the old one.
            (past,) = for_batch_of(self, inputs, (ops.copy(self.past),))
        if past is None:
            self._check_longer(inputs)
            batch, _, *features = ops.shape(inputs)
            past = ops.zeros((batch, self.length, *features), dtype=inputs.dtype)
        sequence = ops.concatenate([past, inputs], axis=1)
        after = sequence[:, ops.shape(inputs)[1] :]
        slot.put(after)
        if self.stateful:
            backends.active().keep(self.past, after)
        return sequence

    def _check_longer(self, inputs):
        timesteps = inputs.shape[1]
        if timesteps is not None and timesteps <= self.length:
            if not streaming.is_streaming():
                raise ValueError(
                    f"{type(self).__name__} '{self.name}' delays by up to "
                    f"{self.length} time steps, and the sequence has {timesteps}: "
                    "what is delayed that long never arrives. Use a shorter delay or "
                    "a longer sequence, or `stateful=True` if the sequence goes on in "
                    "the next call."
                )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "stateful": self.stateful}


class LearnedDelays(DelayLine):
    """Delays that are weights, `delay`, of the shape `delay_shape(input_shape)`.

    Args:
        max_delay: Integer >= 1, the longest delay in time steps.
        delay_kernel: `"gaussian"` or `"interpolated"`.
        sigma: Float > 0 or `None`.
        delay_initializer: Initializer, or `None` for uniform.
        round_at_inference: Boolean.
        **kwargs: The arguments of `DelayLine`.
    """

    def __init__(
        self,
        max_delay: int,
        *,
        delay_kernel: str,
        sigma: float | None,
        delay_initializer: Any,
        round_at_inference: bool,
        **kwargs: Unpack[DelayLineOptions],
    ):
        super().__init__(**kwargs)
        self.max_delay = check_integer("max_delay", max_delay, minimum=1)
        self.delay_kernel = check_choice(
            "delay_kernel", delay_kernel, ("gaussian", "interpolated")
        )
        if sigma is not None:
            sigma = check_number("sigma", sigma, above=0.0)
            if delay_kernel == "interpolated":
                raise ValueError(
                    "Only `delay_kernel='gaussian'` has a width. Received: "
                    f"delay_kernel={delay_kernel!r}, sigma={sigma!r}"
                )
        self.initial_sigma = self.max_delay / 2 if sigma is None else float(sigma)
        self.given_sigma = sigma
        if delay_initializer is None:
            delay_initializer = keras.initializers.RandomUniform(0.0, self.max_delay)
        self.delay_initializer = keras.initializers.get(delay_initializer)
        self.round_at_inference = check_bool("round_at_inference", round_at_inference)

    @property
    def length(self):
        return self.max_delay

    def delay_shape(self, input_shape):
        return (input_shape[-1],)

    def build(self, input_shape):
        super().build(input_shape)
        self.delay = self.add_weight(
            name="delay",
            shape=self.delay_shape(input_shape),
            initializer=self.delay_initializer,
            constraint=Interval(0.0, self.max_delay),
            autocast=False,
        )
        if self.delay_kernel == "gaussian":
            # A weight, so that compiled training sees it narrow.
            self.sigma = self.add_weight(
                name="sigma",
                shape=(),
                initializer=keras.initializers.Constant(self.initial_sigma),
                trainable=False,
                autocast=False,
            )

    def taps(self, training):
        """How much passes at each delay, `(max_delay + 1, *delay.shape)`."""
        delay = ops.convert_to_tensor(self.delay)
        # Past the gradient: a delay at an end of the range still learns.
        clipped = ops.clip(delay, 0.0, self.max_delay)
        delay = delay + ops.stop_gradient(clipped - delay)
        shape = (-1,) + (1,) * len(delay.shape)
        steps = ops.reshape(ops.arange(self.max_delay + 1, dtype=delay.dtype), shape)
        if not training and self.round_at_inference:
            return _equal(ops.round(delay), steps)
        if self.delay_kernel == "gaussian":
            distance = (steps - delay) / ops.convert_to_tensor(self.sigma)
            return ops.softmax(-0.5 * distance * distance, axis=0)
        before = ops.stop_gradient(ops.floor(delay))
        # The longest delay, too, has a step after it to interpolate with.
        before = before - _equal(before, self.max_delay)
        rest = delay - before
        here, after = _equal(before, steps), _equal(before + 1.0, steps)
        return (1.0 - rest) * here + rest * after

    def get_config(self):
        return {
            **super().get_config(),
            "max_delay": self.max_delay,
            "delay_kernel": self.delay_kernel,
            "sigma": self.given_sigma,
            "round_at_inference": self.round_at_inference,
        }


def _equal(whole, n):
    # OpenVINO drops the `abs` of constants.
    return ops.relu(1.0 - ops.relu(whole - n) - ops.relu(n - whole))
