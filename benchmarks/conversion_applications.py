"""How the outputs of converted `keras.applications` models follow the ANN's.

    KERAS_BACKEND=torch python benchmarks/conversion_applications.py MobileNetV2

The weights are random, as Keras initialises them; the inputs are smooth random images
of 32 x 32 pixels.
"""

import sys

import keras
import numpy as np

from keras_spiking import conversion

STEPS = (16, 32, 64, 128, 256)


def images(count, size):
    rng = np.random.default_rng(0)
    coarse = rng.uniform(size=(count, 4, 4, 3)).astype("float32")
    return keras.ops.convert_to_numpy(keras.ops.image.resize(coarse, (size, size)))


def main(name, size=32, samples=4):
    keras.utils.set_random_seed(0)
    ann = getattr(keras.applications, name)(
        weights=None,
        input_shape=(size, size, 3),
        classes=10,
        classifier_activation=None,
    )
    x = images(32, size)
    snn = conversion.convert(ann, x, max(STEPS))
    curve = conversion.simulate(snn, x[:samples])
    expected = ann.predict(x[:samples], verbose=0).ravel()
    print(f"\n| {name} | " + " | ".join(f"T={t}" for t in STEPS) + " |")
    print("|---" * (len(STEPS) + 1) + "|")
    r = [np.corrcoef(curve[:, t - 1].ravel(), expected)[0, 1] for t in STEPS]
    print("| correlation | " + " | ".join(f"{value:.4f}" for value in r) + " |")


if __name__ == "__main__":
    for model in sys.argv[1:]:
        main(model)
