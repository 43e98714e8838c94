"""Each neuron against a float64 simulation written from its equations."""

import itertools
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from backend import double_precision
from backend import float64
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers
from keras_spiking import surrogates
from keras_spiking.layers.neurons import graded


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0.0)


def adex(x, tau=4.0, delta_T=0.5, theta_rh=0.6, tau_w=5.0, a=0.3, b=0.4):
    v, w = np.full(x[:, 0].shape, -0.1), np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        v = v + (i - w - v + delta_T * np.exp((v - theta_rh) / delta_T)) / tau
        w = w + (a * v - w) / tau_w
        s = v >= 1.0
        w, v = w + b * s, np.where(s, -0.1, v)
        yield s


def alif(x, tau=3.0, beta=0.7, rho=0.8, soft=False):
    v = b = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        v = v + (i - v) / tau
        threshold = 1.0 + beta * b
        s = v >= threshold
        v = v - threshold * s if soft else v * ~s
        b = rho * b + (1 - rho) * s
        yield s


def cuba(x):
    v = c = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        c = 0.5 * c + i
        v = 0.75 * v + c
        s = v >= 0.5
        v = v * ~s
        yield s


def liaf(x):
    v = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        h = v + (i - v) / 2.0
        v = h * (h < 1.0)
        yield relu(h - 1.0)


def ilif(x):
    v = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        v = 0.25 * v + i
        s = np.round(np.clip(v, 0, 4))
        v = v - s
        yield s


def sigma_delta(x):
    total = sent = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        total = total + i
        change = relu(total) - sent
        y = change * (np.abs(change) >= 0.5)
        sent = sent + y
        yield y


def general_linear(x):
    v = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        v = 0.6 * v + 0.9 * i
        s = v >= 1.0
        v = v * ~s
        yield s


def complementary(x):
    v = m = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        v = v - v / 2.0 + i
        s = (v >= 1.0) * 1.0
        m = m * sigmoid(v / 2.0) + s
        v = v - s * (1.0 + sigmoid(m))
        yield s


GATED = {
    "alpha": 0.3,
    "beta": 0.6,
    "gamma": 0.2,
    "tau": 0.4,
    "linear_decay": 0.1,
    "v_subreset": 0.5,
    "v_threshold": 0.6,
}


def gated(x, conduct=(0.7,), **values):
    p = SimpleNamespace(**(GATED | values))
    v = s = np.zeros(x[:, 0].shape)
    for i, g in zip(np.moveaxis(x, 1, 0), itertools.cycle(conduct)):
        left = (1 - p.alpha * (1 - p.tau)) * v
        reset = (p.gamma * left + (1 - p.gamma) * p.v_subreset) * s
        current = (1 - p.beta * (1 - g)) * i
        v = left - (1 - p.alpha) * p.linear_decay + current - reset
        s = (v >= p.v_threshold) * 1.0
        yield s


def refractory(x):
    v = rest = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        awake = rest == 0
        v = np.where(awake, v + (i - v) / 2.0, v)
        s = awake & (v >= 1.0)
        v = v * ~s
        rest = np.where(s, 3, np.maximum(rest - 1, 0))
        yield s


def conductance(x):
    v = e = n = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        e, n = e / 2 + relu(i), n * 0.75 + relu(-i)
        v = v + (-v + e * (4.0 - v) + n * (-1.0 - v)) / 10.0
        s = v >= 1.0
        v = v * ~s
        yield s


def resonator(x, period=6.0, tau=8.0):
    z = np.zeros(x[:, 0].shape, complex)
    for i in np.moveaxis(x, 1, 0):
        z = (z + i) * np.exp(-1 / tau + 2j * np.pi / period)
        s = z.imag >= 1.0
        z = z * ~s
        yield s


def late_resonator(x, period=6.0, tau=8.0):
    z = np.zeros(x[:, 0].shape, complex)
    for i in np.moveaxis(x, 1, 0):
        z = z * np.exp(-1 / tau + 2j * np.pi / period) + i
        s = z.imag >= 1.0
        z = z.real + 1j * z.imag * ~s
        yield s


def lateral(x):
    v = s = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        i = i - 0.5 * (s.sum(-1, keepdims=True) - s)
        v = v + (i - v) / 2.0
        s = (v >= 1.0) * 1.0
        v = v * (1 - s)
        yield s


def winner(x):
    v = np.zeros(x[:, 0].shape)
    for i in np.moveaxis(x, 1, 0):
        v = v + (i - v) / 2.0
        s = (v >= 1.0) & (v >= np.sort(v, axis=-1)[:, -2:-1])
        v = v * ~s
        yield s


