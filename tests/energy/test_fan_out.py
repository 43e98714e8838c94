"""Numbers of synapses are those of loops over all inputs, taps and outputs."""

import itertools

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import energy
from keras_spiking import layers

pytestmark = pytest.mark.once

K = keras.layers
SAME, VALID = {"padding": "same"}, {"padding": "valid"}
CONVOLUTIONS = [
    (K.Conv1D(3, 4, strides=2, **SAME), (7, 2)),
    (K.Conv1D(2, 3, dilation_rate=2, padding="causal"), (5, 2)),
    (K.Conv1D(2, 2, strides=2, padding="causal"), (5, 1)),
    (K.Conv2D(4, 3, **VALID), (5, 6, 2)),
    (K.Conv2D(4, (3, 2), strides=2, **SAME), (5, 8, 2)),
    (K.Conv2D(6, 3, dilation_rate=(1, 2), **SAME), (6, 5, 1)),
    (K.Conv2D(6, 3, groups=3, strides=(2, 1), **SAME), (4, 5, 6)),
    (K.Conv2D(2, 1, strides=3, **VALID), (7, 7, 1)),
    (K.Conv3D(2, 2, strides=2, **SAME), (3, 4, 5, 2)),
    (K.DepthwiseConv1D(3, depth_multiplier=2, **SAME), (6, 2)),
    (K.DepthwiseConv2D(3, strides=2, **SAME), (5, 7, 3)),
    (K.Conv1DTranspose(2, 3, strides=2, **SAME), (4, 2)),
    (K.Conv1DTranspose(2, 2, strides=3, **VALID), (4, 2)),
    (K.Conv2DTranspose(3, 3, strides=2, **SAME), (3, 4, 2)),
    (K.Conv2DTranspose(2, (3, 4), **VALID), (3, 2, 2)),
    (K.Conv3DTranspose(1, 2, strides=2, **SAME), (2, 2, 3, 1)),
]


def prune(layer):
    """Sets half of the weights to 0 and all others to 1."""
    rng = np.random.default_rng(0)
    for weight in layer.weights:
        values = rng.integers(0, 2, weight.shape)
        weight.assign(0 * values if weight.name == "bias" else values)


def by_brute_force(layer, shape):
    """With one input at a time, and weights of 0 and 1, outputs count synapses."""
    x = np.eye(np.prod(shape), dtype="float32").reshape(-1, *shape)
    return to_numpy(layer(x)).reshape(len(x), -1).sum(axis=1).reshape(shape)


def name(case):
    return f"{type(case[0]).__name__}{case[1]}" if isinstance(case, tuple) else None


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=name)
def test_borders_strides_groups_and_pruned_weights_are_exact(case):
    layer, shape = case
    layer.build((None, *shape))
    prune(layer)
    expected = by_brute_force(layer, shape)
    np.testing.assert_array_equal(energy.fan_out(layer, shape), expected)


@pytest.mark.parametrize("case", CONVOLUTIONS[3:7], ids=name)
def test_loops_over_inputs_taps_and_outputs_count_the_same(case):
    layer, shape = case
    rows, columns = shape[:2]
    targets = np.zeros(shape)
    output = layer.compute_output_shape((1, *shape))
    widths = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate)]
    pads = [0, 0]
    if layer.padding == "same":
        pads = [
            max((o - 1) * s + w - n, 0) // 2
            for o, s, w, n in zip(output[1:], layer.strides, widths, shape)
        ]
    for o in itertools.product(range(output[1]), range(output[2])):
        for tap in itertools.product(*map(range, layer.kernel_size)):
            i, j = (
                o[a] * layer.strides[a] + tap[a] * layer.dilation_rate[a] - pads[a]
                for a in (0, 1)
            )
            if 0 <= i < rows and 0 <= j < columns:
                targets[i, j] += layer.filters // layer.groups
    found = energy.fan_out(layer, shape, pruned=False)
    np.testing.assert_array_equal(found, targets)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (K.Dense(5), (4,)),
        (K.EinsumDense("...x,xy->...y", output_shape=3), (4,)),
        (K.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3)), (3, 4)),
        (K.EinsumDense("abc,bcd->ad", output_shape=(3,)), (2, 4)),
        (layers.WeightStandardizedDense(3), (4,)),
    ],
)
def test_dense_layers_reach_all_units(layer, shape):
    layer.build((None, *shape))
    kernel = np.random.default_rng(0).integers(0, 2, layer.kernel.shape)
    layer.kernel.assign(kernel)
    if isinstance(layer, layers.WeightStandardizedDense):
        expected = kernel.sum(axis=-1)
    else:
        expected = by_brute_force(layer, shape)
    np.testing.assert_array_equal(energy.fan_out(layer, shape), expected)


def test_parts_of_a_separable_convolution():
    layer = K.SeparableConv2D(5, 3, depth_multiplier=2, padding="same")
    layer.build((None, 4, 4, 3))
    depthwise = K.DepthwiseConv2D(3, depth_multiplier=2, padding="same")
    expected = energy.fan_out(depthwise, (4, 4, 3))
    np.testing.assert_array_equal(energy.fan_out(layer, (4, 4, 3)), expected)
    found = energy.fan_out(layer, (6,), part="pointwise_kernel")
    np.testing.assert_array_equal(found, np.full(6, 5.0))


@pytest.mark.parametrize(
    "case", [CONVOLUTIONS[i] for i in (0, 4, 6, 8, 10, 13)], ids=name
)
def test_channels_first_is_the_same_with_other_axes(case):
    layer, shape = case
    config = {**layer.get_config(), "data_format": "channels_first"}
    first = type(layer).from_config(config)
    expected = np.moveaxis(energy.fan_out(layer, shape, pruned=False), -1, 0)
    np.testing.assert_array_equal(energy.fan_out(first, expected.shape), expected)


def test_layers_that_are_not_built_count_as_dense_and_stay_so():
    layer = K.Conv2D(4, 3, kernel_initializer="zeros")
    assert energy.fan_out(layer, (3, 3, 1))[1, 1, 0] == 4.0
    assert not layer.built


def test_bad_input():
    with pytest.raises(TypeError, match="layer of weights such as Dense"):
        energy.fan_out(K.ReLU(), (3,))
    with pytest.raises(ValueError, match="have 3 axes"):
        energy.fan_out(K.Conv2D(4, 3), (3, 3))
    dense = K.Dense(3)
    dense.build((None, 4))
    with pytest.raises(ValueError, match="must fit layer 'dense.*'"):
        energy.fan_out(dense, (5,))
    with pytest.raises(ValueError, match="`part` must be one of 'kernel'"):
        energy.fan_out(dense, (4,), part="recurrent_kernel")
