import os
import platform
import subprocess
import sys

import keras
import pytest

from keras_spiking import config
from keras_spiking.backends import memory

GLIBC = platform.libc_ver()[0] == "glibc"
SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "KERAS_SPIKING_KEEP_MEMORY")

# Frees what the C library would give back: new memory of the same size is then new to
# the process, and costs page faults.
SCRIPT = """
import resource
import keras
import numpy as np
import keras_spiking
from keras_spiking.backends import memory

layer = keras_spiking.layers.LIFLayer()
layer(keras.ops.ones((1, 2, 3)))

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

np.full(2**24, 1.0)
before = faults()
np.full(2**24, 1.0)
print(faults() - before, memory.report(), sep="|")
"""


def run(**variables):
    """Page faults of making an array of 128 MiB again, and what the report says."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(SETTINGS)}
    on_cpu = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    output = subprocess.run(
        command,
        env={**inherited, **on_cpu, **variables},
        capture_output=True,
        text=True,
    )
    assert output.returncode == 0, output.stderr
    faults, report = output.stdout.strip().splitlines()[-1].split("|")
    return int(faults), report


@pytest.mark.skipif(not GLIBC, reason="it is glibc that keeps memory")
@pytest.mark.parametrize("mode", ["auto", "always"])
def test_memory_is_kept(mode):
    if mode == "auto" and keras.config.backend() not in ("torch", "jax"):
        pytest.skip("this backend keeps memory itself")
    faults, report = run(KERAS_SPIKING_KEEP_MEMORY=mode)
    assert faults < 64
    assert report.startswith("kept")


@pytest.mark.parametrize(
    "variables",
    [
        {"KERAS_SPIKING_KEEP_MEMORY": "never"},
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"},
    ],
)
def test_memory_is_given_back_if_the_user_says_so(variables):
    faults, report = run(**variables)
    assert faults > 64  # pages of 2 MiB, if the system has such
    assert report.startswith("given back")


@pytest.mark.skipif(not GLIBC, reason="asks glibc")
def test_a_python_at_a_fixed_place_has_the_malloc_of_glibc(monkeypatch):
    library_of = memory._library_of
    monkeypatch.setattr(
        memory,
        "_library_of",
        lambda name: sys.executable if name == "malloc" else library_of(name),
    )
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        monkeypatch.delenv(name)
    assert memory.unavailable() is None
    monkeypatch.setattr(memory, "_is_counted", lambda: False)
    assert "takes the place of glibc's `malloc`" in memory.unavailable()


def test_always_raises_where_memory_cannot_be_kept(monkeypatch):
    monkeypatch.setattr(memory, "_kept", False)
    monkeypatch.setattr(config, "_keep_memory", "always")
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    with pytest.raises(RuntimeError, match="MALLOC_MMAP_MAX_ says"):
        memory.keep(gains=True)


@pytest.mark.parametrize(
    ("home", "reason"),
    [
        ({}, "not glibc"),
        ({"gnu_get_libc_version": "libc.so", "malloc": "libjemalloc.so"}, "jemalloc"),
    ],
)
def test_other_allocators_are_left_alone(home, reason, monkeypatch):
    for name in memory._OWN_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory, "_library_of", home.get)
    monkeypatch.setattr(memory, "_is_counted", lambda: False)
    assert reason in memory.unavailable()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "Linux" in memory.unavailable()


def test_mode_is_checked():
    with pytest.raises(ValueError, match="mode"):
        config.set_keep_memory("sometimes")
