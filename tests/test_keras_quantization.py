"""Networks that `model.quantize` of Keras has quantised."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import KERAS_VERSION
from backend import to_numpy
from keras.layers import Dense

import keras_spiking
from keras_spiking import layers
from keras_spiking.backends import explain
from keras_spiking.inspection.selection import all_layers

if KERAS_VERSION < (3, 13):
    pytest.skip("Keras has no configurations of quantisers", allow_module_level=True)

ROOT = Path(__file__).parent.parent
OTHER = "numpy" if BACKEND != "numpy" else "torch"
T, N = 5, 7

configs = keras.quantizers
MODES = {
    "int8": {"mode": "int8"},
    "int8 weights": {
        "config": configs.Int8QuantizationConfig(activation_quantizer=None)
    },
    "int4 in groups": {"mode": "int4"},
    "int4 by output": {"config": configs.Int4QuantizationConfig(block_size=None)},
}


def neurons():
    return layers.LIFLayer(tau=1.7, v_reset=None)


def sequential():
    first = [layers.SeqToBatch(Dense(9)), neurons()]
    return keras.Sequential([keras.Input((T, N)), *first, Dense(6), neurons()])


def step_by_step():
    network = layers.StepByStep([Dense(9), neurons(), Dense(6), neurons()])
    return keras.Sequential([keras.Input((T, N)), network])


def recurrent():
    graph = layers.RecurrentGraph(
        nodes={"in": Dense(9), "neurons": neurons(), "back": Dense(9)},
        edges=[
            *[("input", "in"), ("in", "neurons"), ("neurons", "back")],
            *[("back", "neurons"), ("neurons", "output")],
        ],
    )
    return keras.Sequential([keras.Input((T, N)), graph])


def functional():
    frame = keras.Input((N,))
    nested = keras.Model(frame, keras.layers.Dropout(0.5)(Dense(9)(frame)))
    x = keras.Input((T, N))
    y = neurons()(layers.SeqToBatch(nested)(x))
    y = keras.layers.maximum([y, neurons()(Dense(9)(y))])
    # One over heads is an EinsumDense.
    y = layers.SeqToBatch(keras.layers.EinsumDense("ab,bc->ac", 6, bias_axes="c"))(y)
    return keras.Model(x, neurons()(y))


def attention():
    inputs = keras.Input((T, N))
    x = layers.LinearRecurrent(neurons(), units=12)(inputs)
    x = layers.SeqToBatch(keras.layers.Reshape((3, 4)))(x)
    return keras.Model(inputs, layers.SpikingSelfAttention(num_heads=2, scale=1.0)(x))


NETWORKS = [sequential, step_by_step, recurrent, functional, attention]


def enlivened(build):
    model, random = build(), np.random.default_rng(0)
    for variable in model.weights:
        if variable.name in ("kernel", "bias", "beta"):
            value = random.normal(0.2, 0.9, variable.shape)
            # The scale is that of the largest weight: all others lose digits.
            if variable.name == "kernel":
                value[0] *= 6.0
            elif variable.name == "beta":
                value += 0.8  # attention needs many spikes
            variable.assign(value)
    return model


def quantized(build, **options):
    model = enlivened(build)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers that have no weights
        model.quantize(**options)
    return model


def draw(seed=1):
    return (np.random.default_rng(seed).random((32, T, N)) < 0.4).astype("float32")


def kernel_of(layer):
    """What Keras has written into a layer, by NumPy."""
    levels = to_numpy(layer.kernel).astype("float64")
    scale = to_numpy(layer.kernel_scale).astype("float64")
    if not hasattr(layer, "kernel_zero"):
        return levels / scale
    zero = to_numpy(layer.kernel_zero).astype("float64")
    group = to_numpy(layer.g_idx).astype(int)
    return ((levels.reshape(len(group), -1) - zero[group]) * scale[group]).reshape(
        levels.shape
    )


def dequantized(build, model):
    """The same network of float weights, which have the values of the integers."""
    twin = enlivened(build)
    pairs = zip(all_layers(model).values(), all_layers(twin).values())
    count = 0
    for layer, other in pairs:
        if layer.quantization_mode is not None:
            other.kernel.assign(kernel_of(layer))
            count += 1
    assert count > 1
    return twin


@pytest.mark.parametrize("build", NETWORKS)
def test_spikes_are_those_of_the_dequantised_network(build, tmp_path):
    x = draw()
    model = quantized(build, mode="int8")
    spikes = to_numpy(model(x))
    expected = to_numpy(dequantized(build, model)(x))
    assert 0.02 < expected.mean() < 0.98
    assert np.sum(spikes != expected) == 0
    if build is sequential:  # and quantisation makes a difference
        assert np.any(to_numpy(enlivened(build)(x)) != expected)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.sum(to_numpy(again(x)) != spikes) == 0
    kinds = [type(v.value) and str(v.dtype) for v in again.weights]
    assert kinds == [str(v.dtype) for v in model.weights] and "int8" in kinds


@pytest.mark.parametrize("mode", list(MODES)[1:])
def test_of_weights_alone_any_inputs_are_exact(mode, tmp_path):
    """Graded inputs, too: Keras does not round them."""
    x = 1.5 * draw() * np.random.default_rng(2).integers(0, 4, (32, T, N))
    model = quantized(step_by_step, **MODES[mode])
    spikes = model.predict(x, verbose=0)
    expected = to_numpy(dequantized(step_by_step, model)(x))
    assert 0.05 < expected.mean() < 0.95
    assert np.sum(spikes != expected) == 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert np.sum(to_numpy(again(x)) != spikes) == 0


def integrate(currents):
    """LIF with a soft reset, in float64."""
    v, spikes = np.zeros_like(currents[:, 0]), []
    for current in np.moveaxis(currents, 1, 0):
        v = v + (current - v) / 1.7
        assert np.abs(v - 1.0).min() > 1e-5  # roundings make no difference
        spikes.append((v >= 1.0).astype("int64"))
        v = v - spikes[-1]
    return np.stack(spikes, axis=1)


def test_spikes_are_those_of_integer_arithmetic():
    model, spikes = quantized(sequential, mode="int8"), draw().astype("int64")
    for layer in all_layers(model).values():
        if isinstance(layer, Dense):
            levels = to_numpy(layer.kernel)
            assert levels.dtype == "int8"
            sums = spikes @ levels.astype("int64")
            scale = to_numpy(layer.kernel_scale).astype("float64")
            spikes = integrate(sums / scale + to_numpy(layer.bias))
    assert 0.05 < spikes.mean() < 0.95
    assert np.sum(model.predict(draw(), verbose=0) != spikes) == 0


def test_inputs_that_are_not_spikes_are_rounded():
    """1 of at most 2 becomes 64 of 127, and 0.5039 of 1."""
    layer = Dense(3, use_bias=False)
    layer.build((None, 2))
    layer.quantize("int8")
    kernel, x = kernel_of(layer), np.array([[1.0, 2.0], [1.0, -1.0]], "float32")
    expected = np.array([[2 * 64 / 127, 2.0], [1.0, -1.0]]) @ kernel
    np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-5)


LOAD = """
import sys
sys.path.insert(0, "tests")
import keras, numpy as np
import keras_spiking
import test_keras_quantization as tests
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], keras.ops.convert_to_numpy(model(tests.draw())))
"""


def test_another_backend_loads_them_with_equal_spikes(tmp_path):
    model = quantized(attention, mode="int8")
    model.save(tmp_path / "model.keras")
    subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "model.keras", tmp_path / "y.npy"],
        env={**os.environ, "KERAS_BACKEND": OTHER, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        check=True,
    )
    expected = to_numpy(model(draw()))
    assert expected.any()
    assert np.sum(np.load(tmp_path / "y.npy") != expected) == 0


@pytest.mark.once
def test_networks_of_papers_have_their_classifier_quantised():
    network = keras_spiking.models.OTTTSpikingVGG((2, 8, 8, 2), filters=2, classes=3)
    with pytest.warns(UserWarning, match="Conv2D does not have a `quantize`"):
        network.quantize("int8")
    modes = [x.quantization_mode for x in all_layers(network).values()]
    assert modes.count("int8") == 1
    assert to_numpy(network(np.ones((1, 2, 8, 8, 2), "float32"))).shape == (1, 3)


def test_neurons_are_not_warned_of():
    model = enlivened(sequential)
    with pytest.warns(UserWarning) as caught:
        model.quantize("int8")
    messages = [m for m in (str(w.message) for w in caught) if "`quantize`" in m]
    assert [m.split()[1] for m in messages] == ["InputLayer"]


def test_quantised_products_are_explained():
    model = enlivened(sequential)
    model(draw())
    rows = [row for row in explain(model) if "dense" in row["layer"]]
    assert len(rows) == 1 and "Keras" not in rows[0]["reason"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.quantize("int8")
    rows = [row for row in explain(model) if "dense" in row["layer"]]
    assert len(rows) == 2
    for row in rows:
        assert row["implementation"] == "dense"
        assert "Keras has quantised it (int8)" in row["reason"]


@pytest.mark.parametrize("mode", ["int8", "int4 in groups"])
def test_synapses_that_became_zero_are_not_counted(mode):
    """Also where they are no zeros: a group has an integer of its own for 0."""
    model = quantized(sequential, **MODES[mode])
    report = keras_spiking.energy.report(model, draw())
    twin = keras_spiking.energy.report(dequantized(sequential, model), draw())
    assert report.acs == twin.acs > 0
    float_report = keras_spiking.energy.report(enlivened(sequential), draw())
    assert report.dense == float_report.dense


def gptq():
    model = enlivened(sequential)
    config = keras.quantizers.GPTQConfig(dataset=["a"], tokenizer=None, group_size=-1)
    model.layers[0].layers[0].quantize("gptq", config=config)
    return model


@pytest.mark.once
def test_modes_whose_synapses_are_not_known_are_refused():
    layer = gptq().layers[0].layers[0]
    with pytest.raises(ValueError, match=r"'gptq'. Count them before"):
        keras_spiking.energy.fan_out(layer, (N,))


@pytest.mark.once
@pytest.mark.parametrize("mode", list(MODES)[1:])
def test_compiled_networks_have_equal_spikes(mode):
    model = quantized(sequential, **MODES[mode])
    expected = to_numpy(model(draw()))
    for weights in ("float32", "int8"):
        net = keras_spiking.inference.compile(model, weights=weights)
        assert np.sum(net(draw()) != expected) == 0


@pytest.mark.once
def test_compiled_networks_whose_inputs_are_quantised():
    model = enlivened(sequential)
    model.layers[2].quantize("int8")  # its inputs are spikes
    expected = to_numpy(model(draw()))
    for weights in ("float32", "int8"):
        net = keras_spiking.inference.compile(model, weights=weights)
        assert np.sum(net(draw()) != expected) == 0
    message = "not all 0 and 1. Quantise its weights only"
    with pytest.raises(ValueError, match=message):
        keras_spiking.inference.compile(quantized(sequential, mode="int8"))
    with pytest.raises(ValueError, match="mode 'float8'"):
        keras_spiking.inference.compile(quantized(sequential, mode="float8"))


@pytest.mark.once
def test_nir_holds_the_dequantised_weights():
    pytest.importorskip("nir")

    def build():
        fire = layers.IFLayer(v_reset=0.0)
        return keras.Sequential([keras.Input((T, N)), Dense(9), fire])

    model = quantized(build, **MODES["int8 weights"])
    again = keras_spiking.export.from_nir(keras_spiking.export.to_nir(model))
    expected = to_numpy(model(draw()))
    assert expected.any()
    assert np.sum(to_numpy(again(draw())) != expected) == 0
    with pytest.raises(ValueError, match="Quantise the weights only"):
        keras_spiking.export.to_nir(quantized(build, mode="int8"))


def test_layers_with_a_grid_of_their_own_stay_as_they_are():
    inner = layers.Quantized(Dense(3), name="own")
    model = keras.Sequential([keras.Input((T, N)), inner, neurons(), Dense(2)])
    before = to_numpy(inner.quantized_weights()[0])
    with pytest.warns(UserWarning, match="stays as it is: Quantized 'own'"):
        model.quantize("int8")
    np.testing.assert_array_equal(to_numpy(inner.quantized_weights()[0]), before)
    assert model.layers[2].quantization_mode == "int8"
    with pytest.raises(NotImplementedError, match=r"compile\(model, weights=\"int8\""):
        inner.layer.quantize("int8")
    with pytest.raises(ValueError, match="Wrap it before `model.quantize`"):
        layers.Quantized(model.layers[2])


def test_integers_are_neither_folded_nor_taught():
    block = layers.SeqToBatch([Dense(3), keras.layers.BatchNormalization()])
    model = keras.Sequential([keras.Input((T, N)), block, neurons()])
    block.layers[0].quantize("int8")
    with pytest.raises(ValueError, match="Fold before `model.quantize`"):
        keras_spiking.conversion.fold_normalizations(model)
    rule = keras_spiking.learning.Hebbian(block.layers[0])
    with pytest.raises(ValueError, match="Train before `model.quantize`"):
        rule(np.ones((1, T, N), "float32"), np.ones((1, T, 3), "float32"))


@pytest.mark.parametrize(
    "quantize, message",
    [
        (lambda model: model.quantize("int9"), "int9"),
        (lambda model: [model.quantize("int8") for _ in "12"], "already quantized"),
        (lambda _: keras.Sequential([Dense(2)]).quantize("int8"), "isn't yet built"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_keras_refuses(quantize, message):
    with pytest.raises(ValueError, match=message):
        quantize(enlivened(sequential))
