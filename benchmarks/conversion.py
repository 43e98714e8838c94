"""Accuracy and speed of converted networks, beside SpikingJelly's converter.

    KERAS_BACKEND=jax python benchmarks/conversion.py mnist10k.npz [part ...]

`mnist10k.npz` holds 10,000 digits: `x_train`, `y_train` (8,000), `x_test`,
`y_test` (2,000). The parts are

- "plain": accuracy over the number of steps,
- "methods": the same with other thresholds and neurons,
- "qcfs": the same of an ANN trained with `QCFS`,
- "spikingjelly": the same by SpikingJelly's converter, on the same weights,
- "others": a residual network, and one with max pooling,
- "speed": time per image of both converters' networks, in turns,
- "error": the distance to the ANN's outputs, drawn into `conversion_error.png`;

without any all run. The environment variable `SPIKINGJELLY_PYTHON` names a Python that
has SpikingJelly 2.0.0. Results are printed as Markdown.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import timing
from keras import layers

from keras_spiking import conversion

PARTS = ("plain", "methods", "qcfs", "spikingjelly", "others", "speed", "error")
STEPS = (8, 16, 32, 64, 100)
METHODS = {
    "99.9 percentile, channel-wise": {"channel_wise": True},
    "maximum": {"method": "max"},
    "LTB": {"method": "ltb", "channel_wise": True},
    "99.9 percentile, potentials corrected": {"correction": "potential"},
    "signed": {"neuron": "signed", "channel_wise": True},
    "bursts": {"neuron": "burst", "channel_wise": True},
}


def digits(path):
    with np.load(path) as data:
        x_train, x_test = (data[k][..., None] / 255 for k in ("x_train", "x_test"))
        y_train, y_test = data["y_train"], data["y_test"]
    return (x_train.astype("float32"), y_train), (x_test.astype("float32"), y_test)


def plain_network(activation=layers.ReLU):
    network = [keras.Input((28, 28, 1))]
    for _ in range(3):
        network += [
            layers.Conv2D(32, 3),
            layers.BatchNormalization(),
            activation(),
            layers.AveragePooling2D(2),
        ]
    return keras.Sequential([*network, layers.Flatten(), layers.Dense(10)])


def max_pooling_network():
    network = [keras.Input((28, 28, 1))]
    for filters in (16, 32):
        network += [
            layers.Conv2D(filters, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(),
        ]
    network += [layers.Flatten(), layers.Dense(64, activation="relu")]
    return keras.Sequential([*network, layers.Dropout(0.3), layers.Dense(10)])


def residual_network():
    def block(x, filters, strides):
        y = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization()(y)
        if strides > 1:
            x = layers.Conv2D(filters, 1, strides, use_bias=False)(x)
            x = layers.BatchNormalization()(x)
        return layers.ReLU()(layers.Add()([x, y]))

    inputs = keras.Input((28, 28, 1))
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for filters, strides in ((16, 1), (32, 2), (32, 1), (64, 2)):
        x = block(x, filters, strides)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def train(network, data, epochs):
    steps = epochs * (len(data[0]) // 64 + 1)
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    network.fit(*data, batch_size=64, epochs=epochs, verbose=0)
    return network


def accuracy(logits, labels):
    return 100 * float(np.mean(np.argmax(logits, axis=-1) == labels))


def measure(name, network, train_data, test_data, steps=STEPS, **options):
    """A row of the table: the ANN's accuracy and the SNN's after each number of
    steps."""
    x, y = test_data
    ann = accuracy(network.predict(x, batch_size=200, verbose=0), y)
    found = []
    per_step = None
    if options.get("method") != "ltb":
        snn = conversion.convert(network, train_data[0][:1000], max(steps), **options)
        per_step = conversion.simulate(snn, x, batch_size=200)
    for t in steps:
        if per_step is None:  # the thresholds depend on the number of steps
            snn = conversion.convert(network, train_data[0][:1000], t, **options)
            found.append(accuracy(snn.predict(x, batch_size=200, verbose=0), y))
        else:
            found.append(accuracy(per_step[:, t - 1], y))
    print(f"| {name} | {ann:.2f} | " + " | ".join(f"{a:.2f}" for a in found) + " |")
    sys.stdout.flush()
    return found


def spikingjelly(what, network, train_data, test_data):
    """Runs `conversion_spikingjelly.py` on the same weights and data."""
    weights = [w for layer in network.layers for w in layer.get_weights()]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        np.savez(
            path,
            calibration=train_data[0][:1000],
            x=test_data[0],
            y=test_data[1],
            steps=STEPS,
            **{f"w{i}": w for i, w in enumerate(weights)},
        )
        script = Path(__file__).with_name("conversion_spikingjelly.py")
        command = [os.environ["SPIKINGJELLY_PYTHON"], str(script), str(path), what]
        printed = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(printed.stdout.splitlines()[-1])


def speed(network, train_data, test_data, rounds=3):
    """Prints milliseconds per image, medians of processes that take turns."""
    x, y = (array[:100] for array in test_data)
    snns = [conversion.convert(network, train_data[0][:100], t) for t in STEPS]

    def milliseconds(snn):
        start = time.perf_counter()
        snn.predict(x, batch_size=100, verbose=0)
        return (time.perf_counter() - start) * 1e3 / len(x)

    found = {}
    for _ in range(rounds):
        for snn in snns:
            snn.predict(x, batch_size=100, verbose=0)  # compiles
        times = {"keras_spiking": [milliseconds(snn) for snn in snns]}
        times |= spikingjelly("speed", network, train_data, (x, y))
        for name, row in times.items():
            found.setdefault(name, []).append(row)
    rows = [[name, *np.median(t, axis=0).tolist()] for name, t in found.items()]
    columns = ["milliseconds per image", *(f"T={t}" for t in STEPS)]
    print(f"\n{timing.table(columns, rows)}", flush=True)


def error(network, x, timesteps=1000):
    """Prints how fast outputs converge to the ANN's, and draws it.

    Thresholds are the maxima on the same images, so that nothing is clipped, which
    would leave an error that more steps do not remove.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    steps = np.arange(1, timesteps + 1)
    expected = network.predict(x, verbose=0)[:, None]
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for neuron, options in {
        "integrate-and-fire": {},
        "signed": {"neuron": "signed"},
        "bursts": {"neuron": "burst"},
        "integrate-and-fire, 99.9 percentile": {"method": "percentile"},
    }.items():
        snn = conversion.convert(network, x, timesteps, **{"method": "max", **options})
        distance = conversion.simulate(snn, x, batch_size=100) - expected
        errors = np.sqrt(np.mean(distance**2, axis=(0, 2)))
        late = steps >= 20
        slope, _ = np.polyfit(np.log(steps[late]), np.log(errors[late]), 1)
        label = f"{neuron}: slope {slope:.2f}"
        axes.loglog(steps, errors, label=label)
        print(f"- {label}, error at T = 1000: {errors[-1] / expected.std():.5f}")
    axes.loglog(steps, expected.std() * 5 / steps, "k:", label="1 / T")
    axes.set(xlabel="time step", ylabel="root mean square error of the outputs")
    axes.legend(loc="lower left")
    figure.savefig("conversion_error.png", dpi=120)


