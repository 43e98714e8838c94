"""Compiled networks return what `predict` returns."""

import keras
import numpy as np
import pytest
from backend import BACKEND
from keras import layers
from networks import check_equal
from networks import enliven
from networks import numbers
from networks import sequential
from networks import spikes

import keras_spiking
from keras_spiking import layers as sl

CHANNELS_LAST = "channels_last"


def lif(**options):
    return sl.LIFLayer(**{"v_threshold": 0.4, **options})


def folded(*inner):
    return sl.SeqToBatch(list(inner))


@pytest.mark.parametrize("batch, time", [(1, 1), (2, 5), (7, 3), (33, 2)])
def test_dense(batch, time):
    model = sequential(
        keras.Input((None, 37)), layers.Dense(65), lif(), layers.Dense(10), lif()
    )
    check_equal(model, spikes(batch, time, 37))
    check_equal(model, numbers(batch, time, 37))


@pytest.mark.parametrize("units", [1, 16, 31, 64, 130, 513])
def test_sizes_of_dense(units):
    model = sequential(
        keras.Input((None, units)),
        layers.Dense(units, use_bias=False),
        lif(),
        layers.Dense(units + 1),
        lif(),
    )
    check_equal(model, 2 * spikes(3, 4, units, rate=0.6), silent=units == 1)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": (2, 3), "strides": 2, "padding": "same"},
        {"kernel_size": 3, "dilation_rate": 2, "use_bias": False},
        {"kernel_size": (4, 1), "strides": (3, 2)},
        {"kernel_size": 3, "groups": 2, "padding": "same"},
        {"kernel_size": 1},
    ],
    ids=str,
)
def test_convolutions(options, data_format):
    if BACKEND == "tensorflow" and (
        data_format != CHANNELS_LAST or "groups" in options
    ):
        pytest.skip("TensorFlow has no such convolution on CPUs")
    shape = (9, 11, 4)
    x = spikes(2, 3, *shape)
    if data_format == "channels_first":
        x = np.moveaxis(x, -1, 2)
    axis = -1 if data_format == "channels_last" else 1
    model = enliven(
        keras.Sequential(
            [
                keras.Input((None, *x.shape[2:])),
                folded(
                    layers.Conv2D(6, **options, data_format=data_format),
                    layers.BatchNormalization(axis=axis),
                ),
                lif(v_threshold=0.2),
                folded(layers.Conv2D(34, 3, padding="same", data_format=data_format)),
                lif(v_threshold=0.2),
            ]
        )
    )
    check_equal(model, x)


def image_network(*middle, image=(8, 10, 8), v_threshold=0.3):
    return sequential(
        keras.Input((None, *image)),
        folded(layers.Conv2D(16, 3, padding="same")),
        lif(v_threshold=v_threshold),
        *middle,
    )


@pytest.mark.parametrize(
    "layer",
    [
        layers.MaxPooling2D(),
        layers.MaxPooling2D(3, 2, padding="same"),
        layers.AveragePooling2D(2),
        layers.AveragePooling2D(3, strides=1, padding="same"),
        layers.GlobalAveragePooling2D(),
        layers.GlobalMaxPooling2D(keepdims=True),
        layers.ZeroPadding2D(((1, 2), (0, 3))),
        layers.Cropping2D(((1, 2), (0, 3))),
        layers.UpSampling2D((2, 3)),
        layers.Permute((3, 1, 2)),
        layers.Reshape((10, -1)),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.DepthwiseConv2D(3, strides=2, depth_multiplier=3),
        layers.Dropout(0.5),
        layers.Rescaling(0.5, offset=0.1),
        layers.ReLU(max_value=0.7, negative_slope=0.1),
        layers.Activation("tanh"),
        layers.Dense(5, activation="sigmoid"),
        sl.AdaptiveAveragePooling2D(7, data_format=CHANNELS_LAST),
        sl.ChannelPooling(4, data_format=CHANNELS_LAST),
        sl.WeightStandardizedConv2D(5, 3, padding="same"),
        sl.WeightStandardizedDense(5),
        sl.Voting(4),
    ],
    ids=lambda layer: layer.name,
)
def test_layers_between_neurons(layer):
    x = spikes(2, 3, 8, 10, 8)
    fresh = type(layer).from_config(layer.get_config())
    check_equal(image_network(folded(fresh)), x)
    fresh = type(layer).from_config(layer.get_config())
    rest = folded(layers.Flatten(), layers.Dense(20)), lif(v_threshold=0.1)
    check_equal(image_network(folded(fresh), *rest), x)


