"""What consoles and editors show of public names: call, help, completion, print."""

import importlib.util
import inspect
import pathlib
import pydoc
import tomllib

import keras
import pytest

import keras_spiking

pytestmark = pytest.mark.once

# Arguments are needed.
ONE_OF_SEVERAL = {"Frames", "Parameter", "SpikingModel", "ThreeFactor"}
ROOT = pathlib.Path(__file__).parents[1]


def modules():
    for name in keras_spiking.__all__:
        module = getattr(keras_spiking, name)
        if inspect.ismodule(module):
            yield pytest.param(module, id=name)


def public():
    yield pytest.param(keras_spiking.calibrate, id="calibrate")
    for parameter in modules():
        (module,) = parameter.values
        for name in module.__all__:
            item = getattr(module, name)
            if callable(item):
                yield pytest.param(item, id=f"{parameter.id}.{name}")


def examples():
    """Classes, and what an instance of each needs, if that is no more than a layer."""
    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    for parameter in public():
        (cls,) = parameter.values
        if inspect.isclass(cls) and cls.__name__ not in ONE_OF_SEVERAL:
            needed = [
                p.name
                for p in inspect.signature(cls).parameters.values()
                if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
            ]
            if needed in ([], ["synapse"]) and not inspect.isabstract(cls):
                yield pytest.param(cls, [dense][: len(needed)], id=parameter.id)


@pytest.mark.parametrize("module", list(modules()))
def test_completion_offers_what_is_public(module):
    offered = {name for name in dir(module) if not name.startswith("_")}
    assert offered == set(module.__all__)
    assert list(dir(keras_spiking)) == sorted(dir(keras_spiking))


@pytest.mark.parametrize("item", list(public()))
def test_calls_have_named_arguments_and_a_text(item):
    for parameter in inspect.signature(item).parameters.values():
        assert not parameter.name.startswith("_")
    first = inspect.getdoc(item).splitlines()[0]
    assert 10 < len(first) <= 100 and first.rstrip()[-1] in ".:", first


@pytest.mark.parametrize("item", list(public()))
def test_help_has_a_page(item):
    page = pydoc.plain(pydoc.render_doc(item))
    assert inspect.getdoc(item).splitlines()[0] in page


@pytest.mark.parametrize(["cls", "arguments"], list(examples()))
def test_instances_print_as_what_they_are(cls, arguments):
    text = repr(cls(*arguments))
    assert cls.__name__ in text and " at 0x" not in text and len(text) < 300


@pytest.mark.parametrize("text", ["KBit(bits=4)", "Step()", "AffineKBit(bits=3)"])
def test_prints_are_calls(text):
    assert repr(eval(text, vars(keras_spiking.quantizers))) == text


def test_links_hold_on_an_index():
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed")
    path = ROOT / "hatch_build.py"
    spec = importlib.util.spec_from_file_location("hatch_build", path)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    text = "[a](docs/a.md#b) [c](https://c.org) [d](#d)\n```\nx[i](j)\n```\n"
    expected = text.replace("docs/", "https://e.org/docs/")
    assert module.absolute(text, "https://e.org") == expected


def test_versions_agree():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"\nversion: {keras_spiking.__version__}\n" in citation
    assert f"\n## {keras_spiking.__version__}" in changes
    python = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    matrix = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
    for classifier in python["classifiers"]:
        if version := classifier.partition("Python :: ")[2]:
            assert f'"{version}"' in matrix
