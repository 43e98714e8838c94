"""
Title: A network for Loihi, trained with 8-bit weights
Description: Quantisation-aware training, export to Lava, and a check without Lava.

Usage: python guides/loihi.py [--data mnist.npz]

`--data` names a file with `x_train`, `y_train`, `x_test`, `y_test` of images in
uint8. Without it, the 8x8 digits of scikit-learn are used.
"""

import argparse
import os
import tempfile

import keras
import numpy as np

from keras_spiking import export
from keras_spiking import layers

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"
TIMESTEPS = 8
EPOCHS = 1 if SHORT else 10


def load(path):
    if path is None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images, labels = digits.images / 16, digits.target
        return images[:1500], labels[:1500], images[1500:], labels[1500:]
    with np.load(path) as data:
        x_train, x_test = data["x_train"] / 255, data["x_test"] / 255
        return x_train, data["y_train"], x_test, data["y_test"]


parser = argparse.ArgumentParser()
parser.add_argument("--data")
x_train, y_train, x_test, y_test = load(parser.parse_args().data)
x_train = x_train.reshape(len(x_train), -1).astype("float32")
x_test = x_test.reshape(len(x_test), -1).astype("float32")

"""
## The network

`CubaLIFLayer` computes in Loihi's fixed point. `Quantized` makes a Dense layer
compute with the chip's weights, multiples of 1/32 in 8 bits, while the optimizer
updates float weights. The twin has the same neurons and float weights.
"""


def network(quantized):
    def dense(units):
        layer = keras.layers.Dense(units, use_bias=False)
        return layers.Quantized(layer) if quantized else layer

    def neurons():
        return layers.CubaLIFLayer(surrogate="atan")

    return keras.Sequential(
        [
            keras.Input((None, x_train.shape[1])),
            dense(64),
            neurons(),
            dense(10),
            neurons(),
        ]
    )


"""
## Training

Pixels become random spikes before the network, and spikes are counted after it. Both
happen on the host, so they are not part of the exported network.
"""


def train(core):
    model = keras.Sequential(
        [
            keras.Input((x_train.shape[1],)),
            layers.PoissonEncoder(TIMESTEPS),
            *core.layers,
            layers.SpikeCount(),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.002),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(x_train, y_train, epochs=EPOCHS, batch_size=100, verbose=0)
    return core


"""
All networks see the same spikes for the test images.
"""

random = np.random.default_rng(0)
shape = (len(x_test), TIMESTEPS, x_test.shape[1])
spikes = (random.uniform(size=shape) < x_test[:, None]).astype("float32")


def accuracy(outputs):
    return np.mean(outputs.sum(axis=1).argmax(axis=1) == y_test)


results = {}
for name in ("float weights", "8-bit weights"):
    keras.utils.set_random_seed(0)
    core = train(network(quantized=name == "8-bit weights"))
    results[name] = core.predict(spikes, batch_size=100, verbose=0)
    print(f"{name}: accuracy {accuracy(results[name]):.2%}")

"""
## Export

`to_lava` writes the file that Lava's netx loads, and raises an error if that would
lose precision. `simulate_lava` runs the file in the integers of the chip.
"""

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "digits.net")
    export.to_lava(core, path)
    simulated = export.simulate_lava(path, spikes)
print(f"exported file, simulated: accuracy {accuracy(simulated):.2%}")
print(f"spikes that differ: {int(np.sum(simulated != results[name]))}")
assert np.array_equal(simulated, results[name])

"""
A network that was trained without quantisation can be quantised afterwards. The report
shows the errors. `from_lava` reads the file back, as a network of quantised
weights in Keras.
"""

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "digits.net")
    keras.utils.set_random_seed(0)
    twin = train(network(quantized=False))
    for layer in export.to_lava(twin, path, quantize=True):
        print({k: round(v, 5) if k != "name" else v for k, v in layer.items()})
    quantized = export.simulate_lava(path, spikes)
    in_keras = export.from_lava(path).predict(spikes, batch_size=100, verbose=0)
print(f"quantised after training: accuracy {accuracy(quantized):.2%}")
print(f"spikes that differ in Keras: {int(np.sum(quantized != in_keras))}")
assert np.array_equal(quantized, in_keras)
