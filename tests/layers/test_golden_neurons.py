"""SpikingJelly's numbers for more neurons: `tests/peers/generate_neurons.py`."""

from pathlib import Path

import keras
import numpy as np
import pytest
from backend import HAS_GRADIENTS
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers
from keras_spiking.layers.regularization import coloured_noise

FOLDER = Path(__file__).parents[1] / "data" / "neurons"


def load(name):
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def reset(name):
    given, detached = name.split("_")[-2:]
    v_reset = None if given == "soft" else float(given)
    return {"v_reset": v_reset, "detach_reset": detached == "True"}


def ternary(name, arrays):
    if "_if_" in name:
        return layers.TernaryIFLayer(**reset(name))
    decay_input = name.split("_")[2] == "True"
    return layers.TernaryLIFLayer(1.5, decay_input=decay_input, **reset(name))


def tables(cls, *names):
    return lambda name, a: cls(**{n: a[n] for n in ("theta", "h", "d", *names)})


def gelu(name, arrays):
    return layers.SpikingGELU(approximate="tanh" in name)


MADE = {
    "ternary": ternary,
    "dsr_if": lambda *_: layers.DSRIFLayer(2.0, learnable="v_threshold"),
    "dsr_lif": lambda *_: layers.DSRLIFLayer(learnable="v_threshold"),
    "st_bif": lambda name, _: layers.STBIFLayer(
        0.4, levels=6, signed=name.endswith("_signed")
    ),
    "softmax": lambda *_: layers.SpikingSoftmax(),
    "layer_norm": lambda *_: layers.SpikingLayerNormalization(),
    "gelu": gelu,
    "few_spike": tables(layers.FewSpikeLayer),
    "hierarchically_gated": tables(layers.HierarchicallyGatedLayer, "gate_thresholds"),
    "ilc_if": lambda *_: layers.ILCIFLayer(3),
    "ilc_lif": lambda *_: layers.ILCLIFLayer(3),
    "ilc_cuba": lambda *_: layers.ILCCubaLayer(3, v_threshold=0.5),
    "noisy_ilc_cuba": lambda _, a: layers.NoisyILCCubaLayer(3, std=float(a["std"])),
    "noisy_cuba": lambda _, a: keras.Sequential(
        [
            layers.ColouredNoise(float(a["std"])),
            layers.CubaLayer(),
            layers.ColouredNoise(float(a["std"])),
        ]
    ),
}
CASES = [
    path.stem
    for path in sorted(FOLDER.glob("*.npz"))
    if not path.stem.startswith("noisy_non_spiking")
]


def play_back(monkeypatch, noise):
    """Lets layers find the recorded noise in place of what they draw."""
    recorded = iter(noise)

    def drawn(*args):
        return ops.convert_to_tensor(next(recorded))

    monkeypatch.setattr(coloured_noise, "coloured_noise", drawn)


@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients_are_those_of_spikingjelly(name, monkeypatch):
    arrays = load(name)
    kind = max((kind for kind in MADE if name.startswith(kind)), key=len)
    layer = MADE[kind](name, arrays)
    layer.build(arrays["x"].shape)
    weights = {w.name: w for w in layer.trainable_weights}
    assert set(weights) == {n for n in arrays if f"grad_{n}" in arrays} - {"x"}
    for weight in weights:
        weights[weight].assign(arrays[weight])
    options = {}
    if "noise" in arrays:
        options = {"training": True}
        play_back(monkeypatch, arrays["noise"])
    y = to_numpy(layer(arrays["x"], **options))
    np.testing.assert_allclose(y, arrays["y"], rtol=1e-5, atol=2e-6)
    assert 0 < np.count_nonzero(y)
    if not HAS_GRADIENTS or "grad_x" not in arrays:
        return
    if "noise" in arrays:
        play_back(monkeypatch, arrays["noise"])

    def loss(x):
        return ops.sum(layer(x, **options) * ops.convert_to_tensor(arrays["weight"]))

    found = gradients(loss, [arrays["x"]], list(weights.values()))
    for name, gradient in zip(["x", *weights], found):
        expected = arrays[f"grad_{name}"]
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize(
    "decode, reduce",
    [
        ("max-mem", lambda v: ops.max(v, axis=1)),
        ("max-abs-mem", lambda v: layers.LILayer(reduce="max_abs").collapse(v)),
        ("mean-mem", lambda v: ops.mean(v, axis=1)),
        ("last-me", lambda v: v[:, -1]),
    ],
)
def test_noise_before_an_integrator_is_the_noisy_neuron_that_does_not_fire(
    decode, reduce, monkeypatch
):
    arrays = load(f"noisy_non_spiking_{decode}")
    noise = layers.ColouredNoise(float(arrays["std"]), learn_std=True)
    integrator = layers.Integrator()
    noise.build(arrays["x"].shape)

    def run(x):
        play_back(monkeypatch, [arrays["noise"]])
        return reduce(integrator(noise(x, training=True)))

    y = to_numpy(run(arrays["x"]))
    np.testing.assert_allclose(y, arrays["y"], rtol=1e-5, atol=1e-6)
    if HAS_GRADIENTS:
        found = gradients(lambda x: ops.sum(run(x)), [arrays["x"]], noise.weights[:1])
        np.testing.assert_allclose(found[1], arrays["grad_std"], rtol=1e-4)