NEURONS = {
    "adex": (
        adex,
        layers.AdExLayer,
        dict(tau=4.0, delta_T=0.5, theta_rh=0.6, tau_w=5.0, a=0.3, b=0.4),
    ),
    "alif": (alif, layers.ALIFLayer, dict(tau=3.0, beta=0.7, rho=0.8)),
    "alif_soft": (
        lambda x: alif(x, soft=True),
        layers.ALIFLayer,
        dict(tau=3.0, beta=0.7, rho=0.8, v_reset=None),
    ),
    "cuba": (cuba, layers.CubaLayer, {}),
    "liaf": (liaf, layers.LIAFLayer, {}),
    "ilif": (ilif, layers.ILIFLayer, {}),
    "sigma_delta": (sigma_delta, layers.SigmaDeltaLayer, dict(threshold=0.5)),
    "general_linear": (
        general_linear,
        layers.GeneralLinearLayer,
        dict(alpha=0.6, beta=0.9),
    ),
    "complementary": (complementary, layers.ComplementaryLIFLayer, {}),
    "gated": (
        gated,
        layers.GatedLIFLayer,
        {"init_conduct": 0.7, **{f"init_{n}": v for n, v in GATED.items()}},
    ),
    "refractory": (refractory, layers.RefractoryLIFLayer, dict(refractory_steps=3)),
    "conductance": (conductance, layers.ConductanceLIFLayer, {}),
    "resonator": (
        resonator,
        layers.ResonateAndFireLayer,
        dict(period=6.0, tau=8.0, input_first=True, reset_current=True),
    ),
    "late resonator": (
        late_resonator,
        layers.ResonateAndFireLayer,
        dict(period=6.0, tau=8.0),
    ),
    "lateral": (lateral, layers.LateralInhibitionLayer, dict(inhibition=0.5)),
    "winner": (winner, layers.WinnerTakeAllLayer, dict(k=2)),
}


def currents(seed=0):
    generator = np.random.default_rng(seed)
    return generator.uniform(-0.7, 2.2, (3, 20, 11)).astype("float32")


@pytest.mark.parametrize("name", NEURONS)
def test_outputs_equal_the_simulation(name):
    simulate, cls, arguments = NEURONS[name]
    x = currents()
    expected = np.stack([*simulate(x.astype("float64"))], 1)
    found = to_numpy(cls(**arguments)(x))
    assert 0 < np.count_nonzero(found) < found.size
    # But for values within rounding of the threshold, which change what follows.
    different = np.abs(found - expected) > 1e-4
    assert different.mean() < 0.01


@pytest.mark.trains
@pytest.mark.parametrize("name", NEURONS)
def test_gradients_are_those_of_the_smooth_network(name, monkeypatch):
    _, cls, arguments = NEURONS[name]
    x = currents(1)[:2, :6, :3]
    weight = np.random.default_rng(2).normal(size=x.shape)
    with double_precision():
        layer = cls(**{**arguments, "dtype": "float64"})
        # The smooth network: the surrogate's primitive in place of the step, and
        # nothing rounded or left out.
        layer.surrogate = surrogates.get("sigmoid").primitive
        monkeypatch.setattr(graded, "straight_through", lambda value, y: y)
        x, w = float64(x, weight)
        layer(x)
        (found,) = gradients(lambda x: ops.sum(layer(x) * w), [x])
        for index in [(0, 0, 0), (1, 2, 1), (0, 4, 2)]:
            step = np.zeros(x.shape)
            step[index] = 1e-5
            (step,) = float64(step)
            high, low = (to_numpy(layer(x + s)) for s in (step, -step))
            numeric = np.sum((high - low) * weight) / 2e-5
            np.testing.assert_allclose(found[index], numeric, rtol=1e-5, atol=1e-8)


def test_gated_neurons_have_weights_of_each_channel_and_conductances_of_each_step():
    x = currents()[..., None, :]
    random = np.random.default_rng(3)
    layer = layers.GatedLIFLayer(T=20, inplane=11)
    layer.build(x.shape)
    weights = {w.name: random.normal(size=w.shape) for w in layer.trainable_weights}
    for w in layer.trainable_weights:
        w.assign(weights[w.name])
    values = {name: sigmoid(w) for name, w in weights.items()}
    expected = np.stack([*gated(x.astype("float64"), **values)], 1)
    found = to_numpy(layer(x))
    assert 0 < np.count_nonzero(found) < found.size
    assert np.mean(found != expected) < 0.01
    for other, message in [((3, 19, 1, 11), "T=20"), ((3, 20, 1, 5), "inplane=11")]:
        layer = layers.GatedLIFLayer(T=20, inplane=11)
        with pytest.raises(ValueError, match=message):
            layer(keras.KerasTensor(other))
            layer(np.zeros(other, "float32"))


