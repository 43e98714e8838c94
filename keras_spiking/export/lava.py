"""Keras models as netx files of Lava, and back."""

import os
from typing import Any

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking import loihi
from keras_spiking.export import lava_block
from keras_spiking.export import lava_file
from keras_spiking.export import network
from keras_spiking.export import walk
from keras_spiking.export.files import MAX_BYTES
from keras_spiking.export.firing import check_spikes
from keras_spiking.export.lava_block import LavaBlock
from keras_spiking.export.lava_synapses import Synapses
from keras_spiking.export.lava_synapses import kind_of
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer


def to_lava(
    model: keras.Model,
    path: str | os.PathLike,
    quantize: bool = False,
    *,
    strip: str | None = None,
) -> list[dict[str, Any]]:
    """Writes a model as a netx file, which Lava runs on Loihi.

    What can be written: a chain, Sequential or Functional, of Dense, Conv2D (strides,
    padding, groups, dilation), AveragePooling2D, GlobalAveragePooling2D,
    ZeroPadding2D, BatchNormalization and Flatten between `CubaLIFLayer`, `IFLayer` or
    `LIFLayer` neurons, channels last, and `Delay` or `LearnableDelay` after the
    neurons of a Dense layer. Layers that do nothing at inference, such as dropout and
    noise, are left out. BatchNormalization is folded into the weights. Pooling is
    folded into the next Dense or Conv2D; directly before neurons AveragePooling2D
    becomes a convolution of its own.

    A model of `CubaLIFLayer`s whose kernels are `Quantized(...)` is written
    without loss, and so is one of `IFLayer`s. `LIFLayer`s (`decay_input=False`,
    or the input's factor is moved into the weights) lose what the chip rounds off
    the leak, less than 1/4096 per step. The reset must be hard, to 0.

    Args:
        model: Keras model over `(batch, time, ...)`.
        path: Where to write. A file that exists is replaced once the new one is
            complete.
        quantize: Boolean, whether weights, biases and thresholds that the chip
            cannot hold are scaled, layer by layer, into its range and rounded
            (post-training quantisation). With `False` they are an error.
            Defaults to `False`.
        strip: `"io"` to leave out encoders and readouts, which the host computes, as
            in `to_nir`. Defaults to `None`: the model must have none.

    Returns:
        A list with one dictionary for each layer of neurons: its `name`, the
        `scale` of its weights and threshold, and the largest and the root mean
        square error of its weights (`max_weight_error`, `rms_weight_error`), and
        the largest of its bias and threshold (`bias_error`, `threshold_error`),
        in the model's units.

    Raises:
        ValueError: before anything is written, if layers or values do not fit the
            chip, or the layers are no chain: all that do not are named.

    Example:

    >>> model = keras.Sequential([
    ...     keras.Input((None, 4)),
    ...     keras_spiking.layers.Quantized(keras.layers.Dense(3, use_bias=False)),
    ...     keras_spiking.layers.CubaLIFLayer(),
    ... ])
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/network.net"
    >>> report = keras_spiking.export.to_lava(model, path)
    >>> report[0]["max_weight_error"]
    0.0

    References:
        - [Lava-DL](https://lava-nc.org/dl.html)
    """
    check_bool("quantize", quantize)
    stages = walk.of_model(model, check_choice("strip", strip, (None, "io")))
    _check_nodes(stages)
    stages = stages.stages
    blocks, report = [], []
    synapses = None
    for stage in stages:
        if isinstance(stage.layer, (layers.Delay, layers.LearnableDelay)):
            _set_delay(stage, blocks, synapses)
            continue
        if synapses is None:
            synapses = Synapses(stage.input_shape, flat=not blocks)
        if isinstance(stage.layer, layers.TemporalLayer):
            block, errors = _block(stage, synapses, quantize)
            blocks.append(block)
            report.append(errors)
            synapses = None
        else:
            synapses.add(stage)
    if not blocks or synapses is not None:
        raise ValueError(
            "The chip returns spikes: the last layer must be a CubaLIFLayer, IFLayer "
            f"or LIFLayer. The model '{model.name}' ends with {stages[-1]}."
        )
    input_shape = network.channels_first(stages[0].input_shape)
    if blocks[0].is_dense:
        input_shape = (blocks[0].weight.shape[1],)
    lava_block.check(input_shape, blocks, np.inf)
    lava_file.write(path, input_shape, blocks)
    return report


def _check_nodes(stages):
    """Raises a `ValueError` that names every stage that Lava cannot hold."""
    reasons = []
    for stage in stages.stages:
        after = [str(s) for s in stages.stages if stage in s.inputs]
        if len(after) > 1:
            reasons.append(
                f"{stage} goes to {' and '.join(after)}: a file of netx is a chain of "
                "layers, without branches."
            )
        try:
            _check_node(stage)
        except ValueError as reason:
            reasons.append(str(reason))
    if len(reasons) == 1:
        raise ValueError(reasons[0])
    if reasons:
        raise ValueError(
            f"Lava cannot hold the model, for {len(reasons)} reasons:\n- "
            + "\n- ".join(reasons)
        )


