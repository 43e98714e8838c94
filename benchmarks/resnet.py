"""How long Spiking ResNet-18 takes, in this package and in its peers.

    KERAS_BACKEND=torch python benchmarks/resnet.py --batch 2 --size 64
    KERAS_BACKEND=torch python benchmarks/resnet.py --timesteps 128 --inference

The network is ResNet-18 with LIF neurons for activation functions, a residual block
adding its input before its last neurons. Step, peers and layouts are those of
`training.py`. The defaults are made for a GPU.
"""

import argparse

import keras
import peers
import timing
from training import add_data_format
from training import batch_of
from training import compare
from training import image_shape

from keras_spiking import models

CLASSES = 1000
STAGES = (64, 128, 256, 512)


def keras_resnet(size):
    def make(neuron, timesteps):
        model = models.SpikingResNet18(
            (timesteps, *image_shape(size, 3)), neuron=neuron, return_sequences=True
        )
        return [keras.Input(model.input_shape[1:]), model]

    return make


def torch_resnet(neuron):
    from torch import nn

    def convolution(inputs, filters, kernel, strides=1):
        padding = kernel // 2
        convolution = nn.Conv2d(inputs, filters, kernel, strides, padding, bias=False)
        return peers.folded(convolution, nn.BatchNorm2d(filters))

    class Block(nn.Module):
        def __init__(self, inputs, filters):
            super().__init__()
            strides = 1 if inputs == filters else 2
            self.path = nn.Sequential(
                convolution(inputs, filters, 3, strides),
                neuron(),
                convolution(filters, filters, 3),
            )
            self.shortcut = nn.Identity()
            if strides > 1:
                self.shortcut = convolution(inputs, filters, 1, strides)
            self.neuron = neuron()

        def forward(self, x):
            return self.neuron(self.shortcut(x) + self.path(x))

    blocks, inputs = [], 64
    for filters in STAGES:
        blocks += [Block(inputs, filters), Block(filters, filters)]
        inputs = filters
    return nn.Sequential(
        convolution(3, 64, 7, 2),
        neuron(),
        peers.folded(nn.MaxPool2d(3, 2, 1)),
        *blocks,
        peers.folded(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES)),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--timesteps", type=int, nargs="+", default=[2, 4, 8, 16, 32])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="of an image, in pixels")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--inference", action="store_true", help="do not train")
    add_data_format(parser)
    options = parser.parse_args()
    keras.config.set_image_data_format(options.data_format)
    print(timing.setting())
    size = options.size
    shape = image_shape(size, 3)
    for timesteps in options.timesteps:
        x, y = batch_of((options.batch, timesteps, *shape))
        what = "inference" if options.inference else "training step"
        title = f"Spiking ResNet-18, {what}, {options.batch} x {timesteps} x {shape}"
        networks = {"keras": keras_resnet(size), "torch": torch_resnet}
        compare(title, networks, timesteps, x, y, options)


if __name__ == "__main__":
    main()
