"""The cache of compiled libraries, and the compiler. Neither depends on the backend."""

import ctypes
import errno
import logging
import os
import tempfile
import time

import numpy as np
import pytest
from backend import BACKEND

from keras_spiking.backends.kernels import cache
from keras_spiking.backends.kernels import compiler

pytestmark = pytest.mark.skipif(
    BACKEND != "numpy" or compiler.compiler() is None,
    reason="the same on every backend: tested once, with NumPy",
)

TEXT = "int answer(void) { return 42; }"
EVIL = "int answer(void) { return 666; }"


def forget():
    """What a new process would not know either."""
    compiler._handles.clear()
    compiler._hanging.clear()
    compiler.compiler.cache_clear()
    compiler._command.cache_clear()
    cache._say.cache_clear()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("KERAS_SPIKING_CACHE", str(folder))
    forget()
    yield folder
    monkeypatch.undo()
    forget()


def answer():
    forget()
    return compiler.load(TEXT).answer()


def replace(path, content):
    """Another file: the old one may be mapped into this process."""
    path.unlink()
    path.write_bytes(content)


def plant(folder, content=None):
    """Puts another library in place of that of `TEXT`, with a valid ending."""
    answer()
    (path,) = folder.glob("*.so")
    content = compiler._compile(EVIL, ()) if content is None else content
    replace(path, content + cache._seal(path.stem, content))
    return path


def test_a_library_is_found_again(folder, monkeypatch):
    assert answer() == 42
    assert [path.stat().st_mode & 0o77 for path in folder.iterdir()] == [0]
    monkeypatch.setattr(compiler, "_compile", None)
    assert answer() == 42


def test_what_is_planted_would_run(folder):
    plant(folder)
    assert answer() == 666


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_may_write_is_not_read(folder, mode, caplog):
    plant(folder)
    folder.chmod(mode)
    with caplog.at_level(logging.WARNING, "keras_spiking"):
        assert answer() == 42
        assert compiler.load(EVIL + " ").answer() == 666
    assert sum("KERAS_SPIKING_CACHE" in message for message in caplog.messages) == 1
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_a_file_that_others_may_write_is_replaced(folder, mode, caplog):
    path = plant(folder)
    path.chmod(mode)
    with caplog.at_level(logging.WARNING, "keras_spiking"):
        assert answer() == 42
    assert str(path) in caplog.text
    assert path.stat().st_mode & 0o777 == 0o600
    assert answer() == 42


@pytest.mark.parametrize("whose", ["file", "folder"])
def test_what_belongs_to_another_user_is_not_read(folder, whose, caplog, monkeypatch):
    path = plant(folder)
    if os.geteuid() == 0:
        os.chown(path if whose == "file" else folder, 12345, 12345)
    else:
        monkeypatch.setattr(cache, "_user", lambda: os.geteuid() + 1)
    with caplog.at_level(logging.WARNING, "keras_spiking"):
        assert answer() == 42
    assert "another user" in caplog.text


def test_links_and_pipes_are_not_followed(folder, tmp_path):
    path = plant(folder)
    elsewhere = path.rename(tmp_path / "elsewhere.so")
    path.symlink_to(elsewhere)
    assert answer() == 42
    path.unlink()
    os.mkfifo(path)
    assert answer() == 42
    assert path.is_file()


