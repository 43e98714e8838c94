"""A vision transformer, trained on digits, and what conversion makes of it.

    KERAS_BACKEND=torch python benchmarks/conversion_transformers.py

Four blocks of width 32 with four heads on the 16 patches of scikit-learn's digits. A
fifth of the images is kept for the test; thresholds come from 256 training images.
"""

import sys

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_spiking import conversion

STEPS = (8, 16, 32, 64)
OPTIONS = {
    "percentile (default)": {},
    "channel by channel": {"channel_wise": True},
    "local threshold balancing": {"method": "ltb"},
    "bursts": {"neuron": "burst"},
}


class Positions(layers.Layer):
    def build(self, input_shape):
        self.positions = self.add_weight(
            shape=input_shape[1:],
            initializer=keras.initializers.RandomNormal(stddev=0.3),
        )

    def call(self, x):
        return x + self.positions


def vision_transformer(width=32, heads=4, blocks=4):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(width, 2, strides=2)(inputs)
    x = Positions()(layers.Reshape((16, width))(x))
    for _ in range(blocks):
        y = layers.LayerNormalization()(x)
        attention = layers.MultiHeadAttention(heads, width // heads)
        x = layers.Add()([x, attention(y, y)])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(2 * width, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(width)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


def train(ann, x, y, epochs):
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(x) // 64)
    ann.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    ann.fit(x, y, epochs=epochs, batch_size=64, verbose=0)


def measure(title, ann, data, x, y):
    expected = ann.predict(x, verbose=0)
    accuracy = np.mean(expected.argmax(axis=-1) == y)
    print(f"\n{title}: the ANN's accuracy is {accuracy:.4f}\n")
    print("| thresholds | " + " | ".join(f"T={t}" for t in STEPS) + " |")
    print("|---" * (len(STEPS) + 1) + "|")
    for name, options in OPTIONS.items():
        snn = conversion.convert(ann, data, max(STEPS), **options)
        curve = conversion.simulate(snn, x, batch_size=128)
        cells = []
        for t in STEPS:
            found = curve[:, t - 1]
            r = np.corrcoef(found.ravel(), expected.ravel())[0, 1]
            accuracy = np.mean(found.argmax(axis=-1) == y)
            cells.append(f"r = {r:.4f}, {accuracy:.4f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    snn = conversion.convert(ann, data, max(STEPS), channel_wise=True)
    print(f"\n{conversion.report(snn, ann, x[:64])}")


def main(epochs=40):
    keras.utils.set_random_seed(0)
    digits = load_digits()
    images = (digits.images / 16.0).astype("float32")[..., np.newaxis]
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.2, stratify=digits.target, random_state=0
    )
    ann = vision_transformer()
    measure("Random weights", ann, x_train[:256], x_test, y_test)
    train(ann, x_train, y_train, epochs)
    measure("Trained", ann, x_train[:256], x_test, y_test)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
