"""What residual networks share: their plan."""

import dataclasses
from typing import Any

from keras_spiking.models import parts
from keras_spiking.validation import check_choice


@dataclasses.dataclass(frozen=True)
class Plan:
    """The blocks of a residual network.

    Attributes:
        depths: Tuple of integers, the number of blocks of each of the four stages.
        bottleneck: Boolean, whether a block is 1 x 1, 3 x 3, 1 x 1 in place of two
            convolutions of 3 x 3, with four times as many filters at its end.
        groups: Integer, of the 3 x 3 convolutions of bottlenecks.
        widening: How many times as wide as usual bottlenecks are, over all groups.
    """

    depths: tuple[int, int, int, int]
    bottleneck: bool = False
    groups: int = 1
    widening: int = 1

    def convolutions(self, filters, strides):
        """Filters, size, strides and groups of the convolutions in a block."""
        if not self.bottleneck:
            return [(filters, 3, strides, 1), (filters, 3, 1, 1)]
        width = filters * self.widening
        return [
            (width, 1, 1, 1),
            (width, 3, strides, self.groups),
            (4 * filters, 1, 1, 1),
        ]


# The usual networks, as arguments of the families.
RESNET18: dict[str, Any] = {"depths": (2, 2, 2, 2)}
RESNET34: dict[str, Any] = {"depths": (3, 4, 6, 3)}
RESNET50: dict[str, Any] = {"depths": (3, 4, 6, 3), "bottleneck": True}
RESNET101: dict[str, Any] = {"depths": (3, 4, 23, 3), "bottleneck": True}
RESNET152: dict[str, Any] = {"depths": (3, 8, 36, 3), "bottleneck": True}
RESNEXT50_32X4D = {**RESNET50, "groups": 32, "widening": 2}
RESNEXT101_32X8D = {**RESNET101, "groups": 32, "widening": 4}
WIDE_RESNET50_2 = {**RESNET50, "widening": 2}
WIDE_RESNET101_2 = {**RESNET101, "widening": 2}


def stem(x, fire, filters, kind):
    """The convolution and neurons before the blocks."""
    check_choice("stem", kind, ("imagenet", "cifar"))
    small = kind == "cifar"
    size, strides = (3, 1) if small else (7, 2)
    x = parts.convolution(x, filters, size, "conv1", "bn1", strides)
    x = fire(x, "sn1")
    return x if small else parts.max_pooling(x, 3, 2, "maxpool")


def stages(x, plan, filters, block, first_strides=1):
    """Four stages of blocks, each with twice the filters of the one before."""
    for stage, depth in enumerate(plan.depths):
        for number in range(depth):
            strides = 1 if number > 0 else 2 if stage > 0 else first_strides
            name = f"layer{stage + 1}_{number}"
            x = block(x, filters * 2**stage, strides, name)
    return x


def path(x, fire, plan, filters, strides, name):
    """The convolutions of a block, with neurons between them."""
    convolutions = plan.convolutions(filters, strides)
    for number, (filters, size, strides, groups) in enumerate(convolutions, 1):
        x = parts.convolution(
            x,
            filters,
            size,
            f"{name}_conv{number}",
            f"{name}_bn{number}",
            strides,
            groups=groups,
        )
        if number < len(convolutions):
            x = fire(x, f"{name}_sn{number}")
    return x, f"{name}_sn{number}"


def projection(x, y, strides, name):
    """The input `x` of a block, projected to the shape of the path's output `y`."""
    name = f"{name}_downsample"
    filters = parts.channels(y)
    return parts.convolution(x, filters, 1, f"{name}_0", f"{name}_1", strides)


def minimum_size(kind):
    """The least height and width of images, by the stem."""
    return 8 if kind == "cifar" else 32
