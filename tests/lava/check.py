"""Compares networks trained here with Lava's fixed-point simulator, spike by spike.

Usage: python check.py <python of the Lava environment> [folder to keep results in]

See README.md in this folder. Exits with an error if a single spike differs.
"""

import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_spiking import export
from keras_spiking.layers import CubaLIFLayer
from keras_spiking.layers import Delay
from keras_spiking.layers import FiringRate
from keras_spiking.layers import IFLayer
from keras_spiking.layers import LearnableDelay
from keras_spiking.layers import Quantized
from keras_spiking.layers import SeqToBatch

STEPS = 50
SAMPLES = 4


def quantized(layer, *arguments, spread=None, **options):
    if spread is not None:
        options["kernel_initializer"] = keras.initializers.RandomNormal(stddev=spread)
    return Quantized(layer(*arguments, use_bias=False, **options))


def dense():
    return keras.Sequential(
        [
            keras.Input((None, 64)),
            quantized(keras.layers.Dense, 32),
            CubaLIFLayer(surrogate="atan"),
            quantized(keras.layers.Dense, 10),
            CubaLIFLayer(surrogate="atan"),
        ]
    )


def convolutional():
    return keras.Sequential(
        [
            keras.Input((None, 8, 8, 1)),
            SeqToBatch(quantized(keras.layers.Conv2D, 8, 3, padding="same")),
            CubaLIFLayer(surrogate="atan"),
            SeqToBatch(keras.layers.AveragePooling2D(2)),
            CubaLIFLayer(0.5, current_decay=1.0, voltage_decay=0.0, surrogate="atan"),
            SeqToBatch(keras.layers.Flatten()),
            quantized(keras.layers.Dense, 10),
            CubaLIFLayer(surrogate="atan"),
        ]
    )


def varied():
    """Untrained: strides, padding, groups, dilation, biases, IF neurons."""
    return keras.Sequential(
        [
            keras.Input((None, 12, 9, 2)),
            SeqToBatch(
                quantized(keras.layers.Conv2D, 4, (3, 5), strides=(2, 1), spread=0.5)
            ),
            CubaLIFLayer(bias=np.array([0.5, -0.25, 0.0, 0.125])),
            SeqToBatch(
                [
                    keras.layers.ZeroPadding2D((1, 2)),
                    quantized(keras.layers.Conv2D, 6, 3, groups=2, spread=0.5),
                ]
            ),
            CubaLIFLayer(2.0, current_decay=0.5, voltage_decay=0.1),
            SeqToBatch(
                quantized(keras.layers.Conv2D, 5, 2, dilation_rate=2, spread=0.5)
            ),
            IFLayer(v_threshold=1.0),
            SeqToBatch(keras.layers.Flatten()),
            quantized(keras.layers.Dense, 7, spread=0.5),
            CubaLIFLayer(bias=0.0625),
        ]
    )


def delayed():
    """Untrained: axonal delays."""
    return keras.Sequential(
        [
            keras.Input((None, 64)),
            quantized(keras.layers.Dense, 9, spread=0.3),
            CubaLIFLayer(),
            LearnableDelay(max_delay=6),
            quantized(keras.layers.Dense, 7, spread=0.5),
            CubaLIFLayer(2.0, current_decay=0.5, voltage_decay=0.1),
            Delay(2),
        ]
    )


def encode(images, steps, seed):
    """Bernoulli spikes with the pixels as probabilities."""
    random = np.random.default_rng(seed)
    shape = (len(images), steps, *images.shape[1:])
    return (random.uniform(size=shape) < images[:, None]).astype("float32")


def train(model, images, labels):
    trained = keras.Sequential([*model.layers, FiringRate()])
    trained.compile(
        keras.optimizers.Adam(0.005),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = trained.fit(
        encode(images, 10, 0), labels, epochs=4, batch_size=64, verbose=0
    )
    return history.history["accuracy"][-1]


def main(lava_python, keep=None):
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = (digits.images / 16).astype("float32")
    random = np.random.default_rng(1)
    models = {"dense": dense(), "convolutional": convolutional(), "varied": varied()}
    models["delayed"] = delayed()
    inputs = {
        "dense": images.reshape(-1, 64),
        "convolutional": images[..., None],
        "delayed": images.reshape(-1, 64),
        "varied": random.uniform(0.2, 0.6, (SAMPLES, 12, 9, 2)),
    }
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(keep or folder)
        for name, model in models.items():
            if name in ("dense", "convolutional"):
                accuracy = train(model, inputs[name], digits.target)
                print(f"{name}: trained to {accuracy:.1%}", flush=True)
            layers = sum(hasattr(layer, "charge") for layer in model.layers)
            # The chip is one step later for every layer.
            spikes = encode(inputs[name][:SAMPLES], STEPS + layers, 2)
            export.to_lava(model, folder / f"{name}.net")
            np.save(folder / f"{name}_input.npy", spikes.astype("uint8"))
        runner = pathlib.Path(__file__).with_name("run_lava.py")
        subprocess.run([lava_python, runner, folder], check=True)
        for name, model in models.items():
            path = folder / f"{name}.net"
            spikes = np.load(folder / f"{name}_input.npy")
            lava = np.load(folder / f"{name}_lava.npy")
            simulated = export.simulate_lava(path, spikes, pipelined=True)
            differences = {"simulate_lava": int(np.sum(simulated != lava))}
            if name != "varied":
                # Biases drive deeper layers before spikes reach them: with biases
                # the shifted outputs agree only after a reset on the chip.
                layers = spikes.shape[1] - STEPS
                outputs = keras.ops.convert_to_numpy(model(spikes[:, :STEPS]))
                differences["Keras"] = int(np.sum(outputs != lava[:, layers:]))
            print(f"{name}: {lava.size} outputs, {int(lava.sum())} spikes")
            for what, count in differences.items():
                print(f"    differences of {what} from Lava: {count}")
                failed = failed or count > 0
    sys.exit(failed)


if __name__ == "__main__":
    main(*sys.argv[1:])
