"""Layers of the zoo: configurations, shapes, synapses, delays, attention, cells."""

import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops

import keras_spiking
from keras_spiking import layers

IMAGES = (2, 4, 6, 6, 4)
TOKENS = (2, 4, 5, 8)
VECTORS = (2, 6, 8)

LAYERS = [
    (layers.AdExLayer(a=0.2, tau_w=5.0), VECTORS),
    (layers.ALIFLayer(beta=np.full(8, 0.5)), VECTORS),
    (layers.AlphaSynapse(3.0), VECTORS),
    (layers.AXAT(3), IMAGES[:2] + (5, 5)),
    (layers.BatchNormalizationThroughTime(4), IMAGES),
    (layers.ChannelAttention(2), IMAGES),
    (layers.ChannelPooling(2, mode="mean"), IMAGES),
    (layers.ComplementaryLIFLayer(tau=3.0), VECTORS),
    (layers.ConductanceLIFLayer(tau=5.0), VECTORS),
    (layers.CubaLayer(current_decay=0.3), VECTORS),
    (layers.DCT(3), (2, 4, 6, 6)),
    (layers.Delay(2), VECTORS),
    (layers.DelayedDense(5, max_delay=3, delay_kernel="interpolated"), VECTORS),
    (layers.DropConnectDense(5, rate=0.3, activation="tanh"), VECTORS),
    (layers.DualExponentialSynapse(4.0, tau_s=1.0), VECTORS),
    (layers.EIFLayer(delta_T=0.5), VECTORS),
    (layers.EventPropLayer(tau=10.0), VECTORS),
    (layers.GatedLIFLayer(learnable={"alpha": "channel"}), VECTORS),
    (layers.GatedLIFLayer(T=6, inplane=8, init_tau=0.5), VECTORS),
    (layers.GeneralLinearLayer(alpha=0.7), VECTORS),
    (layers.ILIFLayer(D=3), VECTORS),
    (layers.IzhikevichLayer(a=0.2, b=0.1, w_rest=0.1), VECTORS),
    (layers.KLIFLayer(scale_reset=True, k=1.5), VECTORS),
    (layers.LateralInhibitionLayer(0.3), VECTORS),
    (layers.LearnableDelay(3), VECTORS),
    (layers.LIAFLayer("tanh", threshold_related=False), VECTORS),
    (layers.MaskedPSN(2, T=6), VECTORS),
    (layers.MembraneBatchNormalizationLIFLayer(tau=3.0), VECTORS),
    (layers.MultiDimensionalAttention(4, C=4, reduction_t=2, reduction_c=2), IMAGES),
    (layers.NeuNorm(0.8, shared_across_channels=True), IMAGES),
    (layers.NoisyLIFLayer(std=0.1, seed=3), VECTORS),
    (layers.PSN(6), VECTORS),
    (layers.QIFLayer(a0=0.5), VECTORS),
    (layers.QKAttention("channels"), TOKENS),
    (layers.RefractoryLIFLayer(1), VECTORS),
    (layers.ResonateAndFireLayer(8.0), VECTORS),
    (layers.SigmaDeltaLayer(0.3, activation="tanh"), VECTORS),
    (layers.SlidingPSN(3, exp_init=False), VECTORS),
    (layers.SpatialAttention(3), IMAGES),
    (layers.SpikeCountToBinary(3), (2, 8)),
    (layers.SpikeDrivenSelfAttention(layers.IFLayer()), TOKENS),
    (layers.SpikingSelfAttention(2), TOKENS),
    (layers.SynapseFilter(5.0, learnable=True), VECTORS),
    (layers.TemporalAttention(4, reduction=2), IMAGES),
    (layers.TemporalEffectiveBatchNormalization(4), IMAGES),
    (layers.Tempotron(3, tau=8.0, tau_s=2.0, output="v"), VECTORS),
    (layers.ThresholdDependentBatchNormalization(0.7, v_th=0.5), IMAGES),
    (layers.Voting(4), VECTORS),
    (layers.WeightStandardizedConv2D(3, 3), (2, 6, 6, 4)),
    (layers.WeightStandardizedDense(3), VECTORS),
    (layers.WinnerTakeAllLayer(2), VECTORS),
    (keras.layers.RNN(layers.SpikingRNNCell(4)), VECTORS),
    (keras.layers.RNN(layers.SpikingLSTMCell(4), return_sequences=True), VECTORS),
    (keras.layers.RNN(layers.SpikingGRUCell(4)), VECTORS),
]


def make(layer):
    """A fresh layer: those above are only configurations."""
    return type(layer).from_config(layer.get_config())


