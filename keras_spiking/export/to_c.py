"""Spiking networks as C99 that needs no library."""

import os
import re
from typing import Any

import keras
import numpy as np

from keras_spiking.export import c_files
from keras_spiking.files import complete_folder
from keras_spiking.inference import reference
from keras_spiking.inference.plain import PlainText
from keras_spiking.inference.walk import graph_of
from keras_spiking.validation import check_choice

STEPS = 8  # of the test vector, if the network does not say how many


def to_c(
    model: keras.Model,
    folder: str | os.PathLike,
    weights: str = "float32",
    *,
    name: str | None = None,
    data: Any = None,
) -> dict[str, int]:
    """Writes a spiking network as C99 for microcontrollers.

    The folder gets `<name>.h` and `<name>.c`, which need a C99 compiler and its
    mathematical functions and nothing else: no `malloc`, no files, no threads.
    Weights are constant arrays, which linkers put into flash; the rest is one static
    array, whose size is known. `<name>_reset` starts anew, `<name>_step` takes one
    time step of a stream, `<name>_run` a whole sequence. A test, `<name>_test.c`, has
    an input and the outputs for it, and `README.md` says how to compile, and how much
    memory is needed.

    Spikes are bits, and products add the rows of weights of those that are set: the
    fewer spikes, the less time. The equations of the neurons come from the same
    generator as their kernels, and the layers that can be written are those of
    `keras_spiking.inference.compile` (see `docs/inference.md`).

    The same operations in the same order make the same spikes on every processor with
    IEEE floats, with all compilers that were tested, at all levels of optimisation.
    Those of `model.predict` differ only where a membrane potential lies within
    rounding of the threshold. With int8 weights, sums over spikes are integers.

    Args:
        model: Sequential or Functional model, built, of any backend.
        folder: Where to write. It must not exist, be empty, or hold an earlier export,
            which is then replaced once the new one is complete.
        weights: `"float32"`, or `"int8"` with a scale for each output. Weights of
            `keras_spiking.layers.Quantized` must be multiples, -128 to 127, of one
            step; others are rounded. Defaults to `"float32"`.
        name: String, what files and functions are called: a C identifier.
            Defaults to the model's name.
        data: Array, one sample as the model takes it, `(1, time, ...)`, or a list of
            them: the input of the test. Defaults to random numbers in [0, 1) of 8
            steps.

    Returns:
        A dictionary: `"flash"`, bytes of constants (code comes on top); `"ram"`,
        bytes of variables; `"stack"`, bytes of the largest arrays of a function.

    Raises:
        TypeError: if `model` is not a Keras model.
        ValueError: before anything is written, if it has a layer that cannot be
            written, if its weights do not fit int8, or if `name` is no C identifier.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((None, 20)),
    ...         keras.layers.Dense(30),
    ...         keras_spiking.layers.LIFLayer(),
    ...         keras.layers.Dense(3),
    ...         keras_spiking.layers.LILayer(reduce="mean"),
    ...     ]
    ... )
    >>> import os
    >>> import tempfile
    >>> folder = os.path.join(tempfile.mkdtemp(), "gestures")
    >>> sizes = keras_spiking.export.to_c(model, folder, "int8", name="gestures")
    >>> sorted(os.listdir(folder))
    ['README.md', 'gestures.c', 'gestures.h', 'gestures_test.c']
    """
    check_choice("weights", weights, ("float32", "int8"))
    graph = graph_of(model)
    name = _check_name(model, name)
    text = PlainText(graph, weights, name)
    if weights == "int8":
        _check_levels(text)
    inputs, timesteps = _example(text.graph, data)
    outputs = reference.run(text, inputs, timesteps)
    files = {
        f"{name}.h": c_files.header(text),
        f"{name}.c": text.source,
        f"{name}_test.c": c_files.test(text, inputs, outputs, timesteps),
        "README.md": c_files.readme(text, model.name),
    }
    with complete_folder(folder, files) as temporary:
        for file, content in files.items():
            with open(os.path.join(temporary, file), "w", encoding="utf-8") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
    return {"flash": text.flash, "ram": text.ram, "stack": text.stack}


