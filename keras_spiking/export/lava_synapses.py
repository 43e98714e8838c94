"""The stateless layers before neurons, as one dense matrix or convolution."""

import keras
import numpy as np

from keras_spiking.conversion.folding import FOLDABLE
from keras_spiking.export import network

_GLOBAL = keras.layers.GlobalAveragePooling2D
_KINDS = {
    "padding": keras.layers.ZeroPadding2D,
    "pool": (keras.layers.AveragePooling2D, _GLOBAL),
    "flatten": keras.layers.Flatten,
    "kernel": (keras.layers.Dense, keras.layers.Conv2D),
    "normalization": FOLDABLE,
}


def kind_of(stage):
    """Which part of the synapses a stage is, if Lava has such layers."""
    layer = network.inner(stage.layer)
    kinds = [name for name, kind in _KINDS.items() if network.is_a(layer, kind)]
    if not kinds or getattr(layer, "keepdims", False):
        raise ValueError(
            f"Lava has no {stage}. It takes Dense, Conv2D, AveragePooling2D and "
            "GlobalAveragePooling2D (in place of maximum pooling), ZeroPadding2D, "
            "Flatten, BatchNormalization, and layers that do nothing at inference "
            "such as Dropout, with neurons after every Dense and Conv2D. Encoders and "
            'readouts run on the host: `strip="io"` leaves them out.'
        )
    if getattr(layer, "data_format", None) == "channels_first":
        raise ValueError(f"{stage}: export takes `data_format='channels_last'`.")
    if getattr(layer, "activation", None) not in (None, keras.activations.linear):
        raise ValueError(
            f"{stage}: an activation cannot be exported. Use neurons instead of "
            f"activation={layer.activation.__name__!r}."
        )
    return kinds[0]