def test_a_folder_behind_a_link_is_used(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    assert answer() == 42
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"not a library", None])
def test_damaged_library_is_made_anew(folder, damage):
    answer()
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    replace(path, whole[: len(whole) // 2] if damage is None else damage)
    assert answer() == 42
    assert cache.read(path.stem) is not None


def test_a_library_of_another_text_is_made_anew(folder):
    answer()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    path.unlink()
    assert compiler.load(EVIL).answer() == 666
    (other,) = folder.iterdir()
    replace(other, content)
    forget()
    assert compiler.load(EVIL).answer() == 666


def test_garbage_with_a_valid_ending_is_made_anew(folder):
    path = plant(folder, b"garbage")
    assert answer() == 42
    assert cache.read(path.stem) != b"garbage"


def fail(number):
    def function(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return function


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_cache_that_takes_nothing_costs_no_kernels(
    folder, number, caplog, monkeypatch
):
    monkeypatch.setattr(cache.os, "replace", fail(number))
    with caplog.at_level(logging.WARNING, "keras_spiking"):
        assert answer() == 42
    assert os.strerror(number) in caplog.text
    assert "KERAS_SPIKING_CACHE" in caplog.text
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc/nowhere/cache", "/dev/null", "/dev/null/a"])
def test_a_cache_that_cannot_be_costs_no_kernels(place, caplog, monkeypatch):
    monkeypatch.setenv("KERAS_SPIKING_CACHE", place)
    with caplog.at_level(logging.WARNING, "keras_spiking"):
        assert answer() == 42
    assert place in caplog.text


def test_no_library_is_loaded_from_the_cache(folder, monkeypatch):
    # It may be mounted `noexec`.
    loaded = []
    original = ctypes.CDLL

    def load(name, **kwargs):
        loaded.append(name)
        return original(name, **kwargs)

    monkeypatch.setattr(ctypes, "CDLL", load)
    answer()
    assert answer() == 42
    assert not any(str(folder) in name for name in loaded)
    assert not any(os.path.exists(name) for name in loaded)


def test_a_temporary_folder_that_runs_nothing_is_avoided(folder, monkeypatch):
    answer()
    monkeypatch.setattr(compiler, "_is_fit", lambda place: place == folder)
    with compiler.built(TEXT) as path:
        assert os.path.dirname(os.path.dirname(path)) == str(folder)


@pytest.mark.parametrize("named", [".", "below/here", "~", "~/below"])
def test_relative_folders_and_homes(named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_SPIKING_CACHE", named)
    assert answer() == 42
    relative = named.replace("~", ".")
    assert len(list((tmp_path / relative).glob("*.so"))) == 1
    assert cache.folder().is_absolute()


@pytest.mark.parametrize("base", ["", "relative", "~"])
def test_base_folders(base, tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_SPIKING_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    expected = tmp_path if base == "~" else tmp_path / ".cache"
    assert cache.folder() == expected / "keras_spiking"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "there"))
    assert answer() == 42
    assert len(list((tmp_path / "not/there/keras_spiking").iterdir())) == 1


def test_no_home(monkeypatch):
    monkeypatch.delenv("KERAS_SPIKING_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache.folder().is_absolute()


def test_what_was_used_longest_ago_is_removed(folder, monkeypatch):
    texts = [f"int answer(void) {{ return {i}; }}" for i in range(5)]
    for text in texts[:4]:
        compiler.load(text)
    paths = [folder / f"{compiler.digest(t + '()')}.so" for t in texts]
    size = paths[0].stat().st_size
    for i, path in enumerate(paths[:4]):
        os.utime(path, (1000.0 + i, 1000.0 + i))
    (folder / "mine.so").write_bytes(bytes(4 * size))
    leftover = folder / f"{paths[0].stem}.abc.tmp"
    leftover.write_bytes(bytes(size))
    os.utime(leftover, (10.0, 10.0))
    forget()
    compiler.load(texts[0])  # used again
    monkeypatch.setattr(cache, "LIMIT", 4 * size)
    compiler.load(texts[4])
    assert [p.exists() for p in paths] == [True, False, False, True, True]
    assert (folder / "mine.so").exists() and not leftover.exists()


def test_a_library_that_is_removed_while_others_use_it(folder):
    library = compiler.load(TEXT)
    for path in folder.iterdir():
        path.unlink()
    assert library.answer() == compiler.load(TEXT).answer() == answer() == 42


def test_copies_for_others_are_removed(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with compiler.built(TEXT) as path:
        assert ctypes.CDLL(path).answer() == 42
        assert path.startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == [folder]


def test_another_processor_has_another_key(monkeypatch):
    before = compiler.digest(TEXT)
    monkeypatch.setattr(compiler, "_machine", lambda: "another processor")
    assert compiler.digest(TEXT) != before


def test_what_does_not_compile_is_reported(folder):
    with pytest.raises(RuntimeError, match="could not compile"):
        compiler.load("this is not C")
    assert not folder.exists()


def script(tmp_path, text):
    path = tmp_path / "my cc"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_compiler_with_options(tmp_path, monkeypatch):
    path = script(tmp_path, f'exec {compiler.compiler()} "$@"')
    plain = compiler.digest(TEXT)
    keys = set()
    for named in (f"{compiler.compiler()} -DX=1", f"'{path}' -DX=1 -m64", str(path)):
        forget()
        monkeypatch.setenv("CC", named)
        assert compiler.compiler() in (str(path), named.split()[0])
        keys.add(compiler.digest(TEXT))
        if "-DX" in named:
            assert compiler.load("int answer(void) { return X; }").answer() == 1
    assert len(keys | {plain}) == 4


@pytest.mark.parametrize("named", ["no-such-cc -m64", "'gcc", "/no/such/cc"])
def test_missing_compiler_is_named(named, monkeypatch, caplog):
    forget()
    monkeypatch.setenv("CC", named)
    with caplog.at_level(logging.WARNING, "keras_spiking"):
        assert compiler.compiler() is None
    assert repr(named) in caplog.text
    with pytest.raises(RuntimeError, match="CC"):
        compiler.load(TEXT)


GARBAGE = 'for a; do [ "$b" = -o ] && echo garbage > "$a"; b=$a; done; true'


@pytest.mark.parametrize(
    "text", ["true", "exit 3", "printf '\\377' >&2; exit 1", "kill -9 $$", GARBAGE]
)
def test_strange_compilers_are_reported(text, tmp_path, monkeypatch):
    forget()
    monkeypatch.setenv("CC", str(script(tmp_path, text)))
    with pytest.raises(RuntimeError, match="could not compile"):
        compiler.load(TEXT)


def test_a_hanging_compiler_is_waited_for_once(tmp_path, monkeypatch):
    forget()
    # What it starts would hold on to its output.
    monkeypatch.setenv("CC", str(script(tmp_path, "sleep 60; true")))
    monkeypatch.setattr(compiler, "TIMEOUT", 0.2)
    start = time.time()
    for text in (TEXT, EVIL):
        with pytest.raises(RuntimeError, match="did not finish within 0.2 s"):
            compiler.load(text)
    assert time.time() - start < 10


def test_libraries_are_not_kept_by_the_compiler():
    loaded = compiler.load(TEXT)
    assert compiler.load(TEXT) is not loaded
    address = ctypes.c_void_p
    functions = [ctypes.cast(x.answer, address) for x in (loaded, compiler.load(TEXT))]
    assert np.unique([f.value for f in functions]).size == 1
