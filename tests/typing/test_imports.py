"""Modules stand on those below them, and on what is installed for all."""

import ast
import graphlib
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
from public import public_modules

BACKENDS = {"jax", "tensorflow", "torch", "openvino"}
OPTIONAL = {"aedat", "cupy", "h5py", "matplotlib", "nir", "pandas", "plotly", "scipy"}
# Its classes have base classes of hls4ml's.
NEEDS_OPTIONAL = {"keras_spiking.export.hls4ml_layers"}


def modules():
    """All modules of the package: names and syntax trees."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text())
    return found


def imports(tree, anywhere=True):
    """Modules that are named by imports, and what is imported from them."""
    nodes = ast.walk(tree) if anywhere else iter(tree.body)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def test_private_modules_of_keras_are_not_imported():
    for name, tree in modules().items():
        for module, member in imports(tree):
            assert not f"{module}.{member}.".startswith("keras.src."), name


def test_no_module_imports_itself_through_others():
    trees = modules()
    graph = {}
    for name, tree in trees.items():
        targets = (
            f"{module}.{member}" if f"{module}.{member}" in trees else module
            for module, member in imports(tree, anywhere=False)
        )
        graph[name] = {target for target in targets if target in trees} - {name}
    graphlib.TopologicalSorter(graph).prepare()  # a CycleError names the circle


@pytest.mark.parametrize("name", public_modules())
def test_public_modules_list_what_they_offer(name):
    module = importlib.import_module(name)
    listed = module.__all__
    assert len(set(listed)) == len(listed)
    for member in listed:
        assert hasattr(module, member)
        assert not member.startswith("_") or member == "__version__"


def test_no_two_classes_are_saved_under_one_name():
    loaded = [m for n, m in list(sys.modules.items()) if n.startswith("keras_spiking.")]
    classes = {c for m in loaded for c in vars(m).values() if inspect.isclass(c)}
    for cls in classes:
        name = keras.saving.get_registered_name(cls)
        if name.startswith("keras_spiking"):
            assert keras.saving.get_registered_object(name) is cls


IMPORT_EACH_ALONE = """
import importlib, json, os, sys, types
import keras, numpy

path, names, unwanted = json.loads(sys.argv[1])
unwanted = set(unwanted) - sys.modules.keys()
for name in names:
    if (child := os.fork()) == 0:
        try:
            # Without the rest of the package, which would import it all.
            package = types.ModuleType("keras_spiking")
            package.__path__ = [path]
            sys.modules["keras_spiking"] = package
            importlib.import_module(name)
            found = sorted(unwanted & sys.modules.keys())
            if found:
                raise ImportError(f"it imports {found}")
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


# The other backends' own modules import them; the rest is the same everywhere.
@pytest.mark.skipif(BACKEND != "numpy", reason="run once")
def test_each_module_imports_alone_and_without_other_backends():
    names = [
        name
        for name, tree in modules().items()
        if not BACKENDS & {module for module, _ in imports(tree, anywhere=False)}
        and name not in NEEDS_OPTIONAL
    ]
    arguments = json.dumps([str(PACKAGE), names, sorted(BACKENDS | OPTIONAL)])
    command = [sys.executable, "-W", "ignore", "-c", IMPORT_EACH_ALONE, arguments]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout == ""
    assert pathlib.Path(names[0]).name == "keras_spiking" and len(names) > 100


def test_tests_are_modules_of_different_names():
    """Their folders are no packages: of two of one name the second is not found."""
    files = [p for p in PACKAGE.parent.glob("tests/*/*.py") if p.stem != "conftest"]
    names = [
        p.stem for p in files if p.parent.name not in ("nir_frameworks", "snntorch")
    ]
    assert len(set(names)) == len(names)