def test_averages_of_uneven_padding():
    """On PyTorch Keras pads them with copies of the border, elsewhere with nothing."""
    pooling = layers.AveragePooling2D((3, 2), strides=2, padding="same")
    model = image_network(folded(pooling))
    if BACKEND == "torch":
        with pytest.raises(ValueError, match="AveragePooling2D.*on PyTorch only"):
            keras_spiking.inference.compile(model)
    else:
        check_equal(model, spikes(2, 3, 8, 10, 8))


@pytest.mark.parametrize("channels", [3, 12, 64])
def test_pooling_of_bits(channels):
    model = sequential(
        keras.Input((None, 7, 6, 2)),
        folded(layers.Conv2D(channels, 3)),
        lif(v_threshold=0.2),
        folded(layers.MaxPooling2D(2)),
        folded(layers.Conv2D(5, 2)),
        lif(v_threshold=0.2),
    )
    check_equal(model, spikes(3, 3, 7, 6, 2))


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_convolutions_in_one_dimension(padding):
    model = sequential(
        keras.Input((None, 20, 3)),
        folded(layers.Conv1D(18, 3, padding=padding, dilation_rate=2)),
        lif(v_threshold=0.2),
        folded(layers.MaxPooling1D(2), layers.Conv1D(4, 2), layers.Flatten()),
        layers.Dense(5),
        lif(v_threshold=0.2),
    )
    check_equal(model, numbers(2, 3, 20, 3))


@pytest.mark.parametrize(
    "neuron",
    [
        sl.IFLayer(v_threshold=0.5, v_reset=None),
        sl.ParametricLIFLayer(v_threshold=0.3),
        sl.LIFLayer(tau=[1.5 + 0.1 * i for i in range(20)], v_threshold=0.3),
        sl.LIFLayer(v_threshold=0.3, v_reset=[0.01 * i for i in range(20)]),
        sl.ALIFLayer(v_threshold=0.3),
        sl.EIFLayer(v_threshold=0.3),
        sl.KLIFLayer(v_threshold=0.3),
        sl.CubaLayer(v_threshold=0.3),
        sl.ILIFLayer(),
        sl.LILayer(),
        sl.Integrator(),
    ],
    ids=lambda neuron: neuron.name,
)
def test_neurons(neuron):
    model = sequential(keras.Input((None, 30)), layers.Dense(20))
    x = 2 * spikes(3, 6, 30)
    model = keras.Sequential([*model.layers, neuron, layers.Dense(4), sl.LILayer()])
    model.build((None, None, 30))
    check_equal(model, x)


def test_short_term_plasticity_of_any_input():
    """Inputs beyond spikes do not let a synapse run away and amplify rounding."""
    model = sequential(
        keras.Input((None, 9)), layers.Dense(7), sl.ShortTermPlasticity(release=0.6)
    )
    x = np.random.default_rng(2).normal(0.0, 3.0, (2, 120, 9)).astype("float32")
    net = check_equal(model, x)
    assert np.all((net(x) >= 0.0) & (net(x) <= 1.0))


def test_own_neurons():
    class SquareIF(sl.SpikingLayer):
        def charge(self, x, v):
            return v + keras.ops.square(x)

    model = sequential(keras.Input((None, 8)), layers.Dense(12), SquareIF())
    check_equal(model, 3 * spikes(4, 5, 8))


@pytest.mark.parametrize(
    "readout",
    [
        [sl.FiringRate()],
        [sl.SpikeCount(), layers.Dense(3, activation="softmax")],
        [layers.GlobalAveragePooling1D(CHANNELS_LAST), layers.Softmax()],
        [layers.GlobalMaxPooling1D(CHANNELS_LAST)],
        [sl.LILayer(reduce="last")],
        [sl.LILayer(reduce="max")],
        [sl.LILayer(reduce="mean")],
        [sl.LILayer(reduce="max_abs")],
        [sl.LIFLayer(v_threshold=0.1, return_sequences=False)],
        [sl.Voting(5), sl.FiringRate()],
        [layers.Dense(3, activation="softmax")],
    ],
)
def test_readouts(readout):
    model = sequential(
        *(keras.Input((None, 12)), layers.Dense(10), lif(v_threshold=0.2), *readout)
    )
    check_equal(model, numbers(3, 5, 12))


