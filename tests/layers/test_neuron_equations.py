"""More neurons against float64 simulations of their equations, sums and kernels."""

import math

import numpy as np
import pytest
from backend import BACKEND
from backend import double_precision
from backend import float64
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers
from keras_spiking import surrogates
from keras_spiking.backends import explain
from keras_spiking.layers.neurons.resonator import hippo_frequencies
from keras_spiking.ops.coloured_noise import coloured_noise


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def se_adlif(x, tau=5.0, tau_w=30.0, a=0.6, b=1.2, scale=20.0):
    alpha, beta = math.exp(-1 / tau), math.exp(-1 / tau_w)
    v = w = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        v = alpha * v + (1 - alpha) * (i - w)
        s = v >= 1.0
        v = np.where(s, 0.0, v)
        w = beta * w + (1 - beta) * scale * (a * v + b * s)
        yield s


def silif(x, tau=3.0, tau_w=20.0, dt=0.8, a=0.4, b=0.7):
    alpha, beta = math.exp(-dt / tau), math.exp(-dt / tau_w)
    u = w = s = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        w = beta * w + a * u + b * s
        u = alpha * (u - s) + (1 - alpha) * (i - w)
        s = (u >= 1.0) * 1.0
        yield s


def c_silif(x, rate=0.5, frequency=3.0, dt=0.3, b=0.6):
    u, s = np.zeros(x[:, 0].shape, complex), 0.0
    for i in np.moveaxis(x, 1, 0):
        u = np.exp(dt * (-rate + 1j * frequency)) * (u - 0.5 * s) + b * i
        s = (2 * u.real >= 1.0) * 1.0
        yield s


def s5_rf(x, rate=0.4, frequency=2.5, dt=0.3, zoh=False):
    rate = -rate + 1j * frequency
    turn = np.exp(dt * rate)
    gain = (turn - 1) / rate if zoh else 1.0
    u = np.zeros(x[:, 0].shape, complex)
    for i in np.moveaxis(x, 1, 0):
        u = turn * u + gain * i
        yield u.real >= (0.2 if zoh else 1.0)


def tc_lif(x, beta_1=-0.3, beta_2=0.6, gamma=0.4):
    dendrite = soma = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        dendrite = dendrite + beta_1 * soma + i
        soma = soma + beta_2 * dendrite
        s = (soma >= 1.0) * 1.0
        dendrite, soma = dendrite - gamma * s, soma - s
        yield s


def cable(x, tau=3.0, coupling=0.9, compartments=4):
    chain = np.diag(np.ones(compartments - 1), 1)
    chain = chain + chain.T
    matrix = coupling * (chain - np.diag(chain.sum(0))) - np.eye(compartments)
    v = np.zeros((compartments, *x[:, 0].shape))
    for i in np.moveaxis(x, 1, 0):
        current = np.einsum("ij,j...->i...", matrix, v)
        current[-1] += i
        v = v + current / tau
        s = v[0] >= 0.2
        v[0][s] = 0.0
        yield s


def alpha_kernel(t, tau):
    return t / tau * np.exp(1 - t / tau) * (t >= 0)


def spike_response(x, tau=3.0, tau_refractory=4.0, refractory=1.5, all_spikes=True):
    """By the sums of the definition, over all pairs of steps."""
    outputs = []
    for t in range(x.shape[1]):
        times = t - np.arange(t + 1)
        weight = alpha_kernel(times, tau)
        h = np.tensordot(x[:, : t + 1], weight, (1, 0))
        spikes = np.array(outputs + [np.zeros_like(h)])
        if not all_spikes:  # of each neuron the last one counts
            later = np.cumsum(spikes[::-1], 0)[::-1] - spikes
            spikes = spikes * (later == 0)
        own = np.tensordot(alpha_kernel(times, tau_refractory), spikes, (0, 0))
        outputs.append((h - refractory * own >= 1.0) * 1.0)
    return outputs


