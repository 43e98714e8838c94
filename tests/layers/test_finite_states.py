"""States stay finite: overflows are forgotten, nothing runs away."""

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import gradients
from backend import to_numpy
from keras import ops
from registry import ARGUMENTS

from keras_spiking import config
from keras_spiking import layers
from keras_spiking.layers.neurons.without_reset import WithoutReset

NEURONS = sorted(
    name
    for name, cls in vars(layers).items()
    if getattr(cls, "__module__", "").startswith("keras_spiking.layers.neurons.")
)
OF_THEIR_OWN = [  # resets, which nobody can choose
    name
    for name in NEURONS
    if issubclass(getattr(layers, name), WithoutReset)
    or name in ("AlphaLayer", "GatedLIFLayer", "CubaLIFLayer")
]
SOFT = ("ILIFLayer", "ComplementaryLIFLayer", "SiLIFLayer", "CSiLIFLayer")
SOFT_OR_HARD = [
    (name, v_reset)
    for name in NEURONS
    for v_reset in (0.0, None)
    if issubclass(getattr(layers, name), layers.SpikingLayer)
    and not (v_reset == 0.0 and name in SOFT)
    and not (v_reset == 0.0 and name in OF_THEIR_OWN)
]


def make(name, **arguments):
    return getattr(layers, name)(**ARGUMENTS.get(name, {}) | arguments)


def resets(name, v_reset):
    return {} if name in OF_THEIR_OWN else {"v_reset": v_reset}


def run(layer, x):
    """Outputs and states of all steps, one `step` at a time."""
    if not layer.built:
        layer.build(x.shape)
    states = layer.get_initial_state(ops.array(x[:, 0]))
    history = []
    for t in range(x.shape[1]):
        y, states = layer.step(ops.array(x[:, t]), states)
        history.append((to_numpy(y), [to_numpy(s) for s in states]))
    return np.stack([y for y, _ in history], 1), [s for _, s in history]


def overflows(timesteps=12):
    """Inputs `(1, time, 4, 2)`: once, twice, there and back; the last has none."""
    x = np.full((1, timesteps, 4, 2), 1.5, "float32")
    x[:, 2, 0] = x[:, 3:5, 1] = np.inf
    x[:, 2, 2] = x[:, 5, 1] = x[:, 6, 2] = -np.inf
    return x


@pytest.mark.parametrize("name, v_reset", SOFT_OR_HARD)
def test_states_are_finite_after_an_overflow(name, v_reset):
    x = overflows()
    layer = make(name, **resets(name, v_reset))
    outputs, states = run(layer, x)
    assert all(np.all(np.isfinite(s)) for step in states for s in step)
    if name == "LIAFLayer":
        return  # an analog value that overflows is handed on
    assert np.all(np.isfinite(outputs))
    if BACKEND != "numpy":
        (found,) = gradients(lambda x: ops.sum(layer(x)), [x])
        assert np.all(np.isfinite(found[:, :, 3]))


OTHERS = [
    *("LILayer", "SigmaDeltaLayer", "EventPropLayer", "STBIFLayer"),
    *("LTCLayer", "DSRIFLayer", "DSRLIFLayer"),
    *("SpikingGELU", "SpikingLayerNormalization", "SpikingSoftmax"),
]


@pytest.mark.parametrize("name", OTHERS)
def test_states_of_other_neurons_are_finite_after_an_overflow(name):
    y, states = run(make(name), overflows())
    assert all(np.all(np.isfinite(s)) for step in states for s in step)
    assert np.all(np.isfinite(y))


@pytest.mark.parametrize("name", ["PSN", "MaskedPSN", "SlidingPSN"])
def test_an_overflow_reaches_no_step_that_does_not_see_it(name):
    x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
    layer = make(name, **{"MaskedPSN": {"lambda_init": 1.0}}.get(name, {}))
    expected = to_numpy(layer(x))
    x[:, 2] = [np.inf, -np.inf, np.inf]
    spikes = to_numpy(layer(x))
    assert np.all(np.isfinite(spikes))
    if name != "PSN":  # k = 2: steps 2 and 3 see it
        seen = [0, 1, 4, 5]
        np.testing.assert_array_equal(spikes[:, seen], expected[:, seen])


HARD = [name for name, v_reset in SOFT_OR_HARD if v_reset == 0.0]


@pytest.mark.parametrize("name", HARD)
def test_hard_resets_forget_an_overflow(name):
    """What follows an infinite input is what follows any other spike."""
    remember = ("CubaLayer", "ConductanceLIFLayer", "AdExLayer", "IzhikevichLayer")
    compartments = ("MultiCompartmentLIFLayer", "TCLIFLayer")
    others = ("ResonateAndFireLayer", "SynapticLayer")
    if name in (*remember, *compartments, *others) or "ILC" in name:
        pytest.skip("another state than the membrane potential remembers it")
    x = np.full((1, 20, 3), 2.5, "float32")
    x[:, 4] = 30.0
    expected = to_numpy(make(name, v_reset=0.0)(x))
    x[:, 4] = np.inf
    spikes = to_numpy(make(name, v_reset=0.0)(x))
    if name in ("LIAFLayer", "MultiSpikeLayer"):
        expected, spikes = (np.delete(y, 4, 1) for y in (expected, spikes))
    if name == "NoisyLIFLayer":
        expected = spikes = (spikes + expected)[:, 5:] * 0
    np.testing.assert_array_equal(spikes, expected)


