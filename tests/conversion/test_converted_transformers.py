"""Transformers are converted: layer normalisation, GELU, softmax and attention."""

import keras
import numpy as np
import pytest
from backend import KERAS_VERSION
from backend import to_numpy
from keras import layers
from keras import ops

from keras_spiking import conversion
from keras_spiking.conversion.calibration import thresholds
from keras_spiking.conversion.convert import analog_graph
from keras_spiking.conversion.graph import run
from keras_spiking.layers import StepByStep

NOISE = keras.initializers.RandomNormal(stddev=0.5, seed=3)


@keras.saving.register_keras_serializable("tests")
class ClassTokenAndPositions(layers.Layer):
    """Cannot be taken apart: it asks for the batch size."""

    def build(self, input_shape):
        _, length, width = input_shape
        shapes = {"token": (1, 1, width), "positions": (1, length + 1, width)}
        self.token, self.positions = (
            self.add_weight(shape=shape, initializer=NOISE, name=name)
            for name, shape in shapes.items()
        )

    def call(self, x):
        shape = (ops.shape(x)[0], 1, x.shape[-1])
        token = ops.broadcast_to(self.token, shape)
        return ops.concatenate([token, x], axis=1) + self.positions


@keras.saving.register_keras_serializable("tests")
class Scale(layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[-1:], initializer=NOISE)

    def call(self, x):
        return x * (1.0 + self.scale)


@keras.saving.register_keras_serializable("tests")
class EncoderBlock(layers.Layer):
    """As in BERT: normalisation comes last, padding is left out of attention."""

    def __init__(self, heads, width, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.width = heads, width
        self.attention = layers.MultiHeadAttention(heads, width, name="attention")
        self.norm = layers.LayerNormalization(name="norm")
        self.scale = Scale(name="scale")
        self.inner = layers.Dense(12, activation=gelu_approximate, name="inner")
        self.outer = layers.Dense(8, name="outer")
        self.last_norm = layers.LayerNormalization(name="last_norm")
        self.dropout = layers.Dropout(0.1)

    def build(self, x_shape, padding_mask_shape=None):
        self.attention.build(x_shape, x_shape)
        for layer in (self.norm, self.scale, self.inner, self.last_norm):
            layer.build(x_shape)
        self.outer.build((*x_shape[:-1], 12))

    def call(self, x, padding_mask=None, training=None):
        mask = ops.cast(ops.expand_dims(padding_mask, 1), "bool")
        y = self.attention(x, x, attention_mask=mask, training=training)
        x = self.norm(x + self.dropout(y, training=training))
        y = self.outer(self.inner(self.scale(x)))
        return self.last_norm(x + self.dropout(y, training=training))

    def get_config(self):
        return {**super().get_config(), "heads": self.heads, "width": self.width}


def gelu_approximate(x):
    return keras.activations.gelu(x, approximate=True)


def images(n=8):
    return 4.0 * np.random.default_rng(0).normal(size=(n, 6, 6, 1)).astype("float32")


def tokens(n=8):
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 8, (n, 1))
    return {
        "tokens": rng.integers(0, 20, (n, 7)).astype("int32"),
        "padding_mask": (np.arange(7) < lengths).astype("int32"),
    }


def vision_transformer():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    x = layers.Reshape((9, 8))(layers.Conv2D(8, 2, strides=2)(inputs))
    x = ClassTokenAndPositions()(x)
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4, name="attention")(y, y)])
    y = layers.Dense(12, activation="gelu")(layers.LayerNormalization()(x))
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(8)(y)]))
    return keras.Model(inputs, layers.Dense(5, activation="softmax")(x[:, 0]))


def language_model():
    keras.utils.set_random_seed(0)
    inputs = {name: keras.Input((7,), dtype="int32", name=name) for name in tokens()}
    embedding = layers.Embedding(20, 8, embeddings_initializer=NOISE)
    x = layers.LayerNormalization()(embedding(inputs["tokens"]))
    x = EncoderBlock(2, 4, name="block")(x, padding_mask=inputs["padding_mask"])
    pooled = layers.Dense(5, activation="tanh")(x[:, 0])
    return keras.Model(inputs, {"sequence": x, "pooled": pooled})