def _check_name(model, name):
    given = model.name if name is None else name
    if not isinstance(given, str):
        raise TypeError(f"`name` must be a string. Received: name={name!r}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", given) or given in _RESERVED:
        what = f"The model's name, '{given}'," if name is None else f"`name={given!r}`"
        suggested = re.sub(r"\W", "_", given, flags=re.ASCII).lstrip("_0123456789")
        if suggested in ("", *_RESERVED):
            suggested = f"{suggested or 'spiking'}_network"
        raise ValueError(
            f"{what} cannot name functions and files of C: letters, digits and "
            "underscores, a letter first, no word of the language. Pass another one: "
            f"to_c(..., name={suggested!r})."
        )
    return given


_RESERVED = frozenset(
    "auto break case char const continue default do double else enum extern float for "
    "goto if inline int long register restrict return short signed sizeof static "
    "struct switch typedef union unsigned void volatile while "
    "asm bool catch class delete false friend namespace new operator private "
    "protected public template this throw true try using virtual "
    "main math string stdint".split()
)


def _check_levels(text):
    for op, (levels, scale) in text.quantized.items():
        place = f"The weights of '{op.name}'"
        if not np.all(np.isfinite(scale)) or np.any(scale < np.finfo("f4").tiny):
            sizes = np.abs(op.kernel)
            raise ValueError(
                f"{place} do not fit int8: the largest one of an output is between "
                f"{sizes.max(axis=tuple(range(sizes.ndim - 1))).min():.3g} and "
                f"{sizes.max():.3g}, and float32 has no scale for that. Train with "
                'weight decay, rescale the layer, or use `weights="float32"`.'
            )
        kernel = op.kernel.reshape(levels.shape)
        error = np.abs(levels * scale[:, None, None, None].astype("f8") - kernel).max()
        if op.quantized and error > 1e-5 * np.abs(kernel).max():
            raise ValueError(
                f"{place} were trained as quantised, but do not fit int8: they are not "
                "multiples, -128 to 127, of one step for each output, and rounding "
                f"would change them by up to {error:.3g}. Train them with "
                '`Quantized(..., kernel_quantizer="loihi")`, or use '
                '`weights="float32"`.'
            )


def _example(graph, data):
    """Inputs of the test, of one sample, and how many steps they have."""
    if data is None:
        random = np.random.default_rng(0)
        steps = graph.timesteps or STEPS
        shapes = [(*[steps] * v.time, *v.shape) for v in graph.inputs]
        arrays = [random.random(shape) for shape in shapes]
    else:
        parts = [data] if len(graph.inputs) == 1 else keras.tree.flatten(data)
        arrays = [_sample(part) for part in parts]
        for array, value in zip(arrays, graph.inputs):
            if array.shape[value.time :] != value.shape or not array.size:
                wanted = ("1", *["time"] * value.time, *map(str, value.shape))
                raise ValueError(
                    f"`data` must be one sample of shape ({', '.join(wanted)}). "
                    f"Received an array of shape {(1, *array.shape)}."
                )
    arrays = [a.astype("float32") for a in arrays]
    lengths = {len(a) for a, v in zip(arrays, graph.inputs) if v.time}
    steps = graph.timesteps
    if len(lengths) > 1 or len(arrays) != len(graph.inputs):
        raise ValueError(
            f"`data` must be {len(graph.inputs)} arrays of as many time steps. "
            f"Received {len(arrays)} arrays, of {sorted(lengths)} steps."
        )
    if steps and lengths - {steps}:
        raise ValueError(
            f"`data` must have {steps} time steps, as the model. Received "
            f"{sorted(lengths)}."
        )
    return arrays, steps or lengths.pop()


def _sample(part):
    array = np.asarray(
        part if isinstance(part, np.ndarray) else keras.ops.convert_to_numpy(part)
    )
    if array.ndim < 1 or len(array) != 1:
        raise ValueError(
            "`data` must be one sample, such as `x[:1]`. Received an array of shape "
            f"{array.shape}."
        )
    return array[0]