def identifier(value):
    cell = getattr(value, "cell", value)
    return None if isinstance(value, tuple) else type(cell).__name__


def inputs(shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 2.5, shape).astype("float32")


@pytest.mark.parametrize("layer, shape", LAYERS, ids=identifier)
def test_a_layer_made_from_its_configuration_is_the_same(layer, shape):
    x = inputs(shape)
    layer, again = make(layer), make(layer)
    y = to_numpy(layer(x))
    again.build(shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(to_numpy(again(x)), y)
    assert np.isfinite(y).all()
    symbolic = layer(keras.KerasTensor(shape))
    assert tuple(symbolic.shape) == y.shape


STREAMED = [
    pair
    for pair in LAYERS
    if identifier(pair[0])
    in (
        "Delay",
        "DelayedDense",
        "LearnableDelay",
        "NeuNorm",
        "AlphaSynapse",
        "EventPropLayer",
        "GatedLIFLayer",
        "IzhikevichLayer",
        "BatchNormalizationThroughTime",
        "TemporalEffectiveBatchNormalization",
        "MembraneBatchNormalizationLIFLayer",
        "SpikingSelfAttention",
    )
]


@pytest.mark.parametrize("layer, shape", STREAMED, ids=identifier)
def test_step_by_step_equals_the_whole_sequence(layer, shape):
    layer = make(layer)
    x = inputs(shape)
    expected = to_numpy(layer(x))
    found = to_numpy(layers.StepByStep(layer)(x))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer, shape, message",
    [
        (layers.PSN(6), (2, 5, 3), "T=6"),
        (layers.MaskedPSN(2), (2, None, 3), "`T`"),
        (layers.PSN(), (2, 5), "time"),
        (layers.BatchNormalizationThroughTime(4), (2, 6, 3), "T=4"),
        (layers.TemporalEffectiveBatchNormalization(4), (2, 6, 3), "T=4"),
        (layers.TemporalAttention(4, reduction=2), (2, 6, 5, 5, 3), "T=4"),
        (layers.TemporalAttention(reduction=8), (2, 6, 5, 5, 3), "reduction"),
        (layers.ChannelAttention(8), (2, 6, 5, 5, 3), "reduction"),
        (layers.MultiDimensionalAttention(C=4), (2, 16, 5, 5, 3), "C=4"),
        (layers.SpatialAttention(3), (2, 6, 5), "images"),
        (layers.SpikingSelfAttention(3), (2, 6, 5, 8), "heads"),
        (layers.SpikingSelfAttention(2), (2, 6, 8), "tokens"),
        (layers.Voting(3), (2, 8), "groups of 3"),
        (layers.ChannelPooling(3), (2, 4, 4, 8), "groups of 3"),
        (layers.DCT(4), (2, 6, 8), "groups of 4"),
        (layers.AXAT(4), (2, 6, 8), "n, n"),
        (layers.NeuNorm(), (2, 6, 8), "images"),
        (layers.Delay(1), (2, 6), "time"),
        (layers.DropConnectDense(3), (2, 6), "time"),
        (layers.WinnerTakeAllLayer(9), (2, 6, 8), "at most the number"),
        (layers.Tempotron(3), (2, 6), "features"),
    ],
)
def test_wrong_shapes_are_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        make(layer)(keras.KerasTensor(shape))
        make(layer)(np.zeros([n or 2 for n in shape], "float32"))


def test_synapses_are_convolutions_with_their_kernels():
    x = (inputs((2, 15, 3)) > 1.0).astype("float32")
    t = np.arange(15)
    alpha = t / 3.0 * np.exp(1 - t / 3.0)
    fine = np.arange(0, 50, 0.001)
    peak = (np.exp(-fine / 4.0) - np.exp(-fine / 1.5)).max()
    dual = (np.exp(-t / 4.0) - np.exp(-t / 1.5)) / peak
    for layer, kernel in [
        (layers.AlphaSynapse(3.0), alpha),
        (layers.DualExponentialSynapse(4.0, tau_s=1.5), dual),
    ]:
        expected = np.zeros_like(x)
        for s in range(15):
            expected[:, s:] += x[:, s : s + 1] * kernel[: 15 - s, None]
        np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-4, atol=1e-5)