def correlation(a, b):
    """Of what differs between samples."""
    a, b = (y - y.mean(axis=0) for y in (a, b))
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


def test_differences_add_up_to_the_function_of_the_mean():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(2, 5, 3, 3)).astype("float32") for _ in range(2))
    mask = np.array([[[True, True, False]] * 3] * 2)[:, None].repeat(5, axis=1)
    inputs = [keras.Input((3, 3)), keras.Input((3, 3)), keras.Input((3, 3), dtype=bool)]
    scores = layers.Softmax()(ops.matmul(*inputs[:2]), mask=inputs[2])
    function = conversion.Differences(keras.Model(inputs, scores))
    step = keras.Model(inputs, function(inputs))
    found = to_numpy(StepByStep(step)([a, b, mask]))
    means = [np.cumsum(x, axis=1) / np.arange(1, 6)[:, None, None] for x in (a, b)]
    e = np.exp(np.matmul(*means)) * mask
    expected = np.arange(1, 6)[:, None, None] * e / e.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(np.cumsum(found, axis=1), expected, atol=1e-5)
    one = to_numpy(StepByStep(step)([a[:, :1], b[:, :1], mask[:, :1]]))
    np.testing.assert_allclose(one, expected[:, :1], atol=1e-6)


def test_a_vision_transformer(tmp_path):
    ann, x = vision_transformer(), images()
    config = ann.get_config()
    snn = conversion.convert(ann, x, 64)
    expected, found = (model.predict(x, verbose=0) for model in (ann, snn))
    # Older Keras draws other initial weights for attention.
    least = 0.99 if KERAS_VERSION >= (3, 15) else 0.97
    assert correlation(found, expected) > least
    assert ann.get_config() == config
    assert len(ann.get_layer("attention").query_dense._inbound_nodes) == 0

    snn.timesteps = 1  # without a loop to compile
    snn.save(tmp_path / "snn.keras")
    loaded = keras.models.load_model(tmp_path / "snn.keras")
    np.testing.assert_allclose(to_numpy(loaded(x)), to_numpy(snn(x)), atol=1e-6)

    snn.timesteps = 2
    report = conversion.report(snn, ann, x)
    names = [x.name for x in report.layers]
    assert "attention_softmax_neurons" in names and "attention_key_neurons" in names
    assert all(x.error > 0.0 for x in report.layers)
    # Embedding, four projections and two products of attention, the MLP, the head.
    in_step = 4 * 10 * 8 * 8 + 2 * 10 * 10 * 8 + 2 * 10 * 8 * 12 + 8 * 5
    assert report.snn_macs == 9 * 4 * 8
    assert report.ann_macs == in_step + report.snn_macs
    # Three normalisations, two softmaxes and GELU; the SNN has the products besides.
    once, others = 10 * 8 + 5, 2 * 10 * 8 + 2 * 10 * 10 + 10 * 12
    assert report.ann_functions == once + others
    products = 2 * 10 * 10 + 10 * 8
    assert report.snn_functions == once + 2 * (others + products)
    assert 0 < report.synaptic_operations < 2 * (in_step + 2 * 10 * 10 * 8)
    assert "values of functions" in str(report)


def test_a_language_model_with_blocks_of_its_own_and_padding():
    ann, x = language_model(), tokens()
    snn = conversion.convert(ann, x, 64, channel_wise=True)
    padded = np.where(x["padding_mask"], x["tokens"], 0)
    pairs = {"tokens": [x["tokens"], padded], "padding_mask": [x["padding_mask"]] * 2}
    pairs = {name: np.concatenate(y) for name, y in pairs.items()}
    expected, found = (model.predict(pairs, verbose=0) for model in (ann, snn))
    for name in ("sequence", "pooled"):
        assert correlation(found[name], expected[name]) > 0.99
    np.testing.assert_allclose(found["pooled"][:8], found["pooled"][8:], atol=1e-5)


