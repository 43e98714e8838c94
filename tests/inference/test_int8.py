"""Networks of int8 weights return, bit for bit, what this reference in NumPy does."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import numbers
from networks import sequential
from networks import spikes

import keras_spiking
from keras_spiking import layers as sl

compile = keras_spiking.inference.compile
FLOAT = np.float32


def quantized(kernel):
    """Levels and scale of each output, the last axis."""
    kernel = kernel.astype("float64")
    largest = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)))
    scale = (largest / 127).astype("float32")
    return np.rint(kernel / scale.astype("float64")), scale


def product(x, levels):
    """Sums in the order of the inputs, of integers and of floats alike."""
    total = np.zeros((len(x), levels.shape[1]), "float32")
    for i in range(levels.shape[0]):
        total = total + x[:, i, None].astype(FLOAT) * levels[i].astype(FLOAT)
    return total


def dense(x, layer):
    levels, scale = quantized(np.asarray(keras.ops.convert_to_numpy(layer.kernel)))
    bias = keras.ops.convert_to_numpy(layer.bias)
    return product(x, levels) * scale + bias


def convolution(x, layer):
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    bias = keras.ops.convert_to_numpy(layer.bias)
    levels, scale = quantized(kernel)
    rows, columns = kernel.shape[:2]
    batch, height, width, _ = x.shape
    y = np.empty(
        (batch, height - rows + 1, width - columns + 1, kernel.shape[3]), FLOAT
    )
    for r in range(y.shape[1]):
        for c in range(y.shape[2]):
            patch = x[:, r : r + rows, c : c + columns].reshape(batch, -1)
            flat = levels.reshape(-1, levels.shape[-1])
            y[:, r, c] = product(patch, flat) * scale + bias
    return y


def lif(x, v, threshold):
    h = v + (x - v) / FLOAT(2.0)
    fired = (h - FLOAT(threshold) >= 0).astype(FLOAT)
    return fired, h * (FLOAT(1.0) - fired)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("units", [10, 33, 300, 600])
def test_dense(units, binary):
    first, second = layers.Dense(units), layers.Dense(17)
    neurons = [sl.LIFLayer(v_threshold=t) for t in (0.4, 0.2)]
    model = sequential(keras.Input((None, 300)), first, neurons[0], second, neurons[1])
    x = spikes(3, 4, 300) if binary else numbers(3, 4, 300)
    found = compile(model, weights="int8")(x)
    a, b = np.zeros((3, units), FLOAT), np.zeros((3, 17), FLOAT)
    for t in range(4):
        s, a = lif(dense(x[:, t], first), a, 0.4)
        s, b = lif(dense(s, second), b, 0.2)
        np.testing.assert_array_equal(found[:, t], s)
    assert 0.01 < found.mean() < 0.99


@pytest.mark.parametrize("channels, rate", [(4, 0.3), (64, 0.9)])
def test_convolution(channels, rate):
    """Of many inputs, sums leave the 16 bits that short ones are computed in."""
    first, second = layers.Conv2D(channels, 2), layers.Conv2D(40, 3)
    model = sequential(
        keras.Input((None, 7, 6, 3)),
        sl.SeqToBatch(first),
        sl.LIFLayer(v_threshold=1 - rate),
        sl.SeqToBatch(second),
        sl.LIFLayer(v_threshold=0.3),
    )
    x = numbers(2, 3, 7, 6, 3)
    found = compile(model, weights="int8")(x)
    a, b = np.zeros((2, 6, 5, channels), FLOAT), np.zeros((2, 4, 3, 40), FLOAT)
    for t in range(3):
        s, a = lif(convolution(x[:, t], first), a, 1 - rate)
        s, b = lif(convolution(s, second), b, 0.3)
        np.testing.assert_array_equal(found[:, t], s)
    assert 0.01 < found.mean() < 0.99


def test_sums_that_leave_16_bits():
    dense = layers.Dense(40, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((None, 2000)), dense, sl.Integrator()])
    found = compile(model, weights="int8")(np.ones((1, 1, 2000), "float32"))
    sums = FLOAT(2000 * 127) * FLOAT(1 / 127)
    np.testing.assert_array_equal(found, np.full((1, 1, 40), sums))


@pytest.mark.parametrize(
    "quantizer", ["loihi", keras_spiking.quantizers.PowerOfTwo(-5)]
)
def test_weights_of_quantized_layers_are_kept(quantizer):
    inner = layers.Dense(30), layers.Conv1D(20, 3, padding="same")
    dense, conv = (sl.Quantized(x, kernel_quantizer=quantizer) for x in inner)
    model = sequential(
        keras.Input((None, 8, 6)),
        sl.SeqToBatch([conv, layers.BatchNormalization()]),
        sl.LIFLayer(v_threshold=0.3),
        sl.SeqToBatch([layers.Flatten(), dense]),
        sl.LIFLayer(v_threshold=0.3),
    )
    net = compile(model, weights="int8")
    assert all(row["error"] < 1e-7 for row in net.report)
    x = spikes(3, 4, 8, 6)
    assert 0.01 < np.mean(net(x))
    np.testing.assert_array_equal(net(x), compile(model)(x))


def test_report():
    model = sequential(
        *(keras.Input((None, 20)), layers.Dense(30, name="first")),
        *(
            sl.LIFLayer(v_threshold=0.3),
            layers.Dense(4, name="second"),
            sl.FiringRate(),
        ),
    )
    net = compile(model, weights="int8", data=spikes(50, 8, 20))
    assert [row["layer"] for row in net.report] == ["first", "second"]
    assert [row["weights"] for row in net.report] == [600, 120]
    assert all(0 < row["error"] < 0.01 for row in net.report)
    assert net.report.agreement["class"] > 0.8
    assert "first" in str(net.report) and "of the same class" in str(net.report)
    assert compile(model).report is None


def test_depthwise_and_pooled_inputs():
    depthwise = layers.DepthwiseConv2D(2)
    model = sequential(
        keras.Input((None, 6, 6, 5)),
        sl.SeqToBatch([depthwise, layers.AveragePooling2D(2)]),
        sl.Integrator(),
    )
    levels, scale = quantized(
        keras.ops.convert_to_numpy(depthwise.kernel).reshape(2, 2, 5)
    )
    bias = keras.ops.convert_to_numpy(depthwise.bias)
    x = spikes(2, 1, 6, 6, 5)
    total = np.zeros((2, 5, 5, 5), FLOAT)
    for r in range(2):
        for c in range(2):
            total += x[:, 0, r : r + 5, c : c + 5] * levels[r, c].astype(FLOAT)
    y = total * scale + bias
    pooled = sum(y[:, r:4:2, c:4:2] for r in range(2) for c in range(2)) / FLOAT(4)
    found = compile(model, weights="int8")(x)
    np.testing.assert_allclose(found[:, 0], pooled, rtol=1e-6)
