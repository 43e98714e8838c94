"""
Title: Finding shapes, pixel by pixel and box by box
Description: A spiking U-Net with skip connections, and a detector on the same network.

Usage:

    KERAS_BACKEND=jax python guides/segmentation.py
"""

import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
import numpy as np
from keras import ops

from keras_spiking.layers import DirectEncoder
from keras_spiking.layers import FiringRate
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import SeqToBatch

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"
SEED = 0
SIZE, TIMESTEPS = 32, 4
EPOCHS, BATCH_SIZE, FILTERS = (1, 16, 4) if SHORT else (10, 16, 12)

"""
## Images

One to four discs, squares and triangles of random brightness on a background of
another, under noise. Of each pixel we know what it belongs to (0 is the
background), of each shape the box around it. Later shapes hide earlier ones.

A detector answers for each of the cells of a coarse grid, here 8 x 8: is the centre of
a shape in this cell, where in the cell, how large, and which one? That is the idea of
YOLO. Its target is `(8, 8, 5)`: class (0 for none), centre within the cell, height and
width as fractions of the image.
"""

SHAPES = ("disc", "square", "triangle")
GRID = 8
CELL = SIZE // GRID


def shape_mask(kind, y, x, radius):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    dy, dx = (rows - y) / radius, (columns - x) / radius
    if kind == 0:
        return dy**2 + dx**2 <= 1
    if kind == 1:
        return np.maximum(abs(dy), abs(dx)) <= 0.85
    return (dy <= 0.8) & (abs(dx) <= (dy + 1) / 1.8)


def draw(rng):
    image = np.full((SIZE, SIZE), rng.uniform(0.2, 0.8))
    classes = np.zeros((SIZE, SIZE), "int32")
    owner = np.full((SIZE, SIZE), -1)
    number = rng.integers(1, 5)
    background = image[0, 0]
    for i in range(number):
        kind = rng.integers(len(SHAPES))
        mask = shape_mask(kind, *rng.uniform(5, SIZE - 5, 2), rng.uniform(5, 9))
        step = rng.uniform(0.25, 0.5)
        image[mask] = background + (step if background < 0.5 else -step)
        classes[mask], owner[mask] = kind + 1, i
    boxes = np.zeros((GRID, GRID, 5), "float32")
    for i in range(number):
        rows, columns = np.nonzero(owner == i)
        if len(rows) < 20:
            continue  # hidden by others
        edges = np.array([[rows.min(), columns.min()], [rows.max(), columns.max()]])
        (y, x), (height, width) = edges.mean(axis=0) + 0.5, edges[1] - edges[0] + 1
        row, column = int(y / CELL), int(x / CELL)
        inside = (y / CELL - row, x / CELL - column)
        kind = classes[rows[0], columns[0]]
        boxes[row, column] = kind, *inside, height / SIZE, width / SIZE
    image += rng.normal(0, 0.1, image.shape)
    return image[..., np.newaxis].astype("float32"), classes, boxes


def make(number, seed):
    rng = np.random.default_rng(seed)
    return [np.stack(part) for part in zip(*(draw(rng) for _ in range(number)))]


x_train, classes_train, boxes_train = make(64 if SHORT else 2000, seed=1)
x_test, classes_test, boxes_test = make(32 if SHORT else 300, seed=2)

"""
## A spiking U-Net

The image is shown at all time steps. On the way down, strides halve the resolution
twice while the channels double; on the way up, transposed convolutions bring it back.
What was seen at full resolution is handed over by skip connections. They join spikes
with spikes, hence all that convolutions see are zeros and ones; only the first one sees
the image.

Convolutions come inside of `SeqToBatch`, which folds time into the batch. `Concatenate`
has no weights and works on sequences as it is.

The second output sits at the bottom, where the resolution is that of the grid.
"""


