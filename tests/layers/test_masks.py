"""Masks reach the layers inside containers, and only those that take one."""

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy
from keras import ops

from keras_spiking import layers

MASK = np.array([[1, 1, 0, 1, 0, 0], [0, 1, 1, 0, 1, 0]], bool)
FULL = np.ones((2, 6), bool)


def draw(*shape):
    return np.random.default_rng(0).uniform(0.0, 3.0, shape).astype("float32")


def normalization(**kwargs):
    return keras.layers.BatchNormalization(momentum=0.5, **kwargs)


def statistics(layer):
    return to_numpy([layer.moving_mean.value, layer.moving_variance.value])


class Recorder(keras.layers.Layer):
    """Takes a mask, and keeps the last one that it was given."""

    def call(self, inputs, mask=None):
        self.mask = None if mask is None else to_numpy(mask)
        return inputs


@pytest.mark.parametrize("features", [(5,), (4, 4, 3)])
def test_batch_normalization_in_seq_to_batch_does_not_count_masked_steps(features):
    x = draw(2, 6, *features)
    norm = normalization()
    container = layers.SeqToBatch(norm)
    container(x, mask=MASK, training=True)
    counted = x[MASK]
    axes = tuple(range(counted.ndim - 1))
    mean, variance = statistics(norm)
    np.testing.assert_allclose(mean, 0.5 * counted.mean(axes), rtol=1e-4)
    np.testing.assert_allclose(variance, 0.5 + 0.5 * counted.var(axes), rtol=1e-4)


def test_masks_of_a_masking_layer_reach_the_layers_as_in_keras():
    x = np.where(MASK[..., None], draw(2, 6, 5), 0.0).astype("float32")
    plain, ours = normalization(), normalization()
    for layer in plain, layers.SeqToBatch([keras.layers.ReLU(), ours]):
        model = keras.Sequential([keras.Input((6, 5)), keras.layers.Masking(), layer])
        model(x, training=True)
    for a, b in zip(statistics(ours), statistics(plain)):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("features", [(5,), (4, 4, 3)])
@pytest.mark.parametrize("mask", [MASK, ~MASK, FULL])
def test_batch_normalization_in_step_by_step_gets_the_mask_of_the_step(features, mask):
    """A step that is masked for all samples moves nothing."""
    x = draw(2, 6, *features)
    norm = normalization()
    layers.StepByStep(norm)(x, mask=mask, training=True)
    mean, variance = np.zeros(features[-1]), np.ones(features[-1])
    for t in range(6):
        if mask[:, t].any():
            counted = x[:, t][mask[:, t]]
            axes = tuple(range(counted.ndim - 1))
            mean = 0.5 * mean + 0.5 * counted.mean(axes)
            variance = 0.5 * variance + 0.5 * counted.var(axes)
    for found, expected in zip(statistics(norm), (mean, variance)):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


CONTAINERS = {
    "StepByStep": layers.StepByStep,
    "ElementwiseRecurrent": layers.ElementwiseRecurrent,
    "RecurrentGraph": lambda inside: layers.RecurrentGraph(
        {"node": inside}, [("input", "node"), ("node", "output")]
    ),
    "Rematerialize": layers.Rematerialize,
}
containers = pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)


@containers
@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Dropout(0.5, seed=1),
        lambda: layers.Delay(2),
        lambda: layers.LearnableDelay(3),
        lambda: layers.DelayedDense(5, max_delay=3),
        lambda: layers.DropConnectDense(5, rate=0.3),
        lambda: layers.SeqToBatch(keras.layers.Dense(5)),
        lambda: layers.BatchNormalizationThroughTime(T=6),
        lambda: layers.StepByStep(keras.layers.Dense(5)),
        lambda: layers.Voting(1),
        lambda: keras.layers.Dense(5),
        lambda: keras.layers.GaussianNoise(0.1),
        lambda: keras.Sequential([keras.layers.Dense(5), keras.layers.ReLU()]),
    ],
)
def test_layers_that_take_no_mask_are_called_without(container, make):
    layer = make()
    network = container([layer, layers.LILayer()])
    masked = to_numpy(network(draw(2, 6, 5), mask=MASK))
    assert masked.shape == (2, 6, 5) and np.isfinite(masked).all()


@pytest.mark.parametrize("name", ["SeqToBatch", "StepByStep"])
@pytest.mark.parametrize("layer", ["Softmax", "GlobalAveragePooling1D"])
def test_masks_inside_a_sample_are_not_those_of_samples(name, layer):
    layer = getattr(keras.layers, layer)()
    container = getattr(layers, name)(layer)
    x = draw(2, 6, 4, 5)
    np.testing.assert_allclose(
        to_numpy(container(x, mask=MASK)), to_numpy(container(x)), rtol=1e-6
    )


def test_delays_and_containers_inside_are_as_outside():
    x = draw(2, 6, 5)
    stack = [layers.Delay(1), layers.StepByStep([layers.IFLayer()]), layers.LILayer()]
    found = layers.StepByStep(stack)(x, mask=MASK)
    expected = layers.LILayer()(
        layers.IFLayer()(layers.Delay(1)(x), mask=MASK), mask=MASK
    )
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=1e-5)


def test_seq_to_batch_inside_folds_the_mask_of_the_step():
    x = draw(2, 6, 5)
    inside, alone = normalization(), normalization()
    layers.StepByStep(layers.SeqToBatch(inside))(x, mask=MASK, training=True)
    layers.StepByStep(alone)(x, mask=MASK, training=True)
    for a, b in zip(statistics(inside), statistics(alone)):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.masks
