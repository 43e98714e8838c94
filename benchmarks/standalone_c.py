"""One time step of a digits network in C, beside onnxruntime and LiteRT.

    KERAS_BACKEND=tensorflow python benchmarks/standalone_c.py --data mnist10k.npz

A network Dense 784-128-128-10 with LIF neurons learns handwritten digits. `to_c` writes
it, gcc compiles it, and one step of one image of spikes is timed, all on one core. The
others run the step as a graph whose states go in and out: onnxruntime and, with
TensorFlow, LiteRT, if they are installed. Sizes are those of the files, and of the
code for a Cortex-M4 if a compiler for ARM is there.
"""

import argparse
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile

import keras
import numpy as np
import timing
from inference import BACKEND
from inference import digits
from inference import lif
from inference import spikes
from keras import layers

import keras_spiking

TIMESTEPS = 32
WIDTHS = (784, 128, 128, 10)


def network(timesteps, rate):
    hidden = [[layers.Dense(width), lif(rate)] for width in WIDTHS[1:-1]]
    return keras.Sequential(
        [
            keras.Input((timesteps, WIDTHS[0])),
            *sum(hidden, []),
            *(layers.Dense(WIDTHS[-1]), lif()),
        ],
        name="digits",
    )


def trained(data, rate, options):
    (x, y), _ = data
    model = network(TIMESTEPS, rate)
    path = options.weights / f"standalone-{rate}.npz"
    if path.exists():
        with np.load(path) as saved:
            model.set_weights([saved[k] for k in saved])
        return model
    short = network(4, rate)
    readout = keras.Sequential([short, keras_spiking.layers.FiringRate()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    readout.compile(keras.optimizers.Adam(1e-3), loss)
    inputs = spikes(x, 4).reshape(-1, 4, WIDTHS[0])
    readout.fit(inputs, y, batch_size=64, epochs=options.epochs, verbose=2)
    model.set_weights(short.get_weights())
    options.weights.mkdir(parents=True, exist_ok=True)
    np.savez(path, *model.get_weights())
    return model


class Standalone:
    """The C of a network, compiled as a library."""

    def __init__(self, model, weights):
        folder = pathlib.Path(tempfile.mkdtemp(), weights)
        self.folder = folder
        self.sizes = keras_spiking.export.to_c(model, folder, weights, name="digits")
        self.code = code_size(folder)
        library = folder / "digits.so"
        source = folder / "digits.c"
        flags = ["-O3", "-march=native", "-shared", "-fPIC"]
        subprocess.run(["gcc", *flags, source, "-o", library, "-lm"], check=True)
        library = ctypes.CDLL(str(library))
        self._reset, self._step = library.digits_reset, library.digits_step
        self._step.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    def __call__(self, x):
        step, outputs = self._step, np.empty((len(x), WIDTHS[-1]), "float32")
        at, to = x.ctypes.data, outputs.ctypes.data
        self._reset()
        for _ in x:
            step(at, to)
            at, to = at + 4 * WIDTHS[0], to + 4 * WIDTHS[-1]
        return outputs


def code_size(folder):
    """Bytes of the code for a Cortex-M4, without constants, or `None`."""
    compiler = "arm-linux-gnueabihf-gcc"
    if shutil.which(compiler) is None:
        return None
    target = "-mthumb -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard".split()
    file = folder / "digits.o"
    command = [compiler, "-std=c99", "-Os", *target, "-c", folder / "digits.c"]
    subprocess.run([*command, "-o", file], check=True)
    listed = subprocess.run(
        ["arm-linux-gnueabihf-size", "-A", file],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split() for line in listed.stdout.split("\n")]
    return sum(int(r[1]) for r in rows if len(r) > 1 and r[0].startswith(".text"))


def pairs_of(model):
    weights = model.get_weights()
    return list(zip(weights[::2], weights[1::2]))


def onnx_step(model):
    import onnx
    import onnxruntime
    from onnx import TensorProto
    from onnx import helper

    nodes, constants = [], {"one": np.float32(1), "half": np.float32(0.5)}
    x, names_in, names_out = "x", [("x", WIDTHS[0])], []
    for i, (kernel, bias) in enumerate(pairs_of(model)):
        constants |= {f"w{i}": kernel, f"b{i}": bias}
        for op, inputs, output in (
            ("MatMul", [x, f"w{i}"], f"m{i}"),
            ("Add", [f"m{i}", f"b{i}"], f"c{i}"),
            ("Sub", [f"c{i}", f"v{i}"], f"d{i}"),
            ("Mul", [f"d{i}", "half"], f"e{i}"),
            ("Add", [f"v{i}", f"e{i}"], f"h{i}"),
            ("GreaterOrEqual", [f"h{i}", "one"], f"f{i}"),
            ("Cast", [f"f{i}"], f"s{i}"),
            ("Sub", ["one", f"s{i}"], f"r{i}"),
            ("Mul", [f"h{i}", f"r{i}"], f"n{i}"),
        ):
            more = {"to": TensorProto.FLOAT} if op == "Cast" else {}
            nodes.append(helper.make_node(op, inputs, [output], **more))
        x = f"s{i}"
        names_in.append((f"v{i}", len(bias)))
        names_out.append((f"n{i}", len(bias)))

    def described(names):
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size])
            for name, size in names
        ]

    graph = helper.make_graph(
        nodes,
        "digits",
        described(names_in),
        described([(x, WIDTHS[-1]), *names_out]),
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    file = made.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    before = memory()
    session = onnxruntime.InferenceSession(
        file, options, providers=["CPUExecutionProvider"]
    )
    names = [name for name, _ in names_in]

    def run(x):
        states = [np.zeros((1, n), "float32") for n in WIDTHS[1:]]
        outputs = []
        for x_t in x:
            y, *states = session.run(None, dict(zip(names, (x_t[None], *states))))
            outputs.append(y[0])
        return np.stack(outputs)

    run(np.zeros((2, WIDTHS[0]), "float32"))
    return run, len(file), memory() - before


def litert_step(model):
    import tensorflow as tf

    pairs = pairs_of(model)

    names = ["x", *(f"v{i}" for i, _ in enumerate(pairs))]
    signature = [
        tf.TensorSpec((1, n), tf.float32, name) for n, name in zip(WIDTHS, names)
    ]

    @tf.function(input_signature=signature)
    def step(x, *states):
        new = []
        for (kernel, bias), v in zip(pairs, states):
            h = v + (tf.matmul(x, kernel) + bias - v) / 2
            x = tf.cast(h >= 1, tf.float32)
            new.append(h * (1 - x))
        return (x, *new)

    convert = tf.lite.TFLiteConverter.from_concrete_functions
    file = convert([step.get_concrete_function()]).convert()
    before = memory()
    interpreter = tf.lite.Interpreter(model_content=file, num_threads=1)
    interpreter.allocate_tensors()
    inputs = [
        next(d["index"] for d in interpreter.get_input_details() if name in d["name"])
        for name in names
    ]
    details = sorted(interpreter.get_output_details(), key=lambda d: d["name"])
    order = [d["index"] for d in details]

    def run(x):
        states = [np.zeros((1, n), "float32") for n in WIDTHS[1:]]
        found = []
        for x_t in x:
            for index, array in zip(inputs, (x_t[None], *states)):
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            y, *states = [interpreter.get_tensor(k) for k in order]
            found.append(y[0])
        return np.stack(found)

    run(np.zeros((2, WIDTHS[0]), "float32"))
    return run, len(file), memory() - before


def memory():
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def rows_of(data, rate, options):
    model = trained(data, rate, options)
    x_test, y_test = (part[: options.test_images] for part in data[1])
    x = spikes(x_test, TIMESTEPS).reshape(-1, TIMESTEPS, WIDTHS[0])
    expected = keras.ops.convert_to_numpy(model.predict(x, verbose=0))
    programs = {f"C, {w}": Standalone(model, w) for w in ("float32", "int8")}
    sizes = {
        name: (p.sizes["flash"], p.code, p.sizes["ram"]) for name, p in programs.items()
    }
    for name, make in {"onnxruntime": onnx_step, "LiteRT": litert_step}.items():
        if name == "LiteRT" and BACKEND != "tensorflow":
            continue
        try:
            run, file, ram = make(model)
        except ImportError as error:
            print(f"{name} takes no part: {error}")
            continue
        programs[name] = run
        sizes[name] = (file, None, ram)
    runs = {n: timing.Run(lambda run=run: run(x[0])) for n, run in programs.items()}
    times = timing.take_turns(runs, options.rounds)
    rows = []
    for name, run in programs.items():
        found = np.stack([run(sample) for sample in x])
        accuracy = np.mean(found.mean(1).argmax(-1) == y_test)
        differ = int(np.sum(found != expected))
        flash, code, ram = sizes[name]
        code = "-" if code is None else f"{code:,}"
        rows.append(
            [
                name,
                1e3 * times[name] / TIMESTEPS,
                *(f"{flash:,}", code, f"{ram:,}", f"{100 * accuracy:.2f}"),
                f"{differ} of {expected.size:,}",
            ]
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path)
    folder = pathlib.Path(tempfile.gettempdir(), "keras_spiking-inference")
    parser.add_argument("--weights", type=pathlib.Path, default=folder)
    parser.add_argument("--rates", nargs="+", type=float, default=[0.1])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--test-images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=51)
    options = parser.parse_args()
    print(timing.setting() + f"\n- Backend: {BACKEND}\n")
    data = digits(options.data)
    columns = ["Dense 784-128-128-10", "microseconds a step", "constants or file (B)"]
    columns += ["code, Cortex-M4 (B)", "RAM (B)", "accuracy, %", "other spikes"]
    for rate in options.rates:
        print(timing.table(columns, rows_of(data, rate, options)))


if __name__ == "__main__":
    main()
