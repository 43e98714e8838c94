"""What has SpikingJelly's name computes what SpikingJelly does.

The numbers are those that `generate_spikingjelly.py` has written.
"""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops
from spikingjelly_modules import MODULES
from spikingjelly_modules import module_of

from keras_spiking import layers
from keras_spiking import learning
from keras_spiking import quantizers
from keras_spiking import surrogates

RECORDED = Path(__file__).parents[1] / "data" / "spikingjelly"
FOLDER = Path(os.environ.get("SPIKINGJELLY_VECTORS", RECORDED))


def cases(*prefixes):
    names = sorted(path.stem for path in FOLDER.glob("*.npz"))
    found = [n for n in names if n.startswith(prefixes)]
    assert found, f"nothing recorded of {prefixes} in {FOLDER}"
    return pytest.mark.parametrize("name", found)


def load(name):
    with np.load(FOLDER / f"{name}.npz") as arrays:
        arrays = dict(arrays)
    return json.loads(str(arrays.pop("config"))), arrays


def close(found, expected, tolerance=2e-5):
    expected = np.asarray(expected)
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(
        to_numpy(found) / scale, expected / scale, rtol=0.0, atol=tolerance
    )


def recorded(name):
    """Our module with the recorded weights, their gradients, and the arrays."""
    config, arrays = load(name)
    make, layout = module_of(name)
    module, weights = make(config, arrays)
    for weight, value, _ in weights:
        weight.assign(value(arrays, "param"))
    learned = [(w, value) for w, value, is_learned in weights if is_learned]
    arrays |= {k: layout(arrays[k]) for k in ("x", "y", "weight", "grad_x")}
    return module, learned, arrays


def options(name):
    normalizes = ("mpbn", "qk", "spiking_self", "spike_driven")
    training = name.startswith(normalizes) and "inference" not in name
    return {"training": True} if training else {}


@cases(*MODULES)
def test_outputs_are_those_of_spikingjelly(name):
    module, _, arrays = recorded(name)
    close(module(arrays["x"], **options(name)), arrays["y"])


@pytest.mark.trains
@cases(*MODULES)
def test_gradients_are_those_of_spikingjelly(name):
    module, learned, arrays = recorded(name)

    def loss(x):
        weight = ops.convert_to_tensor(arrays["weight"])
        return ops.sum(module(x, **options(name)) * weight)

    found = gradients(loss, [arrays["x"]], [w for w, _ in learned])
    close(found[0], arrays["grad_x"])
    for gradient, (_, value) in zip(found[1:], learned):
        close(gradient, value(arrays, "grad"))


@cases("raf", "mpbn_inference", "store_v_seq")
def test_potentials_of_all_steps_are_an_output(name):
    module, _, arrays = recorded(name)
    spikes, v = layers.WithStates(module)(arrays["x"])
    close(spikes, arrays["y"])
    close(v, arrays["v_seq"])


@cases("mpbn_training", "mpbn_images")
def test_moving_averages_are_those_of_spikingjelly(name):
    module, _, arrays = recorded(name)
    module(arrays["x"], training=True)
    close(ops.ravel(module.moving_mean), arrays["after_vbn.running_mean"])
    close(ops.ravel(module.moving_variance), arrays["after_vbn.running_var"])


@cases(*(f"soft_{c}" for c in "AELNPQRS"))
def test_surrogates_that_do_not_spike(name):
    _, arrays = load(name)
    surrogate = getattr(surrogates, name.removeprefix("soft_"))(spiking=False)
    close(surrogate(arrays["x"]), arrays["y"])
    if keras.config.backend() != "numpy":
        found = gradients(lambda x: ops.sum(surrogate(x)), [arrays["x"]], [])
        close(found[0], arrays["grad_x"])


@cases("drop_connect")
def test_dropped_connections_have_the_mean_of_spikingjelly(name):
    config, arrays = load(name)
    layer = layers.DropConnectDense(4, **config)
    layer.build((2, 1, 6))
    layer.kernel.assign(arrays["param_weight"].T)
    layer.bias.assign(arrays["param_bias"])
    close(layer(arrays["x"][:, None])[:, 0], arrays["y"], tolerance=0.01)


QUANTIZERS = {
    "step_quantize": lambda x, step: quantizers.step_quantize(x, step),
    "k_bit_quantize": lambda x, bits: quantizers.k_bit_quantize(x, bits),
    "affine_k_bit_quantize": lambda x, w, b, bits: quantizers.affine_k_bit_quantize(
        x, bits, w, b
    ),
    "clamp_by_linear": lambda x: quantizers.clamp_by_linear(x),
    "multi_level_spike_count": lambda x, max_spikes, window: (
        quantizers.multi_level_spike_count(x, max_spikes, window)
    ),
    "clamp": lambda x: quantizers.clip(x, -0.5, 0.5),
}


@cases(*QUANTIZERS)
def test_quantizers_are_those_of_spikingjelly(name):
    config, arrays = load(name)
    kind = max((k for k in QUANTIZERS if name.startswith(k)), key=len)
    inputs = [k for k in ("x", "w", "b") if k in arrays]

    def quantized(*tensors):
        return QUANTIZERS[kind](*tensors, **config)

    tensors = [arrays[k] for k in inputs]
    close(quantized(*map(ops.convert_to_tensor, tensors)), arrays["y"])
    if keras.config.backend() != "numpy":
        weight = ops.convert_to_tensor(arrays["weight"])
        found = gradients(lambda *t: ops.sum(quantized(*t) * weight), tensors, [])
        for key, gradient in zip(inputs, found):
            close(gradient, arrays[f"grad_{key}"])


@pytest.mark.trains
@cases("mstdp")
def test_rewarded_plasticity_is_that_of_spikingjelly(name):
    taus, arrays = load(name)
    dense = keras.layers.Dense(3)
    dense.build((None, 5))
    dense.kernel.assign(arrays["kernel"].T)
    cls = learning.MSTDP if name == "mstdp" else learning.MSTDPET
    rule = cls(dense, *taus.values(), ops.sin, ops.cos)
    delta = rule(arrays["x"], arrays["spikes"], arrays["reward"])
    close(delta, arrays["delta_w"].T)


@cases("population")
def test_population_codes_are_those_of_spikingjelly(name):
    config, arrays = load(name)
    spikes = "deterministic" if name.endswith("spikes") else None
    encoder = layers.PopulationEncoder(**config, spikes=spikes)
    close(encoder(arrays["x"]), arrays["y"])
    if keras.config.backend() != "numpy":
        weight = ops.convert_to_tensor(arrays["weight"])
        found = gradients(
            lambda x: ops.sum(encoder(x) * weight),
            [arrays["x"]],
            [encoder.mean, encoder.std],
        )
        for gradient, key in zip(found, ("x", "mean", "std")):
            close(gradient, arrays[f"grad_{key}"])


@cases("gaussian_tuning")
def test_tuning_curves_and_times_are_those_of_spikingjelly(name):
    config, arrays = load(name)
    encoder = layers.GaussianTuning(
        **config, x_min=arrays["x_min"], x_max=arrays["x_max"]
    )
    spikes = to_numpy(encoder(arrays["x"]))
    close(encoder.mean, arrays["mean"])
    close(encoder.std, np.broadcast_to(arrays["std"], encoder.std.shape))
    times = np.rint(arrays["times"])  # theirs are real numbers, ours steps
    steps = np.arange(config["timesteps"])[:, None]
    np.testing.assert_array_equal(spikes, times[:, None] == steps)
