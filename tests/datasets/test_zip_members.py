import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from event_files import random_events
from event_files import write_atis

from keras_spiking.datasets import EventDataset
from keras_spiking.datasets import Frames
from keras_spiking.datasets import Recordings
from keras_spiking.datasets import write_events

pytestmark = pytest.mark.once

SHAPE = (34, 34, 2)


def recordings(folder, count=6):
    """Recordings in a folder for each class, below `train`."""
    for i in range(count):
        path = folder / "train" / "abc"[i % 3] / f"{i}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_events(path, random_events(20 + i, width=34, height=34, seed=i))
    return folder


def zipped(path, folder, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for found in sorted(folder.rglob("*"), reverse=True):
            file.write(found, found.relative_to(folder))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_same_as_the_folder(tmp_path, method):
    folder = recordings(tmp_path / "data")
    path = zipped(tmp_path / "all.zip", folder, method)
    expected = Recordings.from_folder(folder / "train", SHAPE, "*.npz")
    found = Recordings.from_zip(path, SHAPE, "*.npz", folder="train")
    found = pickle.loads(pickle.dumps(found))
    assert (found.labels, found.classes) == (expected.labels, expected.classes)
    for i in range(len(expected)):
        np.testing.assert_array_equal(found[i][0], expected[i][0])
        np.testing.assert_array_equal(np.concatenate([*found.stream(i)]), found[i][0])
    frames = EventDataset(found, Frames(number=4), cache_dir=tmp_path / "cache")
    frames.prepare(verbose=0)
    np.testing.assert_array_equal(
        frames[0][0], EventDataset(expected, Frames(number=4))[0][0]
    )


def test_many_recordings_are_indexed_without_being_read(tmp_path):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as file:
        for i in range(10_000):
            file.writestr(f"{i % 10}/{i:05d}.bin", b"five!")
        end = file.start_dir
    content = bytearray(path.read_bytes())
    content[:end] = bytes(end)  # all but the directory is gone
    path.write_bytes(content)
    found = Recordings.from_zip(path, SHAPE, "*.bin")
    assert len(found) == 10_000 and found.labels[1000] == 1
    with pytest.raises(ValueError, match="'0/00000.bin' in .* is damaged"):
        found[0]


def test_damaged_recordings_are_named(tmp_path):
    folder = tmp_path / "data" / "a"
    folder.mkdir(parents=True)
    write_atis(folder / "1.bin", random_events(50, width=34, height=34))
    (folder / "2.bin").write_bytes(b"1234567")
    path = zipped(tmp_path / "all.zip", tmp_path / "data", zipfile.ZIP_STORED)
    found = Recordings.from_zip(path, SHAPE)
    with pytest.raises(ValueError, match="all.zip/a/2.bin"):
        found[1]
    content = bytearray(path.read_bytes())
    content[content.index(b"1234567")] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checksum does not match"):
        found[1]
    assert len(found[0][0]) == 50


def test_sizes_that_are_claimed_take_no_memory(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/1.bin", b"five!")
    content = path.read_bytes()
    entry = content.index(b"PK\1\2") + 20  # where the directory has the packed size
    claim = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(content[:entry] + claim + content[entry + 4 :])
    found = Recordings.from_zip(path, SHAPE, "*.bin")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="'a/1.bin' in .* is damaged"):
            found[0]
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_bombs(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/1.bin", bytes(70 << 20))
        with file.open(zipfile.ZipInfo("a/2.bin"), "w") as other:
            other.write(np.random.default_rng(0).bytes(1 << 20))
    found = Recordings.from_zip(path, SHAPE)
    with pytest.raises(ValueError, match="unpacks to .* bytes"):
        found[0]


def test_zip_files_without_recordings(tmp_path):
    path = zipped(tmp_path / "all.zip", recordings(tmp_path / "data"))
    for kwargs in ({}, {"folder": "test"}, {"pattern": "*.bin", "folder": "train"}):
        with pytest.raises(ValueError, match="No recordings in .*all.zip"):
            Recordings.from_zip(path, SHAPE, **kwargs)
    (tmp_path / "none.zip").write_bytes(b"none")
    with pytest.raises(ValueError, match="none.zip"):
        Recordings.from_zip(tmp_path / "none.zip", SHAPE)
    with pytest.raises(OSError, match="nowhere.zip"):
        Recordings.from_zip(tmp_path / "nowhere.zip", SHAPE)
