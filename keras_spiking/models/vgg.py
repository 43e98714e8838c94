"""What Spiking VGG and OTTT-VGG share: their plans, and chains of their layers."""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import keras

from keras_spiking import layers
from keras_spiking.models import parts
from keras_spiking.validation import check_integer

# Convolutions of the five stages, by the number of layers with weights.
DEPTHS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
WIDTHS = (1, 2, 4, 8, 8)  # of the five stages, in filters of the first one
POOLED = 7  # height and width of maps before dense layers

normal = functools.partial(keras.initializers.RandomNormal, stddev=0.01)


def plan(*depths):
    """Widths of convolutions and where pooling is, from the convolutions of stages."""
    stages = ([width] * depth + ["max"] for width, depth in zip(WIDTHS, depths))
    return tuple(itertools.chain(*stages))


@dataclasses.dataclass
class Chain:
    """Puts one layer after the other, with names by their number.

    Attributes:
        x: Tensor, the output of the last layer.
        fire: Function that puts neurons behind a tensor.
        name: String, before the number.
        convolution: Class of convolutions.
        dense: Class of dense layers.
        scale: Float, by what spikes are multiplied, or `None`: there is no such layer.
        number: Integer, of the next layer.
    """

    x: keras.KerasTensor
    fire: Callable
    name: str
    convolution: type = keras.layers.Conv2D
    dense: type = keras.layers.Dense
    scale: float | None = None
    number: int = 0

    def following(self):
        """The name of the next layer."""
        self.number += 1
        return f"{self.name}_{self.number - 1}"

    def features(self, plan, filters, normalize=False):
        """Convolutions with neurons, and pooling."""
        for width in plan:
            if width == "max":
                self.x = parts.max_pooling(self.x, 2, 2, self.following())
            elif width == "mean":
                name = self.following()
                pooling = keras.layers.AveragePooling2D(2, name=name)
                self.x = parts.apply(self.x, [pooling], name)
            else:
                self.convolve(width * filters, normalize)

    def convolve(self, filters, normalize):
        name = self.following()
        initializer = parts.he_normal()
        stack = [
            self.convolution(
                filters, 3, padding="same", kernel_initializer=initializer, name=name
            )
        ]
        if normalize:
            stack.append(parts.batch_normalization(self.following()))
        self.x = parts.apply(self.x, stack, name)
        self.spike()

    def spike(self):
        self.x = self.fire(self.x, self.following())
        if self.scale is not None:
            name = self.following()
            if self.scale != 1.0:
                self.x = keras.layers.Rescaling(self.scale, name=name)(self.x)

    def connect(self, units, dense):
        name = self.following()
        layer = dense(units, kernel_initializer=normal(), name=name)
        self.x = parts.apply(self.x, [layer], name)

    def average(self, classes):
        """Scores of classes from the means of maps."""
        name = f"{self.name}_pool"
        pooling = keras.layers.GlobalAveragePooling2D(name=name)
        self.x = parts.apply(self.x, [pooling], name)
        self.connect(check_integer("classes", classes, minimum=1), keras.layers.Dense)

    def classify(self, units, classes, dropout):
        """Two dense layers with neurons over maps of 7 x 7, and scores of classes."""
        name = f"{self.name}_pool"
        pooling = layers.AdaptiveAveragePooling2D(POOLED, name=name)
        self.x = parts.flatten(
            parts.apply(self.x, [pooling], name), f"{self.name}_flat"
        )
        for _ in range(2):
            self.connect(units, self.dense)
            self.spike()
            self.x = layers.Dropout(dropout, name=self.following())(self.x)
        classes = check_integer("classes", classes, minimum=1)
        self.connect(classes, keras.layers.Dense)
