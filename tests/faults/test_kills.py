"""What a killed process was writing is not used, and goes when another one writes."""

import io
import signal
import tempfile
import zipfile

import children
import numpy as np
import pytest

from keras_spiking import files
from keras_spiking.backends.kernels import cache
from keras_spiking.backends.kernels import compiler
from keras_spiking.datasets import EventDataset
from keras_spiking.datasets import Frames
from keras_spiking.datasets import SyntheticGestures
from keras_spiking.datasets import archives
from keras_spiking.datasets import files as files_of_datasets
from keras_spiking.datasets.downloads import Archive

pytestmark = pytest.mark.once

TEXT = "int answer(void) { return 42; }"
KILLED = -signal.SIGKILL


def parts(folder):
    return list(folder.rglob(".part-*"))


def test_in_the_compiler(kernels, tmp_path, monkeypatch):
    compiling = compiler.compiler()
    script = tmp_path / "cc"
    # A compiler that goes on would write into what is to be removed.
    dying = "[ $KILL ] && kill -9 $PPID && exit 1"
    script.write_text(f'#!/bin/sh\n{dying}\n{compiling} "$@"\n')
    script.chmod(0o755)
    compiler.compiler.cache_clear(), compiler._command.cache_clear()
    monkeypatch.setenv("CC", str(script))
    monkeypatch.setenv("KILL", "yes")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert children.run(compiler.load, TEXT) == KILLED
    assert not kernels.exists()
    assert len(list(tmp_path.glob("keras_spiking-*"))) == 1
    monkeypatch.delenv("KILL")
    assert compiler.load(TEXT).answer() == 42
    assert not list(tmp_path.glob("keras_spiking-*"))


@pytest.mark.parametrize("function", ["_seal", "os.replace", "_remove_oldest"])
def test_while_a_kernel_is_kept(function, kernels, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(f"{cache.__name__}.{function}", children.die)
        assert children.run(compiler.load, TEXT) == KILLED
    assert len(list(kernels.iterdir())) == 1
    assert compiler.load(TEXT).answer() == 42
    assert cache.read(compiler.digest(TEXT + "()")) is not None
    # Counted as one of the cache, it goes when the limit is reached.
    monkeypatch.setattr(cache, "LIMIT", 0)
    compiler.load(TEXT + "\n")
    assert list(kernels.iterdir()) == []


def half_written(file, **arrays):
    file.write(b"half")
    file.flush()
    children.die()


def gestures(cache_dir=None):
    return EventDataset(
        SyntheticGestures(6), Frames(number=4), batch_size=6, cache_dir=cache_dir
    )


def test_in_caching_a_data_set(tmp_path, monkeypatch):
    def prepare():
        gestures(tmp_path).prepare(workers=1, verbose=0)

    with monkeypatch.context() as patched:
        save, entries = np.savez_compressed, []

        def save_three(file, **arrays):
            entries.append(file)
            (save if len(entries) <= 3 else half_written)(file, **arrays)

        patched.setattr(files_of_datasets.np, "savez_compressed", save_three)
        assert children.run(prepare) == KILLED
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    assert len(parts(tmp_path)) == 1
    prepare()
    assert len(list(tmp_path.rglob("*.npz"))) == 6
    assert not parts(tmp_path)
    for found, expected in zip(gestures(tmp_path)[0], gestures()[0]):
        np.testing.assert_array_equal(found, expected)


def test_what_another_process_is_writing_stays(tmp_path):
    with files_of_datasets.replacing(tmp_path / "a.npz") as file:
        file.write(b"half")
        file.flush()
        assert children.run(files.remove_leftovers, tmp_path) == 0
        assert len(parts(tmp_path)) == 1
    assert (tmp_path / "a.npz").read_bytes() == b"half"


def test_in_unpacking_an_archive(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inner.txt", "text")
        inner = io.BytesIO()
        with zipfile.ZipFile(inner, "w") as other:
            other.writestr("b.txt", "text")
        archive.writestr("other.zip", inner.getvalue())

    def unpack():
        return archives.unpacked(tmp_path, {"a.zip": Archive(None)})[1]

    with monkeypatch.context() as patched:
        patched.setattr(archives.pathlib.Path, "unlink", children.die)
        assert children.run(unpack) == KILLED
    assert len(parts(tmp_path)) == 1
    assert (unpack() / "other" / "b.txt").read_text() == "text"
    assert not parts(tmp_path)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_in_saving_a_file(function, tmp_path, monkeypatch):
    path = tmp_path / "model.nir"

    def save(content):
        with files.complete_file(path) as temporary, open(temporary, "wb") as file:
            file.write(content)

    save(b"old")
    monkeypatch.setattr(files.os, function, children.die)
    assert children.run(save, b"new") == KILLED
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("function", ["os.rename", "_exchange", "shutil.rmtree"])
def test_in_saving_a_folder(function, tmp_path, monkeypatch):
    path = tmp_path / "network"

    def save(content):
        with files.complete_folder(path, ["a.c", "a.h"]) as temporary:
            for name in ("a.c", "a.h"):
                with open(f"{temporary}/{name}", "w") as file:
                    file.write(content)

    save("old")
    monkeypatch.setattr(f"{files.__name__}.{function}", children.die)
    code = children.run(save, "new")
    found = {(path / name).read_text() for name in ("a.c", "a.h")}
    assert found == {"old"} if function == "_exchange" else {"new"}
    assert code in (KILLED, 0)