def convolution(filters, transposed=False, strides=1):
    layer = keras.layers.Conv2DTranspose if transposed else keras.layers.Conv2D
    return SeqToBatch(
        [
            layer(filters, 3, strides=strides, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
        ]
    )


def lif():
    return LIFLayer(2.0, decay_input=False, surrogate="atan", detach_reset=True)


def u_net(neurons):
    def block(x, filters, **kwargs):
        return neurons()(convolution(filters, **kwargs)(x))

    inputs = keras.Input((SIZE, SIZE, 1))
    x = DirectEncoder(TIMESTEPS)(inputs)
    full = block(x, FILTERS)
    half = block(full, 2 * FILTERS, strides=2)
    quarter = block(block(half, 4 * FILTERS, strides=2), 4 * FILTERS)

    x = block(quarter, 2 * FILTERS, transposed=True, strides=2)
    x = block(keras.layers.Concatenate()([x, half]), 2 * FILTERS)
    x = block(x, FILTERS, transposed=True, strides=2)
    x = block(keras.layers.Concatenate()([x, full]), FILTERS)
    pixels = SeqToBatch(keras.layers.Conv2D(1 + len(SHAPES), 1))(x)
    pixels = FiringRate(name="pixels")(pixels)

    x = block(quarter, 4 * FILTERS)
    cells = SeqToBatch(keras.layers.Conv2D(1 + len(SHAPES) + 4, 1))(x)
    cells = FiringRate(name="cells")(cells)
    return keras.Model(inputs, {"pixels": pixels, "cells": cells})


"""
## Training for both

Of each cell, the loss is the cross-entropy of its class, and, where there is a shape,
the distance of the box. Most cells are empty, but none is left out.
"""


@keras.saving.register_keras_serializable("guides")
def detection_loss(y_true, y_pred):
    label = ops.cast(y_true[..., 0], "int32")
    scores, box = y_pred[..., : 1 + len(SHAPES)], y_pred[..., 1 + len(SHAPES) :]
    which = ops.sparse_categorical_crossentropy(label, scores, from_logits=True)
    where = ops.sum(ops.abs(y_true[..., 1:] - ops.sigmoid(box)), axis=-1)
    return ops.mean(which + 2.0 * ops.where(label > 0, where, 0.0), axis=(1, 2))


def train(model):
    steps = EPOCHS * -(-len(x_train) // BATCH_SIZE)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)),
        {"pixels": cross_entropy, "cells": detection_loss},
    )
    targets = {"pixels": classes_train, "cells": boxes_train}
    model.fit(x_train, targets, BATCH_SIZE, epochs=EPOCHS, verbose=0)
    return model


"""
## How good it is

Pixels: the intersection over union (IoU) of what is and what was said to be, averaged
over the background and the three shapes. Boxes: a shape is found by a box of its class
with an IoU of 0.5 or more. Recall is the part of the shapes that are found, precision
the part of the boxes that find one. A centre near the border of two cells leaves each
of them unsure: cells count from a probability of 0.3 on, and boxes that overlap a surer
one by half are dropped.
"""


def intersection_over_union(a, b):
    top_left, bottom_right = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = np.prod(np.maximum(bottom_right - top_left, 0))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


def corners(cell, y, x, height, width):
    centre = (np.array(cell) + (y, x)) * CELL
    half = np.array([height, width]) * SIZE / 2
    return np.concatenate([centre - half, centre + half])


def true_boxes(boxes):
    return [
        (int(boxes[*cell, 0]), corners(cell, *boxes[*cell, 1:]))
        for cell in np.argwhere(boxes[..., 0] > 0)
    ]


def predicted_boxes(scores, boxes):
    """Class and corners of boxes, the surest first, without those that repeat one."""
    empty = scores[..., 0]
    found = [(-empty[*cell], tuple(cell)) for cell in np.argwhere(empty < 0.7)]
    kept = []
    for _, cell in sorted(found, reverse=True):
        kind = int(scores[cell][1:].argmax()) + 1
        box = corners(cell, *boxes[cell])
        if all(intersection_over_union(box, other) < 0.5 for _, other in kept):
            kept.append((kind, box))
    return kept


def predict(model, x):
    outputs = model.predict(x, batch_size=100, verbose=0)
    scores = ops.softmax(outputs["cells"][..., : 1 + len(SHAPES)])
    boxes = ops.sigmoid(outputs["cells"][..., 1 + len(SHAPES) :])
    cells = zip(ops.convert_to_numpy(scores), ops.convert_to_numpy(boxes))
    return outputs["pixels"].argmax(axis=-1), [predicted_boxes(*cell) for cell in cells]


def evaluate(pixels, boxes):
    kinds = range(1 + len(SHAPES))
    said, true = ([array == kind for kind in kinds] for array in (pixels, classes_test))
    ious = [np.sum(a & b) / np.sum(a | b) for a, b in zip(said, true)]
    hits = shapes = 0
    for found, target in zip(boxes, map(true_boxes, boxes_test)):
        shapes += len(target)
        for kind, box in found:
            ious_here = [
                intersection_over_union(box, other) if kind == k else 0.0
                for k, other in target
            ]
            if ious_here and max(ious_here) >= 0.5:
                target.pop(int(np.argmax(ious_here)))
                hits += 1
    said = max(sum(map(len, boxes)), 1)
    return np.mean(ious), hits / shapes, hits / said


"""
## Results

Measured on two cores of a CPU with JAX, seed 0, on 300 images:

| network | parameters | mean IoU | recall | precision | time |
|---|---|---|---|---|---|
| spiking U-Net | 81,912 | 0.775 | 0.751 | 0.886 | 99 s |
| U-Net, ReLU | 81,912 | 0.807 | 0.759 | 0.891 | 96 s |
"""

print(f"{keras.config.backend()}, seed {SEED}, {EPOCHS} epochs, {len(x_train)} images")
print("| network | parameters | mean IoU | recall | precision | time |")
print("|---|---|---|---|---|---|")
models = {}
for name, neurons in (("spiking U-Net", lif), ("U-Net, ReLU", keras.layers.ReLU)):
    keras.utils.set_random_seed(SEED)
    started = time.perf_counter()
    models[name] = train(u_net(neurons))
    seconds = time.perf_counter() - started
    results = evaluate(*predict(models[name], x_test))
    count = models[name].count_params()
    columns = " | ".join(f"{result:.3f}" for result in results)
    print(f"| {name} | {count:,} | {columns} | {seconds:.0f} s |", flush=True)

model = models["spiking U-Net"]
neurons = [layer for layer in model.layers if isinstance(layer, LIFLayer)]
inside = keras.Model(model.inputs, [layer.output for layer in neurons])
print("Firing rates, in spikes per neuron and time step:")
for layer, spikes in zip(neurons, inside.predict(x_test[:50], verbose=0)):
    print(f"  {layer.name:<14}{str(layer.output.shape[2:]):<14}{spikes.mean():.3f}")

"""
## A picture of it

Some images with two shapes and more. From top to bottom: the images, what their pixels
are, what the spiking network says, and its boxes.
"""

number_of_shapes = np.sum(boxes_test[..., 0] > 0, axis=(1, 2))
shown = np.flatnonzero(number_of_shapes >= 2)[:6]
pixels, boxes = predict(model, x_test[shown])
names = ("background", *SHAPES)
colors = ListedColormap(["whitesmoke", "tab:blue", "tab:orange", "tab:green"])
figure, axes = plt.subplots(4, len(shown), figsize=(11, 7.8), layout="constrained")
for column, sample in enumerate(shown):
    image, truth = x_test[sample, ..., 0], classes_test[sample]
    for row, array in ((0, image), (3, image)):
        axes[row, column].imshow(array, cmap="gray", vmin=0, vmax=1)
    for row, array in ((1, truth), (2, pixels[column])):
        axes[row, column].imshow(array, cmap=colors, vmin=-0.5, vmax=3.5)
    for kind, (top, left, bottom, right) in boxes[column]:
        edge = (left - 0.5, top - 0.5)
        box = Rectangle(edge, right - left, bottom - top, edgecolor=colors(kind))
        axes[3, column].add_patch(box).set(fill=False, linewidth=2)
for row, title in zip(axes, ("image", "truth", "spiking U-Net", "boxes")):
    row[0].set_ylabel(title)
    for axis in row:
        axis.set(xticks=[], yticks=[])
patches = [Rectangle((0, 0), 1, 1, color=colors(kind)) for kind in range(4)]
figure.legend(patches, names, loc="outside lower center", ncols=4)
figure.savefig("segmentation.png", dpi=110)
print("Picture: segmentation.png")
