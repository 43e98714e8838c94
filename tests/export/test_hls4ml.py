"""Networks for FPGAs by hls4ml, whose C++ runs on this computer."""

import importlib.util
import sys

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy
from keras import layers

from keras_spiking import export
from keras_spiking import layers as sl

installed = pytest.mark.skipif(
    importlib.util.find_spec("hls4ml") is None,
    reason="hls4ml is not installed (`pip install hls4ml`)",
)
TIME = 8


def exact(model):
    """Gives a model weights that are multiples of 1/8, so that all sums are exact."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("kernel", "bias", "gamma", "beta", "moving_mean"):
            weight.assign(random.integers(-4, 8, weight.shape) / 8)
        if weight.name == "moving_variance":
            weight.assign(np.full(weight.shape, 0.25))
    return model


def network(shape, *stack):
    return exact(keras.Sequential([keras.Input((TIME, *shape)), *stack]))


def dense():
    per_neuron = [0.5, 1.0, 0.75]
    return network(
        (5,),
        layers.Dense(7),
        sl.LIFLayer(2.0),
        sl.Quantized(layers.Dense(6), kernel_quantizer="loihi"),
        sl.IFLayer(1.5, v_reset=None),
        sl.SeqToBatch(layers.Dense(5)),
        sl.LIFLayer([4.0, 2.0, 1.0, 2.0, 4.0], v_reset=-0.25, decay_input=False),
        layers.Dense(4),
        sl.IFLayer(v_reset=0.125),
        layers.Dense(3),
        sl.ParametricLIFLayer(2.0, v_threshold=per_neuron, v_reset=None),
    )


def residual():
    inputs = keras.Input((TIME, 5))
    spikes = sl.IFLayer(v_reset=None)(layers.Dense(4)(inputs))
    more = sl.LIFLayer(4.0, v_reset=None)(layers.Dense(4)(spikes))
    both = layers.Add()([spikes, more])
    return exact(keras.Model(inputs, sl.IFLayer()(layers.Dense(3)(both))))


def convolutional():
    normalization = layers.BatchNormalization(epsilon=0.0)
    return network(
        (5, 6, 2),
        sl.SeqToBatch([layers.Conv2D(3, 3, padding="same"), normalization]),
        sl.LIFLayer([1.0, 2.0, 4.0]),
        sl.SeqToBatch(layers.MaxPooling2D(2)),
        sl.SeqToBatch([layers.Conv2D(3, 2), layers.Flatten(), layers.Dense(4)]),
        sl.IFLayer(v_reset=None),
        layers.GlobalAveragePooling1D(),
    )


def project(model, folder, backend="Vivado", io_type="io_parallel", **types):
    import hls4ml

    export.register_hls4ml()
    export.register_hls4ml()  # once more does no harm
    config = hls4ml.utils.config_from_keras_model(model, granularity="name")
    for name, precision in types.items():
        config["LayerName"].setdefault(name, {})["Precision"] = precision
    return hls4ml.converters.convert_from_keras_model(
        model,
        hls_config=config,
        backend=backend,
        io_type=io_type,
        output_dir=str(folder / "project"),
    )


def neurons(project):
    return [n for n in project.get_layers() if n.class_name == "SpikingNeurons"]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "hls4ml", None)
    with pytest.raises(ImportError, match="pip install hls4ml"):
        export.register_hls4ml.__wrapped__()


@installed
@pytest.mark.skipif(BACKEND != "numpy", reason="compiled once")
@pytest.mark.parametrize(
    "make, backend, io_type",
    [
        (dense, "Vivado", "io_parallel"),
        (dense, "Vitis", "io_stream"),
        (residual, "Vitis", "io_stream"),
        (convolutional, "Vitis", "io_parallel"),
    ],
)
def test_the_emulation_gives_the_outputs_of_predict(make, backend, io_type, tmp_path):
    model = make()
    random = np.random.default_rng(1)
    x = random.integers(0, 8, (20, *model.input_shape[1:])) / 4
    expected = to_numpy(model(x))
    assert 0.1 < expected.mean() < 0.9
    emulated = project(model, tmp_path, backend, io_type)
    emulated.compile()
    got = emulated.predict(np.ascontiguousarray(x)).reshape(expected.shape)
    np.testing.assert_array_equal(got, expected)


@installed
def test_parameters_and_quantised_weights_are_taken_over(tmp_path):
    model = dense()
    got = neurons(project(model, tmp_path))
    values = [
        {name: node.get_weights(name).data for name in node.weights} for node in got
    ]
    for value, layer in zip(values, model.layers[1::2]):
        expected = {
            "threshold": layer.v_threshold,
            "baseline": layer.baseline,
            "decay": 1 / getattr(layer, "tau", np.ones(())),
        }
        for name, parameter in expected.items():
            wanted = np.ravel(to_numpy(parameter))
            np.testing.assert_allclose(value[name], wanted * np.ones_like(value[name]))


@installed
def test_types_come_from_the_configuration(tmp_path):
    model = network((3,), sl.LIFLayer(name="a"), sl.IFLayer(name="b"))
    given = {"potential": "fixed<24,8,RND,SAT>", "decay": "ufixed<9,1>"}
    a, b = neurons(project(model, tmp_path, a=given))
    assert a.types["potential_t"].precision.width == 24
    assert a.types["decay_t"].precision.width == 9
    assert b.types["potential_t"].precision.width == 32
    assert a.get_output_variable().type.precision.width == 1
    a, _ = neurons(project(model, tmp_path, a="fixed<20,6>"))
    assert a.types["potential_t"].precision.width == 20


@installed
@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: sl.LIFLayer(return_state=True), "`return_state=False`"),
        (lambda: sl.LIFLayer(return_sequences=False), "`return_sequences=True`"),
        (lambda: sl.IFLayer(5000.0), "Precision: potential"),
        (lambda: sl.SeqToBatch(layers.BatchNormalization(axis=1)), "last axis"),
        (
            lambda: sl.SeqToBatch(layers.Conv1D(2, 2, activation="relu")),
            "a layer of its own",
        ),
        (lambda: sl.QIFLayer(), "not found in registry"),
    ],
)
def test_what_cannot_be_written_is_refused(make, message, tmp_path):
    inputs = keras.Input((TIME, 4, 3))
    outputs = keras.tree.flatten(make()(inputs))
    with pytest.raises(ValueError, match=message):
        project(keras.Model(inputs, outputs), tmp_path)


@installed
def test_smooth_activations_and_open_times_are_refused(tmp_path):
    layer = sl.LIFLayer()
    layer.surrogate.spiking = False
    with pytest.raises(ValueError, match="no spikes"):
        project(network((3,), layer), tmp_path)
    model = keras.Sequential([keras.Input((None, 3)), sl.LIFLayer()])
    with pytest.raises(ValueError, match="number of time steps"):
        project(model, tmp_path)
