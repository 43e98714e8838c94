import keras
import numpy as np
import pytest
from backend import KERAS_VERSION
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def assert_same(x, y):
    """Spikes are equal; analog values up to the order of sums in a product."""
    x, y = to_numpy(x), to_numpy(y)
    assert x.shape == y.shape and x.any()
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def excitatory(layer, **kwargs):
    """A Keras layer that drives the neurons behind it well above threshold."""
    weights = keras.initializers.RandomUniform(-0.3, 1.2)
    return layer(kernel_initializer=weights, **kwargs)


def dense(units=4):
    return layers.SeqToBatch(excitatory(keras.layers.Dense, units=units))


def flat():
    inputs = keras.Input((6, 5))
    x = layers.LIFLayer()(dense(8)(inputs))
    return keras.Model(inputs, layers.ParametricLIFLayer()(dense()(x)))


def branched():
    inputs = keras.Input((None, 5))
    x = layers.LIFLayer()(dense()(inputs))
    y = layers.IFLayer(v_reset=None)(dense()(inputs))
    joined = keras.layers.Concatenate()([x, y])
    added = keras.layers.Add()([x, y])
    return keras.Model(inputs, layers.LILayer()(dense()(joined)) + added)


def shared():
    """A neuron layer that is called twice has two states."""
    inputs = keras.Input((6, 5))
    project, back, neuron = dense(), dense(5), layers.LIFLayer(tau=4.0)
    x = neuron(project(inputs))
    return keras.Model(inputs, neuron(project(back(x))))


def nested():
    inputs = keras.Input((None, 5))
    inner = keras.Input((None, 4))
    block = keras.Model(inner, layers.LIFLayer()(dense()(inner)))
    stack = keras.Sequential([dense(4), layers.IFLayer()])
    return keras.Model(inputs, block(stack(inputs)))


def sequential():
    model = keras.Sequential(
        [keras.Input((6, 5)), dense(8), layers.LIFLayer(), dense(), layers.IFLayer()]
    )
    return model


def two_outputs():
    inputs = keras.Input((6, 5))
    x = layers.LIFLayer()(dense()(inputs))
    return keras.Model(inputs, [x, layers.LILayer()(x)])


MODELS = [flat, branched, shared, nested, sequential]
models = pytest.mark.parametrize("make", MODELS)


@models
def test_step_by_step_equals_layer_by_layer(make):
    model = make()
    x = 2.0 * np.abs(draw(3, 6, 5))
    assert_same(layers.StepByStep(model)(x), model(x))


@models
@pytest.mark.parametrize("timesteps", [1, 20])
def test_the_number_of_steps_need_not_be_that_of_the_model(make, timesteps):
    """A model made for six steps runs over any number of them."""
    model = make()
    x = 2.0 * np.abs(draw(3, timesteps, 5))
    outputs = layers.StepByStep(model)(x)
    assert outputs.shape == (3, timesteps, 4)
    if timesteps == 20 and None in model.input_shape[1:]:
        assert_same(outputs, model(x))


@models
def test_symbolic_building_and_predict(make):
    model = make()
    x = 2.0 * np.abs(draw(3, 6, 5))
    for time in (6, None):
        inputs = keras.Input((time, 5))
        y = layers.StepByStep(model)(inputs)
        assert y.shape == (None, time, 4)
        streamed = keras.Model(inputs, y)
        assert_same(streamed.predict(x, verbose=0), model(x))


def test_models_with_several_outputs():
    model = two_outputs()
    x = 2.0 * np.abs(draw(3, 6, 5))
    for a, b in zip(layers.StepByStep(model)(x), model(x)):
        assert_same(a, b)
    inputs = keras.Input((6, 5))
    assert [y.shape for y in layers.StepByStep(model)(inputs)] == [(None, 6, 4)] * 2


def test_exact_equality_without_products():
    """Spikes through element-wise layers are the same bits."""
    neurons = [layers.LIFLayer(tau=3.0), layers.IFLayer(v_reset=None)]
    x = 3.0 * draw(3, 33, 5)
    whole = neurons[1](neurons[0](x))
    np.testing.assert_array_equal(
        to_numpy(layers.StepByStep(neurons)(x)), to_numpy(whole)
    )


