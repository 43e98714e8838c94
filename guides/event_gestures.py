"""
Title: Recognising gestures in the events of a camera
Description: From recordings of an event camera to a trained spiking network.
"""

"""
An event camera has no frames. Each pixel reports on its own when its brightness has
changed: a time, a place, and whether it became brighter ("on") or darker ("off"). A
network of spiking neurons can process that almost as it is.

The recordings here are synthetic, made from a seed: a disc that moves sideways,
circles, approaches or recedes. With the folder of DVS128 Gesture in the environment
variable `DVS128_GESTURE`, the same program learns eleven gestures of real hands.
"""

import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

import keras_spiking
from keras_spiking import datasets

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"
FOLDER = os.environ.get("DVS128_GESTURE")

keras.utils.set_random_seed(0)

"""
## Recordings

A collection of recordings returns `(events, label)` by index. Events are one structured
array with the fields t (microseconds), x, y and p.
"""

if FOLDER:
    train = datasets.load_dvs128_gesture(FOLDER, split="train")
    test = datasets.load_dvs128_gesture(FOLDER, split="test")
else:
    gestures = datasets.SyntheticGestures(64 if SHORT else 1000, seed=1)
    train, test = datasets.split_train_test(gestures, 0.8, seed=0)

events, label = train[0]
print(f"{len(train)} recordings for training, {len(test)} for testing.")
print(f"The first has {len(events)} events of {train.classes[label]!r}:")
print(events[:3])

"""
## Frames

`Frames` counts the events in every cell of the sensor. Here each recording becomes ten
frames of the same duration: an array (time, height, width, polarities).

`EventDataset` makes batches of them, and `fit` takes it like any other dataset. With
`cache_dir` the frames are kept on disk; with `augmentation` the recordings change a
little in every epoch, before they become frames.
"""

frames = datasets.Frames(number=10)
figure = keras_spiking.visualization.plot_frames(
    frames(events, train.sensor_shape), title=f"A gesture: {train.classes[label]}"
)
figure.savefig("event_gestures.png", dpi=100)

train_data = datasets.EventDataset(
    train,
    frames,
    batch_size=32,
    shuffle=True,
    augmentation=[
        datasets.RandomShift(height=2, width=2),
        datasets.DropEvents(0.1),
    ],
    drop_remainder=True,
)
test_data = datasets.EventDataset(test, frames, batch_size=32)

"""
## A spiking network

Convolutions have no memory: `SeqToBatch` applies them to all time steps at once. The
neurons between them do have one. The readout averages over time.
"""


def convolution(filters):
    return keras_spiking.layers.SeqToBatch(
        [
            keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False),
            # Training is short: the averages must forget its first steps.
            keras.layers.BatchNormalization(momentum=0.9),
        ]
    )


def neurons():
    return keras_spiking.layers.LIFLayer(tau=2.0, surrogate="atan", detach_reset=True)


shape = train.sensor_shape
model = keras.Sequential(
    [
        keras.Input((frames.number, *shape)),
        # Large sensors are pooled to about 32 x 32 pixels first.
        keras_spiking.layers.SeqToBatch(
            keras.layers.AveragePooling2D(max(1, shape[0] // 32))
        ),
        convolution(16),
        neurons(),
        convolution(32),
        neurons(),
        keras_spiking.layers.SeqToBatch(
            [keras.layers.Flatten(), keras.layers.Dense(64)]
        ),
        neurons(),
        keras_spiking.layers.SeqToBatch(keras.layers.Dense(len(train.classes))),
        keras_spiking.layers.FiringRate(),
    ]
)
model.compile(
    optimizer=keras.optimizers.Adam(2e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)

"""
## Training
"""

started = time.time()
model.fit(train_data, epochs=1 if SHORT else 4, verbose=2)
_, accuracy = model.evaluate(test_data, verbose=0)
print(
    f"Test accuracy {accuracy:.1%} after {time.time() - started:.0f} s "
    f"on {keras.config.backend()}."
)
