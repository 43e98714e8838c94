"""Rows of `docs/migration.md` for keras-spiking: what its pages say, in NumPy."""

import math
import re

import keras
import migration
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import energy
from keras_spiking import layers

SECTION = migration.PAGE.read_text("utf-8").split("## The other keras-spiking")[1]
ROWS = re.findall(r"^\| `(\w.*?)` \| `(.*)` \|$", SECTION, re.M)
FILTERS = [row for row in ROWS if not row[0].startswith("ModelEnergy")]
X = np.random.default_rng(0).normal(3.0, 4.0, (3, 37, 5))


def last(y, return_sequences):
    return y if return_sequences else y[:, -1]


def SpikingActivation(name, *, dt, return_sequences=True):
    """Spikes of height 1 / dt, as many as the integral of the activation."""
    rates = {"relu": np.maximum(X, 0), "sigmoid": 1 / (1 + np.exp(-X))}[name]
    counts = np.floor(np.cumsum(rates * dt, axis=1))
    return last(np.diff(counts, axis=1, prepend=0) / dt, return_sequences)


def Lowpass(tau, *, dt, return_sequences=True):
    """tau dy/dt = x - y, for an input that is constant in a step."""
    y, outputs = 0.0, []
    for x in X.swapaxes(0, 1):
        y = x + (y - x) * math.exp(-dt / tau)
        outputs.append(y)
    return last(np.stack(outputs, axis=1), return_sequences)


def Alpha(tau, *, dt):
    """The same twice, solved in continuous time."""
    h, y, z, outputs = dt / tau, 0.0, 0.0, []
    for x in X.swapaxes(0, 1):
        y, z = y - x, z - x
        y, z = math.exp(-h) * y + x, math.exp(-h) * (z + h * y) + x
        outputs.append(z)
    return np.stack(outputs, axis=1)


NUMPY = {f.__name__: f for f in (SpikingActivation, Lowpass, Alpha)}


@pytest.mark.parametrize(["theirs", "ours"], FILTERS, ids=[row[0] for row in FILTERS])
def test_outputs_are_those_of_the_other_package(theirs, ours):
    values = {"tau": 0.3, "dt": 0.06}
    expected = eval(theirs, NUMPY | values)
    modules = {"layers": layers, "keras": keras, "math": math}
    chain = eval(ours, modules | values)
    y = X.astype("float32")
    for layer in chain if isinstance(chain, list) else [chain]:
        y = layer(y)
    scale = np.abs(expected).max()
    is_exact = not theirs.startswith("Alpha")
    tolerance = 1e-5 if is_exact else values["dt"] / values["tau"]
    assert 0 < np.mean(expected != 0)
    np.testing.assert_allclose(to_numpy(y) / scale, expected / scale, atol=tolerance)


def test_energy():
    model = keras.Sequential(
        [keras.Input((4, 3)), layers.IFLayer(), keras.layers.Dense(2)]
    )
    x = np.ones((2, 4, 3), "float32")
    names = {"energy": energy, "model": model, "x": x, "print": str}
    rows = [ours for theirs, ours in ROWS if (theirs, ours) not in FILTERS]
    table, chip = (eval(ours, names) for ours in rows)
    assert "per sample" in table
    assert chip.snn_energy(chip.costs[0]) > 0
    assert len(FILTERS) == 6
