"""Accuracy and speed of converted networks, beside SpikingJelly's converter.

    KERAS_BACKEND=jax python benchmarks/conversion.py mnist10k.npz [part ...]

`mnist10k.npz` holds 10,000 digits: `x_train`, `y_train` (8,000), `x_test`,
`y_test` (2,000). The parts are "plain", "qcfs", "spikingjelly", "speed" and "others";
without any all run. The environment variable `SPIKINGJELLY_PYTHON` names a Python that
has SpikingJelly 2.0.0, whose converter runs on the same weights. Results are printed as
Markdown.
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
from keras import layers

from keras_spiking import conversion

STEPS = (8, 16, 32, 64, 100)


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


def milliseconds_per_image(network, calibration_data, x):
    found = []
    for t in STEPS:
        snn = conversion.convert(network, calibration_data, t)
        snn.predict(x, batch_size=100, verbose=0)  # compiles
        start = time.perf_counter()
        snn.predict(x, batch_size=100, verbose=0)
        found.append((time.perf_counter() - start) * 1e3 / len(x))
    return found


def spikingjelly(python, network, train_data, test_data):
    """Runs `conversion_spikingjelly.py` on the same weights and data."""
    weights = {
        f"{layer.name}/{w.name}": np.asarray(w)
        for layer in network.layers
        for w in layer.weights
    }
    values = {f"w{i}": w for i, w in enumerate(weights.values())}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.npz"
        np.savez(
            path,
            calibration=train_data[0][:1000],
            x=test_data[0],
            y=test_data[1],
            steps=STEPS,
            **values,
        )
        script = Path(__file__).with_name("conversion_spikingjelly.py")
        printed = subprocess.run(
            [python, str(script), str(path)], check=True, capture_output=True, text=True
        ).stdout
    return json.loads(printed.splitlines()[-1])


def table_head(what, steps=STEPS):
    print(f"\n| {what} | ANN | " + " | ".join(f"T={t}" for t in steps) + " |")
    print("|---" * (len(steps) + 2) + "|")


def main(path, parts=("plain", "qcfs", "spikingjelly", "speed", "others")):
    keras.utils.set_random_seed(0)
    train_data, test_data = digits(path)
    calibration_data = train_data[0][:1000]
    print(f"Backend: {keras.config.backend()}")
    if parts != ("others",):
        network = train(plain_network(), train_data, epochs=6)
        table_head("Conv-BN-ReLU-AvgPool x 3, accuracy in %")
    if "plain" in parts:
        for name, options in {
            "99.9 percentile, channel-wise": {"channel_wise": True},
            "99.9 percentile": {},
        }.items():
            measure(name, network, train_data, test_data, **options)
    if "qcfs" in parts:
        quantised = plain_network(lambda: conversion.QCFS(levels=8))
        train(quantised, train_data, epochs=6)
        measure("trained with QCFS, L=8", quantised, train_data, test_data)
    if "spikingjelly" in parts:
        python = os.environ["SPIKINGJELLY_PYTHON"]
        found = spikingjelly(python, network, train_data, test_data)
        for name, row in found["accuracy"].items():
            print(f"| SpikingJelly: {name} | {found['ann']:.2f} | ", end="")
            print(" | ".join(f"{a:.2f}" for a in row) + " |")
        print("| SpikingJelly: milliseconds per image | | ", end="")
        print(" | ".join(f"{t:.3f}" for t in found["milliseconds"]) + " |")
        sys.stdout.flush()
    if "speed" in parts:
        times = milliseconds_per_image(network, calibration_data, test_data[0][:500])
        print("| keras_spiking: milliseconds per image | | ", end="")
        print(" | ".join(f"{t:.3f}" for t in times) + " |")
        sys.stdout.flush()
    if "others" in parts:
        table_head("other networks, accuracy in %")
        pooling = train(max_pooling_network(), train_data, epochs=5)
        measure("max pooling", pooling, train_data, test_data)
        residual = train(residual_network(), train_data, epochs=5)
        measure("residual", residual, train_data, test_data, channel_wise=True)
        if "plain" in parts:
            for name, options in {
                "plain, maximum": {"method": "max"},
                "plain, LTB": {"method": "ltb", "channel_wise": True},
                "plain, signed": {"neuron": "signed", "channel_wise": True},
                "plain, bursts": {"neuron": "burst", "channel_wise": True},
            }.items():
                measure(name, network, train_data, test_data, **options)


if __name__ == "__main__":
    main(sys.argv[1], *([tuple(sys.argv[2:])] if sys.argv[2:] else []))