def _check_node(stage):
    layer = stage.layer
    if stage.sums:
        inputs = " and ".join(map(str, stage.inputs))
        raise ValueError(
            f"{stage} joins {inputs}: a file of netx is a chain of layers, without "
            "shortcuts. Train the network without it."
        )
    if isinstance(layer, (layers.ElementwiseRecurrent, layers.RecurrentGraph)):
        raise ValueError(f"{stage} feeds back, which is not written for Lava.")
    if isinstance(layer, layers.DelayedDense):
        raise ValueError(
            f"{stage}: Lava delays the spikes of neurons, not each synapse. Train "
            "with a LearnableDelay after the neurons and a Dense instead."
        )
    if isinstance(layer, layers.TemporalLayer):
        _neuron(stage)
    elif not isinstance(layer, (layers.Delay, layers.LearnableDelay)):
        kind_of(stage)


def _set_delay(stage, blocks, synapses):
    if not blocks or synapses is not None or blocks[-1].delay is not None:
        raise ValueError(f"{stage}: only spikes of neurons can be delayed, once.")
    if blocks[-1].bias is not None:
        raise ValueError(
            f"{stage}: Lava delays what neurons receive. With a bias that is not a "
            "delay of their spikes."
        )
    steps = getattr(stage.layer, "delay_steps", None)
    if steps is None:
        steps = network.delays(stage)
    blocks[-1].delay = np.broadcast_to(steps, blocks[-1].shape[:1]).astype(int)


def from_lava(
    path: str | os.PathLike, *, max_bytes: int = MAX_BYTES
) -> keras.Sequential:
    """Reads a netx file of CUBA neurons as a Keras model of `CubaLIFLayer`s.

    Args:
        path: Path of a file that `to_lava` or Lava-DL has written.
        max_bytes: Integer, a limit on the memory that the arrays of the file may
            take. Defaults to `2**30`.

    Returns:
        A `keras.Sequential` over `(batch, time, ...)`, images with channels last.
        It gives the spikes of `simulate_lava`.

    Raises:
        ValueError: if the file is damaged, of another kind or does not fit the
            chip.
    """
    check_integer("max_bytes", max_bytes, minimum=1)
    input_shape, blocks = lava_file.read(path, max_bytes)
    if len(input_shape) == 3:
        input_shape = (*input_shape[1:], input_shape[0])
    model = keras.Sequential([keras.Input((None, *input_shape))])
    shape = input_shape
    for block in blocks:
        if block.is_dense:
            shape = _add_dense(model, block, shape)
        else:
            shape = _add_convolution(model, block)
        model.add(
            layers.CubaLIFLayer(
                v_threshold=block.threshold / loihi.INPUT_SCALE,
                current_decay=block.current_decay / loihi.DECAY_SCALE,
                voltage_decay=block.voltage_decay / loihi.DECAY_SCALE,
                bias=0.0 if block.bias is None else block.bias / loihi.INPUT_SCALE,
            )
        )
        if block.delay is not None and block.delay.any():
            delay = layers.LearnableDelay(int(block.delay.max()))
            model.add(delay)
            delay.set_weights([np.broadcast_to(block.delay, block.shape)])
    return model


def _add_dense(model, block, shape):
    kernel = block.weight.T / loihi.INPUT_SCALE
    if len(shape) > 1:
        model.add(layers.SeqToBatch(keras.layers.Flatten()))
        height, width, channels = shape
        kernel = kernel.reshape(channels, height, width, -1).transpose(1, 2, 0, 3)
    dense = keras.layers.Dense(block.shape[0], use_bias=False)
    model.add(dense)
    dense.set_weights([kernel.reshape(-1, block.shape[0])])
    return block.shape


def _add_convolution(model, block):
    outputs, _, height, width = block.weight.shape
    convolution = keras.layers.Conv2D(
        outputs,
        (height, width),
        strides=block.strides,
        dilation_rate=block.dilation,
        groups=block.groups,
        use_bias=False,
        data_format="channels_last",
    )
    padding = keras.layers.ZeroPadding2D(block.padding, data_format="channels_last")
    model.add(layers.SeqToBatch([padding, convolution]))
    convolution.set_weights([block.weight.transpose(2, 3, 1, 0) / loihi.INPUT_SCALE])
    return (*block.shape[1:], outputs)