@pytest.mark.parametrize("functional", [True, False])
def test_models_inside_hand_the_mask_on(functional):
    norm = normalization()
    if functional:
        inputs = keras.Input((5,))
        outputs = norm(keras.layers.ReLU()(inputs))
        model = keras.Model(inputs, outputs)
    else:
        model = keras.Sequential([keras.layers.ReLU(), norm])
    x, alone = draw(2, 6, 5), normalization()
    layers.SeqToBatch(model)(x, mask=MASK, training=True)
    layers.SeqToBatch(alone)(x, mask=MASK, training=True)
    for a, b in zip(statistics(norm), statistics(alone)):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.masks
def test_images_in_models_inside():
    inputs = keras.Input((4, 4, 3))
    norm = normalization()
    model = keras.Model(inputs, norm(keras.layers.ReLU()(inputs)))
    x, alone = draw(2, 6, 4, 4, 3), normalization()
    layers.SeqToBatch(model)(x, mask=MASK, training=True)
    layers.SeqToBatch(alone)(x, mask=MASK, training=True)
    np.testing.assert_allclose(statistics(norm), statistics(alone), rtol=1e-5)
    layers.StepByStep(model)(x, mask=MASK, training=True)


def test_masks_are_folded_or_those_of_the_step():
    recorder = Recorder()
    x = draw(2, 6, 5)
    layers.SeqToBatch(recorder)(x, mask=MASK)
    np.testing.assert_array_equal(recorder.mask, MASK.reshape(-1))
    layers.StepByStep(recorder)(x[:, :1], mask=MASK[:, :1])
    np.testing.assert_array_equal(recorder.mask, MASK[:, 0])


def test_single_steps_hold_their_state():
    inputs = keras.Input((5,))
    step = keras.Model(inputs, layers.SingleStep(layers.LIFLayer())(inputs))
    x = draw(2, 6, 5)
    found = layers.StepByStep(step)(x, mask=MASK)
    expected = layers.LIFLayer()(x, mask=MASK)
    np.testing.assert_array_equal(to_numpy(found), to_numpy(expected))


def equivalent(value):
    """A mask of floats, of which all are true but the zeros."""
    return np.where(MASK, np.float32(value), np.float32(0.0))


TAKING_MASKS = {
    "LIFLayer": lambda: layers.LIFLayer(),
    "last": lambda: layers.LIFLayer(return_sequences=False),
    "LILayer last": lambda: layers.LILayer(reduce="last"),
    "LILayer mean": lambda: layers.LILayer(reduce="mean"),
    "LILayer max": lambda: layers.LILayer(reduce="max"),
    "FiringRate": lambda: layers.FiringRate(),
    "SpikeCount": lambda: layers.SpikeCount(),
    "Integrator": lambda: layers.Integrator(return_sequences=False),
    "StepByStep": lambda: layers.StepByStep(layers.LIFLayer(), reduce="mean"),
    "StepByStep last": lambda: layers.StepByStep(layers.LIFLayer(), reduce="last"),
    "ElementwiseRecurrent": lambda: layers.ElementwiseRecurrent(layers.LIFLayer()),
    "Rematerialize": lambda: layers.Rematerialize(layers.LIFLayer()),
    "SeqToBatch": lambda: layers.SeqToBatch(normalization()),
    "ThresholdDependentBatchNormalization": lambda: (
        layers.ThresholdDependentBatchNormalization()
    ),
    "BatchNormalizationThroughTime": lambda: layers.BatchNormalizationThroughTime(),
}


@pytest.mark.parametrize("name", TAKING_MASKS)
@pytest.mark.parametrize("value", [0.5, 256.0, -1.0, np.nan, 0.001])
def test_masks_of_other_dtypes_are_truth_values(name, value):
    x = draw(2, 6, 5)
    layer = TAKING_MASKS[name]()
    layer.build(x.shape)
    weights = layer.get_weights()
    outputs = []
    for mask in MASK, equivalent(value), ops.convert_to_tensor(equivalent(value)):
        layer.set_weights(weights)
        y = (
            layer(x, mask=mask, training=True)
            if "Norm" in name
            else layer(x, mask=mask)
        )
        outputs.append(to_numpy(y))
    np.testing.assert_array_equal(outputs[1], outputs[0])
    np.testing.assert_array_equal(outputs[2], outputs[0])


@pytest.mark.parametrize("name", TAKING_MASKS)
def test_batches_without_samples(name):
    if BACKEND == "tensorflow" and name == "ElementwiseRecurrent":
        pytest.skip("`keras.ops.add` takes no empty tensors on TensorFlow")
    layer = TAKING_MASKS[name]()
    expected = to_numpy(layer(draw(2, 6, 5), mask=MASK)).shape
    found = to_numpy(layer(draw(2, 6, 5)[:0], mask=MASK[:0]))
    assert found.shape == (0, *expected[1:])


def test_batch_norm_through_time_does_not_count_masked_steps():
    layer = layers.BatchNormalizationThroughTime(momentum=0.0)
    x = draw(2, 6, 5)
    layer(x, mask=MASK, training=True)
    moving = to_numpy(layer.moving_mean.value)
    for t in range(5):
        np.testing.assert_allclose(moving[t], x[MASK[:, t], t].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(moving[5], 0.0)  # no sample counts there
