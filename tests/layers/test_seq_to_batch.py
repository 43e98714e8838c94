import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


LAYERS = {
    "dense": (lambda: keras.layers.Dense(3), (5,)),
    "conv": (lambda: keras.layers.Conv2D(3, 2, strides=2), (6, 6, 2)),
    "transposed conv": (lambda: keras.layers.Conv2DTranspose(2, 3), (4, 4, 2)),
    "max pooling": (lambda: keras.layers.MaxPooling2D(2), (6, 6, 2)),
    "average pooling": (lambda: keras.layers.AveragePooling2D(2), (6, 6, 2)),
    "global pooling": (lambda: keras.layers.GlobalAveragePooling2D(), (6, 6, 2)),
    "flatten": (lambda: keras.layers.Flatten(), (3, 2, 2)),
    "reshape": (lambda: keras.layers.Reshape((6,)), (3, 2)),
    "dropout": (lambda: keras.layers.Dropout(0.5), (5,)),
    "batch normalization": (lambda: keras.layers.BatchNormalization(), (5,)),
    "layer normalization": (lambda: keras.layers.LayerNormalization(), (5,)),
    "activation": (lambda: keras.layers.ReLU(), (5,)),
    "sequential": (
        lambda: keras.Sequential(
            [keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
        ),
        (5, 5, 1),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_does_at_every_step_what_it_does_alone(name):
    make, features = LAYERS[name]
    layer = make()
    x = draw(2, 4, *features)
    outputs = to_numpy(layers.SeqToBatch(layer)(x))
    steps = [to_numpy(layer(x[:, t])) for t in range(4)]
    np.testing.assert_allclose(outputs, np.stack(steps, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("batch, time", [(None, None), (None, 4), (2, None), (2, 4)])
def test_shapes_are_known_as_far_as_they_are(name, batch, time):
    make, features = LAYERS[name]
    inputs = keras.Input(batch_shape=(batch, time, *features))
    y = layers.SeqToBatch(make())(inputs)
    assert y.shape[:2] == (batch, time)
    assert None not in y.shape[2:]
    model = keras.Model(inputs, y)
    result = model.predict(draw(2, 4, *features), verbose=0)
    assert result.shape == (2, 4, *y.shape[2:])


def test_a_list_is_applied_in_turn():
    a, b = keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3)
    x = draw(2, 4, 5)
    together = to_numpy(layers.SeqToBatch([a, b])(x))
    apart = to_numpy(layers.SeqToBatch(b)(layers.SeqToBatch(a)(x)))
    np.testing.assert_allclose(together, apart, rtol=1e-6)


def test_batch_normalization_takes_statistics_over_batch_and_time():
    x = 3.0 + 2.0 * draw(8, 16, 5)
    layer = layers.SeqToBatch(keras.layers.BatchNormalization(momentum=0.5))
    y = to_numpy(layer(x, training=True))
    np.testing.assert_allclose(y.mean((0, 1)), 0.0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1)), 1.0, atol=1e-2)
    mean = to_numpy(layer.layers[0].moving_mean.value)
    np.testing.assert_allclose(mean, 0.5 * x.mean((0, 1)), rtol=1e-4)


def test_dropout_acts_in_training_only():
    layer = layers.SeqToBatch(keras.layers.Dropout(0.5, seed=1))
    x = np.ones((4, 8, 50), "float32")
    assert (to_numpy(layer(x, training=True)) == 0).any()
    np.testing.assert_array_equal(to_numpy(layer(x, training=False)), x)


def test_weights_are_those_of_the_layers():
    layer = layers.SeqToBatch(
        [keras.layers.Dense(3), keras.layers.BatchNormalization()]
    )
    layer.build((None, 4, 5))
    assert layer.count_params() == 5 * 3 + 3 + 4 * 3
    assert len(layer.trainable_weights) == 4


def test_masks_pass_through():
    mask = np.array([[1, 1, 0, 1], [0, 1, 1, 1]], bool)
    x = np.where(mask[..., None], draw(2, 4, 5), 0.0).astype("float32")
    dense = keras.layers.Dense(3)
    inputs = keras.Input((4, 5))
    y = layers.SeqToBatch(dense)(keras.layers.Masking()(inputs))
    model = keras.Model(inputs, layers.IFLayer()(y))
    expected = layers.IFLayer()(layers.SeqToBatch(dense)(x), mask=mask)
    np.testing.assert_array_equal(to_numpy(model(x)), to_numpy(expected))


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.LIFLayer(),
        lambda: layers.PoissonEncoder(4),
        lambda: layers.FiringRate(),
        lambda: layers.Dropout(0.5),
        lambda: layers.SeqToBatch(keras.layers.Dense(2)),
        lambda: layers.StepByStep(keras.layers.Dense(2)),
        lambda: keras.layers.LSTM(2),
        lambda: keras.layers.TimeDistributed(keras.layers.Dense(2)),
        lambda: keras.Sequential([keras.layers.Dense(2), layers.IFLayer()]),
    ],
)
def test_layers_over_time_are_refused(make):
    layer = make()
    with pytest.raises(ValueError, match="SeqToBatch cannot hold.*StepByStep"):
        layers.SeqToBatch([keras.layers.Dense(2), layer])


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match="Received: 3"):
        layers.SeqToBatch(3)
    with pytest.raises(ValueError, match="at least one layer"):
        layers.SeqToBatch([])


def test_inputs_without_time_are_refused():
    with pytest.raises(ValueError, match=r"\(batch, time.*\(2, 5\)"):
        layers.SeqToBatch(keras.layers.Dense(2))(draw(2, 5))


def test_mixed_precision():
    layer = layers.SeqToBatch(keras.layers.Dense(3, dtype="mixed_bfloat16"))
    y = layer(draw(2, 4, 5))
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"


@pytest.mark.trains
@pytest.mark.parametrize("container", [layers.SeqToBatch, layers.StepByStep])
def test_layers_inside_know_that_they_are_trained(container):
    norm = keras.layers.BatchNormalization()
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, container([keras.layers.Dense(2), norm])(inputs))
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 4, 3)), np.ones((4, 4, 2)), verbose=0)
    assert np.abs(to_numpy(norm.moving_mean.value)).max() > 0.0


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("use_bias, center", [(True, True), (False, False)])
def test_normalisation_becomes_part_of_the_product(nested, use_bias, center):
    """In inference, and only there; outputs are those of the layers one by one."""
    keras.utils.set_random_seed(0)
    inner = [
        keras.layers.Conv2D(3, 3, use_bias=use_bias),
        keras.layers.BatchNormalization(center=center, scale=center),
    ]
    layer = layers.SeqToBatch(keras.Sequential(inner) if nested else inner)
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6, 2)).astype("float32")
    layer.build(x.shape)
    for weight in layer.weights:
        values = 0.5 + np.random.default_rng(1).random(weight.shape)
        weight.assign(values.astype("float32"))
    expected = x.reshape(6, 7, 6, 2)
    for one in inner:
        expected = one(expected)
    y = to_numpy(layer(x)).reshape(6, 5, 4, 3)
    np.testing.assert_allclose(y, to_numpy(expected), rtol=1e-4, atol=1e-5)
