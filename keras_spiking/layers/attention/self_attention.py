"""Self-attention of spikes over spikes: no softmax, no products of floats."""

from typing import Any
from typing import Unpack

import keras
from keras import ops

from keras_spiking.layers.layer import Layer
from keras_spiking.layers.made_in_build import MadeInBuild
from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.spiking_layer import SpikingLayer
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_mask
from keras_spiking.validation import check_number
from keras_spiking.validation import check_time_axis


class _TokenLayer(MadeInBuild, Layer):
    """A layer over `(batch, time, tokens, channels)` with spiking projections."""

    has_time_axis = True

    def __init__(self, neuron: Any = None, **kwargs: Unpack[LayerOptions]):
        super().__init__(**kwargs)
        self.supports_masking = True
        if neuron is None:
            neuron = LIFLayer(tau=2.0, detach_reset=True)
        if isinstance(neuron, dict):
            neuron = keras.saving.deserialize_keras_object(neuron)
        if not isinstance(neuron, SpikingLayer):
            raise TypeError(
                "`neuron` must be a spiking layer, such as `LIFLayer(tau=2.0)`. "
                f"Received: neuron={neuron!r}"
            )
        if not neuron.return_sequences or neuron.return_state:
            raise ValueError(
                "`neuron` must return the spikes of all steps and nothing else. "
                f"Received: return_sequences={neuron.return_sequences}, "
                f"return_state={neuron.return_state}"
            )
        self.neuron_config = keras.saving.serialize_keras_object(neuron)

    def build(self, input_shape):
        axes = "(batch, time, tokens, channels)"
        check_time_axis(self, input_shape, 4, axes, exact=True)

    def _neuron(self, name, shape, **changes):
        config = self.neuron_config
        changes = {**changes, "name": name, "dtype": self.dtype_policy}
        config = {**config, "config": {**config["config"], **changes}}
        # The new layer is not built yet, whatever the given one is.
        config.pop("build_config", None)
        neuron = keras.saving.deserialize_keras_object(config)
        neuron.build(shape)
        return neuron

    def _projection(self, name, shape):
        """Dense, batch normalisation and neurons."""
        dtype = {"dtype": self.dtype_policy}
        dense = self.make_dense(
            shape[-1], use_bias=False, name=f"{name}_dense", **dtype
        )
        normalization = keras.layers.BatchNormalization(
            momentum=0.9, epsilon=1e-5, name=f"{name}_normalization", **dtype
        )
        dense.build(shape)
        normalization.build(shape)
        return [dense, normalization, self._neuron(f"{name}_neuron", shape)]

    def made_in_build(self):
        projections = ("query", "key", "value", "output_projection")
        return [getattr(self, name)[0] for name in projections if hasattr(self, name)]

    def _project(self, layers, x, training, mask):
        dense, normalization, *neurons = layers
        mask_of_tokens = None
        if mask is not None:
            check_mask(self, x.shape, mask)
            mask = ops.cast(mask, "bool")
            mask_of_tokens = ops.broadcast_to(mask[:, :, None], ops.shape(x)[:3])
        y = normalization(dense(x), training=training, mask=mask_of_tokens)
        for neuron in neurons:
            y = neuron(y, mask=mask)
        return y

    def _check_heads(self, input_shape):
        if input_shape[-1] % self.num_heads:
            raise ValueError(
                f"The channels of {type(self).__name__} '{self.name}' must divide "
                f"into heads. Received: num_heads={self.num_heads}, "
                f"{input_shape[-1]} channels."
            )

    def _heads(self, spikes):
        """From `(..., channels)` to `(..., heads, channels of a head)`."""
        shape = (*ops.shape(spikes)[:3], self.num_heads, -1)
        return ops.reshape(spikes, shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "neuron": self.neuron_config}


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingSelfAttention(_TokenLayer):
    """Self-attention of Spikformer.

        Q, K, V = neuron(norm(X W))
        Y = neuron(norm(neuron(scale Q K^T V) W))

    `Q`, `K` and `V` are spikes: the products only add.

    Args:
        num_heads: Integer >= 1, divides the channels. Defaults to `8`.
        scale: Float > 0. Defaults to `0.125`.
        neuron: Spiking layer that all neurons are made like; those of the
            attention itself have the threshold 0.5. Defaults to `LIFLayer(tau=2.0,
            detach_reset=True)`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, tokens, channels)`.
        training: Boolean, for batch normalisation.
        mask: Boolean tensor `(batch, time)`. In masked steps neurons emit no spike
            and hold their state; they do not count in batch normalisation.

    Input shape:
        `(batch, time, tokens, channels)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the channels do not divide into heads.

    Example:

    >>> layer = keras_spiking.layers.SpikingSelfAttention(num_heads=2)
    >>> layer(keras.random.uniform((2, 4, 9, 8))).shape
    (2, 4, 9, 8)

    References:
        - [Zhou et al., 2023](https://arxiv.org/abs/2209.15425)
    """

    def __init__(
        self,
        num_heads: int = 8,
        *,
        scale: float = 0.125,
        neuron: Any = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(neuron, **kwargs)
        self.num_heads = check_integer("num_heads", num_heads, minimum=1)
        self.scale = check_number("scale", scale, above=0.0)

    def build(self, input_shape):
        super().build(input_shape)
        self._check_heads(input_shape)
        self.query = self._projection("query", input_shape)
        self.key = self._projection("key", input_shape)
        self.value = self._projection("value", input_shape)
        self.output_projection = self._projection("output", input_shape)
        self.attention_neuron = self._neuron(
            "attention_neuron", input_shape, v_threshold=0.5
        )

    def call(self, inputs, training=False, mask=None):
        q, k, v = (
            self._heads(self._project(layers, inputs, training, mask))
            for layers in (self.query, self.key, self.value)
        )
        # Without a softmax, K^T V comes first: linear in the number of tokens.
        context = ops.einsum("btnhc,btnhd->bthcd", k, v)
        y = ops.einsum("btnhc,bthcd->btnhd", q, context) * self.scale
        y = self.attention_neuron(ops.reshape(y, ops.shape(inputs)), mask=mask)
        return self._project(self.output_projection, y, training, mask)

    def get_config(self):
        config = {**super().get_config(), "num_heads": self.num_heads}
        return {**config, "scale": self.scale}


@keras.saving.register_keras_serializable("keras_spiking")
class SpikeDrivenSelfAttention(_TokenLayer):
    """Self-attention of the spike-driven transformer: masks and additions only.

        Q, K, V = neuron(norm(X W))
        Y = norm(neuron(sum_tokens Q * K) * V W)

    A channel of `V` passes where `Q` and `K` agree on enough tokens. The output
    is a current, to be added to the membrane shortcut.

    Args:
        neuron: Spiking layer that all neurons are made like; those of the
            attention itself have the threshold 0.5. Defaults to `LIFLayer(tau=2.0,
            detach_reset=True)`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, tokens, channels)`.
        training: Boolean, for batch normalisation.
        mask: Boolean tensor `(batch, time)`. In masked steps neurons emit no spike
            and hold their state; they do not count in batch normalisation.

    Input shape:
        `(batch, time, tokens, channels)`.

    Output shape:
        As the input.

    Example:

    >>> layer = keras_spiking.layers.SpikeDrivenSelfAttention()
    >>> layer(keras.random.uniform((2, 4, 9, 8))).shape
    (2, 4, 9, 8)

    References:
        - [Yao et al., 2023](https://arxiv.org/abs/2307.01694)
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.query = self._projection("query", input_shape)
        self.key = self._projection("key", input_shape)
        self.value = self._projection("value", input_shape)
        self.output_projection = self._projection("output", input_shape)[:2]
        shape = (*input_shape[:2], 1, input_shape[-1])
        self.attention_neuron = self._neuron("attention_neuron", shape, v_threshold=0.5)

    def call(self, inputs, training=False, mask=None):
        q = self._project(self.query, inputs, training, mask)
        k = self._project(self.key, inputs, training, mask)
        v = self._project(self.value, inputs, training, mask)
        agree = ops.sum(q * k, axis=2, keepdims=True)
        y = self.attention_neuron(agree, mask=mask) * v
        return self._project(self.output_projection, y, training, mask)


@keras.saving.register_keras_serializable("keras_spiking")
class QKAttention(_TokenLayer):
    """Token or channel attention of QKFormer: spikes that mask spikes.

        Q, K = neuron(norm(X W))
        Y = neuron(norm(neuron(sum_channels Q) * K W))      (over="tokens")
        Y = neuron(norm(neuron(sum_tokens Q) * K W))        (over="channels")

    where `sum_channels` is over the channels of a head.

    Args:
        over: `"tokens"`, to weight the tokens, or `"channels"`. Defaults to
            `"tokens"`.
        num_heads: Integer >= 1, divides the channels. Over channels it makes no
            difference. Defaults to `8`.
        neuron: Spiking layer that all neurons are made like; those of the
            attention itself have the threshold 0.5. Defaults to `LIFLayer(tau=2.0,
            detach_reset=True)`.
        **kwargs: The arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Tensor `(batch, time, tokens, channels)`.
        training: Boolean, for batch normalisation.
        mask: Boolean tensor `(batch, time)`. In masked steps neurons emit no spike
            and hold their state; they do not count in batch normalisation.

    Input shape:
        `(batch, time, tokens, channels)`.

    Output shape:
        As the input.

    Raises:
        ValueError: if the channels do not divide into heads.

    Example:

    >>> layer = keras_spiking.layers.QKAttention(num_heads=2)
    >>> layer(keras.random.uniform((2, 4, 9, 8))).shape
    (2, 4, 9, 8)

    References:
        - [Zhou et al., 2024](https://arxiv.org/abs/2403.16552)
    """

    def __init__(
        self,
        over: str = "tokens",
        *,
        num_heads: int = 8,
        neuron: Any = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(neuron, **kwargs)
        self.over = check_choice("over", over, ("tokens", "channels"))
        self.num_heads = check_integer("num_heads", num_heads, minimum=1)
        self.summed_axis = 4 if over == "tokens" else 2

    def build(self, input_shape):
        super().build(input_shape)
        self._check_heads(input_shape)
        self.query = self._projection("query", input_shape)
        self.key = self._projection("key", input_shape)
        self.output_projection = self._projection("output", input_shape)
        *shape, channels = input_shape
        shape += [self.num_heads, channels // self.num_heads]
        shape[self.summed_axis] = 1
        self.attention_neuron = self._neuron("attention_neuron", shape, v_threshold=0.5)

    def call(self, inputs, training=False, mask=None):
        q, k = (
            self._heads(self._project(layers, inputs, training, mask))
            for layers in (self.query, self.key)
        )
        total = ops.sum(q, axis=self.summed_axis, keepdims=True)
        passed = self.attention_neuron(total, mask=mask) * k
        passed = ops.reshape(passed, ops.shape(inputs))
        return self._project(self.output_projection, passed, training, mask)

    def get_config(self):
        config = {**super().get_config(), "num_heads": self.num_heads}
        return {**config, "over": self.over}

    @classmethod
    def from_config(cls, config):
        return super().from_config({"num_heads": 1, **config})  # as 0.1.0