def hodgkin_huxley(x, dt=0.02):
    def vtrap(v, scale):
        return np.where(np.abs(v) < 1e-6, scale, v / (1 - np.exp(-v / scale)))

    v, m, h, n = (
        np.full(x[:, 0].shape, value) for value in (-65.0, 0.0529, 0.5961, 0.3177)
    )
    for i in np.moveaxis(x, 1, 0):
        ions = 120 * m**3 * h * (v - 50) + 36 * n**4 * (v + 77) + 0.3 * (v + 54.4)
        new = v + dt * (i - ions)
        a, b = 0.1 * vtrap(v + 40, 10), 4 * np.exp(-(v + 65) / 18)
        m = m + dt * (a * (1 - m) - b * m)
        a, b = 0.07 * np.exp(-(v + 65) / 20), 1 / (1 + np.exp(-(v + 35) / 10))
        h = h + dt * (a * (1 - h) - b * h)
        a, b = 0.01 * vtrap(v + 55, 10), 0.125 * np.exp(-(v + 65) / 80)
        n = n + dt * (a * (1 - n) - b * n)
        s, v = (new >= 0) & (v < 0), new
        yield s


def morris_lecar(x, dt=0.2):
    v, w = np.full(x[:, 0].shape, -60.855), np.full(x[:, 0].shape, 0.014915)
    for i in np.moveaxis(x, 1, 0):
        m = (1 + np.tanh((v + 1.2) / 18)) / 2
        ions = 4.4 * m * (v - 120) + 8 * w * (v + 84) + 2 * (v + 60)
        new = v + dt * (i - ions) / 20
        to = (1 + np.tanh((v - 2) / 30)) / 2
        w = w + dt * 0.04 * np.cosh((v - 2) / 60) * (to - w)
        s, v = (new >= 0) & (v < 0), new
        yield s


def short_term(x, release=0.4, tau_facilitation=6.0, tau_recovery=9.0):
    u, r = np.zeros(x[:, 0].shape), np.ones(x[:, 0].shape)
    for i in np.moveaxis(np.clip(x, 0, 1), 1, 0):
        u = u - u / tau_facilitation + release * (1 - u) * i
        y = u * r * i
        r = r + (1 - r) / tau_recovery - y
        yield y


def liquid(x, tau=1.5, A=0.8, gamma=-0.6, mu=0.2, dt=0.7):
    v = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        f = sigmoid(gamma * v + i + mu)
        v = (v + dt * f * A) / (1 + dt * (1 / tau + f))
        yield v


def dendrites(x, branches=3, tau=(2.0, 5.0, 9.0)):
    x = x.reshape(*x.shape[:2], -1, branches)
    current = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        current = current + (i - current) / np.array(tau)
        yield current.sum(-1)


def arguments(simulation, *left_out):
    """The defaults of a simulation's arguments, which its layer takes as well."""
    names = simulation.__code__.co_varnames[1 : simulation.__code__.co_argcount]
    found = dict(zip(names, simulation.__defaults__ or ()))
    return {name: value for name, value in found.items() if name not in left_out}


# The simulation, the layer, its arguments, and the lowest and highest input.
NEURONS = {
    "se_adlif": (se_adlif, layers.SEAdLIFLayer, arguments(se_adlif), -3.0, 12.0),
    "silif": (silif, layers.SiLIFLayer, arguments(silif), -1.0, 6.0),
    "c_silif": (c_silif, layers.CSiLIFLayer, arguments(c_silif), -0.7, 2.2),
    "s5_rf": (s5_rf, layers.S5RFLayer, arguments(s5_rf, "zoh"), -0.7, 1.5),
    "s5_rf_zoh": (
        lambda x: s5_rf(x, zoh=True),
        layers.S5RFLayer,
        {**arguments(s5_rf, "zoh"), "discretization": "zoh", "v_threshold": 0.2},
        -0.7,
        1.5,
    ),
    "tc_lif": (tc_lif, layers.TCLIFLayer, arguments(tc_lif), -0.7, 1.5),
    "cable": (
        cable,
        layers.MultiCompartmentLIFLayer,
        {**arguments(cable), "v_threshold": 0.2},
        -1.0,
        12.0,
    ),
    "srm": (
        spike_response,
        layers.SRMLayer,
        arguments(spike_response, "all_spikes"),
        -0.7,
        1.5,
    ),
    "srm0": (
        lambda x: spike_response(x, all_spikes=False),
        layers.SRMLayer,
        {**arguments(spike_response, "all_spikes"), "cumulative": False},
        -0.7,
        1.5,
    ),
    "short_term": (
        short_term,
        layers.ShortTermPlasticity,
        arguments(short_term),
        -0.5,
        2.0,
    ),
    "liquid": (liquid, layers.LTCLayer, arguments(liquid), -2.0, 2.0),
    "dendrites": (
        dendrites,
        layers.DendriticBranches,
        arguments(dendrites),
        -1.0,
        1.0,
    ),
}


