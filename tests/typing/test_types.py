"""Type checkers, and people without one, are told of misspelt arguments."""

import importlib
import inspect
import json
import pathlib
import subprocess
import sys

import keras
import pytest
from backend import BACKEND
from public import PACKAGE
from public import public_classes
from public import public_modules

from keras_spiking import layers

pytestmark = pytest.mark.once

# Arguments that layers cannot be made without.
REQUIRED = {
    **{"layer": keras.layers.Dense(2), "nodes": {"a": keras.layers.Dense(2)}},
    "edges": [("input", "a"), ("a", "output")],
    "output_size": 2,
    **{"timesteps": 3, "units": 2, "filters": 2, "kernel_size": 3, "rate": 0.5},
    **{"bits": 2, "k": 2, "delay_steps": 1, "slots": 2},
    **{"theta": [1.0], "h": [1.0], "d": [1.0], "gate_thresholds": []},
    "cells": [layers.SpikingRNNCell(2)],
}
SAMPLES = pathlib.Path(__file__).with_name("samples.py")


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


# What it says does not depend on the backend.
@pytest.mark.skipif(BACKEND != "numpy", reason="run once")
def test_a_type_checker_refuses_what_is_wrong_and_nothing_else(tmp_path):
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"extraPaths": [str(PACKAGE.parent)], "include": [str(SAMPLES)]})
    )
    command = [sys.executable, "-m", "pyright", "--outputjson", "--level", "error"]
    command += ["--pythonpath", sys.executable, str(SAMPLES)]
    checked = subprocess.run(
        command, capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert checked.stdout, f"pip install 'pyright[nodejs]': {checked.stderr}"
    found = {
        error["range"]["start"]["line"]: error["message"]
        for error in json.loads(checked.stdout)["generalDiagnostics"]
    }
    expected = {
        number: line.split("# refused: ")[1]
        for number, line in enumerate(SAMPLES.read_text().splitlines())
        if "# refused: " in line
    }
    assert found.keys() == expected.keys(), found
    for line, reason in expected.items():
        assert reason in found[line]


@pytest.mark.parametrize(
    "cls, argument, nearest",
    [
        (layers.LIFLayer, "v_treshold", "v_threshold"),
        (layers.LIFLayer, "tauu", "tau"),
        (layers.LIFLayer, "decay_inputs", "decay_input"),
        (layers.IFLayer, "detatch_reset", "detach_reset"),
        (layers.IFLayer, "return_sequence", "return_sequences"),
        (layers.ParametricLIFLayer, "inittau", "init_tau"),
        (layers.LILayer, "reduced", "reduce"),
        (layers.PoissonEncoder, "sed", "seed"),
        (layers.SeqToBatch, "nam", "name"),
    ],
)
def test_the_nearest_argument_is_proposed(cls, argument, nearest):
    with pytest.raises(TypeError) as error:
        cls(**required(cls), **{argument: 3})
    assert f"{argument}=3" in str(error.value)
    assert f"`{nearest}`" in str(error.value)


def required(cls):
    """The arguments that the class cannot be made without."""
    parameters = inspect.signature(cls).parameters.values()
    return {
        p.name: REQUIRED[p.name]
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }


def layer_classes():
    names = sorted(n for n, c in vars(layers).items() if inspect.isclass(c))
    classes = {name: getattr(layers, name) for name in names if name != "Parameter"}
    return [pytest.param(cls, id=name) for name, cls in classes.items()]


every_layer = pytest.mark.parametrize("cls", layer_classes())


@every_layer
def test_layers_take_no_arguments_that_are_hidden(cls):
    for parameter in inspect.signature(cls).parameters.values():
        assert parameter.kind is not parameter.VAR_KEYWORD


# Where a second argument is needed nearly always, or further layers may follow.
PAIRS = {
    "ElementwiseRecurrent": "function",
    "RecurrentGraph": "edges",
    "Rematerialize": "more",
    "SeqToBatch": "more",
    "StepByStep": "timesteps",
    "WeightStandardizedConv2D": "kernel_size",
}


@every_layer
def test_layers_take_one_positional_argument(cls):
    _, *others = [*inspect.signature(cls).parameters.values(), None]
    for parameter in others[:-1]:
        is_keyword = parameter.kind is parameter.KEYWORD_ONLY
        assert is_keyword or PAIRS.get(cls.__name__) == parameter.name, parameter.name


@every_layer
def test_misspelt_arguments_of_layers_are_refused(cls):
    with pytest.raises(TypeError, match="zzz"):
        cls(**required(cls), zzz=1)


@pytest.mark.parametrize("cls", public_classes())
def test_arguments_of_constructors_are_annotated(cls):
    if "__init__" not in vars(cls):
        return  # inherited
    for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]:
        assert parameter.annotation is not parameter.empty, parameter.name


@pytest.mark.parametrize("name", public_modules()[1:])
def test_public_functions_are_annotated(name):
    module = importlib.import_module(name)
    for key in getattr(module, "__all__", []):
        function = getattr(module, key)
        if inspect.isfunction(function):
            for parameter in inspect.signature(function).parameters.values():
                assert parameter.annotation is not parameter.empty, key
