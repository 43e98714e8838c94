"""Lava's netx files: HDF5 with one group a layer."""

import h5py
import numpy as np

from keras_spiking.export.files import complete_file
from keras_spiking.export.lava_block import LavaBlock


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


def _write_block(entry, block):
    outputs, inputs = block.weight.shape[:2]
    if block.is_dense:
        integers = {"inFeatures": inputs, "outFeatures": outputs}
    else:
        integers = {
            "inChannels": inputs * block.groups,
            "outChannels": outputs,
            "groups": block.groups,
            "kernelSize": block.weight.shape[2:],
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


def read(path):
    """Reads a netx file of CUBA neurons.

    Returns:
        The input shape, and a list of `LavaBlock`s.

    Raises:
        ValueError: if this is not such a file, saying why.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(file)
    except FileNotFoundError:
        raise
    except (OSError, KeyError, TypeError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{str(path)!r} is not a netx file of Lava, or is damaged: {error}"
        ) from error


def _read(file):
    layers = file["layer"]
    names = [str(i) for i in range(len(layers))]
    input_shape, blocks, flattens = None, [], False
    for name in names:
        entry = layers[name]
        kind = _text(entry["type"])
        if kind == "input":
            if "neuron" in entry:
                raise ValueError("Input layers with neurons are not supported.")
            input_shape = tuple(int(n) for n in entry["shape"])
        elif kind == "flatten":
            flattens = True
        elif kind in ("dense", "conv"):
            blocks.append(_read_block(f"layer/{name}", entry, kind, flattens))
            flattens = False
        else:
            raise ValueError(
                f"Layers of type {kind!r} are not supported: 'input', 'flatten', "
                "'dense' and 'conv' are."
            )
    if not blocks:
        raise ValueError(f"{file.filename!r} holds no layer of neurons.")
    if blocks[0].is_dense and not blocks[0].flattens:
        input_shape = (blocks[0].weight.shape[1],)
    if input_shape is None:
        raise ValueError(f"{file.filename!r} does not say the shape of its input.")
    return input_shape, blocks


def _read_block(name, entry, kind, flattens):
    neuron = entry["neuron"]
    if _text(neuron["type"]) not in ("CUBA", "LOIHI"):
        raise ValueError(
            f"{name}: neurons of type {_text(neuron['type'])!r} are not supported: "
            "'CUBA' is."
        )

    def integers(key):
        # As netx does: truncated towards zero.
        return np.array(entry[key]).astype("int64") if key in entry else None

    def pair(key, default):
        value = np.ravel(entry[key]) if key in entry else [default]
        return tuple(int(n) for n in np.broadcast_to(value, 2))

    def scalar(key):
        value = np.unique(neuron[key])
        if value.size != 1:
            raise ValueError(f"{name}: {key} must be one number for a layer.")
        return int(value[0])

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
    if kind == "dense":
        block.weight = weight.reshape(weight.shape[0], -1)
        block.shape = (int(np.prod(block.shape)),)
    else:
        block.strides = pair("stride", 1)
        block.padding = pair("padding", 0)
        block.dilation = pair("dilation", 1)
        block.groups = int(np.ravel(entry["groups"])[0]) if "groups" in entry else 1
    return block


def _text(dataset):
    value = dataset[0] if dataset.shape else dataset[()]
    return value.decode("ascii")