def currents(low, high, shape=(3, 20, 12), seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype("float32")


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("timesteps", [1, 25])
def test_outputs_equal_the_simulation(name, timesteps):
    simulate, cls, options, low, high = NEURONS[name]
    x = currents(low, high, (3, timesteps, 12))
    expected = np.stack([*simulate(x.astype("float64"))], 1)
    found = to_numpy(cls(**options)(x))
    assert found.shape == expected.shape
    if timesteps > 1:
        assert 0.02 < np.count_nonzero(found) / found.size
    # But for values within rounding of the threshold, which change what follows.
    assert np.mean(np.abs(found - expected) > 1e-4) < 0.01


@pytest.mark.trains
@pytest.mark.parametrize("name", NEURONS)
def test_gradients_are_those_of_the_smooth_network(name):
    _, cls, options, low, high = NEURONS[name]
    x = currents(low, high, (2, 6, 3), seed=1)
    with double_precision():
        layer = cls(**options, dtype="float64")
        layer.surrogate = surrogates.get("sigmoid").primitive
        (x,) = float64(x)
        y = to_numpy(layer(x))
        weight = np.random.default_rng(2).normal(size=y.shape)
        (w,) = float64(weight)
        (found,) = gradients(lambda x: ops.sum(layer(x) * w), [x])
        for index in [(0, 0, 0), (1, 2, 1), (0, 4, 2)]:
            step = np.zeros(x.shape)
            step[index] = 1e-5
            (step,) = float64(step)
            high, low = (to_numpy(layer(x + s)) for s in (step, -step))
            numeric = np.sum((high - low) * weight) / 2e-5
            np.testing.assert_allclose(found[index], numeric, rtol=1e-5, atol=1e-8)


CHANNELS = {
    "hodgkin_huxley": (hodgkin_huxley, layers.HodgkinHuxleyLayer, 1500, 20.0),
    "morris_lecar": (morris_lecar, layers.MorrisLecarLayer, 1500, 120.0),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_ion_channels_fire_as_in_the_simulation(name):
    simulate, cls, timesteps, current = CHANNELS[name]
    x = np.linspace(0.0, current, 7)[None, None] + np.zeros((1, timesteps, 1))
    expected = np.stack([*simulate(x)], 1)
    dt = {"dt": 0.2} if name == "morris_lecar" else {}
    found = to_numpy(cls(**dt)(x.astype("float32")))
    np.testing.assert_array_equal(found.sum(1), expected.sum(1))
    assert found[0, :, 0].sum() == 0 and found[0, :, -1].sum() >= 2
    # Each spike at the same step, or one beside it.
    times = [np.nonzero(y[0, :, -1])[0] for y in (found, expected)]
    assert np.abs(times[0] - times[1]).max() <= 1


@pytest.mark.trains
@pytest.mark.parametrize("name", CHANNELS)
def test_ion_channels_have_gradients_of_their_inputs(name):
    _, cls, _, current = CHANNELS[name]
    with double_precision():
        layer = cls(dtype="float64")
        layer.surrogate = surrogates.get("sigmoid").primitive
        (x,) = float64(np.full((1, 30, 2), current))
        (found,) = gradients(lambda x: ops.sum(layer(x)), [x])
        for t in (0, 12):
            step = np.zeros(x.shape)
            step[0, t] = [1e-3, 0.0]
            (step,) = float64(step)
            high, low = (to_numpy(layer(x + s)).sum() for s in (step, -step))
            assert high > low
            np.testing.assert_allclose(found[0, t, 0], (high - low) / 2e-3, rtol=1e-5)


def test_adaptation_that_follows_the_potential_oscillates_and_decays():
    """Below the threshold SE-adLIF is a damped oscillator, however strong `a` is."""
    x = np.zeros((1, 4000, 1), "float32")
    x[:, :1] = 1.0
    for a in (1.0, 10.0):
        layer = layers.SEAdLIFLayer(
            tau=25.0, tau_w=60.0, a=a, v_threshold=1e6, return_state=True
        )
        _, v, w = layer(x)
        assert abs(float(to_numpy(v)[0, 0])) < 1e-6
        assert abs(float(to_numpy(w)[0, 0])) < 1e-6


def test_quantised_sums_are_what_bipolar_neurons_send():
    """After enough time the outputs sum up to the quantised sum of the inputs."""
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 8, 50)).astype("float32")
    padded = np.concatenate([x, np.zeros((4, 80, 50), "float32")], 1)
    for signed, low, high in ((False, 0, 6), (True, -4, 2)):
        layer = layers.STBIFLayer(scale=0.3, levels=7, signed=signed)
        total = to_numpy(layer(padded)).sum(1)
        expected = np.clip(np.floor(x.sum(1) / 0.3 + 0.5), low, high) * 0.3
        np.testing.assert_allclose(total, expected, atol=1e-5)


