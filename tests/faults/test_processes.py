"""Many processes and threads that start at once with empty caches, and clocks."""

import os
import threading
import time
import zipfile

import children
import numpy as np
import pytest

from keras_spiking.backends.kernels import cache
from keras_spiking.backends.kernels import compiler
from keras_spiking.datasets import EventDataset
from keras_spiking.datasets import Frames
from keras_spiking.datasets import SyntheticGestures
from keras_spiking.datasets import archives
from keras_spiking.datasets.downloads import Archive

pytestmark = pytest.mark.once

TEXT = "int answer(void) {{ return {}; }}"


def at_once(function, count=8):
    """Runs a function in so many processes, which begin at the same moment."""
    ready, go = os.pipe(), os.pipe()

    def wait():
        os.close(go[1])
        os.write(ready[1], b".")
        os.read(go[0], 1)  # the end of the file
        function()

    started = [children.start(wait) for _ in range(count)]
    while count:
        count -= len(os.read(ready[0], count))
    os.close(go[1])
    codes = [children.end_of(process) for process in started]
    for descriptor in (*ready, go[0]):
        os.close(descriptor)
    return codes


def test_processes_share_the_cache_of_kernels(kernels):
    def load():
        for i in range(3):
            assert compiler.load(TEXT.format(i)).answer() == i

    assert at_once(load) == [0] * 8
    assert len(list(kernels.iterdir())) == 3
    for path in kernels.iterdir():
        assert cache.read(path.stem)


def test_threads_compile_at_once(kernels):
    barrier, found = threading.Barrier(8), []

    def load(i):
        barrier.wait(30)
        found.append([compiler.load(TEXT.format(n)).answer() for n in (0, i % 2 + 1)])

    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(found) == [[0, 1]] * 4 + [[0, 2]] * 4
    assert len(list(kernels.iterdir())) == 3


def test_processes_share_the_cache_of_a_data_set(tmp_path):
    dataset = EventDataset(
        SyntheticGestures(6), Frames(number=4), batch_size=6, cache_dir=tmp_path
    )
    recordings = dataset.samples.recordings
    expected = EventDataset(recordings, Frames(number=4), batch_size=6)[0]

    def read():
        for found, right in zip(dataset[0], expected):
            np.testing.assert_array_equal(found, right)

    assert at_once(read) == [0] * 8
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 6 and all(path.suffix == ".npz" for path in files)


def test_processes_unpack_one_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for i in range(20):
            archive.writestr(f"folder/{i}.txt", str(i))

    def unpack():
        folder = archives.unpacked(tmp_path, {"a.zip": Archive(None)})[1] / "folder"
        for i in range(20):
            assert (folder / f"{i}.txt").read_text() == str(i)

    assert at_once(unpack) == [0] * 8
    assert os.listdir(tmp_path / "unpacked") == ["a.zip"]


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_clock_that_jumps_does_not_empty_the_cache(hours, kernels, monkeypatch):
    """What is made now stays, and what seems to come from the future goes first."""
    for i in range(4):
        compiler.load(TEXT.format(i))
    before = time.time() - hours * 3600
    for i, path in enumerate(sorted(kernels.iterdir())):
        os.utime(path, (before + i, before + i))
    monkeypatch.setattr(cache, "LIMIT", 4 * path.stat().st_size)
    for _ in range(2):
        compiler._handles.clear()
        assert compiler.load(TEXT.format(5)).answer() == 5
        key = compiler.digest(TEXT.format(5) + "()")
        assert (kernels / f"{key}.so").exists()


def test_a_clock_that_starts_in_1970(kernels, tmp_path, monkeypatch):
    """As of a board without a battery, though zip files know no year before 1980."""
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert compiler.load(TEXT.format(0)).answer() == 0
    dataset = EventDataset(
        SyntheticGestures(2), Frames(number=4), batch_size=2, cache_dir=tmp_path
    )
    np.testing.assert_array_equal(dataset[0][0], dataset[0][0])
