"""`python -m keras_spiking.report MODEL.keras DATA.npz`: a page on a saved network.

See `keras_spiking.visualization.report`.
"""

import argparse
import os
import sys
import zipfile
from typing import Any

import keras
import numpy as np

from keras_spiking import visualization

__all__ = ["main"]

_DATA = (
    "an .npz file with an array `x`, the inputs, and if there are labels `y`; for a "
    "model of several inputs an array for each, by its name. Or an .npy file of inputs"
)


def main(arguments: list[str]) -> int:
    """Writes the report that the command line asks for, and returns the exit code.

    Args:
        arguments: List of strings, without the name of the program.
    """
    parser = argparse.ArgumentParser(
        prog="python -m keras_spiking.report",
        description="Writes what a spiking network does on data to one HTML page.",
        epilog="Exit codes: 0 done, 2 wrong usage or files.",
    )
    parser.add_argument("model", help="a network, saved as .keras")
    parser.add_argument("data", help=_DATA)
    parser.add_argument("--output", default="report.html", help="default: %(default)s")
    parser.add_argument(
        "--sample",
        type=int,
        default=0,
        help="whose spikes and potentials are shown, default: %(default)s",
    )
    parser.add_argument("--batch-size", type=int, default=32, help="default: 32")
    given = parser.parse_args(arguments)
    try:
        model = _load_model(given.model)
        x, y = _load_data(given.data, model)
        path = visualization.report(
            model,
            x,
            given.output,
            y=y,
            sample=given.sample,
            batch_size=given.batch_size,
        )
    except (ValueError, TypeError, ImportError, OSError) as error:
        message = " ".join(str(error).split())
        print(f"keras_spiking.report: {message}", file=sys.stderr)
        return 2
    print(path)
    return 0


def _load_model(path):
    if not os.path.isfile(path):
        raise ValueError(f"There is no file '{path}'.")
    if not zipfile.is_zipfile(path) or not path.endswith(".keras"):
        raise ValueError(
            f"'{path}' is no saved network: pass a file that "
            "`model.save('NAME.keras')` has written."
        )
    try:
        model: Any = keras.saving.load_model(path, compile=False)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"'{path}' cannot be loaded: {reason} If it has classes of your own, call "
            "`keras_spiking.visualization.report` from Python, after importing them."
        ) from error
    return model


def _load_data(path, model):
    """Inputs and labels, or `None` for these, from a file."""
    if not os.path.isfile(path):
        raise ValueError(f"There is no file '{path}'.")
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays = loaded if isinstance(loaded, np.ndarray) else dict(loaded.items())
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds
        raise ValueError(
            f"'{path}' holds no arrays ({error}): pass {_DATA}."
        ) from error
    if isinstance(arrays, np.ndarray):
        return arrays, None
    y = arrays.get("y")
    names = [tensor.name for tensor in getattr(model, "inputs", None) or []]
    if len(names) > 1 and set(names) <= set(arrays):
        return [arrays[name] for name in names], y
    if len(names) <= 1 and "x" in arrays:
        return arrays["x"], y
    wanted = ", ".join(f"`{name}`" for name in (names if len(names) > 1 else ["x"]))
    raise ValueError(
        f"'{path}' has the arrays {', '.join(arrays) or 'none'}. The network takes "
        f"{wanted}. Pass {_DATA}."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