@pytest.mark.trains
@models
def test_gradients_equal_layer_by_layer(make):
    model = make()
    x, weight = 2.0 * np.abs(draw(3, 6, 5)), draw(3, 6, 4)
    container = layers.StepByStep(model)
    container.build(x.shape)

    def loss(network):
        return lambda x: ops.sum(ops.multiply(network(x), weight))

    weights = model.trainable_weights
    ours = gradients(loss(container), [x], weights)
    theirs = gradients(loss(model), [x], weights)
    assert len(ours) == 1 + len(weights)
    for a, b in zip(ours, theirs):
        scale = np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * scale)


CONVOLUTIONAL = [
    lambda: excitatory(keras.layers.Conv2D, filters=3, kernel_size=3),
    lambda: layers.LIFLayer(),
    lambda: keras.layers.MaxPooling2D(2),
    lambda: keras.layers.Flatten(),
    lambda: excitatory(keras.layers.Dense, units=4),
    lambda: layers.LIFLayer(),
]


@pytest.mark.parametrize("reduce", [None, "mean", "sum", "last"])
def test_an_image_is_presented_again_and_again(reduce):
    """Keras layers need no SeqToBatch inside."""
    stack = [make() for make in CONVOLUTIONAL]
    image = np.abs(draw(2, 8, 8, 1))
    outputs = layers.StepByStep(stack, timesteps=12, reduce=reduce)(image)
    x = layers.DirectEncoder(12)(image)
    for layer in stack:
        over_time = isinstance(layer, layers.SpikingLayer)
        x = layer(x) if over_time else layers.SeqToBatch(layer)(x)
    x = to_numpy(x)
    reductions = {"mean": x.mean(1), "sum": x.sum(1), "last": x[:, -1], None: x}
    assert_same(outputs, reductions[reduce])


@pytest.mark.parametrize("reduce", [None, "mean", "sum", "last"])
@pytest.mark.parametrize("steps", [6, None])
def test_symbolic_shapes(reduce, steps):
    stack = [keras.layers.Dense(4), layers.LIFLayer()]
    inputs = keras.Input((steps, 5))
    y = layers.StepByStep(stack, reduce=reduce)(inputs)
    assert y.shape == ((None, steps, 4) if reduce is None else (None, 4))
    model = keras.Model(inputs, y)
    assert model.predict(draw(2, 6, 5), verbose=0).shape == (
        (2, 6, 4) if reduce is None else (2, 4)
    )


MASK = np.array([[1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 0]], bool)


@pytest.mark.parametrize("reduce", [None, "mean", "sum", "last"])
def test_masks(reduce):
    stack = [layers.LIFLayer(), layers.IFLayer(v_reset=None)]
    x = 3.0 * np.abs(draw(2, 6, 4))
    outputs = layers.StepByStep(stack, reduce=reduce)(x, mask=ops.array(MASK))
    whole = to_numpy(stack[1](stack[0](x, mask=MASK), mask=MASK))
    count = MASK.sum(1)[:, None]
    reductions = {
        None: whole,
        "mean": whole.sum(1) / count,
        "sum": whole.sum(1),
        "last": whole[[0, 1], [5, 4]],
    }
    assert_same(outputs, reductions[reduce])


def test_masks_of_a_masking_layer_arrive():
    x = np.where(MASK[..., None], np.abs(draw(2, 6, 4)), 0.0).astype("float32")
    inputs = keras.Input((6, 4))
    neuron = layers.LILayer()
    y = layers.StepByStep(neuron, reduce="mean")(keras.layers.Masking()(inputs))
    expected = layers.LILayer(reduce="mean")(x, mask=MASK)
    assert_same(keras.Model(inputs, y)(x), expected)


def test_poisson_encoding_inside_differs_from_step_to_step():
    network = layers.StepByStep(layers.PoissonEncoder(1, seed=1), timesteps=400)
    x = np.linspace(0.0, 1.0, 5, dtype="float32")[None]
    spikes = to_numpy(network(x))
    assert spikes.shape == (1, 400, 5)
    deviation = np.sqrt(x * (1 - x) / 400)
    assert (np.abs(spikes.mean(1) - x) <= 4.5 * deviation).all()
    assert (to_numpy(network(x)) != spikes).any()


def test_keras_dropout_inside_is_drawn_anew_at_every_step():
    network = layers.StepByStep(keras.layers.Dropout(0.5, seed=1))
    y = to_numpy(network(np.ones((2, 20, 30), "float32"), training=True))
    assert abs((y == 0).mean() - 0.5) < 0.1
    assert (y[:, 0] != y[:, 1]).any()
    y = to_numpy(network(np.ones((2, 20, 30), "float32"), training=False))
    assert (y == 1).all()


