"""Every row of `docs/migration.md` gives the spikes of the framework that it names."""

import json
import math
import os
from pathlib import Path

import keras
import migration
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

from keras_spiking import layers

RECORDED = Path(__file__).parents[1] / "data" / "frameworks.npz"
FILE = Path(os.environ.get("FRAMEWORKS_VECTORS", RECORDED))
ROWS = migration.rows()
# The compilers of the other backends would take minutes for all of them.
ALL = BACKEND in ("numpy", "torch")
VALUES = range(len(migration.VALUES) if ALL else 1)


@pytest.fixture(scope="module")
def arrays():
    with np.load(FILE) as stored:
        return dict(stored)


def test_what_is_recorded_is_what_the_page_says(arrays):
    recorded = json.loads(str(arrays["recorded"]))
    assert recorded == {"rows": [r for r, _ in ROWS], "values": migration.VALUES}
    assert len(ROWS) >= 42


@pytest.mark.parametrize("i", range(len(ROWS)), ids=[theirs for theirs, _ in ROWS])
@pytest.mark.parametrize("j", VALUES)
def test_spikes_are_those_of_the_framework(arrays, i, j):
    kernel = arrays["dense_kernel"]
    names = {
        "layers": layers,
        "keras": keras,
        "math": math,
        "loop": migration.LOOP,
        "dense": keras.layers.Dense(
            len(kernel), use_bias=False, kernel_initializer=lambda *_, **__: kernel
        ),
    }
    ours = eval(ROWS[i][1], names | migration.VALUES[j])
    y, expected = arrays["x"], arrays[f"y_{i}_{j}"]
    y = y[: len(expected)]
    for layer in ours if isinstance(ours, list) else [ours]:
        y = layer(y)
    if expected.dtype == np.uint8:
        rate = np.mean(expected > 0)
        assert 0.002 < rate < 0.98, f"the record says little: {rate:.3f} have spikes"
        assert np.count_nonzero(to_numpy(y) != expected) == 0
    else:
        np.testing.assert_allclose(to_numpy(y), expected, atol=2e-5)


def test_neurons_of_snntorch_with_a_recurrent_dense_layer(arrays):
    x = arrays["x"]
    dense = keras.layers.Dense(x.shape[-1])
    network = layers.RecurrentGraph(
        nodes={"neurons": layers.LeakyLayer(0.8), "dense": dense},
        edges=[
            ("input", "neurons"),
            ("neurons", "dense"),
            ("dense", "neurons"),
            ("neurons", "output"),
        ],
    )
    network.build(x.shape)
    dense.kernel.assign(arrays["rleaky_recurrent.weight"].T)
    dense.bias.assign(arrays["rleaky_recurrent.bias"])
    assert arrays["rleaky_spikes"].any()
    np.testing.assert_array_equal(to_numpy(network(x)), arrays["rleaky_spikes"])


def test_neurons_of_snntorch_that_reset_at_once(arrays):
    layer = layers.LIFLayer(5.0, decay_input=False, v_reset=None)
    spikes = to_numpy(layer(np.clip(arrays["x"], -0.9, 0.9)))
    assert spikes.any()
    np.testing.assert_array_equal(spikes, arrays["leaky_spikes"])


def test_lstm_of_snntorch(arrays):
    x = arrays["x"]
    lstm = keras.layers.LSTM(x.shape[-1], return_sequences=True)
    lstm.build(x.shape)
    kernel, recurrent, *biases = (
        arrays[f"slstm_lstm_cell.{name}"]
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    lstm.set_weights([kernel.T, recurrent.T, sum(biases)])
    spikes = layers.LIFLayer(1.0, v_threshold=0.1)(lstm(x))
    assert 0.01 < arrays["slstm_spikes"].mean() < 0.95
    np.testing.assert_array_equal(to_numpy(spikes), arrays["slstm_spikes"])