def softmax(a):
    return np.exp(a) / np.exp(a).sum(-1, keepdims=True)


def gelu(a):
    return a / 2 * (1 + np.vectorize(math.erf)(a / math.sqrt(2)))


def normalized(a):
    variance = a.var(-1, keepdims=True)
    return (a - a.mean(-1, keepdims=True)) / np.sqrt(variance + 1e-3)


@pytest.mark.parametrize(
    "layer, function",
    [
        (layers.SpikingSoftmax, softmax),
        (layers.SpikingGELU, gelu),
        (layers.SpikingLayerNormalization, normalized),
    ],
)
def test_differences_add_up_to_the_function_of_the_sum(layer, function):
    x = np.random.default_rng(0).normal(size=(2, 7, 3, 5)).astype("float32")
    y = to_numpy(layer()(x))
    np.testing.assert_allclose(y.sum(1), function(x.sum(1)), rtol=1e-4, atol=1e-5)
    mask = np.array([[1, 1, 0, 1, 0, 1, 0], [0, 1, 1, 1, 1, 1, 1]], bool)
    y = to_numpy(layer()(x, mask=ops.convert_to_tensor(mask)))
    total = np.where(mask[:, :, None, None], x, 0.0).sum(1)
    np.testing.assert_allclose(y.sum(1), function(total), rtol=1e-4, atol=1e-5)
    assert not y[~mask].any()


def test_few_spikes_write_numbers_in_binary():
    table = 4.0 * 0.5 ** np.arange(1, 9)
    layer = layers.FewSpikeLayer(table, h=table, d=table)
    x = np.zeros((1, 8, 100), "float32")
    x[:, 0] = np.linspace(-1.0, 3.9, 100)
    y = to_numpy(layer(x)).sum(1)
    assert np.abs(y - np.maximum(x[:, 0], 0.0)).max() <= 4.0 / 2**8


@pytest.mark.trains
def test_thresholds_of_rate_coded_neurons_learn():
    layer = layers.DSRIFLayer(2.0, learnable={"v_threshold": "channel"})
    x = np.full((2, 8, 3), [0.5, 3.0, -1.0], "float32")
    layer.build(x.shape)
    found = gradients(lambda x: ops.sum(layer(x)), [x], layer.trainable_weights)
    np.testing.assert_allclose(found[0], np.full((2, 8, 3), [1.0, 0.0, 0.0]), atol=1e-6)
    np.testing.assert_allclose(found[1], [0.0, 16.0, 0.0], atol=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 9, 64])
