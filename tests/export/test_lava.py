import pathlib

import h5py
import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import export
from keras_spiking import layers
from keras_spiking.layers import CubaLIFLayer
from keras_spiking.layers import Quantized
from keras_spiking.layers import SeqToBatch

LAVA = pathlib.Path(__file__).parents[1] / "data" / "lava"
NAMES = ("dense", "convolutional", "varied", "delayed")


def quantized(layer, *arguments, spread=0.5, **options):
    initializer = keras.initializers.RandomNormal(stddev=spread)
    return Quantized(
        layer(*arguments, use_bias=False, kernel_initializer=initializer, **options)
    )


def dense(units, **options):
    return quantized(keras.layers.Dense, units, **options)


def convolution(*arguments, **options):
    return quantized(keras.layers.Conv2D, *arguments, **options)


def random_spikes(*shape, rate=0.4):
    return (np.random.default_rng(0).uniform(size=shape) < rate).astype("float32")


def sequential(shape, *stack):
    return keras.Sequential([keras.Input((None, *shape)), *stack])


def assert_exported_equals_keras(model, path, steps=20):
    spikes = random_spikes(2, steps, *model.input_shape[2:])
    export.to_lava(model, path)
    expected = to_numpy(model(spikes))
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(export.simulate_lava(path, spikes), expected)
    again = export.from_lava(path)
    np.testing.assert_array_equal(to_numpy(again(spikes)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_simulation_equals_a_recorded_run_of_lava(name):
    spikes = np.load(LAVA / f"{name}_input.npy")
    lava = np.load(LAVA / f"{name}_lava.npy")
    assert lava.sum() > 100
    simulated = export.simulate_lava(LAVA / f"{name}.net", spikes, pipelined=True)
    np.testing.assert_array_equal(simulated, lava)


@pytest.mark.parametrize("name", ("dense", "convolutional", "delayed"))
def test_keras_equals_a_recorded_run_of_lava(name):
    spikes = np.load(LAVA / f"{name}_input.npy")
    lava = np.load(LAVA / f"{name}_lava.npy")
    model = export.from_lava(LAVA / f"{name}.net")
    latency = spikes.shape[1] - 50
    outputs = to_numpy(model(spikes[:, :50].astype("float32")))
    np.testing.assert_array_equal(outputs, lava[:, latency:])


def test_dense_network_with_bias_and_delay_is_lossless(tmp_path):
    model = sequential(
        (12,),
        dense(9, spread=1.0),
        CubaLIFLayer(bias=np.linspace(-0.5, 0.5, 9)),
        dense(7, spread=1.0),
        CubaLIFLayer(2.0, current_decay=0.5, voltage_decay=0.1),
        layers.LearnableDelay(max_delay=5),
        dense(5, spread=1.0),
        CubaLIFLayer(),
        layers.Delay(3),
    )
    assert_exported_equals_keras(model, tmp_path / "network.net")


def test_convolutional_network_is_lossless(tmp_path):
    model = sequential(
        (11, 12, 2),
        SeqToBatch(convolution(4, (3, 5), strides=(2, 1))),
        CubaLIFLayer(bias=0.25),
        SeqToBatch([convolution(6, 3, padding="same", groups=2)]),
        CubaLIFLayer(),
        SeqToBatch(keras.layers.AveragePooling2D(2)),
        CubaLIFLayer(0.25, current_decay=1.0, voltage_decay=0.0),
        SeqToBatch([keras.layers.ZeroPadding2D((1, 2)), convolution(3, 2)]),
        CubaLIFLayer(),
        SeqToBatch([keras.layers.Flatten(), keras.layers.Dropout(0.5)]),
        dense(5),
        CubaLIFLayer(),
    )
    assert_exported_equals_keras(model, tmp_path / "network.net")


def test_pooling_is_folded_into_the_next_layer(tmp_path):
    coarse = keras.initializers.RandomUniform(-2, 2)

    def on_coarse_grid(layer, *arguments, **options):
        # A quarter of these weights is on the chip's grid, too.
        layer = layer(*arguments, use_bias=False, kernel_initializer=coarse, **options)
        return Quantized(layer, kernel_quantizer=lambda w: keras.ops.round(8 * w) / 8)

    model = sequential(
        (13, 12, 2),
        SeqToBatch(
            [
                keras.layers.AveragePooling2D(2),
                on_coarse_grid(keras.layers.Conv2D, 3, 2),
            ]
        ),
        CubaLIFLayer(),
        SeqToBatch([keras.layers.AveragePooling2D(2), keras.layers.Flatten()]),
        on_coarse_grid(keras.layers.Dense, 6),
        CubaLIFLayer(),
    )
    spikes = random_spikes(2, 20, 13, 12, 2)
    export.to_lava(model, tmp_path / "network.net")
    expected = to_numpy(model(spikes))
    assert 0.02 < expected.mean() < 0.98
    np.testing.assert_array_equal(
        export.simulate_lava(tmp_path / "network.net", spikes), expected
    )


def test_if_neurons_fire_at_the_threshold_on_the_chip_too(tmp_path):
    model = sequential(
        (8,), dense(8), layers.IFLayer(1.0), dense(4), layers.IFLayer(0.5)
    )
    assert_exported_equals_keras(model, tmp_path / "network.net", steps=40)


def test_lif_neurons_differ_by_the_rounding_of_the_leak_only(tmp_path):
    neurons = layers.LIFLayer(tau=4.0, decay_input=False, v_threshold=1.0)
    model = sequential((16,), dense(32), neurons)
    export.to_lava(model, tmp_path / "network.net")
    spikes = random_spikes(8, 40, 16)
    simulated = export.simulate_lava(tmp_path / "network.net", spikes)
    assert np.mean(simulated != to_numpy(model(spikes))) < 0.01


def test_float_network_is_quantised_on_request_with_a_report(tmp_path):
    model = sequential(
        (20,),
        keras.layers.Dense(30, use_bias=False),
        keras.layers.BatchNormalization(),
        layers.IFLayer(1.0),
        keras.layers.Dense(10),
        layers.LIFLayer(tau=2.0, v_threshold=0.2),
    )
    random = np.random.default_rng(1)
    normalization = model.layers[1]
    values = [random.uniform(0.5, 1.5, w.shape) for w in normalization.weights]
    normalization.set_weights(values)
    model.layers[3].bias.assign(random.normal(0, 0.1, 10))
    path = tmp_path / "network.net"
    with pytest.raises(ValueError, match="cannot hold the weight and the bias"):
        export.to_lava(model, path)
    report = export.to_lava(model, path, quantize=True)
    for layer in report:
        assert 0 < layer["rms_weight_error"] <= layer["max_weight_error"]
        # Half a step of the grid, but a whole one at the largest positive weight.
        assert layer["max_weight_error"] <= 1 / 32 / layer["scale"]
        assert layer["bias_error"] <= 1 / 128 / layer["scale"] + 1e-9
    spikes = random_spikes(16, 50, 20)
    rate = to_numpy(model(spikes)).mean(axis=1)
    simulated = export.simulate_lava(path, spikes).mean(axis=1)
    assert np.abs(rate - simulated).mean() < 0.02
    assert np.corrcoef(rate.ravel(), simulated.ravel())[0, 1] > 0.95


def test_file_has_the_layout_of_netx(tmp_path):
    model = sequential((4, 6, 2), SeqToBatch(convolution(3, (2, 3))), CubaLIFLayer())
    export.to_lava(model, tmp_path / "network.net")
    with h5py.File(tmp_path / "network.net") as file:
        assert list(file["layer"]) == ["0", "1"]
        np.testing.assert_array_equal(file["layer/0/shape"], [2, 4, 6])
        entry = file["layer/1"]
        assert entry["type"].dtype == "S10" and entry["type"][0] == b"conv"
        np.testing.assert_array_equal(entry["shape"], [3, 3, 4])
        kernel = to_numpy(model.layers[0].layers[0].quantized_weights()[0])
        np.testing.assert_array_equal(
            entry["weight"], 64 * kernel.transpose(3, 2, 0, 1)
        )
        neuron = entry["neuron"]
        registers = [int(neuron[k][()]) for k in ("vThMant", "iDecay", "vDecay")]
        assert registers == [80, 1024, 123]


@pytest.mark.parametrize(
    "stack, message",
    [
        ([dense(3), layers.QIFLayer()] if hasattr(layers, "QIFLayer") else None, "QIF"),
        ([dense(3), layers.IFLayer(v_reset=None)], "resets to 0"),
        ([dense(3), layers.IFLayer(v_threshold=[1.0, 2.0, 3.0])], "one v_threshold"),
        ([dense(3), CubaLIFLayer(voltage_decay=[0.1, 0.2, 0.3])], "one voltage_decay"),
        (
            [dense(3), CubaLIFLayer(), layers.FiringRate()],
            "FiringRate.*reduces over time",
        ),
        ([keras.layers.Dense(3, activation="relu"), CubaLIFLayer()], "activation"),
        ([keras.layers.Dense(3), CubaLIFLayer()], "cannot hold the weight"),
        ([CubaLIFLayer()], "no synapses"),
        ([dense(3), dense(3), CubaLIFLayer()], "cannot be merged"),
        ([dense(3)], "returns spikes"),
        ([dense(3), CubaLIFLayer(), layers.Delay(63)], "62"),
        (
            [layers.DelayedDense(3), CubaLIFLayer()],
            "'delayed_dense.*not each synapse.*LearnableDelay",
        ),
        (
            [dense(3), CubaLIFLayer(), layers.LearnableDelay(round_at_inference=False)],
            "fractions of time steps.*round_delays",
        ),
        ([dense(3), layers.LILayer()], "LILayer"),
    ],
)
def test_refuses_what_the_chip_cannot_do_before_anything_is_written(
    stack, message, tmp_path
):
    if stack is None:
        pytest.skip("this neuron does not exist")
    model = sequential((4,), *stack)
    with pytest.raises(ValueError, match=message):
        export.to_lava(model, tmp_path / "network.net")
    assert not list(tmp_path.iterdir())


def test_refuses_a_bias_that_goes_through_the_current(tmp_path):
    layer = Quantized(keras.layers.Dense(3, bias_initializer="ones"))
    model = sequential((4,), layer, CubaLIFLayer())
    with pytest.raises(ValueError, match="CubaLIFLayer\\(bias"):
        export.to_lava(model, tmp_path / "network.net")


def test_refuses_uneven_padding(tmp_path):
    model = sequential(
        (4, 4, 1), SeqToBatch(convolution(2, 2, padding="same")), CubaLIFLayer()
    )
    with pytest.raises(ValueError, match="ZeroPadding2D"):
        export.to_lava(model, tmp_path / "network.net")


@pytest.mark.parametrize("content", [b"", b"no HDF5", None])
def test_refuses_damaged_files(content, tmp_path):
    path = tmp_path / "network.net"
    path.write_bytes(
        (LAVA / "dense.net").read_bytes()[:2000] if content is None else content
    )
    with pytest.raises(ValueError, match="not a netx file of Lava, or is damaged"):
        export.from_lava(path)


def test_refuses_foreign_hdf5_files(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ValueError, match="not a netx file of Lava.*layer"):
        export.simulate_lava(tmp_path / "other.h5", np.zeros((1, 2, 3)))


def test_refuses_input_that_does_not_fit():
    with pytest.raises(ValueError, match=r"takes spikes \(batch, time, 64,\)"):
        export.simulate_lava(LAVA / "dense.net", np.zeros((1, 2, 63)))
    with pytest.raises(ValueError, match="0 and 1"):
        export.simulate_lava(LAVA / "dense.net", np.full((1, 2, 64), 0.5))


def test_a_file_stays_as_it_was_if_the_export_fails(tmp_path):
    path = tmp_path / "network.net"
    path.write_text("precious")
    model = sequential((4,), keras.layers.Dense(3), CubaLIFLayer())
    with pytest.raises(ValueError):
        export.to_lava(model, path)
    assert path.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["network.net"]


def exported(folder, model=None):
    path = folder / "network.net"
    model = model or sequential((4,), dense(3, spread=1.0), CubaLIFLayer(bias=0.25))
    export.to_lava(model, path)
    return path


def convolutional():
    return sequential((4, 6, 2), SeqToBatch(convolution(3, (2, 3))), CubaLIFLayer())


def replace(file, key, value):
    del file[key]
    file[key] = value


WEIGHT = np.array([[2.0, 4.0, np.nan, 2.0]] * 3)
BROKEN = {
    "neuron/vThMant": [(0, "threshold"), (-5, "threshold"), (10**6, "threshold")],
    "neuron/iDecay": [(99999, "current decay"), (np.nan, "iDecay"), (-1, "decay")],
    "neuron/vDecay": [([1, 2], "vDecay must be one number")],
    "neuron/refDelay": [(5, "refDelay=1 is supported. Received: 5")],
    "neuron/gradedSpike": [(True, "gradedSpike")],
    "neuron/type": [("ALIF", "ALIF"), (3, "damaged")],
    "weight": [
        (WEIGHT, "weight must be finite"),
        (np.full((3, 4), 300.0), "a weight"),
        (np.full((3, 5), 2.0), "inFeatures"),
        (np.full((2, 4), 2.0), "outFeatures"),
        (np.zeros((0, 4)), "damaged|outFeatures"),
        ("text", "damaged"),
    ],
    "inFeatures": [(7, "inFeatures must be 4"), ("x", "inFeatures|damaged")],
    "outFeatures": [(7, "outFeatures must be 3")],
    "shape": [([4], "the shape must be"), ([3, 2], "the shape must be")],
    "bias": [([1.0, 2.0], "bias must be"), ([np.inf] * 3, "bias must be finite")],
    "type": [("pool", "pool")],
}
CONVOLUTION = {
    "stride": [(0, "strides"), ([2, 2], "the shape must be")],
    "padding": [(-1, "padding"), (10**6, "the shape must be")],
    "dilation": [(0, "dilation")],
    "groups": [(2, "inChannels"), (0, "inChannels")],
    "inChannels": [(3, "inChannels must be 2")],
    "kernelSize": [([3, 3], "kernelSize")],
    "shape": [([3, 3, 5], "the shape must be"), ([3], "the shape must be")],
}


@pytest.mark.parametrize(
    "model, key, value, message",
    [
        (model, key, *case)
        for model, table in ((None, BROKEN), (convolutional, CONVOLUTION))
        for key, cases in table.items()
        for case in cases
    ],
)
def test_files_are_checked_alike_wherever_they_are_read(
    model, key, value, message, tmp_path
):
    path = exported(tmp_path, model and model())
    with h5py.File(path, "a") as file:
        replace(file["layer/1"], key, value)
    with pytest.raises(ValueError, match=message):
        export.from_lava(path)
    shape = (1, 2, 4, 6, 2) if model else (1, 2, 4)
    with pytest.raises(ValueError, match=message):
        export.simulate_lava(path, np.zeros(shape))


def test_layers_of_a_file_must_fit_each_other(tmp_path):
    stack = [dense(3, spread=1.0), CubaLIFLayer(), dense(2, spread=1.0), CubaLIFLayer()]
    path = exported(tmp_path, sequential((4,), *stack))
    with h5py.File(path, "a") as file:
        replace(file["layer/2"], "weight", np.full((2, 5), 2.0))
        del file["layer/2/inFeatures"]
    with pytest.raises(ValueError, match="number of inputs must be 3. Received: 5"):
        export.from_lava(path)
    with h5py.File(path, "a") as file:
        replace(file["layer/0"], "shape", [9])
    with pytest.raises(ValueError, match="number of inputs must be 9. Received: 4"):
        export.simulate_lava(path, np.zeros((1, 2, 9)))


def test_small_files_that_describe_large_arrays_are_refused(tmp_path):
    path = exported(tmp_path)
    with h5py.File(path, "a") as file:
        del file["layer/1/weight"]
        file["layer/1"].create_dataset("weight", (10**7, 10**7), "f4", chunks=(9, 9))
    assert path.stat().st_size < 100_000
    for function in (export.from_lava, lambda p: export.simulate_lava(p, [[[0] * 4]])):
        with pytest.raises(ValueError, match="`max_bytes`"):
            function(path)
    path = exported(tmp_path, convolutional())
    with h5py.File(path, "a") as file:
        replace(file["layer/1"], "padding", 10**6)
        replace(file["layer/1"], "shape", [3, 2 * 10**6 + 3, 2 * 10**6 + 4])
    with pytest.raises(ValueError, match="`max_bytes`"):
        export.simulate_lava(path, np.zeros((1, 1, 4, 6, 2)))
    with pytest.raises(ValueError, match="`max_bytes`"):
        export.from_lava(exported(tmp_path), max_bytes=10)


def test_arrays_of_other_files_are_not_read(tmp_path):
    path = exported(tmp_path)
    with h5py.File(path, "a") as file:
        del file["layer/1/weight"]
        file["layer/1/weight"] = h5py.ExternalLink("secret.h5", "weight")
    with pytest.raises(ValueError, match="stored elsewhere"):
        export.from_lava(path)


NOTHING_AT_INFERENCE = [
    lambda: layers.Dropout(0.5),
    lambda: keras.layers.Dropout(0.5),
    lambda: keras.layers.GaussianNoise(0.5),
    lambda: keras.layers.GaussianDropout(0.5),
    lambda: keras.layers.AlphaDropout(0.5),
    lambda: keras.layers.Identity(),
    lambda: keras.layers.Activation("linear"),
    lambda: keras.layers.ActivityRegularization(0.5),
]


@pytest.mark.parametrize("make", NOTHING_AT_INFERENCE)
def test_layers_that_do_nothing_at_inference_are_left_out(make, tmp_path):
    model = sequential(
        (8,),
        *(make(), dense(8), make(), layers.IFLayer(), make()),
        layers.Rematerialize([dense(4), layers.IFLayer(0.5)]),
    )
    assert_exported_equals_keras(model, tmp_path / "network.net", steps=40)


NAN = keras.initializers.Constant(np.nan)


@pytest.mark.parametrize(
    "shape, stack, message",
    [
        ((4,), [layers.Dropout(0.5)], "nothing to export"),
        ((4,), [layers.WeightStandardizedDense(3)], "no WeightStandardizedDense"),
        ((4,), [layers.DropConnectDense(3)], "no DropConnectDense"),
        ((4,), [keras.layers.Dense(3, kernel_initializer=NAN)], "NaN or infinite"),
        (
            (4,),
            [dense(3), layers.BatchNormalizationThroughTime(5)],
            "no BatchNormalizationThroughTime",
        ),
        (
            (4, 4, 4),
            [SeqToBatch([convolution(4, 1), keras.layers.BatchNormalization(axis=1)])],
            "must normalise the last axis",
        ),
    ],
)
def test_refuses_what_would_be_written_wrong(shape, stack, message, tmp_path):
    neurons = [] if "Dropout" in repr(stack) else [CubaLIFLayer()]
    model = keras.Sequential([keras.Input((5, *shape)), *stack, *neurons])
    with pytest.raises(ValueError, match=message):
        export.to_lava(model, tmp_path / "network.net", quantize=True)
    assert not list(tmp_path.iterdir())


def test_arguments_have_their_type(tmp_path):
    path = exported(tmp_path)
    model = export.from_lava(path)
    with pytest.raises(TypeError, match="`quantize` must be True or False"):
        export.to_lava(model, path, quantize="yes")
    with pytest.raises(TypeError, match="`pipelined` must be True or False"):
        export.simulate_lava(path, np.zeros((1, 2, 4)), pipelined=1)
    with pytest.raises(ValueError, match="`path` must name a file"):
        export.to_lava(model, tmp_path)


def test_a_functional_chain_between_its_ends(tmp_path):
    inputs = keras.Input((6, 6, 2))
    x = layers.DirectEncoder(8)(inputs)
    x = layers.IFLayer(0.5)(SeqToBatch(convolution(4, 3))(x))
    pooled = SeqToBatch([keras.layers.GlobalAveragePooling2D(), dense(3)])(x)
    x = layers.IFLayer(0.125)(pooled)
    model = keras.Model(inputs, layers.FiringRate()(x))
    path = tmp_path / "network.net"
    with pytest.raises(ValueError, match='DirectEncoder.*`strip="io"`'):
        export.to_lava(model, path)
    assert not path.exists()
    with pytest.raises(ValueError, match="`strip` must be"):
        export.to_lava(model, path, strip="all")
    export.to_lava(model, path, quantize=True, strip="io")
    images = random_spikes(4, 6, 6, 2)
    x = np.repeat(images[:, None], 8, axis=1)
    spikes = export.simulate_lava(path, x)
    assert 0 < spikes.mean() < 1
    actual = to_numpy(export.from_lava(path)(x))
    np.testing.assert_array_equal(actual, spikes)
    assert np.mean(np.abs(spikes.mean(1) - to_numpy(model(images)))) < 0.1


def test_what_makes_a_graph_no_chain_is_named_node_by_node(tmp_path):
    inputs = keras.Input((None, 4))
    x = layers.IFLayer(name="first")(dense(4)(inputs))
    y = layers.QIFLayer(name="second")(dense(4)(x))
    x = keras.layers.Add(name="shortcut")([x, y])
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = layers.ElementwiseRecurrent(layers.IFLayer(), name="back")(x)
    model = keras.Model(inputs, x)
    with pytest.raises(ValueError, match="for 5 reasons") as error:
        export.to_lava(model, tmp_path / "network.net")
    assert not list(tmp_path.iterdir())
    lines = str(error.value).split("\n- ")[1:]
    expected = ["'first' goes to Quantized", "QIFLayer 'second'", "'shortcut' joins"]
    expected += ["no LayerNormalization 'norm'", "'back' feeds back"]
    for line, part in zip(lines, expected, strict=True):
        assert part in line
