"""Finds the framework that is installed, before Keras is imported.

Keras runs on TensorFlow unless it is told otherwise, and ends in `No module named
'tensorflow'` where another framework is installed. It is told by `KERAS_BACKEND` or
`keras.json`, whose own choice of TensorFlow says nothing: Keras writes that when it is
first imported, whatever is installed.
"""

import importlib.util
import json
import os
import pathlib
import sys
import warnings

# Of backends; that of NumPy needs JAX.
_PACKAGES = {
    **{name: name for name in ("tensorflow", "jax", "torch", "openvino")},
    "numpy": "jax",
}
_FOUND = ("jax", "torch")  # in this order, where TensorFlow is not


def choose():
    """Sets `KERAS_BACKEND` if Keras would otherwise ask for what is not installed.

    Raises:
        ImportError: if nothing is installed, or not what was asked for.
    """
    if "keras" in sys.modules:
        return
    asked, where = _asked()
    installed = [name for name in ("tensorflow", *_FOUND) if _is_installed(name)]
    if asked is not None:
        package = _PACKAGES.get(asked, "keras")
        if not _is_installed(package):
            raise ImportError(
                f"{where} asks for the backend '{asked}', and the package {package} is "
                f"not installed: `pip install {package}`{_or_set(installed)}."
            )
    elif not installed:
        raise ImportError(
            "Keras needs a backend, and none is installed. Type one of `pip install "
            "jax`, `pip install tensorflow` and `pip install torch`."
        )
    elif "tensorflow" not in installed:
        os.environ["KERAS_BACKEND"] = name = installed[0]
        if len(installed) > 1:
            warnings.warn(
                f"Keras runs on {name}: {' and '.join(installed)} are installed, and "
                "KERAS_BACKEND does not say which to use.",
                stacklevel=3,
            )


def _asked():
    """The backend that the user has chosen, or `None`, and where."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name, f"KERAS_BACKEND={name}"
    folder = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    file = pathlib.Path(folder) / "keras.json"
    try:
        name = json.loads(file.read_text("utf-8"))["backend"]
    except (OSError, ValueError, LookupError, TypeError):
        return None, ""
    return (None, "") if name == "tensorflow" else (name, str(file))


def _is_installed(package):
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None  # not a folder of that name


def _or_set(installed):
    if not installed:
        return ""
    return f", or use what is installed: `export KERAS_BACKEND={installed[0]}`"