def test_learned_delays_interpolate_in_training_and_round_at_inference():
    layer = layers.LearnableDelay(4)
    x = inputs((1, 9, 2))
    layer.build(x.shape)
    layer.delay.assign([1.25, 2.0])
    shifted = [np.pad(x, ((0, 0), (n, 0), (0, 0)))[:, :9] for n in range(4)]
    trained = to_numpy(layer(x, training=True))
    expected = 0.75 * shifted[1][..., 0] + 0.25 * shifted[2][..., 0]
    np.testing.assert_allclose(trained[..., 0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(trained[..., 1], shifted[2][..., 1], rtol=1e-6)
    rounded = to_numpy(layer(x))
    np.testing.assert_allclose(rounded[..., 0], shifted[1][..., 0], rtol=1e-6)


@pytest.mark.trains
def test_a_learned_delay_has_the_gradient_of_the_interpolation():
    layer = layers.LearnableDelay(4)
    x = inputs((1, 9, 1))
    layer.build(x.shape)
    layer.delay.assign([1.25])
    weight = inputs((1, 9, 1), 1)
    w = ops.convert_to_tensor(weight)
    _, found = gradients(
        lambda x: ops.sum(layer(x, training=True) * w), [x], [layer.delay]
    )
    shifted = [np.pad(x, ((0, 0), (n, 0), (0, 0)))[:, :9] for n in (1, 2)]
    np.testing.assert_allclose(
        found[0], np.sum((shifted[1] - shifted[0]) * weight), rtol=1e-4
    )


def test_connections_are_dropped_for_each_sample_and_the_same_at_all_time_steps():
    x = np.ones((2, 5, 6), "float32")
    layer = layers.DropConnectDense(20, seed=0, invariant=True)
    y = to_numpy(layer(x, training=True))
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 5, axis=1))
    assert (y[0] != y[1]).any()
    layer = layers.DropConnectDense(20, seed=0)
    for network in layer, layers.StepByStep(layer):
        y = to_numpy(network(x, training=True))
        assert (y[:, 1] != y[:, 2]).any()
    layer.bias.assign(np.ones(20))
    y = to_numpy(layer(0 * x, training=True))
    assert set(np.unique(y)) == {0.0, 1.0}


@pytest.mark.parametrize("activation", [None, "relu"])
def test_inference_is_the_mean_over_dropped_connections(activation):
    layer = layers.DropConnectDense(7, rate=0.3, seed=1, activation=activation)
    layer.build((None, 1, 60))
    layer.bias.assign(np.linspace(-1.0, 1.0, 7))
    x = np.repeat(inputs((1, 1, 60)), 4000, axis=0)
    mean = to_numpy(layer(x, training=True)).mean(0)
    np.testing.assert_allclose(to_numpy(layer(x[:1]))[0], mean, atol=0.05)


@pytest.mark.parametrize("unbiased", [True, False])
def test_standardized_weights_have_mean_0_and_the_variance_of_their_fan_in(unbiased):
    layer = layers.WeightStandardizedDense(7, use_bias=False, unbiased=unbiased)
    layer(np.ones((1, 50), "float32"))
    kernel = to_numpy(layer(np.eye(50, dtype="float32")))
    np.testing.assert_allclose(kernel.mean(0), 0.0, atol=1e-6)
    variance = kernel.var(0, ddof=1 if unbiased else 0)
    np.testing.assert_allclose(variance, 1 / 50, rtol=1e-2)


def test_membrane_normalization_folds_into_the_threshold():
    layer = layers.MembraneBatchNormalizationLIFLayer(
        tau=2.0, decay_input=True, carry_normalized=False
    )
    x = inputs((8, 12, 5))
    layer.build(x.shape)
    layer.gamma.assign(np.linspace(0.5, 2.0, 5))
    layer.beta.assign(np.linspace(-0.3, 0.3, 5))
    for _ in range(3):
        layer(x, training=True)
    mean = to_numpy(layer.moving_mean).astype("float64")
    width = np.sqrt(to_numpy(layer.moving_variance).astype("float64") + 1e-5)
    gamma, beta = to_numpy(layer.gamma), to_numpy(layer.beta)
    v, expected = np.zeros((8, 5)), []
    for t in range(12):
        h = v + (x[:, t] - v) / 2.0
        s = gamma * (h - mean) / width + beta >= 1.0
        v = h * ~s
        expected.append(s)
    found = to_numpy(layer(x))
    assert found.any() and np.mean(found != np.stack(expected, 1)) < 0.01


def test_batch_norm_through_time_learns_statistics_of_each_step():
    layer = layers.BatchNormalizationThroughTime(momentum=0.0)
    x = inputs((16, 4, 3)) * np.arange(1, 5, dtype="float32")[:, None]
    layer(x, training=True)
    np.testing.assert_allclose(
        to_numpy(layer.moving_mean), x.mean(0), rtol=1e-4, atol=1e-5
    )
    y = to_numpy(layer(x))
    np.testing.assert_allclose(y.std(0), 1.0, rtol=1e-2)


