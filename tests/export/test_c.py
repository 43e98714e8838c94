"""Networks as C99: compiled by several compilers, for several processors."""

import os
import shutil
import subprocess

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy
from keras import layers

import keras_spiking
from keras_spiking import layers as sl
from keras_spiking.inference.walk import graph_of

STRICT = "-std=c99 -O1 -Wall -Wextra -Wpedantic -Werror".split()
TARGETS = {
    "gcc -O0": ["gcc", "-std=c99", "-O0"],
    "gcc -O3, all vectors": ["gcc", "-O3", "-march=native"],
    "gcc -m32": ["gcc", "-m32", "-O2"],
    "clang": ["clang", "-O3", "-march=native"],
    "clang -m32": ["clang", "-m32", "-O1"],
    "ARM": ["arm-linux-gnueabihf-gcc", "-static", "-O2", "-mfpu=neon-vfpv4"],
}

# Reads samples and writes the outputs of whole sequences, and then of streams.
MAIN = """
#include "{name}.h"
#include <stdio.h>
static float x[{inputs}], y[{outputs}];
int main(void) {{
    while (fread(x, sizeof(float), {inputs}, stdin) == {inputs}) {{
        if ({name}_run({run})) return 1;
        fwrite(y, sizeof(float), {outputs}, stdout);
        {name}_reset();
        for (int t = 0; t < {time}; t++) if ({name}_step({step})) return 1;
        fwrite(y, sizeof(float), {outputs}, stdout);
    }}
    return 0;
}}
"""


