"""Whether all processes are about to train the same model."""

import hashlib
import json
import platform
import sys
from typing import Any

import keras
import numpy as np

from keras_spiking import config
from keras_spiking.backends.loading import active
from keras_spiking.inspection.selection import all_layers
from keras_spiking.validation import check_integer
from keras_spiking.version import __version__

_SHOWN = 3  # names of each kind of difference


def check(
    model: keras.Model | None = None,
    data: Any = None,
    *,
    batch_size: int | None = None,
) -> None:
    """Checks that all processes train the same model, before they start.

    Processes with different models, seeds or versions of packages do not fail by
    themselves: they wait for each other for ever, or train a mixture. All of them call
    this, and all of them get the same error, which names what differs from the first
    process: packages, settings, layers, weights (whose values come from seeds), the
    optimizer, and the amount of data.

    Call it without a model as soon as the processes know each other, and with the
    model and the data before `fit`. On JAX a model cannot be made from different
    seeds: there `check()` tells it better than JAX does. A single process passes all
    that is about differences.

    Args:
        model: Keras model, built. If it is compiled, its optimizer takes part. Defaults
            to `None`: packages, settings and the random seed are compared.
        data: What this process gives to `fit`: arrays, or a data set with a length.
            Defaults to `None`: data are not checked.
        batch_size: Integer >= 1, the samples of this process in a batch, if `data` are
            arrays. Defaults to `None`, 32 as in `fit`.

    Raises:
        ValueError: if processes differ, one of them has no data, or a batch does not
            divide between the devices.

    Example:

    >>> keras_spiking.distribution.check()
    >>> model = keras.Sequential([keras_spiking.layers.LIFLayer()])
    >>> model.build((None, 5, 3))
    >>> keras_spiking.distribution.check(model, keras.ops.ones((8, 5, 3)), batch_size=4)
    """
    mine = _packages() | (_seed() if model is None else _model(model))
    mine = json.dumps(mine | _data(data, batch_size))
    reports = [json.loads(text) for text in active().gather(mine)]
    _check_all_have_data([report["data"] for report in reports])
    first, *others = reports
    found = [_differences(first, other) for other in others]
    lines = [
        f"process {number}: {'; '.join(differences)}"
        for number, differences in enumerate(found, 1)
        if differences
    ]
    if lines:
        raise ValueError(
            "Processes differ from process 0.\n" + "\n".join(lines) + "\nInstall the "
            "same packages everywhere, call `keras.utils.set_random_seed` with the "
            "same seed before the model is made, and give each process as many batches."
        )
    _check_divides(**first["data"])


def _packages():
    framework = keras.config.backend()
    versions = {
        "Python": platform.python_version(),
        "Keras": keras.__version__,
        "NumPy": np.__version__,
        "keras_spiking": __version__,
        framework: getattr(sys.modules.get(framework), "__version__", "unknown"),
    }
    settings = {
        "dtype policy": keras.config.dtype_policy().name,
        "image data format": keras.config.image_data_format(),
        "fused kernels": config.fused(),
        "event-driven products": config.event_driven(),
    }
    return {"packages": versions, "settings": settings}


def _seed():
    # `keras.utils.set_random_seed` also seeds NumPy's generator.
    _, state, *position = np.random.get_state(legacy=True)
    return {"seed": {"random seed": f"{_digest(state.tobytes())} {position[0]}"}}


def _model(model):
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' is not built yet, so there is nothing to compare. "
            "Give it a `keras.Input`, or call it on a batch first."
        )
    layers = {name: _config(layer) for name, layer in all_layers(model).items()}
    compiled = getattr(model, "optimizer", None) is not None
    return {
        "layers": layers,
        "weights": {
            v.path: _values(v) for v in model.variables if _is_shared(model, v)
        },
        "optimizer": {"optimizer": _config(model.optimizer)} if compiled else {},
    }


def _config(instance):
    """A digest of what an instance is made from."""
    try:
        found = instance.get_config()
    except NotImplementedError:  # a model of the user's own
        found = {}
    # Functions and classes of the user's own by their names: no addresses.
    text = json.dumps(found, sort_keys=True, default=_name)
    return f"{type(instance).__name__} {_digest(text.encode())}"


def _name(value):
    return getattr(value, "__name__", type(value).__name__)


def _is_shared(model, variable):
    """Processes that share a model draw different numbers, see `data_parallel`."""
    shared = "train_step" in vars(model)
    return not (shared and variable.name == "seed_generator_state")


def _values(variable):
    shape = f"{tuple(variable.shape)} {variable.dtype}"
    values = active().whole(variable)
    return shape if values is None else f"{shape} {_digest(values.tobytes())}"


def _digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def _data(data, batch_size):
    if batch_size is not None:
        check_integer("batch_size", batch_size, minimum=1)
    if data is None:
        return {"data": {}}
    arrays = [x for x in keras.tree.flatten(data) if hasattr(x, "shape")]
    if arrays:
        return {"data": {"samples": len(arrays[0]), "batch_size": batch_size or 32}}
    if not hasattr(data, "__len__"):
        raise ValueError(
            "`data` must be arrays, or a data set with a length: processes that run "
            "out of data at different times wait for each other for ever. "
            f"Received: data={data!r}"
        )
    return {"data": {"batches": len(data)}}


def _differences(first, other):
    found = []
    for kind in first:
        ours, theirs = first[kind], other[kind]
        names = [n for n in {**ours, **theirs} if ours.get(n) != theirs.get(n)]
        if not names:
            continue
        shown = [_in_words(kind, n, ours.get(n), theirs.get(n)) for n in names[:_SHOWN]]
        more = len(names) - len(shown)
        text = ", ".join(shown) + (f" and {more} more" if more else "")
        found.append(text)
    return found


def _in_words(kind, name, ours, theirs):
    if kind in ("packages", "settings", "data"):
        return f"{name} {theirs} in place of {ours}"
    if kind == "seed":
        return "another random seed"
    what = {"layers": "layer", "weights": "weight", "optimizer": "the"}[kind]
    if ours is None or theirs is None:
        return f"{what} '{name}' is {'missing' if theirs is None else 'one more'}"
    if kind == "weights" and ours.split()[:-1] == theirs.split()[:-1]:
        return f"weight '{name}' has other values"
    return f"{what} '{name}' is another one"


def _check_all_have_data(counts):
    empty = [str(i) for i, count in enumerate(counts) if 0 in count.values()]
    if empty:
        raise ValueError(
            f"There are no data in process {', '.join(empty)} of {len(counts)}: all "
            "others would wait for it for ever. Divide the samples so that each "
            "process has as many, or start fewer processes."
        )


def _check_divides(samples=0, batch_size=1, batches=None):
    devices = active().devices_of_batch()
    for what, count in (
        ("A batch", batch_size if samples else 0),
        ("The last batch of an epoch", samples % batch_size),
    ):
        if count % devices:
            raise ValueError(
                f"{what}, of {count} samples, does not divide between the {devices} "
                f"devices of this process. Choose a `batch_size` and a number of "
                f"samples that are multiples of {devices}. Received: "
                f"batch_size={batch_size}, {samples} samples"
            )
