"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import inspect
import pkgutil
import re

import keras
import pytest
from backend import BACKEND

import keras_spiking


def modules():
    # Modules of other backends and of hls4ml cannot be imported here, and have no
    # examples.
    return [
        importlib.import_module(found.name)
        for found in pkgutil.walk_packages(
            keras_spiking.__path__, f"{keras_spiking.__name__}."
        )
        if not found.name.startswith(f"{keras_spiking.__name__}.backends.")
        and not found.name.endswith(".hls4ml_layers")
    ]


def examples():
    finder = doctest.DocTestFinder()
    names = {"keras": keras, "keras_spiking": keras_spiking}
    for module in modules():
        for test in finder.find(module, extraglobs=names):
            if test.examples:
                yield pytest.param(test, id=test.name)


class ShapesOfAllBackends(doctest.OutputChecker):
    """Takes `torch.Size([2, 3])` and `TensorShape([2, 3])` for `(2, 3)`."""

    def check_output(self, want, got, flags):
        got = re.sub(r"(?:torch\.Size|TensorShape)\(\[(.*?)\]\)", r"(\1)", got)
        got = re.sub(r"\((\d+)\)", r"(\1,)", got)
        return super().check_output(want, got, flags)


# What examples show has tests on every backend; compilers would make them slow.
@pytest.mark.skipif(BACKEND in ("jax", "tensorflow"), reason="run elsewhere")
@pytest.mark.parametrize("test", list(examples()))
def test_examples_run(test):
    report = []
    runner = doctest.DocTestRunner(ShapesOfAllBackends())
    with keras.saving.custom_object_scope({}):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def public_objects():
    for package in ("layers", "losses", "regularizers", "constraints", "surrogates"):
        module = getattr(keras_spiking, package)
        for name, value in vars(module).items():
            is_ours = getattr(value, "__module__", "").startswith("keras_spiking")
            if inspect.isclass(value) and is_ours and not name.startswith("_"):
                yield pytest.param(value, id=f"{package}.{name}")


@pytest.mark.parametrize("cls", list(public_objects()))
def test_arguments_are_documented(cls):
    """`Args:` names every argument, so that none is forgotten when one is added."""
    if "__init__" not in vars(cls):
        return  # documented where it is inherited from
    parameters = inspect.signature(cls.__init__).parameters.values()
    for parameter in parameters:
        if parameter.name != "self" and parameter.kind != parameter.VAR_KEYWORD:
            documented = f"\n        {parameter.name}:" in cls.__doc__
            assert documented or parameter.name == "name", parameter.name
