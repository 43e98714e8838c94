"""Writes the networks for run_snntorch.py. Usage: python write.py folder"""

import pathlib
import sys

import keras
import numpy as np

from keras_spiking import export
from keras_spiking import layers


def main(folder):
    folder = pathlib.Path(folder)
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    dense = keras.Sequential(
        [
            keras.Input((None, 12)),
            keras.layers.Dense(16),
            layers.LIFLayer(tau=4.0, decay_input=False, v_threshold=0.8),
            keras.layers.Dense(8),
            layers.LIFLayer(tau=1.5, decay_input=False, v_threshold=0.3),
        ]
    )
    convolutional = keras.Sequential(
        [
            keras.Input((None, 9, 8, 2)),
            layers.SeqToBatch(
                [
                    keras.layers.Conv2D(4, 3, strides=(2, 1), padding="valid"),
                    keras.layers.BatchNormalization(),
                ]
            ),
            layers.LIFLayer(tau=2.0, decay_input=False, v_threshold=0.7),
            layers.SeqToBatch(
                [keras.layers.AveragePooling2D(2), keras.layers.Flatten()]
            ),
            keras.layers.Dense(6),
            layers.LIFLayer(tau=3.0, decay_input=False, v_threshold=0.2),
        ]
    )
    normalization = convolutional.layers[0].layers[1]
    normalization.set_weights(
        [random.uniform(0.5, 1.5, w.shape) for w in normalization.weights]
    )
    models = {"dense": dense, "convolutional": convolutional}
    for name, model in models.items():
        export.to_nir(model, folder / f"{name}.nir")
        shape = (3, 40, *model.input_shape[2:])
        spikes = (random.uniform(size=shape) < 0.4).astype("uint8")
        np.save(folder / f"{name}_input.npy", spikes)
        model.save(folder / f"{name}.keras")


if __name__ == "__main__":
    main(sys.argv[1])