def residual_network():
    inputs = keras.Input((None, 6, 6, 3))
    x = folded(layers.Conv2D(16, 3, padding="same"), layers.BatchNormalization())(
        inputs
    )
    x = lif(v_threshold=0.2)(x)
    y = folded(layers.Conv2D(16, 3, padding="same"), layers.BatchNormalization())(x)
    y = lif(v_threshold=0.2)(layers.add([x, y]))
    z = folded(layers.Conv2D(24, 3, 2, "same"))(y)
    z = lif(v_threshold=0.2)(layers.Add()([folded(layers.Conv2D(24, 1, 2))(y), z]))
    joined = layers.Concatenate()([z, folded(layers.MaxPooling2D())(y)])
    joined = layers.Concatenate()([joined, folded(layers.AveragePooling2D(2))(y)])
    outputs = lif(v_threshold=0.1)(
        folded(layers.GlobalAveragePooling2D(), layers.Dense(10))(joined)
    )
    return enliven(keras.Model(inputs, [outputs, sl.FiringRate()(z), joined]))


def test_branches_and_several_outputs():
    check_equal(residual_network(), numbers(2, 4, 6, 6, 3))


def test_gates_of_spikes():
    inputs = keras.Input((None, 9))
    x, y = (lif(v_threshold=0.2)(layers.Dense(9)(inputs)) for _ in range(2))
    joined = layers.concatenate([x * y, layers.maximum([x, y]), x - y, x + inputs])
    outputs = lif(v_threshold=0.2)(layers.Dense(5)(joined))
    check_equal(enliven(keras.Model(inputs, [outputs, joined])), numbers(3, 4, 9))


def test_several_inputs():
    a, b = keras.Input((None, 5)), keras.Input((None, 7))
    x = layers.concatenate([lif(v_threshold=0.1)(layers.Dense(6)(a)), b])
    model = enliven(keras.Model([a, b], lif(v_threshold=0.1)(layers.Dense(4)(x))))
    check_equal(model, [numbers(3, 4, 5), numbers(3, 4, 7)])


def test_what_is_presented_at_every_step_is_computed_once():
    model = sequential(
        keras.Input((9, 9, 2)),
        sl.DirectEncoder(6),
        folded(layers.Conv2D(8, 3), layers.BatchNormalization()),
        lif(v_threshold=0.2),
        folded(layers.Flatten(), layers.Dense(5)),
        sl.LILayer(reduce="mean"),
    )
    net = check_equal(model, numbers(3, 9, 9, 2))
    assert "once a call" in str(net)


@pytest.mark.parametrize("reduce", [None, "mean", "sum", "last"])
def test_step_by_step(reduce):
    inner = [layers.Dense(20), lif(), folded(layers.Dense(7)), lif(v_threshold=0.2)]
    model = sequential(
        keras.Input((12,)), sl.StepByStep(inner, timesteps=5, reduce=reduce)
    )
    check_equal(model, numbers(3, 12))


def test_step_by_step_of_sequences():
    step = keras.Sequential([layers.Dense(20), sl.SingleStep(lif()), layers.Dense(3)])
    model = sequential(keras.Input((None, 12)), sl.StepByStep(step))
    check_equal(model, numbers(3, 4, 12))


@pytest.mark.parametrize(
    "layer",
    [
        sl.ThresholdDependentBatchNormalization(data_format=CHANNELS_LAST),
        sl.TemporalEffectiveBatchNormalization(data_format=CHANNELS_LAST),
        sl.BatchNormalizationThroughTime(data_format=CHANNELS_LAST),
    ],
    ids=lambda layer: layer.name,
)
def test_normalization_over_time(layer):
    model = sequential(
        keras.Input((4, 6, 6, 3)),
        folded(layers.Conv2D(10, 3)),
        layer,
        lif(v_threshold=0.2),
    )
    net = check_equal(model, numbers(3, 4, 6, 6, 3))
    if not isinstance(layer, sl.ThresholdDependentBatchNormalization):
        with pytest.raises(ValueError, match="4 time steps"):
            net(numbers(3, 5, 6, 6, 3))


def test_normalization_before_a_convolution_is_not_folded():
    model = sequential(
        keras.Input((None, 6, 6, 3)),
        folded(layers.BatchNormalization(), layers.Conv2D(10, 3, padding="same")),
        lif(v_threshold=0.2),
    )
    check_equal(model, numbers(3, 4, 6, 6, 3))


@pytest.mark.parametrize("density", [0.0, 0.01, 1.0])
def test_any_density(density):
    model = sequential(
        keras.Input((None, 9, 9, 32)),
        folded(layers.Conv2D(33, 3, padding="same")),
        lif(v_threshold=0.1),
    )
    check_equal(model, spikes(2, 2, 9, 9, 32, rate=density), tolerance=1e-4)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads):
    model = image_network(folded(layers.MaxPooling2D()))
    x = spikes(37, 3, 8, 10, 8)
    net = keras_spiking.inference.compile(model, threads=threads)
    one = keras_spiking.inference.compile(model, threads=1)
    np.testing.assert_array_equal(net(x), one(x))
    for t in range(3):
        np.testing.assert_array_equal(net.step(x[:, t]), one.step(x[:, t]))