def _block(stage, synapses, quantize):
    neuron = _neuron(stage)
    kernel, bias = synapses.kernel_and_bias(stage)
    kernel = kernel * neuron["gain"]
    bias = bias * neuron["gain"] + neuron["bias"]
    if np.any(bias - neuron["bias"]) and neuron["current_decay"] != loihi.DECAY_SCALE:
        raise ValueError(
            f"{stage}: the chip adds a bias to the membrane potential, but the bias "
            "of the layer before, or the shift of its BatchNormalization, goes "
            "through the synaptic current. Use `CubaLIFLayer(bias=...)` (it can be "
            "learnable) and `use_bias=False`, or `current_decay=1`."
        )
    scale = _scale(kernel, bias, neuron["v_threshold"]) if quantize else 1.0
    steps = loihi.INPUT_SCALE / loihi.WEIGHT_STEP
    weight = loihi.WEIGHT_STEP * np.rint(kernel * scale * steps)
    weight = np.clip(weight, loihi.WEIGHT_MINIMUM, loihi.WEIGHT_MAXIMUM)
    unit = loihi.INPUT_SCALE * scale
    mantissa, threshold = np.rint(bias * unit), neuron["v_threshold"] * unit
    weight_error = np.abs(weight / unit - kernel)
    errors = {
        "name": stage.layer.name,
        "scale": scale,
        "max_weight_error": float(np.max(weight_error)),
        "rms_weight_error": float(np.sqrt(np.mean(weight_error**2))),
        "bias_error": float(np.max(np.abs(mantissa / unit - bias))),
        "threshold_error": float(abs(np.floor(threshold) - threshold) / unit),
    }
    if not quantize:
        _check_exact(stage, errors)
    block = LavaBlock(
        name=str(stage),
        weight=synapses.to_lava(weight),
        # Fires above the threshold, not at it: one less for neurons that do.
        threshold=int(np.floor(threshold)) - neuron["fires_at_threshold"],
        current_decay=neuron["current_decay"],
        voltage_decay=neuron["voltage_decay"],
        shape=network.channels_first(stage.output_shape),
        bias=np.broadcast_to(mantissa, kernel.shape[-1:]).astype(int)
        if np.any(mantissa)
        else None,
        **synapses.geometry(),
    )
    return block, errors


def _scale(kernel, bias, threshold):
    """The largest factor that keeps weights, bias and threshold in range."""
    candidates = [
        limit / loihi.INPUT_SCALE / size
        for limit, size in (
            (loihi.WEIGHT_MAXIMUM, np.max(np.abs(kernel))),
            (loihi.BIAS_MAXIMUM, np.max(np.abs(bias))),
            (loihi.THRESHOLD_MAXIMUM, threshold),
        )
        if size > 0
    ]
    return float(min(candidates))


def _check_exact(stage, errors):
    what = [
        name
        for name in ("weight", "bias", "threshold")
        if errors.get(f"{name}_error", errors["max_weight_error"]) != 0
    ]
    if what:
        raise ValueError(
            f"{stage}: the chip cannot hold the {' and the '.join(what)} exactly. "
            "Weights must be multiples of 1/32 in [-4, 3.96875], bias and threshold "
            "multiples of 1/64. Train with keras_spiking.layers.Quantized around "
            "Dense and Conv2D, or quantise after training: "
            "`to_lava(..., quantize=True)`."
        )


def _neuron(stage):
    """The parameters of the neurons as integers, where they are integers."""
    layer = stage.layer
    check_spikes(stage)
    if isinstance(layer, layers.CubaLIFLayer):
        fixed = {
            name: keras.ops.convert_to_numpy(value).astype("float64")
            for name, value in layer.fixed_point().items()
        }
        return {
            "gain": 1.0,
            "bias": fixed["bias"],
            "v_threshold": _one(stage, "v_threshold", fixed["v_threshold"]),
            **{
                name: int(loihi.DECAY_SCALE * _one(stage, name, fixed[name]))
                for name in ("current_decay", "voltage_decay")
            },
            "fires_at_threshold": False,
        }
    # Subclasses may have other equations.
    kinds = (layers.IFLayer, layers.LIFLayer, layers.ParametricLIFLayer)
    if type(layer) not in kinds:
        raise ValueError(
            f"Loihi's neurons cannot be a {stage}. Use CubaLIFLayer, IFLayer or "
            "LIFLayer."
        )
    if layer.v_reset is None or np.any(keras.ops.convert_to_numpy(layer.v_reset)):
        raise ValueError(
            f"{stage}: Loihi resets to 0. Use `v_reset=0.0`. Received: v_reset="
            f"{layer.v_reset}"
        )
    tau = _one(stage, "tau", getattr(layer, "tau", np.inf))
    return {
        "gain": 1.0 / tau if getattr(layer, "decay_input", False) else 1.0,
        "bias": np.zeros(()),
        "v_threshold": _one(stage, "v_threshold", layer.v_threshold),
        "current_decay": loihi.DECAY_SCALE,
        "voltage_decay": int(np.rint(loihi.DECAY_SCALE / tau)),
        "fires_at_threshold": True,
    }


def _one(stage, name, value):
    values = np.unique(keras.ops.convert_to_numpy(value))
    if values.size != 1:
        raise ValueError(
            f"{stage}: Lava takes one {name} for a layer. Received {values.size} "
            f"different values, from {values[0]:g} to {values[-1]:g}."
        )
    return float(values[0])