def table_head(what, steps=STEPS):
    print(f"\n| {what} | ANN | " + " | ".join(f"T={t}" for t in steps) + " |")
    print("|---" * (len(steps) + 2) + "|")


def main(path, *parts):
    parts = parts or PARTS
    keras.utils.set_random_seed(0)
    train_data, test_data = digits(path)
    print(timing.setting())
    if parts != ("others",):
        network = train(plain_network(), train_data, epochs=6)
        table_head("Conv-BN-ReLU-AvgPool x 3, accuracy in %")
    if "plain" in parts:
        measure("default: 99.9 percentile", network, train_data, test_data)
    if "methods" in parts:
        for name, options in METHODS.items():
            measure(name, network, train_data, test_data, **options)
    if "qcfs" in parts:
        quantised = plain_network(lambda: conversion.QCFS(levels=8))
        train(quantised, train_data, epochs=6)
        measure("trained with QCFS, L=8", quantised, train_data, test_data)
    if "spikingjelly" in parts:
        found = spikingjelly("accuracy", network, train_data, test_data)
        ann = found.pop("ANN")
        for name, row in found.items():
            print(f"| SpikingJelly: {name} | {ann:.2f} | ", end="")
            print(" | ".join(f"{a:.2f}" for a in row) + " |", flush=True)
    if "others" in parts:
        table_head("other networks, accuracy in %")
        pooling = train(max_pooling_network(), train_data, epochs=5)
        measure("max pooling", pooling, train_data, test_data)
        residual = train(residual_network(), train_data, epochs=5)
        measure("residual", residual, train_data, test_data, channel_wise=True)
    if "speed" in parts:
        speed(network, train_data, test_data)
    if "error" in parts:
        error(network, test_data[0][:200])


if __name__ == "__main__":
    main(*sys.argv[1:])
