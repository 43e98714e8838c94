"""Random networks before and after `calibrate`: firing rates, and whether they learn.

KERAS_BACKEND=torch python benchmarks/calibration.py networks
KERAS_BACKEND=torch python benchmarks/calibration.py readme
"""

import pathlib
import re
import sys
import time

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_spiking
from keras_spiking import layers

NEURONS = {
    "IF": lambda rng: layers.IFLayer(surrogate="atan"),
    "LIF": lambda rng: layers.LIFLayer(
        tau=float(rng.uniform(1.5, 6.0)),
        decay_input=bool(rng.integers(2)),
        v_reset=[None, 0.0][rng.integers(2)],
        surrogate="atan",
    ),
    "PLIF": lambda rng: layers.ParametricLIFLayer(surrogate="atan"),
    "ALIF": lambda rng: layers.ALIFLayer(surrogate="atan"),
}
INITIALIZERS = {
    "glorot": lambda: "glorot_uniform",
    "he": lambda: "he_normal",
    "small": lambda: keras.initializers.RandomNormal(stddev=0.02),
}


def digits(size=8):
    bunch = load_digits()
    images = (bunch.images / 16.0).astype("float32")[..., np.newaxis]
    if size != 8:
        images = keras.ops.image.resize(images, (size, size))
        images = keras.ops.convert_to_numpy(images)
    return train_test_split(
        images, bunch.target, test_size=0.2, stratify=bunch.target, random_state=0
    )


def random_network(seed):
    """A network of 2 to 20 layers of neurons, with shortcuts if it is deep."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(2, 21))
    kind = list(NEURONS)[rng.integers(len(NEURONS))]
    initializer = list(INITIALIZERS)[rng.integers(len(INITIALIZERS))]
    convolves, normalizes = bool(rng.integers(2)), rng.random() < 0.4
    width = int(rng.choice([8, 16] if convolves else [48, 96]))

    def current(x):
        kwargs = {"kernel_initializer": INITIALIZERS[initializer]()}
        if convolves:
            inner = [keras.layers.Conv2D(width, 3, padding="same", **kwargs)]
        else:
            inner = [keras.layers.Dense(width, **kwargs)]
        if normalizes:
            inner.append(keras.layers.BatchNormalization(momentum=0.9))
        return layers.SeqToBatch(inner)(x)

    inputs = keras.Input((8, 8, 1))
    x = layers.DirectEncoder(int(rng.integers(4, 9)))(inputs)
    if not convolves:
        x = layers.SeqToBatch(keras.layers.Flatten())(x)
    x = NEURONS[kind](rng)(current(x))
    for number in range(1, depth):
        y = NEURONS[kind](rng)(current(x))
        # As in SEW ResNets. Without, ten layers forget what they have seen.
        x = keras.layers.Add()([x, y]) if depth > 6 else y
        if convolves and number == 2:
            x = layers.SeqToBatch(keras.layers.AveragePooling2D(2))(x)
    x = layers.SeqToBatch(keras.layers.Flatten())(x)
    x = keras.layers.Dense(10)(x)
    outputs = layers.LILayer(decay_input=False, reduce="mean")(x)
    name = (
        f"{depth} x {width} {kind}, {'conv' if convolves else 'dense'}, {initializer}"
    )
    return keras.Model(inputs, outputs), name + (", BN" if normalizes else "")


def rates(model, x):
    found = [y for y in model.layers if isinstance(y, layers.SpikingLayer)]
    spikes = keras.Model(model.inputs, [y.output for y in found]).predict(x, verbose=0)
    return [float(s.mean()) for s in spikes]


def accuracy(model, x, y, x_test, y_test, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    model.fit(x, y, 64, epochs, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def networks(epochs=10, first=0, count=10):
    """Rates of the least and the most active layer, and accuracies."""
    epochs = int(epochs)
    x, x_test, y, y_test = digits()
    print("| network | rates before | after | seconds | accuracy before | after |")
    print("|---|---|---|---|---|---|")
    for seed in range(int(first), int(first) + int(count)):
        keras.utils.set_random_seed(seed)
        model, name = random_network(seed)
        before = rates(model, x_test)
        weights = model.get_weights()
        without = accuracy(model, x, y, x_test, y_test, epochs)
        model.set_weights(weights)
        start = time.perf_counter()
        keras_spiking.calibrate(model, x[:100])
        seconds = time.perf_counter() - start
        after = rates(model, x_test)
        calibrated = accuracy(model, x, y, x_test, y_test, epochs)
        print(
            f"| {name} | {min(before):.3f} to {max(before):.3f} "
            f"| {min(after):.3f} to {max(after):.3f} | {seconds:.1f} "
            f"| {without:.1%} | {calibrated:.1%} |",
            flush=True,
        )


def readme(seeds=3):
    """The README's first network on digits of 28 x 28 pixels, five epochs."""
    text = (pathlib.Path(__file__).parents[1] / "README.md").read_text("utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    x, x_test, y, y_test = digits(28)
    print("| seed | accuracy in the first epoch | in the fifth | test |")
    print("|---|---|---|---|")
    for seed in range(int(seeds)):
        keras.utils.set_random_seed(seed)
        names = {}
        exec(code, names)
        model = names["model"]
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        first, *_, last = model.fit(x, y, 32, 5, verbose=0).history["accuracy"]
        test = model.evaluate(x_test, y_test, verbose=0)[1]
        print(f"| {seed} | {first:.1%} | {last:.1%} | {test:.1%} |", flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
