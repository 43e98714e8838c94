"""Lava's netx files: HDF5 with one group per layer."""

import math

import h5py
import numpy as np

from keras_spiking.export.files import check_arrays
from keras_spiking.export.files import naming_file
from keras_spiking.export.lava_block import LavaBlock
from keras_spiking.export.lava_block import check
from keras_spiking.files import complete_file


class Unsupported(ValueError):
    """A netx file that is not damaged, but holds what cannot be read here."""


def write(path, input_shape, blocks):
    """Writes blocks as a netx file.

    Args:
        path: Where to.
        input_shape: `(units,)` or `(channels, height, width)`.
        blocks: List of `LavaBlock`s.
    """
    with complete_file(path) as temporary, h5py.File(temporary, "w") as file:
        layers = file.create_group("layer")

        def group(kind, shape):
            entry = layers.create_group(str(len(layers)))
            entry["type"] = np.array([kind.encode("ascii")], dtype="S10")
            entry["shape"] = np.array(shape, "int64")
            return entry

        group("input", input_shape)
        for block in blocks:
            if block.flattens:
                group("flatten", (block.weight.shape[1], 1, 1))
            _write_block(
                group("dense" if block.is_dense else "conv", block.shape), block
            )


def _sizes(block):
    """What a file says about the sizes of a block, besides its weight."""
    outputs, inputs = block.weight.shape[:2]
    if block.is_dense:
        return {"inFeatures": inputs, "outFeatures": outputs}
    return {
        "inChannels": inputs * block.groups,
        "outChannels": outputs,
        "kernelSize": block.weight.shape[2:],
    }


def _write_block(entry, block):
    integers = _sizes(block)
    if not block.is_dense:
        integers |= {
            "groups": block.groups,
            "stride": block.strides,
            "padding": block.padding,
            "dilation": block.dilation,
        }
    for name, value in integers.items():
        entry[name] = np.array(value, "int64")
    for name in ("weight", "bias", "delay"):
        if (value := getattr(block, name)) is not None:
            entry[name] = value.astype("float32")
    neuron = entry.create_group("neuron")
    neuron["type"] = "CUBA"
    for name, value in (
        ("iDecay", block.current_decay),
        ("vDecay", block.voltage_decay),
        ("vThMant", block.threshold),
        ("refDelay", 1),
    ):
        neuron[name] = np.array(value, "int64")
    neuron["gradedSpike"] = False


def read(path, max_bytes):
    """Reads a netx file of CUBA neurons.

    Args:
        path: Path of the file.
        max_bytes: Integer, a limit on the memory that its arrays may take.

    Returns:
        The input shape, and a list of `LavaBlock`s, which fit the chip.

    Raises:
        ValueError: if this is not such a file, saying why.
    """
    with naming_file(path):
        try:
            with h5py.File(path, "r") as file:
                check_arrays(file, max_bytes)
                input_shape, blocks = _read(file)
        except (FileNotFoundError, Unsupported):
            raise
        except Exception as error:  # a damaged file can make h5py raise anything
            raise ValueError(
                f"{str(path)!r} is not a netx file of Lava, or is damaged: {error}"
            ) from error
        check(input_shape, blocks, max_bytes)
    return input_shape, blocks


def _read(file):
    layers = file["layer"]
    names = [str(i) for i in range(len(layers))]
    input_shape, blocks, flattens = None, [], False
    for name in names:
        entry = layers[name]
        kind = _text(entry["type"])
        if kind == "input":
            if "neuron" in entry:
                raise Unsupported("Input layers with neurons are not supported.")
            input_shape = tuple(int(n) for n in entry["shape"])
        elif kind == "flatten":
            flattens = True
        elif kind in ("dense", "conv"):
            blocks.append(_read_block(f"layer/{name}", entry, kind, flattens))
            flattens = False
        else:
            raise Unsupported(
                f"Layers of type {kind!r} are not supported: 'input', 'flatten', "
                "'dense' and 'conv' are."
            )
    if not blocks:
        raise Unsupported(f"{file.filename!r} holds no layer of neurons.")
    if input_shape is None and blocks[0].is_dense:
        input_shape = (blocks[0].weight.shape[1],)
    if input_shape is None or len(input_shape) not in (1, 3) or min(input_shape) < 1:
        raise Unsupported(
            f"{file.filename!r} must say the shape of its input, (units,) or "
            f"(channels, height, width). Received: {input_shape}"
        )
    if blocks[0].is_dense and not blocks[0].flattens:
        input_shape = (math.prod(input_shape),)  # the host flattens
    return input_shape, blocks


def _read_block(name, entry, kind, flattens):
    neuron = entry["neuron"]
    if _text(neuron["type"]) not in ("CUBA", "LOIHI"):
        raise Unsupported(
            f"{name}: neurons of type {_text(neuron['type'])!r} are not supported: "
            "'CUBA' is."
        )

    def integers(key):
        if key not in entry:
            return None
        values = np.array(entry[key], "float64")
        if not np.all(np.abs(values) < 2**31):  # NaN, too
            raise Unsupported(f"{name}: {key} must be finite and within 32 bits.")
        return values.astype("int64")  # as netx does: truncated towards zero

    def pair(key, default):
        value = np.ravel(entry[key]) if key in entry else [default]
        return tuple(int(n) for n in np.broadcast_to(value, 2))

    def scalar(key, default=None):
        if key not in neuron and default is not None:
            return default
        value = np.unique(neuron[key])
        if value.size != 1 or not np.isfinite(value[0]):
            raise Unsupported(f"{name}: {key} must be one number for a layer.")
        return int(value[0])

    for key, supported in (("refDelay", 1), ("gradedSpike", 0)):
        if (found := scalar(key, supported)) != supported:
            raise Unsupported(
                f"{name}: only {key}={supported} is supported. Received: {found}"
            )
    weight = integers("weight")
    if kind == "conv":
        weight = weight.reshape(weight.shape[:4])
    block = LavaBlock(
        name=name,
        weight=weight,
        threshold=scalar("vThMant"),
        current_decay=scalar("iDecay"),
        voltage_decay=scalar("vDecay"),
        shape=tuple(int(n) for n in entry["shape"]),
        bias=integers("bias"),
        delay=integers("delay"),
        flattens=flattens,
    )
    for what in ("bias", "delay"):
        if (value := getattr(block, what)) is not None:
            setattr(block, what, value.ravel())
    if kind == "dense":
        block.weight = weight.reshape(weight.shape[0], -1)
        block.shape = (math.prod(block.shape),)
    else:
        block.strides = pair("stride", 1)
        block.padding = pair("padding", 0)
        block.dilation = pair("dilation", 1)
        block.groups = int(np.ravel(entry["groups"])[0]) if "groups" in entry else 1
    for key, expected in _sizes(block).items():
        if key in entry and sorted(np.ravel(entry[key])) != sorted(np.ravel(expected)):
            raise Unsupported(
                f"{name}: {key} must be {expected}, as the weight of shape "
                f"{weight.shape} says. Received: {entry[key][()]}"
            )
    return block


def _text(dataset):
    value = dataset[0] if dataset.shape else dataset[()]
    return value.decode("ascii")