def test_batch_normalization_inside_moves_once_a_step():
    x = draw(4, 5, 3)
    network = layers.StepByStep(keras.layers.BatchNormalization(momentum=0.5))
    network(x, training=True)
    mean = np.zeros(3)
    for t in range(5):
        mean = 0.5 * mean + 0.5 * x[:, t].mean(0)
    moving = to_numpy(network.layers[0].moving_mean.value)
    np.testing.assert_allclose(moving, mean, rtol=1e-4, atol=1e-6)


@pytest.mark.trains
@pytest.mark.parametrize("timesteps", [3, 20])
def test_variables_inside_are_updated_by_fit(timesteps):
    norm = keras.layers.BatchNormalization()
    network = layers.StepByStep(
        [keras.layers.Dense(4), norm, layers.LIFLayer()], reduce="mean"
    )
    model = keras.Sequential([keras.Input((timesteps, 5)), network])
    model.compile("adam", "mse")
    before = to_numpy([v.value for v in model.variables[:3]])
    model.fit(draw(8, timesteps, 5), np.ones((8, 4)), verbose=0)
    moved = to_numpy([norm.moving_mean.value, network.layers[0].kernel.value])
    assert (moved[0] != 0).all() and (moved[1] != before[0]).any()


@pytest.mark.trains
def test_losses_of_layers_inside_are_summed_over_the_steps():
    regularizer = keras.regularizers.L2(1.0)
    layer = keras.layers.ReLU(activity_regularizer=regularizer)
    network = layers.StepByStep(layer)
    x = np.ones((2, 20, 3), "float32")
    network(x)
    # Keras divides activity losses by the batch size since 3.14.
    expected = 20 * 3 if KERAS_VERSION >= (3, 14) else 20 * 3 * 2
    np.testing.assert_allclose(to_numpy(sum(network.losses)), expected, rtol=1e-5)


def test_stateful_layers_inside_go_on():
    x = np.abs(draw(2, 12, 4))
    expected = to_numpy(layers.LIFLayer()(x))
    network = layers.StepByStep(layers.LIFLayer(stateful=True))
    parts = [to_numpy(network(x[:, i : i + 6])) for i in (0, 6)]
    np.testing.assert_array_equal(np.concatenate(parts, 1), expected)


def test_nesting():
    x = np.abs(draw(2, 12, 4))
    inner = layers.StepByStep([layers.LIFLayer()])
    network = layers.StepByStep([inner, layers.IFLayer()])
    expected = layers.IFLayer()(layers.LIFLayer()(x))
    np.testing.assert_array_equal(to_numpy(network(x)), to_numpy(expected))


def test_mixed_precision():
    policy = "mixed_bfloat16"
    stack = [keras.layers.Dense(4, dtype=policy), layers.LIFLayer(dtype=policy)]
    for reduce in (None, "mean"):
        network = layers.StepByStep(stack, reduce=reduce, dtype=policy)
        y = network(draw(2, 20, 5))
        assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
        symbolic = network(keras.Input((20, 5)))
        assert symbolic.dtype == "bfloat16"


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.FiringRate(),
        lambda: layers.LIFLayer(return_sequences=False),
        lambda: layers.LILayer(reduce="max"),
        lambda: layers.StepByStep(keras.layers.Dense(2), reduce="sum"),
    ],
)
def test_layers_that_reduce_over_time_are_refused(make):
    layer = make()
    with pytest.raises(ValueError, match=f"{layer.name}.*reduce="):
        layers.StepByStep([keras.layers.Dense(2), layer])


def test_encoders_of_several_steps_are_refused():
    with pytest.raises(ValueError, match="timesteps=5"):
        layers.StepByStep([layers.PoissonEncoder(5), layers.LIFLayer()])


def test_inputs_without_time_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 5\).*timesteps="):
        layers.StepByStep(keras.layers.Dense(2))(draw(2, 5))


@pytest.mark.parametrize("timesteps", [0, -3])
def test_too_few_timesteps_are_refused(timesteps):
    with pytest.raises(ValueError, match=f"timesteps={timesteps}"):
        layers.StepByStep(keras.layers.Dense(2), timesteps=timesteps)


def test_unknown_reductions_are_refused():
    with pytest.raises(ValueError, match="reduce='median'"):
        layers.StepByStep(keras.layers.Dense(2), reduce="median")
