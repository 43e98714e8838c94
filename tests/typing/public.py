"""The public interface, as far as tests have to walk it."""

import importlib
import inspect
import pathlib

import pytest

import keras_spiking

PACKAGE = pathlib.Path(keras_spiking.__file__).parent


def public_modules():
    """The modules and packages that users import from."""
    names = sorted(p.stem for p in PACKAGE.iterdir() if p.suffix in ("", ".py"))
    hidden = ("_", "dequantized", "files", "function_config", "layer_copy", "loihi")
    hidden += ("completion", "described", "gradients", "installed_backend")
    hidden += ("keras_version", "locks", "nested_config", "parameter", "progress")
    hidden += ("remedies", "validation")
    names = [n for n in names if not n.startswith(hidden)]
    return [keras_spiking.__name__, *(f"{keras_spiking.__name__}.{n}" for n in names)]


def public_classes():
    """The classes of the package that public modules offer."""
    classes = {}
    for name in public_modules()[1:]:
        module = importlib.import_module(name)
        for key in getattr(module, "__all__", vars(module)):
            value = getattr(module, key)
            is_ours = getattr(value, "__module__", "").startswith("keras_spiking")
            if inspect.isclass(value) and is_ours and not key.startswith("_"):
                short = name.removeprefix("keras_spiking.")
                classes.setdefault(value, f"{short}.{key}")
    return [pytest.param(cls, id=name) for cls, name in classes.items()]