def test_an_overflow_in_half_precision_is_forgotten():
    x = np.array([[[1.5], [1.5], [60000.0], [1.5], [1.5], [1.5], [1.5]]], "float16")
    for cls in (layers.LIFLayer, layers.KLIFLayer, layers.ALIFLayer, layers.QIFLayer):
        layer = cls(dtype="float16", return_state=True)
        once = to_numpy(layer(ops.array(x)))
        overflown = to_numpy(layer(ops.array(x * np.float16(2.0 * (x > 9) + (x < 9)))))
        for a, b in zip(once, overflown):
            np.testing.assert_array_equal(a, b)
            assert np.all(np.isfinite(b))


def test_batch_statistics_survive_an_overflow():
    layer = layers.MembraneBatchNormalizationLIFLayer()
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    x[0, 2, 1] = np.inf
    layer(x, training=True)
    assert all(np.all(np.isfinite(to_numpy(w))) for w in layer.weights)


RUNAWAY = ["EIFLayer", "QIFLayer", "AdExLayer", "IzhikevichLayer"]


@pytest.mark.parametrize("name, v_reset", SOFT_OR_HARD)
def test_constant_inputs_do_not_run_away(name, v_reset):
    currents = [1.5, 2.0, 50.0, 500.0, -50.0]
    x = np.tile(np.array(currents, "float32")[:, None], (1, 80, 1, 2))
    layer = make(name, **resets(name, v_reset))
    outputs, states = run(layer, x)
    assert all(np.all(np.abs(s) < 1e7) for step in states for s in step)
    at_the_end = outputs[0, -10:, :, 0].sum(0)
    slow = ("HodgkinHuxleyLayer", "MorrisLecarLayer")  # 80 steps are a few ms
    if name not in ("ResonateAndFireLayer", "LateralInhibitionLayer", *slow):
        assert np.all(at_the_end[2:4] > 0)
    if name in RUNAWAY:
        assert np.all(at_the_end[:4] >= 5)
    if BACKEND != "numpy":
        (found,) = gradients(lambda x: ops.sum(layer(x)), [x])
        assert np.all(np.isfinite(found))


@pytest.mark.parametrize("name", RUNAWAY)
@pytest.mark.parametrize("arguments", [{}, {"a": 0.2, "b": 0.3, "tau_w": 5.0}])
def test_a_soft_reset_keeps_what_exceeds_the_threshold(name, arguments):
    """With more input, there are more spikes: 0.1.0 stopped firing at 1e38."""
    if arguments and name in ("EIFLayer", "QIFLayer"):
        pytest.skip("it does not adapt")
    layer = make(name, v_reset=None, **arguments)
    currents = np.array([0.5, 1.0, 1.5, 2.0, 5.0, 50.0, 500.0], "float32")
    rates = to_numpy(layer(np.tile(currents, (1, 100, 1)))).mean((0, 1))
    assert np.all(np.diff(rates) >= 0.0) and rates[-1] == 1.0


def test_strong_inhibition_does_not_excite():
    x = np.full((1, 60, 1), -50.0, "float32")
    spikes, states = run(layers.ConductanceLIFLayer(), x)
    assert not spikes.any()
    potentials = np.array([v for v, *_ in states])
    assert np.all(potentials >= -1.0) and potentials[-1] < -0.95


def test_exponents_are_bounded():
    """A tiny `delta_T` makes an `EIFLayer` a LIF neuron with threshold `theta_rh`."""
    layer = layers.EIFLayer(delta_T=1e-5, learnable="delta_T")
    x = np.full((1, 30, 1), 1.8, "float32")
    assert to_numpy(layer(x)).any()
    if BACKEND != "numpy":
        found = gradients(lambda x: ops.sum(layer(x)), [x], layer.trainable_weights)
        assert all(np.all(np.isfinite(g)) for g in found)


ANALOG = {"LILayer", "LIAFLayer", "LTCLayer", "SigmaDeltaLayer"}


def test_inputs_that_are_no_numbers_give_no_spikes():
    x = np.full((1, 3, 2), 1.5, "float32")
    x[:, 1, 0] = np.nan
    for name in sorted(set(NEURONS) - ANALOG):
        if name in ("ILIFLayer", "MultiSpikeLayer"):
            continue  # rounds its potential
        if name in ("FewSpikeLayer", "HierarchicallyGatedLayer"):
            continue  # they have a number of steps of their own
        if name in ("PSN", "MaskedPSN", "SlidingPSN"):
            continue  # a matrix product spreads them
        layer = make(name, **{"LIFLayer": {"return_state": True}}.get(name, {}))
        outputs = keras.tree.flatten(layer(x))
        assert not to_numpy(outputs[0])[:, 1:, 0].any(), name
        if name == "LIFLayer":
            assert np.isnan(to_numpy(outputs[1])[0, 0])  # they do not pass unseen
    _, v = layers.KLIFLayer(return_state=True)(x)
    assert np.isnan(to_numpy(v)[0, 0])
    analog = to_numpy(layers.LIAFLayer()(x))
    assert np.all(np.isnan(analog[:, 1:, 0]))


def test_states_that_are_not_finite_raise_if_asked():
    x = np.ones((1, 4, 2), "float32")
    layer = layers.ALIFLayer(name="alif")
    layer(x)
    config.set_check_finite(True)
    try:
        layer(x)
        x[0, 2, 1] = np.nan
        with pytest.raises(ValueError, match="`v` of layer 'alif' is not finite"):
            layer(x)
    finally:
        config.set_check_finite(False)
    layer(x)