@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_noise_has_unit_variance(steps, exponent):
    noise = to_numpy(coloured_noise((200, steps, 60), exponent, seed=1))
    assert noise.shape == (200, steps, 60)
    assert abs(noise.mean()) < 0.05
    np.testing.assert_allclose(noise.std(), 1.0, atol=0.02)


def test_noise_that_is_coloured_needs_all_steps_at_once():
    x = np.zeros((2, 9, 4), "float32")
    for noise in (layers.ColouredNoise, layers.NoisyILCCubaLayer):
        white = layers.StepByStep(noise(exponent=0.0, **size(noise)))
        assert to_numpy(white(x, training=True)).any()
        pink = layers.StepByStep(noise(exponent=1.0, **size(noise)))
        with pytest.raises(ValueError, match="inside of a `StepByStep`"):
            pink(x, training=True)


def size(noise):
    return {"population": 2} if noise is layers.NoisyILCCubaLayer else {}


def test_the_spectrum_of_coloured_noise_is_a_power_law():
    noise = to_numpy(coloured_noise((4000, 64, 2), 1.5, seed=2))
    power = (np.abs(np.fft.rfft(noise, axis=1)) ** 2).mean((0, 2))[1:-1]
    slope = np.polyfit(np.log(np.arange(1, 32)), np.log(power), 1)[0]
    assert abs(slope + 1.5) < 0.03