def test_bursts_quantise_spikes_and_do_nothing_else():
    inputs = keras.Input((5, 4))
    x = layers.LayerNormalization()(layers.Dense(4)(inputs))
    x = x + layers.MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
    ann = keras.Model(inputs, layers.Dense(3, activation="gelu")(x))
    x = np.random.default_rng(0).normal(size=(4, 5, 4)).astype("float32")
    graph, timesteps = analog_graph(ann), 6
    # Thresholds that have nothing to do with each other: sums meet no ties.
    found = thresholds(graph, [x], timesteps, "percentile", 97.0, 0, False, 32)

    def quantised(call):
        if call.name not in found:
            return call.operation
        quantum = found[call.name] / timesteps
        return lambda y: (
            quantum * ops.clip(ops.floor(y / quantum + 0.5), -timesteps, timesteps)
        )

    values = {id(graph.inputs): ops.convert_to_tensor(x)}
    expected = run(graph.calls, values, quantised)[id(graph.outputs)]
    snn = conversion.convert(ann, x, timesteps, percentile=97.0, neuron="burst")
    np.testing.assert_allclose(snn.predict(x, verbose=0), to_numpy(expected), atol=1e-4)


FUNCTIONS = {
    "gate": lambda x: layers.Multiply()([x, layers.Dense(4, activation="sigmoid")(x)]),
    "minimum": lambda x: layers.Minimum()([x, 0.5 * x]),
    "RMS in words": lambda x: x * ops.rsqrt(ops.mean(ops.square(x), -1, True) + 0.1),
    "softmax": lambda x: layers.Softmax()(x),
    "attention": lambda x: ops.dot_product_attention(*[x[:, :, None]] * 3)[:, :, 0],
    "dot": lambda x: layers.Dot(axes=(2, 2))([x, x]),
    "activation": lambda x: layers.Dense(4, activation=gelu_approximate)(x),
}


def test_other_functions_and_products():
    inputs = keras.Input((4, 4))
    x = layers.Dense(4, activation="relu")(inputs)
    outputs = {name: layers.Dense(3)(f(x)) for name, f in FUNCTIONS.items()}
    ann = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).normal(size=(8, 4, 4)).astype("float32")
    snn = conversion.convert(ann, x, 50, method="max")
    found, expected = snn.predict(x, verbose=0), ann.predict(x, verbose=0)
    for name in FUNCTIONS:
        assert correlation(found[name], expected[name]) > 0.99, name


@pytest.mark.parametrize(
    "options, message",
    [
        ({"neuron": "if"}, "LayerNormalization, softmax and GELU, need neurons"),
        ({"encoding": "poisson"}, "computed once.*class_token.*encoding='constant'"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        conversion.convert(vision_transformer(), images(), 4, **options)


def test_what_cannot_be_converted_is_named_with_a_remedy():
    inputs = keras.Input((7,))
    x = layers.Embedding(20, 8, mask_zero=True, name="masked")(inputs)
    x = layers.Dense(8, activation="relu")(x)
    x = ClassTokenAndPositions(name="batch")(x)
    ann = keras.Model(inputs, layers.Dense(2)(x))
    with pytest.raises(ValueError) as error:
        conversion.convert(ann, tokens()["tokens"], 4)
    message = str(error.value)
    assert "'masked' (Embedding)" in message and "attention_mask" in message
    assert "'batch' (ClassTokenAndPositions)" in message
    assert "for any batch size" in message


def test_a_layer_that_cannot_be_copied():
    class Doubled(layers.Layer):
        def __init__(self, factor, **kwargs):
            super().__init__(**kwargs)

        def call(self, x):
            return ops.broadcast_to(x, (ops.shape(x)[0], 4))

        def get_config(self):
            return super().get_config()

    ann = keras.Sequential(
        [keras.Input((4,)), Doubled(2.0, name="doubled"), layers.Dense(4, "relu")]
    )
    with pytest.raises(ValueError, match="'doubled'.*get_config"):
        conversion.convert(ann, np.ones((2, 4)), 4)


def test_differences_take_a_model():
    with pytest.raises(TypeError, match="`function` must be a Keras model"):
        conversion.Differences(ops.relu)
