"""Files that the fuzzer has found are refused, and it hears what is forbidden.

`tests/data/hostile` holds one file for each kind of fault that has been mended, called
FORMAT-NUMBER-NAME.
"""

import copy
import ctypes
import importlib
import os
import pathlib
import pickle
import shutil
import socket
import subprocess
import sys

import formats
import guard
import h5py
import keras
import mutations
import numpy as np
import pytest

from keras_spiking import layers
from keras_spiking import surrogates

pytestmark = pytest.mark.once

FILES = sorted((formats.DATA / "hostile").iterdir())


@pytest.fixture(scope="module")
def forbid(tmp_path_factory):
    return guard.Guard(tmp_path_factory.mktemp("inside"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_that_were_found(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_SPIKING_CACHE", str(tmp_path))
    tmp_path.chmod(0o700)
    with h5py.File("secret.h5", "w") as file:
        file["t"] = file["x"] = file["y"] = file["p"] = np.ones(3)
    kind, _, name = path.name.split("-", 2)
    shutil.copy(path, name)
    chosen = formats.FORMATS[kind]
    if kind in ("measurement", "cached"):  # are made again
        chosen.read(tmp_path / name)
        return
    errors = (ValueError, OSError) if chosen.own_errors else (ValueError, TypeError)
    with pytest.raises(errors) as error:
        chosen.read(tmp_path / name)
    assert not chosen.own_errors or name in str(error.value)


class Call:
    def __reduce__(self):
        return os.getcwd, ()


FORBIDDEN = {
    "code": lambda: exec("1"),
    "text": lambda: eval("1"),
    "program": lambda: subprocess.run(["true"]),
    "shell": lambda: os.system("true"),
    "library": lambda: ctypes.CDLL("libm.so.6"),
    "module": lambda: importlib.import_module("antigravity"),
    "pickle": lambda: pickle.loads(pickle.dumps(Call())),
    "network": lambda: socket.socket(),
    "written": lambda: open("../outside", "w"),
    "read": lambda: open("/etc/hostname"),
    "removed": lambda: os.remove("/nothing/here"),
    "linked": lambda: os.symlink("here", "../outside"),
    "renamed": lambda: os.rename("here", "../outside"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_forbidden_is_heard(name, forbid, monkeypatch):
    monkeypatch.chdir(forbid.folder)
    with pytest.raises(guard.Forbidden), forbid():
        FORBIDDEN[name]()
    assert forbid.heard


def test_what_readers_do_is_allowed(forbid):
    inside = pathlib.Path(forbid.folder, "a.npy")
    with forbid():
        np.save(inside, np.arange(3))
        np.testing.assert_array_equal(np.load(inside), np.arange(3))
        inside.unlink()
    assert not forbid.heard


@pytest.mark.parametrize(
    "hostile", mutations.HOSTILE, ids=range(len(mutations.HOSTILE))
)
def test_configurations_run_nothing_in_safe_mode(hostile, forbid):
    """Whatever stands where a callable or an object belongs."""
    places = [
        (layers.ElementwiseRecurrent(layers.IFLayer(), "add"), "function"),
        (layers.ElementwiseRecurrent(layers.IFLayer(), "add"), "layer"),
        (layers.LIFLayer(surrogate="atan"), "surrogate"),
        (layers.SeqToBatch(keras.layers.Dense(3)), "layer"),
        (surrogates.FromDerivative(keras.ops.cos), "function"),
        (layers.SpikingSelfAttention(num_heads=2), "neuron"),
    ]
    for thing, name in places:
        config = keras.saving.serialize_keras_object(thing)
        config["config"][name] = copy.deepcopy(hostile)
        if name == "layer" and not isinstance(thing, layers.ElementwiseRecurrent):
            config["config"][name] = [copy.deepcopy(hostile)]
        with forbid():
            try:
                found = keras.saving.deserialize_keras_object(config, safe_mode=True)
            except (ValueError, TypeError):
                continue
        # What is left is of Keras's own functions and layers, which it allows.
        value = getattr(found, name, None)
        module = getattr(value, "__module__", None) or type(value).__module__
        assert module.split(".")[0] in ("keras", "keras_spiking", "builtins"), value


def test_functions_by_name_are_operations():
    for name in ("__class__", "keras.ops.__loader__", "os.system", "_legacy"):
        with pytest.raises(ValueError, match="keras.ops"):
            layers.ElementwiseRecurrent(layers.IFLayer(), name)


def test_the_fuzzer_runs(tmp_path):
    command = [sys.executable, pathlib.Path(__file__).parent, "npy", "--count", "200"]
    command += ["--folder", tmp_path]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    row = found.stdout.splitlines()[-1].split("|")
    assert row[2].strip() == "200" and int(row[3]) + int(row[4]) == 200