def test_noise_is_for_training_and_seeded():
    x = np.zeros((2, 9, 4), "float32")
    make = [layers.ColouredNoise(0.5, exponent=1.0, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (to_numpy(layer(x, training=True)) for layer in make)
    np.testing.assert_array_equal(first, again)
    assert (first != other).all() and not to_numpy(make[0](x)).any()
    layer = layers.NoisyILCCubaLayer(2, std=0.5, seed=1)
    outputs = to_numpy(layer(x, training=True))
    assert ((outputs != 0.0) & (outputs != 1.0)).all()
    assert set(np.unique(to_numpy(layer(x)))) <= {0.0, 1.0}
    mask = ops.convert_to_tensor(np.arange(9)[None] < [[5], [9]])
    outputs = to_numpy(layer(x, training=True, mask=mask))
    assert not outputs[0, 5:].any() and outputs[1, 5:].all()


def test_frequencies_are_those_of_hippo():
    """The normal part of HiPPO-LegS, `A + P P^T`, by its definition."""
    n = np.arange(6)
    root = np.sqrt(2 * n + 1)
    hippo = -(np.tril(np.outer(root, root)) - np.diag(n))
    normal = hippo + np.outer(np.sqrt(n + 0.5), np.sqrt(n + 0.5))
    values = np.linalg.eigvals(normal)
    np.testing.assert_allclose(values.real, -0.5, atol=1e-9)
    np.testing.assert_allclose(np.sort(values.imag), hippo_frequencies(6), atol=1e-9)
    layer = layers.S5RFLayer(blocks=2, learnable="frequency")
    layer.build((None, 5, 3, 12))
    expected = np.tile(hippo_frequencies(6), 2)
    np.testing.assert_allclose(to_numpy(layer.frequency), expected, rtol=1e-5)
    assert layer.get_config()["frequency"] is None


def test_spikes_of_both_signs():
    layer = layers.TernaryLIFLayer(surrogate="atan", v_reset=None)
    x = currents(-4.0, 4.0, (3, 20, 7))
    found = to_numpy(layer(x))
    assert set(np.unique(found)) == {-1.0, 0.0, 1.0}
    np.testing.assert_array_equal(to_numpy(layer(-x)), -found)
    # Where nothing is negative, it is a LIF neuron.
    expected = to_numpy(layers.LIFLayer(v_reset=None)(np.abs(x)))
    np.testing.assert_array_equal(to_numpy(layer(np.abs(x))), expected)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: layers.TernaryIFLayer(0.0), "`v_threshold` must be at least"),
        (lambda: layers.SEAdLIFLayer(0.0), "`tau` must be at least"),
        (lambda: layers.SEAdLIFLayer(a=-0.1), "`a` must be at least 0"),
        (lambda: layers.SiLIFLayer(dt=0.0), "`dt` must be greater than 0"),
        (lambda: layers.SiLIFLayer(v_reset=0.0), "soft: leave out `v_reset`"),
        (lambda: layers.CSiLIFLayer(rate=-1.0), "`rate` must be greater than 0"),
        (lambda: layers.S5RFLayer(discretization="euler"), "one of 'exact', 'zoh'"),
        (lambda: layers.TCLIFLayer(0.5), "`beta_1` must be at most 0"),
        (lambda: layers.MultiCompartmentLIFLayer(1), "`compartments` must be at least"),
        (lambda: layers.SRMLayer(refractory=-1.0), "`refractory` must be at least 0"),
        (lambda: layers.HodgkinHuxleyLayer(dt=0.0), "`dt` must be at least"),
        (lambda: layers.STBIFLayer(levels=1), "`levels` must be at least 2"),
        (lambda: layers.STBIFLayer(0.0), "`scale` must be at least"),
        (lambda: layers.DSRIFLayer(alpha=1.5), "`alpha` must be at most 1"),
        (lambda: layers.ShortTermPlasticity(1.5), "`release` must be at most 1"),
        (lambda: layers.ColouredNoise(-1.0), "`std` must be at least 0"),
        (lambda: layers.FewSpikeLayer([1.0], h=[1.0, 2.0], d=[1.0]), "of one shape"),
        (lambda: layers.FewSpikeLayer([[1.0]], h=[[1.0]], d=[[1.0]]), "K numbers"),
        (
            lambda: layers.HierarchicallyGatedLayer(
                [[1.0]] * 3, h=[[1.0]] * 3, d=[[1.0]] * 3, gate_thresholds=[2.0, 1.0]
            ),
            "2 increasing numbers",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "layer, shape, message",
    [
        (layers.TernaryIFLayer(v_reset=-1.0), (2, 5, 3), "between -v_threshold and"),
        (layers.S5RFLayer(blocks=2), (2, 5, 3), "blocks=2"),
        (layers.ILCIFLayer(2), (2, 5, 3), "groups of 2"),
        (layers.DendriticBranches(2), (2, 5, 3), "groups of 2"),
        (layers.FewSpikeLayer([1.0], h=[1.0], d=[1.0]), (2, 5, 3), "1 time steps"),
        (layers.ColouredNoise(), (2, None, 3), "known number of time steps"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.build(shape)


def test_what_a_neuron_does_not_have_is_refused():
    for cls in (layers.SRMLayer, layers.S5RFLayer, layers.MorrisLecarLayer):
        with pytest.raises(TypeError, match="`v_reset`: no spike resets"):
            cls(v_reset=0.0)
    mask = np.ones((2, 5), bool)
    with pytest.raises(ValueError, match="takes no mask"):
        layers.DSRIFLayer()(np.zeros((2, 5, 3), "float32"), mask=mask)
    with pytest.raises(ValueError, match="cannot learn `scale`"):
        layers.STBIFLayer(learnable="scale")


def test_time_constants_are_learned_on_a_logarithmic_scale():
    layer = layers.SiLIFLayer(4.0, learnable={"tau": "neuron", "dt": "layer"})
    layer.build((None, 5, 3))
    weights = {w.name: to_numpy(w) for w in layer.trainable_weights}
    np.testing.assert_allclose(weights["tau"], np.log([4.0] * 3), rtol=1e-6)
    np.testing.assert_allclose(weights["dt"], 0.0, atol=1e-7)
    np.testing.assert_allclose(to_numpy(layer.tau), 4.0, rtol=1e-6)


@pytest.mark.skipif(BACKEND == "numpy", reason="its layers compute eagerly")
def test_dendrites_have_the_shape_of_neurons():
    import keras

    layer = layers.DendriticBranches(2, learnable={"tau": "neuron"})
    assert layer(keras.Input((5, 3, 8))).shape == (None, 5, 3, 4)
    assert layer.trainable_weights[0].shape == (3, 8)
    assert "fused" in {row["implementation"] for row in explain(layer)}