class Synapses:
    """Collects stateless layers, then composes them.

    They may come in this order, each at most once: ZeroPadding2D,
    AveragePooling2D, Flatten, Dense or Conv2D, BatchNormalization. A
    GlobalAveragePooling2D counts as a pooling and a Flatten.

    Args:
        shape: Shape of the input, channels last, without batch and time.
        flat: Boolean, whether a Flatten keeps the order of the features, since
            the host flattens the input.
    """

    def __init__(self, shape, flat):
        self.shape = shape
        self.flat = flat
        self.found = {}

    def add(self, stage):
        """Takes in one more layer."""
        names = list(_KINDS)
        kind = kind_of(stage)
        if any(name in self.found for name in names[names.index(kind) :]):
            raise ValueError(
                f"{stage} cannot be merged with the layers before it. Between "
                "two layers of neurons there may be ZeroPadding2D, AveragePooling2D, "
                "Flatten, one Dense or Conv2D and BatchNormalization, in this order."
            )
        self.found[kind] = stage
        if isinstance(stage.layer, _GLOBAL):
            self.found["flatten"] = stage

    def kernel_and_bias(self, neurons):
        """The kernel in Keras's layout, the input being that of all layers."""
        if "kernel" not in self.found:
            if "pool" not in self.found or len(self.found) > 1:
                raise ValueError(
                    f"{neurons} has no synapses of its own: place a Dense, "
                    "Conv2D or AveragePooling2D before it."
                )
            height, width = self._pool_size()
            channels = self.shape[-1]
            kernel = np.full((height, width, 1, channels), 1 / (height * width))
            return kernel, np.zeros(())
        stage = self.found["kernel"]
        kernel, bias = network.weights(stage)
        kernel = kernel.astype("float64")
        bias = np.zeros(()) if bias is None else bias.astype("float64")
        if "normalization" in self.found:
            scale, shift = network.scale_and_shift(self.found["normalization"])
            kernel, bias = network.fold_scale_and_shift(kernel, bias, scale, shift)
        if kernel.ndim == 2:
            return self._dense_on_image(stage, kernel), bias
        return self._pooled(stage, kernel), bias

    def to_lava(self, kernel):
        """Keras's layout to that of the file."""
        if kernel.ndim == 4:
            return kernel.transpose(3, 2, 0, 1).astype(int)
        if self._flattens() and not self.flat:
            height, width, channels = self.shape
            kernel = kernel.reshape(height, width, channels, -1)
            kernel = kernel.transpose(2, 0, 1, 3).reshape(-1, kernel.shape[-1])
        return kernel.T.astype(int)

    def geometry(self):
        """The fields of a `LavaBlock` that say how the kernel is applied."""
        if self._flattens():
            return {"flattens": not self.flat}
        stage = self.found.get("kernel")
        if stage is not None and not isinstance(
            network.inner(stage.layer), keras.layers.Conv2D
        ):
            return {}
        pool = self._pool_size()
        if stage is None:
            return {"strides": pool, "groups": self.shape[-1]}
        layer = network.inner(stage.layer)
        padding = self._padding(stage)
        return {
            "strides": tuple(s * p for s, p in zip(layer.strides, pool)),
            "padding": padding,
            "dilation": tuple(layer.dilation_rate),
            "groups": layer.groups,
        }

    def _flattens(self):
        return "flatten" in self.found and len(self.shape) > 1

    def _pool_size(self):
        if "pool" not in self.found:
            return (1, 1)
        stage = self.found["pool"]
        layer = stage.layer
        if isinstance(layer, _GLOBAL):
            return stage.input_shape[:2]
        size = tuple(layer.pool_size)
        if tuple(layer.strides) != size or layer.padding != "valid":
            raise ValueError(
                f"{stage}: only pooling with `strides` equal to `pool_size` and "
                "`padding='valid'` can be exported."
            )
        return size

    def _pooled(self, stage, kernel):
        pool = self._pool_size()
        if pool == (1, 1):
            return kernel
        if tuple(network.inner(stage.layer).dilation_rate) != (1, 1):
            raise ValueError(
                f"{stage}: pooling before a dilated convolution cannot be "
                "folded. Place neurons after the pooling."
            )
        return kernel.repeat(pool[0], 0).repeat(pool[1], 1) / np.prod(pool)

    def _dense_on_image(self, stage, kernel):
        if not self._flattens():
            if len(self.shape) > 1:
                raise ValueError(
                    f"{stage} acts on the last axis of features {self.shape}. Place a "
                    "Flatten before it, or use Conv2D with a kernel of 1."
                )
            return kernel
        if "padding" in self.found:
            raise ValueError(f"{self.found['padding']} must be followed by Conv2D.")
        height, width, channels = self.shape
        (down, right), outputs = self._pool_size(), kernel.shape[-1]
        rows, columns = height // down, width // right
        kernel = kernel.reshape(rows, columns, channels, outputs)
        kernel = kernel.repeat(down, 0).repeat(right, 1) / (down * right)
        rest = ((0, height - rows * down), (0, width - columns * right))
        return np.pad(kernel, (*rest, (0, 0), (0, 0))).reshape(-1, outputs)

    def _padding(self, stage):
        """Padding of rows and columns, in pixels of the input."""
        layer = network.inner(stage.layer)
        pool = self._pool_size()
        padding = [0, 0]
        for axis in range(2):
            size = stage.input_shape[axis]
            extent = (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis] + 1
            if layer.padding == "same":
                stride = layer.strides[axis]
                total = max((-(-size // stride) - 1) * stride + extent - size, 0)
                if total % 2:
                    raise ValueError(
                        f"{stage}: `padding='same'` pads one side more than the "
                        "other here, which Lava does not support. Use "
                        "ZeroPadding2D and `padding='valid'`."
                    )
                padding[axis] = total // 2 * pool[axis]
                if padding[axis] and self.shape[axis] % pool[axis]:
                    raise ValueError(
                        f"{stage}: padding after a pooling that drops pixels cannot "
                        "be folded. Place neurons after the pooling."
                    )
        if "padding" in self.found:
            outside = self.found["padding"]
            for axis, (before, after) in enumerate(outside.layer.padding):
                if before != after or ("pool" in self.found and padding[axis]):
                    raise ValueError(
                        f"{outside} must pad both sides alike, and cannot be combined "
                        "with a pooling and `padding='same'`."
                    )
                padding[axis] += before
        return tuple(padding)