def test_no_samples():
    model = image_network()
    net = keras_spiking.inference.compile(model)
    assert net(spikes(0, 3, 8, 10, 8)).shape == (0, 3, 8, 10, 16)


def test_memory_does_not_grow_with_the_steps():
    net = keras_spiking.inference.compile(image_network())
    net(spikes(2, 1, 8, 10, 8))
    (arena,) = net._spare
    net(spikes(2, 50, 8, 10, 8))
    assert net._spare[0] is arena


def test_weights_are_those_of_the_call():
    model = image_network()
    x = spikes(2, 2, 8, 10, 8)
    net = keras_spiking.inference.compile(model)
    before = net(x)
    enliven(model, seed=5)
    np.testing.assert_array_equal(net(x), before)
    check_equal(model, x)


@pytest.mark.parametrize("pooling", [layers.MaxPooling2D, layers.AveragePooling2D])
def test_converted_networks(pooling):
    ann = sequential(
        keras.Input((8, 8, 2)),
        layers.Conv2D(6, 3, activation="relu", padding="same"),
        layers.BatchNormalization(),
        pooling(2),
        layers.Conv2D(9, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(5, activation="softmax"),
    )
    x = numbers(4, 8, 8, 2)
    check_equal(keras_spiking.conversion.convert(ann, x, timesteps=10), x)


@pytest.mark.parametrize("function", ["add", "subtract", "multiply", "maximum"])
@pytest.mark.parametrize("inner", ["neurons", "network"])
def test_feedback(function, inner):
    stack = [lif(v_threshold=0.2)]
    if inner == "network":
        stack = [layers.Dense(20), lif(v_threshold=0.2), layers.Dense(20), lif()]
    recurrent = sl.ElementwiseRecurrent(stack, function)
    model = sequential(
        keras.Input((None, 7)), layers.Dense(20), recurrent, layers.Dense(3), lif()
    )
    x = 2 * numbers(3, 6, 7)
    net = check_equal(model, x, silent=function == "multiply")
    for t in range(6):
        np.testing.assert_array_equal(net.step(x[:, t]), net(x)[:, t])


def test_feedback_of_images():
    path = [layers.Conv2D(16, 3, padding="same"), lif(v_threshold=0.3)]
    recurrent = sl.ElementwiseRecurrent(path, reduce="mean")
    check_equal(image_network(recurrent), spikes(2, 3, 8, 10, 8))
    model = sequential(
        keras.Input((None, 7)), sl.ElementwiseRecurrent(lif(), lambda x, y: x)
    )
    with pytest.raises(ValueError, match="not one of add"):
        keras_spiking.inference.compile(model)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_delays(steps):
    model = sequential(
        *(keras.Input((None, 20)), sl.Delay(steps), layers.Dense(70), lif()),
        *(sl.Delay(steps), layers.Dense(9), sl.LearnableDelay(4), lif()),
    )
    random = np.random.default_rng(0)
    model.layers[-2].delay.assign(random.uniform(0.0, 4.0, 9))
    x = numbers(2, 16, 20)
    net = check_equal(model, x)
    for t in range(16):
        np.testing.assert_array_equal(net.step(x[:, t]), net(x)[:, t])


@pytest.mark.parametrize("reduce", [None, "mean"])
def test_recurrent_graphs(reduce):
    network = sl.RecurrentGraph(
        {
            "encode": layers.Dense(8),
            "first": lif(v_threshold=0.3),
            "second": [layers.Dense(8), lif(v_threshold=0.3)],
        },
        [
            *(("input", "encode"), ("encode", "first"), ("first", "second")),
            *(("second", "first"), ("second", "second"), ("first", "first")),
            *(("first", "output"), ("second", "output")),
        ],
        reduce=reduce,
    )
    model = sequential(keras.Input((None, 7)), network, layers.Dense(5))
    check_equal(model, numbers(2, 9, 7), tolerance=1e-4)


@pytest.mark.parametrize("reduce", [None, "last"])
def test_linear_recurrence(reduce):
    path = [lif(v_threshold=0.3), layers.Dense(5)]
    recurrent = sl.LinearRecurrent(path, units=20, reduce=reduce)
    model = sequential(keras.Input((None, 7)), recurrent)
    check_equal(model, numbers(2, 9, 7))


def test_neurons_after_the_maximum_of_spikes():
    model = image_network(
        *(folded(layers.Conv2D(16, 3)), lif(v_threshold=0.3)),
        *(folded(layers.MaxPooling2D(2)), lif(tau=1.5, v_threshold=0.6)),
    )
    check_equal(model, numbers(2, 3, 8, 10, 8))
