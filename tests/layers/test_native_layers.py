"""Layers in containers, by the backend's operations, against Keras's own."""

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import since_keras
from keras import layers

import keras_spiking
from keras_spiking.backends import active
from keras_spiking.layers import SeqToBatch

pytestmark = pytest.mark.skipif(
    BACKEND != "torch", reason="other backends run Keras's layers"
)

FORMATS = ["channels_last", "channels_first"]


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def images(data_format, *leading, dtype="float32"):
    shape = (7, 6, 5) if data_format == "channels_last" else (5, 7, 6)
    return keras.ops.convert_to_tensor(2.0 * random(*leading, *shape) + 1.0, dtype)


def outcome(call, layer, x, training):
    """Output, gradients and moving averages, which are put back afterwards."""
    moving = layer.non_trainable_variables
    before = [keras.ops.convert_to_numpy(v).copy() for v in moving]
    x = x.detach().requires_grad_()
    for weight in layer.trainable_variables:
        weight.value.grad = None
    y = call(layer, x, training)
    upstream = keras.ops.convert_to_tensor(random(*y.shape, seed=1))
    (y.float() * upstream).sum().backward()
    gradients = [x.grad, *(w.value.grad for w in layer.trainable_variables)]
    found = [y, *(g for g in gradients if g is not None), *moving]
    found = [np.array(keras.ops.cast(t, "float32").detach()) for t in found]
    for variable, value in zip(moving, before):
        variable.assign(value)
    return found


def by_keras(layer, x, training):
    return layer(x, training=training)


def by_container(layer, x, training):
    return keras.ops.squeeze(SeqToBatch(layer)(x[:, None], training=training), 1)


def compare(layer, x, training, rtol=2e-5, atol=2e-5):
    layer.build(x.shape)
    expected = outcome(by_keras, layer, x, training)
    found = outcome(by_container, layer, x, training)
    assert len(expected) == len(found)
    for a, b in zip(expected, found):
        np.testing.assert_allclose(b, a, rtol=rtol, atol=atol)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        *({}, {"center": False}, {"scale": False}),
        pytest.param({"renorm": True}, marks=since_keras(3, 14)),
    ],
)
def test_batch_normalization(data_format, training, options):
    axis = 1 if data_format == "channels_first" else -1
    layer = layers.BatchNormalization(
        axis=axis,
        moving_mean_initializer="random_normal",
        gamma_initializer="random_normal",
        **options,
    )
    compare(layer, images(data_format, 3), training)


@pytest.mark.parametrize("shape", [(4, 5), (4, 1, 5), (1, 5), (2, 3, 1), (0, 5)])
def test_batch_normalization_of_other_shapes(shape):
    x = keras.ops.convert_to_tensor(random(*shape))
    compare(layers.BatchNormalization(), x, training=shape != (0, 5))


def test_batch_normalization_that_is_frozen_keeps_its_averages():
    layer = layers.BatchNormalization(trainable=False)
    compare(layer, images("channels_last", 3), training=True)


def test_batch_normalization_in_half_precision():
    layer = layers.BatchNormalization(dtype="mixed_bfloat16")
    x = images("channels_last", 3, dtype="bfloat16")
    compare(layer, x, True, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("pool", [layers.MaxPooling2D, layers.AveragePooling2D])
@pytest.mark.parametrize(
    ("size", "strides", "padding"),
    [(2, None, "valid"), (3, 2, "same"), (2, 1, "same"), ((3, 1), 1, "valid")],
)
def test_pooling(data_format, pool, size, strides, padding):
    layer = pool(size, strides, padding, data_format=data_format)
    compare(layer, images(data_format, 3), training=False)


@pytest.mark.parametrize("pool", [layers.MaxPooling1D, layers.AveragePooling1D])
def test_pooling_over_one_axis(pool):
    x = keras.ops.convert_to_tensor(random(3, 9, 5))
    compare(pool(3, 2, "same", data_format="channels_last"), x, training=False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(
    "name",
    ["ThresholdDependentBatchNormalization", "TemporalEffectiveBatchNormalization"],
)
def test_normalization_over_time(name, data_format, training, monkeypatch):
    x = images(data_format, 2, 3)
    layer = getattr(keras_spiking.layers, name)(data_format=data_format)
    layer.build(x.shape)
    found = outcome(by_keras, layer, x, training)
    monkeypatch.setattr(type(active()), "has_native_layers", False)
    expected = outcome(by_keras, layer, x, training)
    assert len(expected) == len(found)
    for a, b in zip(expected, found):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-5)


class TestMemory:
    def network(self, data_format):
        keras.utils.set_random_seed(3)
        axis = 1 if data_format == "channels_first" else -1
        return keras.Sequential(
            [
                keras.Input(images(data_format, 2, 3).shape[1:]),
                SeqToBatch(
                    [
                        layers.Conv2D(4, 3, use_bias=False, data_format=data_format),
                        layers.BatchNormalization(axis=axis),
                        layers.MaxPooling2D(2, data_format=data_format),
                        layers.Conv2D(3, (2, 1), data_format=data_format),
                    ]
                ),
            ]
        )

    @pytest.mark.parametrize("data_format", FORMATS)
    def test_a_model_trains_and_is_saved_as_before(self, data_format, tmp_path):
        x = images(data_format, 2, 3)
        models = self.network(data_format), self.network(data_format)
        target = np.zeros_like(models[0].predict(x, verbose=0))
        keras_spiking.config.set_event_driven("never")
        for model, fused in zip(models, (True, False)):
            model.compile("adam", "mse")
            keras_spiking.config.set_fused_optimizers(fused)
            model.fit(x, target, epochs=3, verbose=0)
        keras_spiking.config.set_fused_optimizers(True)
        keras_spiking.config.set_event_driven("auto")
        for a, b in zip(models[0].weights, models[1].weights):
            a, b = (keras.ops.convert_to_numpy(v) for v in (a, b))
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        models[0].save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(
            loaded.predict(x, verbose=0), models[0].predict(x, verbose=0), atol=1e-6
        )
        loaded.fit(x, target, verbose=0)
