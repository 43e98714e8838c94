import gzip
import io
import os
import shutil
import tarfile
import threading
import zipfile

import h5py
import numpy as np
import pytest

from keras_spiking.datasets import archives
from keras_spiking.datasets import load_asl_dvs
from keras_spiking.datasets import load_shd
from keras_spiking.datasets.downloads import Archive

pytestmark = pytest.mark.once


def zip_of(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def tar_of(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def unpacked(folder, name, content, **kwargs):
    (folder / name).write_bytes(content)
    return archives.unpacked(folder, {name: Archive(None)}, **kwargs)[1]


def left(folder):
    return [path for path in (folder / "unpacked").glob("*")]


@pytest.mark.parametrize("name, pack", [("a.zip", zip_of), ("a.tar.gz", tar_of)])
def test_contents(name, pack, tmp_path):
    target = unpacked(tmp_path, name, pack({"b/c.txt": b"text", "d": b""}))
    assert (target / "b" / "c.txt").read_bytes() == b"text"
    assert (target / "d").read_bytes() == b""


@pytest.mark.parametrize("name, pack", [("a.zip", zip_of), ("a.tar.gz", tar_of)])
def test_bombs(name, pack, tmp_path):
    content = pack({f"{i}": bytes(40 << 20) for i in range(2)})
    assert len(content) < 1 << 20
    with pytest.raises(ValueError, match=f"{name}.*max_unpacked_bytes"):
        unpacked(tmp_path, name, content)
    assert not left(tmp_path)
    target = unpacked(tmp_path, name, content, max_unpacked_bytes=100 << 20)
    assert (target / "1").stat().st_size == 40 << 20


def test_bombs_inside_an_archive(tmp_path):
    inner = {f"{i}.zip": zip_of({"a": bytes(40 << 20)}) for i in range(2)}
    with pytest.raises(ValueError, match="a.zip.*max_unpacked_bytes"):
        unpacked(tmp_path, "a.zip", zip_of(inner))
    assert not left(tmp_path)


def test_long_names_of_a_tar_file_are_counted(tmp_path):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 80 << 20
    content = gzip.compress(header.tobuf() + bytes(80 << 20))
    with pytest.raises(ValueError, match="a.tar.gz.*max_unpacked_bytes"):
        unpacked(tmp_path, "a.tar.gz", content)


def test_a_folder_that_looks_like_an_archive(tmp_path):
    content = zip_of({"x.zip/a.txt": b"a", "y.zip": zip_of({"b.txt": b"b"})})
    target = unpacked(tmp_path, "a.zip", content)
    assert (target / "x.zip" / "a.txt").read_bytes() == b"a"
    assert (target / "y" / "b.txt").read_bytes() == b"b"


@pytest.mark.parametrize(
    "name, files",
    [
        ("a.zip", {"y.zip": b"no archive"}),
        ("a.zip", {"y.zip": zip_of({"b": b""}), "y": b"in its way"}),
        ("a.tar.gz", {"../outside": b"a"}),
    ],
)
def test_archives_with_bad_members(name, files, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    content = (zip_of if name == "a.zip" else tar_of)(files)
    with pytest.raises(
        ValueError, match=f"{name}' is not an archive, or it is damaged"
    ):
        unpacked(folder, name, content)
    assert not left(folder) and not (tmp_path / "outside").exists()


@pytest.mark.parametrize("name, pack", [("a.zip", zip_of), ("a.tar.gz", tar_of)])
def test_damaged_archives(name, pack, tmp_path):
    random = np.random.default_rng(0)
    content = pack({"a": random.bytes(2000), "b/c": b"text" * 100})
    for i in range(200):
        data = bytearray(content)
        if i % 2:
            del data[random.integers(len(data)) :]
        else:
            data[random.integers(len(data))] ^= 1 << random.integers(8)
        try:
            unpacked(tmp_path, name, bytes(data))
        except ValueError as error:
            assert str(tmp_path / name) in str(error)
            assert not left(tmp_path)
        shutil.rmtree(tmp_path / "unpacked")


def test_two_unpack_one_archive_at_once(tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_bytes(zip_of({"b/c.txt": b"text"}))
    both, unpack = threading.Barrier(2), archives._unpack_zip

    def together(*args):
        unpack(*args)
        both.wait(timeout=60)

    monkeypatch.setattr(archives, "_unpack_zip", together)
    found = []

    def run():
        found.append(archives.unpacked(tmp_path, {"a.zip": Archive(None)})[1])

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "unpacked" / "a.zip"] * 2
    assert left(tmp_path) == found[:1]
    assert (found[0] / "b" / "c.txt").read_bytes() == b"text"


def test_a_full_disk_is_no_damage(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "_unpack_zip", full)
    with pytest.raises(OSError, match="No space left"):
        unpacked(tmp_path, "a.zip", zip_of({"a": b""}))
    assert not left(tmp_path)


def test_recordings_are_found_once(tmp_path):
    """Not again in the folder `unpacked`, nor where another process is unpacking."""
    (tmp_path / "unpacked" / ".part-1" / "a").mkdir(parents=True)
    (tmp_path / "unpacked" / ".part-1" / "a" / "half.mat").write_bytes(b"")
    content = zip_of({"a/1.mat": b"", "b/2.mat": b""})
    (tmp_path / "ICCV2019_DVS_dataset.zip").write_bytes(content)
    recordings = load_asl_dvs(tmp_path)
    assert [path.name for path, _ in recordings.sources] == ["1.mat", "2.mat"]


def test_the_limit_of_a_loader_can_be_raised(tmp_path):
    content = zip_of({"a/1.mat": bytes(80 << 20)})
    (tmp_path / "ICCV2019_DVS_dataset.zip").write_bytes(content)
    with pytest.raises(ValueError, match="max_unpacked_bytes"):
        load_asl_dvs(tmp_path)
    assert len(load_asl_dvs(tmp_path, max_unpacked_bytes=100 << 20)) == 1


def test_gzipped_recordings(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["labels"] = [1, 2]
    content = (tmp_path / "a.h5").read_bytes()
    os.unlink(tmp_path / "a.h5")
    packed = tmp_path / "shd_test.h5.gz"
    for damaged in (gzip.compress(content)[:-9], b"no archive", b"\x1f\x8b" * 20):
        packed.write_bytes(damaged)
        with pytest.raises(
            ValueError, match="shd_test.h5.gz' is not an archive, or it is damaged"
        ):
            load_shd(tmp_path, split="test")
    packed.write_bytes(gzip.compress(bytes(80 << 20)))
    with pytest.raises(ValueError, match="shd_test.h5.gz'.*max_unpacked_bytes"):
        load_shd(tmp_path, split="test")
    assert os.listdir(tmp_path) == ["shd_test.h5.gz"]
    packed.write_bytes(gzip.compress(content))
    assert load_shd(tmp_path, split="test").labels == [1, 2]


def test_members_with_holes(tmp_path):
    """Their content is nowhere in the archive, whatever its size."""
    member = tarfile.TarInfo("a.bin")
    member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**40)}
    member.size = 1
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(member, io.BytesIO(b"1"))
    with pytest.raises(ValueError, match="sparse"):
        unpacked(tmp_path, "a.tar.gz", content.getvalue())
    assert not left(tmp_path)