def test_noise_is_seeded_and_drawn_anew_at_each_step():
    x = np.zeros((2, 30, 5), "float32")
    first, again, other = (
        to_numpy(layers.NoisyLIFLayer(std=1.5, seed=seed)(x)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert first.any() and (first != other).any()
    assert (first[:, 0] != first[:, 20]).any() or first[:, 0].sum() == 0


def test_a_sigma_delta_network_follows_its_artificial_twin():
    x = np.random.default_rng(0).normal(size=(2, 12, 6)).astype("float32")
    changes = np.diff(x, axis=1, prepend=0.0)
    sent = to_numpy(layers.SigmaDeltaLayer(threshold=0.1)(changes))
    assert np.abs(np.cumsum(sent, axis=1) - relu(x)).max() <= 0.1 + 1e-5


@pytest.mark.parametrize(
    "cls, arguments, message",
    [
        (layers.QIFLayer, dict(tau=0.5), "`tau` must be at least 1"),
        (layers.QIFLayer, dict(a0=-1.0), "`a0` must be at least 0"),
        (layers.EIFLayer, dict(delta_T=0.0), "`delta_T` must be at least"),
        (layers.IzhikevichLayer, dict(tau_w=0.0), "`tau_w` must be at least 1"),
        (layers.ALIFLayer, dict(rho=1.5), "`rho` must be at most 1"),
        (layers.CubaLayer, dict(current_decay=2.0), "at most 1"),
        (layers.GeneralLinearLayer, dict(alpha=-0.1), "`alpha` must be at least 0"),
        (layers.GatedLIFLayer, dict(init_gamma=3.0), "`init_gamma` must be less"),
        (layers.RefractoryLIFLayer, dict(refractory_steps=-1), "at least 0"),
        (layers.ResonateAndFireLayer, dict(period=1.0), "`period` must be at least 2"),
        (layers.ILIFLayer, dict(D=0), "`D` must be at least 1"),
        (layers.ILIFLayer, dict(v_reset=0.0), "soft"),
        (layers.ComplementaryLIFLayer, dict(v_reset=0.0), "soft"),
        (layers.NoisyLIFLayer, dict(std=-1.0), "`std` must be at least 0"),
        (layers.EventPropLayer, dict(tau=5.0, tau_s=5.0), "must differ"),
        (layers.SynapseFilter, dict(tau=1.0), "`tau` must be greater than 1"),
        (layers.DualExponentialSynapse, dict(tau=1.0, tau_s=2.0), "less than `tau`"),
        (layers.Delay, dict(delay_steps=-1), "at least 0"),
        (layers.DropConnectDense, dict(units=3, rate=1.0), "less than 1"),
        (layers.MaskedPSN, dict(k=2, lambda_init=2.0), "at most 1"),
        (layers.SpatialAttention, dict(kernel_size=2), "odd"),
        (layers.NeuNorm, dict(k=1.1), "`k` must be at most 1"),
    ],
)
def test_parameters_out_of_range_are_refused(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


def test_learned_parameters_stay_within_their_bounds():
    layer = layers.GeneralLinearLayer(alpha=0.9)
    layer.build((2, 5, 3))
    (alpha,) = [w for w in layer.weights if w.name == "alpha"]
    assert float(to_numpy(alpha.constraint(ops.convert_to_tensor(1.7)))) == 1.0


@pytest.mark.parametrize("name", ["PSN", "SlidingPSN", "LIFLayer"])
@pytest.mark.parametrize("value", [0.5, 256, np.nan])
def test_masks_of_any_dtype_are_true_or_false(name, value):
    x = currents()[:, :6]
    layer = getattr(layers, name)(**({"k": 2} if name == "SlidingPSN" else {}))
    mask = np.array([[1, 1, 0, 1, 0, 1]] * 3, bool)
    expected = to_numpy(layer(x, mask=ops.array(mask)))
    found = to_numpy(layer(x, mask=ops.array(np.where(mask, value, 0.0))))
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="`mask`"):
        layer(x, mask=np.ones((3, 5), bool))


def test_explicit_adaptation_follows_the_potential_before_the_step():
    layer = layers.AdExLayer(a=1.0, tau_w=1.0, explicit=True, return_state=True)
    layer = layers.AdExLayer.from_config(layer.get_config())
    x = keras.ops.full((1, 1, 1), 0.3)
    _, v, w = layer(x)
    assert to_numpy(w)[0, 0] == pytest.approx(layer.baseline)
    assert to_numpy(v)[0, 0] != pytest.approx(layer.baseline)