class Program:
    """An exported network with a program that calls it."""

    def __init__(self, folder, model, weights, name="net"):
        self.folder = folder / weights
        self.sizes = keras_spiking.export.to_c(model, self.folder, weights, name=name)
        self.name, self.graph = name, graph_of(model)

    def compile(self, command, *sources):
        program = self.folder / "program"
        files = [self.folder / f"{self.name}.c", *sources]
        done = subprocess.run(
            [*command, *files, "-o", program, "-lm"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return [shutil.which("qemu-arm"), program] if "arm" in command[0] else [program]

    def outputs(self, command, x, like):
        """Outputs of the sequence and of the stream, for each sample."""
        xs, ys = keras.tree.flatten(x), keras.tree.flatten(like)
        pairs = [*zip(xs, self.graph.inputs), *zip(ys, self.graph.outputs)]
        time = next(a.shape[1] for a, value in pairs if value.time)
        run, step = [], []
        for name, arrays, values in (
            ("x", xs, self.graph.inputs),
            ("y", ys, self.graph.outputs),
        ):
            offset = 0
            for array, value in zip(arrays, values):
                size = value.positions.size
                run.append(f"{name} + {offset}")
                step.append(run[-1] + (f" + t * {size}" if value.time else ""))
                offset += array[0].size
        run.insert(len(xs), str(time))
        main = self.folder.parent / "main.c"
        main.write_text(
            MAIN.format(
                name=self.name,
                inputs=sum(a[0].size for a in xs),
                outputs=sum(a[0].size for a in ys),
                time=time,
                run=", ".join(run),
                step=", ".join(step),
            )
        )
        program = self.compile([*command, "-I", self.folder], main)
        flat = np.concatenate([a.reshape(len(a), -1) for a in xs], 1)
        done = subprocess.run(program, input=flat.tobytes(), capture_output=True)
        assert done.returncode == 0
        found = np.frombuffer(done.stdout, "float32").reshape(len(xs[0]), 2, -1)
        ends = np.cumsum([a[0].size for a in ys])[:-1]
        return np.split(found, ends, axis=2)


def enliven(model, seed=0):
    random = np.random.default_rng(seed)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if "variance" in weight.path or "gamma" in weight.path:
            value = random.uniform(0.5, 1.5, shape)
        elif "delay" in weight.path:
            value = random.uniform(0.0, 4.0, shape)
        elif len(shape) > 1:
            value = random.normal(0.1, 1.5, shape) / np.sqrt(np.prod(shape[:-1]))
        else:
            value = random.normal(0.05, 0.1, shape)
        weight.assign(value)
    return model


def sequential(*parts):
    return enliven(keras.Sequential(list(parts)))


def lif(**options):
    return sl.LIFLayer(**{"v_threshold": 0.3, **options})


def numbers(*shape):
    return np.random.default_rng(1).uniform(-0.2, 1.0, shape).astype("float32")


def dense():
    model = sequential(
        *(keras.Input((None, 37)), layers.Dense(70), lif(), layers.Dense(150)),
        *(lif(v_reset=None), layers.Dense(11), sl.LILayer(reduce="max")),
    )
    return model, numbers(3, 6, 37)


def residual():
    inputs = keras.Input((None, 6, 5, 3))
    conv = layers.Conv2D(16, 3, padding="same")
    x = lif()(sl.SeqToBatch([conv, layers.BatchNormalization()])(inputs))
    y = lif()(sl.SeqToBatch(layers.Conv2D(16, 3, padding="same", groups=2))(x))
    y = layers.add([x, y])
    z = lif()(sl.SeqToBatch(layers.Conv2D(12, 3, 2, "same"))(y))
    pooled = lif(v_threshold=0.6)(sl.SeqToBatch(layers.MaxPooling2D(2))(x))
    joined = layers.Concatenate()([sl.SeqToBatch(layers.ZeroPadding2D(1))(pooled)] * 2)
    end = sl.SeqToBatch([layers.AveragePooling2D(2), layers.Flatten()])(z)
    outputs = [lif()(layers.Dense(5)(end)), joined, sl.FiringRate()(z)]
    return enliven(keras.Model(inputs, outputs)), numbers(2, 4, 6, 5, 3)


def presented():
    inputs = keras.Input((6, 7, 2))
    x = sl.DirectEncoder(5)(inputs)
    depthwise = layers.DepthwiseConv2D(3, depth_multiplier=2)
    x = lif()(sl.SeqToBatch([depthwise, layers.ReLU()])(x))
    x = lif()(sl.SeqToBatch([layers.Flatten(), layers.Dense(9)])(x))
    outputs = [layers.Dense(4)(x), sl.FiringRate()(x)]
    return enliven(keras.Model(inputs, outputs)), numbers(3, 6, 7, 2)


def delayed():
    model = sequential(
        *(keras.Input((None, 20)), sl.Delay(1), layers.Dense(70), lif(), sl.Delay(3)),
        *(layers.Dense(9), lif(), sl.LearnableDelay(4), sl.Delay(2)),
    )
    return model, numbers(2, 9, 20)


def recurrent():
    network = sl.RecurrentGraph(
        {"a": [layers.Dense(8), lif()], "b": [layers.Dense(8), lif()]},
        [("input", "a"), ("a", "a"), ("a", "b"), ("b", "a"), ("b", "output")],
    )
    model = sequential(
        *(keras.Input((None, 8)), network, sl.ElementwiseRecurrent(lif())),
        sl.LinearRecurrent([lif(), layers.Dense(5)], units=9),
    )
    return model, 2 * numbers(2, 7, 8)


def normalized_in_time():
    model = sequential(
        *(keras.Input((4, 6)), layers.Dense(8)),
        *(sl.TemporalEffectiveBatchNormalization(4), lif(v_threshold=0.1)),
    )
    return model, numbers(2, 4, 6)


def neurons():
    inputs = keras.Input((None, 10))
    x = layers.Dense(12)(inputs)
    kinds = [
        sl.IFLayer(v_threshold=0.5, v_reset=None),
        sl.ParametricLIFLayer(v_threshold=0.3),
        sl.LIFLayer(tau=[1.5 + 0.1 * i for i in range(12)], v_reset=-0.1),
        *(sl.ALIFLayer(v_threshold=0.3), sl.EIFLayer(v_threshold=0.3)),
        *(sl.KLIFLayer(v_threshold=0.3), sl.CubaLayer(v_threshold=0.3)),
        *(sl.ILIFLayer(), sl.IzhikevichLayer(), sl.QIFLayer(v_threshold=0.3)),
    ]
    outputs = [layer(x) for layer in kinds]
    return enliven(keras.Model(inputs, outputs)), 3 * numbers(2, 6, 10)


NETWORKS = [dense, residual, presented, delayed, recurrent, normalized_in_time]


@pytest.mark.parametrize("make", [*NETWORKS, neurons])
def test_outputs_are_those_of_predict(make, tmp_path):
    model, x = make()
    expected = keras.tree.flatten(to_numpy(model.predict(x, verbose=0)))
    program = Program(tmp_path, model, "float32")
    for wanted, found in zip(expected, program.outputs(["gcc", *STRICT], x, expected)):
        assert make is neurons or 0.001 < np.mean(np.abs(wanted)), "nothing fires"
        for way in (0, 1):  # the sequence, the stream
            flat = np.reshape(wanted, (len(wanted), -1))
            np.testing.assert_allclose(found[:, way], flat, rtol=1e-5, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("make", NETWORKS)
def test_int8_is_the_quantised_reference(make, tmp_path):
    model, x = make()
    net = keras_spiking.inference.compile(model, weights="int8")
    expected = keras.tree.flatten(net(x))
    program = Program(tmp_path, model, "int8")
    for wanted, found in zip(expected, program.outputs(["gcc", *STRICT], x, expected)):
        for way in (0, 1):
            flat = np.reshape(wanted, (len(wanted), -1))
            np.testing.assert_array_equal(found[:, way], flat)
    test = program.folder / "net_test.c"
    assert subprocess.run(program.compile(["gcc", *STRICT], test)).returncode == 0


# The text does not depend on the backend.
@pytest.mark.skipif(BACKEND != "numpy", reason="runs once, with the NumPy backend")
@pytest.mark.parametrize("target", TARGETS)
def test_all_compilers_and_processors_agree(target, tmp_path):
    command = TARGETS[target]
    _need(command, tmp_path)
    model, x = presented()
    expected = model.predict(x, verbose=0)
    for weights in ("float32", "int8"):
        program = Program(tmp_path, model, weights)
        ours = program.outputs(["gcc", *STRICT], x, expected)
        for a, b in zip(ours, program.outputs(command, x, expected)):
            np.testing.assert_array_equal(a, b)


def _need(command, folder):
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]}")
    if "arm" in command[0] and shutil.which("qemu-arm") is None:
        pytest.skip("there is no qemu-arm")
    if "-m32" in command:
        (folder / "empty.c").write_text("#include <math.h>\nint main(void){return 0;}")
        command = [*command, folder / "empty.c", "-o", folder / "empty", "-lm"]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip(f"{command[0]} has no libraries of 32 bits")


@pytest.mark.once
def test_as_cpp_and_with_sanitizers(tmp_path):
    model, x = delayed()
    program = Program(tmp_path, model, "int8")
    flags = ["-fsanitize=undefined", "-fno-sanitize-recover=all", "-g"]
    test = program.folder / "net_test.c"
    assert subprocess.run(program.compile(["gcc", *flags], test)).returncode == 0
    if shutil.which("g++"):
        (tmp_path / "main.cpp").write_text('#include "net.h"\nint x = 0;')
        command = ["g++", "-c", "-I", program.folder, "main.cpp"]
        assert subprocess.run(command, cwd=tmp_path).returncode == 0


@pytest.mark.once
def test_stated_memory_is_that_of_the_object(tmp_path):
    for make in (residual, delayed):
        folder = tmp_path / make.__name__
        folder.mkdir()
        program = Program(folder, make()[0], "int8")
        command = ["gcc", "-O1", "-c", program.folder / "net.c", "-o", "net.o"]
        assert subprocess.run(command, cwd=tmp_path).returncode == 0
        listed = subprocess.run(
            ["nm", "-S", "net.o"], cwd=tmp_path, capture_output=True, text=True
        ).stdout.split("\n")
        parts = [line.split() for line in listed if len(line.split()) == 4]
        sizes = {kind: 0 for kind in "br"}
        for _, size, kind, _ in parts:
            sizes[kind] = sizes.get(kind, 0) + int(size, 16)
        assert sizes["b"] == program.sizes["ram"]
        assert sizes["r"] == program.sizes["flash"]
        readme = (program.folder / "README.md").read_text()
        assert f"{sizes['r']:,}" in readme and f"{sizes['b']:,}" in readme


def test_steps_beyond_the_last_one(tmp_path):
    model, _ = normalized_in_time()
    program = Program(tmp_path, model, "float32")
    main = tmp_path / "main.c"
    main.write_text(
        """#include "net.h"
        int main(void) {
            float x[6] = {0}, y[8];
            for (int t = 0; t < NET_TIMESTEPS; t++) if (net_step(x, y)) return 1;
            return net_step(x, y) != 1;
        }"""
    )
    run = program.compile(["gcc", "-I", program.folder], main)
    assert subprocess.run(run).returncode == 0


def small(name="small", **options):
    return keras.Sequential(
        [keras.Input((None, 4)), layers.Dense(3, **options), lif()], name=name
    )


@pytest.mark.parametrize(
    "name, suggested",
    [("my-network", "my_network"), ("2_layers", "layers"), ("float", "float_network")],
)
def test_names_that_are_none_in_c(name, suggested, tmp_path):
    with pytest.raises(ValueError, match=f"'{name}'.*name='{suggested}'"):
        keras_spiking.export.to_c(small(name), tmp_path / "net")
    keras_spiking.export.to_c(small(name), tmp_path / "net", name=suggested)
    with pytest.raises(ValueError, match="`name='a b'`"):
        keras_spiking.export.to_c(small(), tmp_path / "net", name="a b")


def test_what_cannot_be_written(tmp_path):
    model = keras.Sequential(
        [keras.Input((8,)), sl.PoissonEncoder(4), layers.Dense(3), lif()]
    )
    with pytest.raises(ValueError, match="PoissonEncoder.*Keras"):
        keras_spiking.export.to_c(model, tmp_path / "net")
    with pytest.raises(TypeError, match="keras.Model"):
        keras_spiking.export.to_c("model", tmp_path / "net")
    with pytest.raises(ValueError, match="`weights` must be one of"):
        keras_spiking.export.to_c(small(), tmp_path / "net", "int4")
    assert os.listdir(tmp_path) == []


@pytest.mark.once  # Others may flush numbers as small as these to 0.
def test_weights_that_do_not_fit_int8(tmp_path):
    tiny = small(kernel_initializer=keras.initializers.Constant(1e-43), name="tiny")
    with pytest.raises(ValueError, match="'dense.*float32 has no scale.*float32"):
        keras_spiking.export.to_c(tiny, tmp_path / "net", "int8")
    inner = layers.Dense(3, name="fine")
    fine = keras_spiking.quantizers.PowerOfTwo(-12)
    model = sequential(
        keras.Input((None, 400)), sl.Quantized(inner, kernel_quantizer=fine), lif()
    )
    with pytest.raises(ValueError, match="do not fit int8.*loihi"):
        keras_spiking.export.to_c(model, tmp_path / "net", "int8", name="net")
    assert os.listdir(tmp_path) == []


@pytest.mark.once
def test_folders_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "net"
    export = keras_spiking.export.to_c
    export(small(), folder)
    before = (folder / "small.c").read_text()
    model = small()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _fail)
        with pytest.raises(OSError, match="full"):
            export(model, folder)
    assert (folder / "small.c").read_text() == before
    export(model, folder)
    assert (folder / "small.c").read_text() != before
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="notes.txt"):
        export(model, folder)
    with pytest.raises(ValueError, match="inside of one that exists"):
        export(model, tmp_path / "no" / "net")
    assert os.listdir(tmp_path) == ["net"]


def _fail(file):
    raise OSError("the disk is full")


@pytest.mark.parametrize(
    "data, message",
    [
        (np.zeros((2, 3, 4)), r"one sample, such as `x\[:1\]`.*\(2, 3, 4\)"),
        (np.zeros((1, 3, 5)), r"shape \(1, time, 4\).*\(1, 3, 5\)"),
    ],
)
def test_data(data, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        keras_spiking.export.to_c(small(), tmp_path / "net", data=data)
    assert os.listdir(tmp_path) == []
    keras_spiking.export.to_c(small(), tmp_path / "net", data=np.ones((1, 3, 4)))
    test = (tmp_path / "net" / "small_test.c").read_text()
    assert "input0[12]" in test and "output0[9]" in test