def test_spiking_self_attention_emits_spikes_and_mixes_tokens():
    layer = layers.SpikingSelfAttention(2, scale=2.0)
    x = inputs((4, 6, 9, 16))
    y = to_numpy(layer(x, training=True))
    assert set(np.unique(y)) == {0.0, 1.0}


def test_the_transform_of_a_block_is_the_orthonormal_cosine_transform():
    x = inputs((1, 4, 4))
    y = to_numpy(layers.DCT(4)(x))
    np.testing.assert_allclose(np.sum(y**2), np.sum(x**2), rtol=1e-5)
    np.testing.assert_allclose(y[0, 0, 0], x.sum() / 4.0, rtol=1e-5)


def test_binary_digits_sum_up_to_the_count():
    count = np.arange(8, dtype="float32")[None]
    digits = to_numpy(layers.SpikeCountToBinary(3)(count))
    np.testing.assert_array_equal(np.tensordot([4, 2, 1], digits[0], 1), count[0])


def test_counts_unfold_into_spikes():
    count = np.float32([[0, 1, 2, 4, 9]])
    spikes = to_numpy(layers.SpikeCountToBinary(4, code="unary")(count))[0]
    np.testing.assert_array_equal(spikes[:, 2], [1, 1, 0, 0])
    np.testing.assert_array_equal(spikes.sum(0), [0, 1, 2, 4, 4])
    with pytest.raises(ValueError, match="'binary', 'unary'.*code='gray'"):
        layers.SpikeCountToBinary(4, code="gray")


def test_learned_time_constants_of_synapses():
    x = inputs((2, 6, 3))
    fixed, learned = (layers.SynapseFilter(5.0, learnable=b) for b in (False, True))
    np.testing.assert_allclose(to_numpy(learned(x)), to_numpy(fixed(x)), rtol=1e-5)
    assert len(learned.trainable_weights) == 1 and not fixed.weights
    learned.tau = 3.0
    expected = to_numpy(layers.SynapseFilter(3.0)(x))
    np.testing.assert_allclose(to_numpy(learned(x)), expected, rtol=1e-5)
    # As version 0.1 wrote it.
    config = {**fixed.get_config(), "learnable": {"w": "channel"}}
    old = layers.SynapseFilter.from_config(config)
    old.build(x.shape)
    assert old.trainable_weights[0].shape == (3,)


def test_delays_take_no_absolute_value_of_constants():
    """OpenVINO drops it."""
    layer = layers.LearnableDelay(4)
    layer.build((1, 9, 2))
    absolute, ops.abs = ops.abs, None
    try:
        layer(inputs((1, 9, 2)))
    finally:
        ops.abs = absolute


def test_cells_compute_their_equations():
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    h = (np.random.default_rng(1).normal(size=(2, 4)) > 0).astype("float32")
    cell = layers.SpikingLSTMCell(4)
    y, (_, c) = cell(x, [h, np.ones_like(h)])
    w, u = to_numpy(cell.kernel), to_numpy(cell.recurrent_kernel)
    i, f, g, o = np.split(x @ w + h @ u >= 0, 4, axis=1)
    np.testing.assert_array_equal(to_numpy(c), np.minimum(f * 1 + i * g, 1))
    np.testing.assert_array_equal(to_numpy(y), o * np.minimum(f * 1 + i * g, 1))
    cell = layers.SpikingGRUCell(4)
    y, _ = cell(x, [h])
    w, u = to_numpy(cell.kernel), to_numpy(cell.recurrent_kernel)
    a, b = x @ w, h @ u
    r, z = np.split(a[:, :8] + b[:, :8] >= 0, 2, axis=1)
    n = a[:, 8:] + r * b[:, 8:] >= 0
    np.testing.assert_array_equal(to_numpy(y), np.where(z, h, n))


@pytest.mark.trains
def test_stacked_bidirectional_cells_train():
    model = keras.Sequential(
        [
            keras.layers.Bidirectional(
                keras.layers.RNN(layers.SpikingLSTMCell(6), return_sequences=True)
            ),
            keras_spiking.layers.Dropout(0.2, seed=0),
            keras.layers.RNN(layers.SpikingGRUCell(6)),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    x, y = inputs((8, 5, 3)), np.ones((8, 1), "float32")
    model.fit(x, y, epochs=1, verbose=0)
    assert np.isfinite(model.evaluate(x, y, verbose=0))
