import pathlib
import struct
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from event_files import random_events
from event_files import vector_events
from event_files import write_aedat2
from event_files import write_aedat3
from event_files import write_atis
from event_files import write_dat
from event_files import write_evt2
from event_files import write_evt3

from keras_spiking.datasets import make_events
from keras_spiking.datasets import read_events
from keras_spiking.datasets import stream_events
from keras_spiking.datasets import write_events
from keras_spiking.datasets.readers import isolated

pytestmark = pytest.mark.once

DATA = pathlib.Path(__file__).parents[1] / "data"
EVENTS = random_events(500)


def write_hdf5(path, events):
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = events[name]


def write_hdf5_table(path, events):
    with h5py.File(path, "w") as file:
        file["CD/events"] = events


def write_mat(path, events):
    scipy_io = pytest.importorskip("scipy.io")
    columns = {"ts": "t", "x": "x", "y": "y", "pol": "p"}
    scipy_io.savemat(path, {k: events[v][:, None] for k, v in columns.items()})


def write_compressed_mat(path, events):
    scipy_io = pytest.importorskip("scipy.io")
    scipy_io.savemat(path, {n: events[n] for n in "txyp"}, do_compression=True)


def write_compressed_hdf5(path, events):
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(name, data=events[name], compression="gzip")


def write_heidelberg(path, events):
    with h5py.File(path, "w") as file:
        for name, values in (("times", events["t"] / 1e6), ("units", events["x"])):
            dtype = h5py.vlen_dtype(values.dtype)
            data = file.create_dataset(f"spikes/{name}", (2,), dtype)
            data[0] = data[1] = values


def write_es_imagenet(path, events):
    rows = np.stack([events["y"], events["x"], np.arange(len(events)) // 9], axis=1)
    np.savez(path, pos=rows[events["p"] == 1], neg=rows[events["p"] == 0])


def write_bullying10k(path, events):
    parts = np.empty(2, object)
    parts[:] = [events[:30], events[30:].tolist()]
    np.save(path, parts, allow_pickle=True)


def write_aedat4(path, events):
    pytest.importorskip("aedat")
    path.write_bytes((DATA / "dv.aedat4").read_bytes())


def write_npy(path, events):
    np.save(path, events)


def write_tonic_npy(path, events):
    dtype = [("x", "int16"), ("y", "int16"), ("t", "int64"), ("p", "bool")]
    other = np.empty(len(events), dtype)
    for name in "txyp":
        other[name] = events[name]
    np.save(path, other)


def write_dat_1(path, events):
    write_dat(path, events, version=1)


FORMATS = {
    "atis": (write_atis, "a.bin"),
    "aedat2": (write_aedat2, "a.aedat"),
    "aedat3": (write_aedat3, "a.aedat"),
    "dat": (write_dat, "a.dat"),
    "dat, version 1": (write_dat_1, "a.dat"),
    "evt2": (write_evt2, "a.raw"),
    "evt3": (write_evt3, "a.raw"),
    "npz": (write_events, "a.npz"),
    "npy": (write_npy, "a.npy"),
    "npy of other fields": (write_tonic_npy, "a.npy"),
    "hdf5": (write_hdf5, "a.h5"),
    "hdf5 table": (write_hdf5_table, "a.hdf5"),
    "mat": (write_mat, "a.mat"),
    "compressed mat": (write_compressed_mat, "a.mat"),
    "compressed hdf5": (write_compressed_hdf5, "a.h5"),
}
# Formats that are not recognised by the file's name, that change events, or that are
# read in a process of their own.
OTHERS = {
    "es_imagenet": (write_es_imagenet, "a.npz", {"format": "es_imagenet"}),
    "heidelberg": (write_heidelberg, "a.h5", {"index": 1}),
    "bullying10k": (write_bullying10k, "a.npy", {"format": "bullying10k"}),
    "aedat4": (write_aedat4, "a.aedat4", {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_written_is_read(name, tmp_path):
    write, file_name = FORMATS[name]
    write(tmp_path / file_name, EVENTS)
    np.testing.assert_array_equal(read_events(tmp_path / file_name), EVENTS)


@pytest.mark.parametrize("name", FORMATS)
def test_pieces_make_up_the_whole(name, tmp_path):
    write, file_name = FORMATS[name]
    write(tmp_path / file_name, EVENTS)
    chunks = list(stream_events(tmp_path / file_name, chunk_size=60))
    assert len(chunks) > 3 and max(len(chunk) for chunk in chunks) <= 100
    np.testing.assert_array_equal(np.concatenate(chunks), EVENTS)


@pytest.mark.parametrize("chunk_size", [7, 100_000])
@pytest.mark.parametrize("write", [write_evt2, write_evt3])
def test_raw_overflows_and_vectors(write, chunk_size, tmp_path):
    events = vector_events()
    assert events["t"][-1] > 1 << 24  # beyond the clock of EVT3
    write(tmp_path / "a.raw", events)
    chunks = list(stream_events(tmp_path / "a.raw", chunk_size=chunk_size))
    np.testing.assert_array_equal(np.concatenate(chunks), events)


def test_dat_clock_overflow(tmp_path):
    overflow = 1 << 32
    events = make_events([0, 3 << 30, overflow + 5, overflow + (3 << 30)], range(4))
    write_dat(tmp_path / "a.dat", events)
    np.testing.assert_array_equal(read_events(tmp_path / "a.dat"), events)


def test_aedat3_stretch_of_time_and_invalid_events(tmp_path):
    write_aedat3(tmp_path / "a.aedat", EVENTS, spare=3)
    part = read_events(tmp_path / "a.aedat", start=20_000, stop=70_000)
    expected = EVENTS[(EVENTS["t"] >= 20_000) & (EVENTS["t"] < 70_000)]
    np.testing.assert_array_equal(part, expected)


def test_heidelberg_digits(tmp_path):
    times = [np.array([0.001, 0.25, 1.0]), np.array([0.5])]
    units = [np.array([3, 699, 0]), np.array([7])]
    with h5py.File(tmp_path / "shd_train.h5", "w") as file:
        for name, rows, dtype in (
            ("spikes/times", times, "float64"),
            ("spikes/units", units, "uint16"),
        ):
            data = file.create_dataset(name, (2,), h5py.vlen_dtype(dtype))
            for i, row in enumerate(rows):
                data[i] = row
    events = read_events(tmp_path / "shd_train.h5", index=0)
    assert events["t"].tolist() == [1_000, 250_000, 1_000_000]
    assert events["x"].tolist() == [3, 699, 0]
    with pytest.raises(ValueError, match="2 recordings: say which by `index`"):
        read_events(tmp_path / "shd_train.h5")


def test_real_recording():
    # Counted by Tonic's and SpikingJelly's readers.
    events = read_events(DATA / "sample_nmnist.bin")
    assert len(events) == 4325
    assert events[0].tolist() == (654, 7, 15, 1)
    assert events[-1].tolist() == (311175, 21, 14, 1)


BINARY = ["atis", "aedat2", "aedat3", "dat", "evt2", "npz", "npy", "hdf5"]


@pytest.mark.parametrize("name", BINARY)
def test_truncated_file(name, tmp_path):
    write, file_name = FORMATS[name]
    path = tmp_path / file_name
    write(path, EVENTS)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="truncated"):
        read_events(path)


@pytest.mark.parametrize(
    "name", ["a.aedat", "a.dat", "a.raw", "a.npz", "a.npy", "a.h5", "a.mat"]
)
def test_wrong_magic(name, tmp_path):
    if name == "a.mat":
        pytest.importorskip("scipy.io")
    (tmp_path / name).write_bytes(b"neither this nor that, but long enough" * 9)
    with pytest.raises(ValueError, match="is not a recording|is no AEDAT|encoding"):
        read_events(tmp_path / name)


def test_unknown_suffix(tmp_path):
    with pytest.raises(ValueError, match="Give `format`"):
        read_events(tmp_path / "a.xyz")


def test_aedat4_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(ImportError, match="pip install aedat"):
        read_events(tmp_path / "a.aedat4")


def damaged(content, count):
    """Files cut off, with bits flipped, with noise, and with false sizes."""
    random = np.random.default_rng(0)
    sizes = [b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", bytes(4), b"\0\0\0\x80"]
    for i in range(count):
        data = bytearray(content)
        at = int(random.integers(min(len(data), 1200)))
        if i % 4 == 0:
            del data[random.integers(len(data)) :]
        elif i % 4 == 1:
            for bit in random.integers(8 * len(data), size=5).tolist():
                data[bit // 8] ^= 1 << bit % 8
        elif i % 4 == 2:
            data[at : at + 16] = random.bytes(16)
        else:
            data[at : at + 4] = sizes[i // 4 % 4]
        yield bytes(data)


@pytest.mark.parametrize("name", [*FORMATS, *OTHERS])
def test_damaged_files_raise_value_errors_that_name_them(name, tmp_path):
    write, file_name, *options = (FORMATS | OTHERS)[name]
    options = options[0] if options else {}
    path = tmp_path / file_name
    write(path, EVENTS[:200])
    assert len(read_events(path, **options))
    for content in damaged(path.read_bytes(), 12 if name in OTHERS else 200):
        path.write_bytes(content)
        try:
            read_events(path, **options)
        except ValueError as error:
            assert str(path) in str(error)


@pytest.mark.parametrize("size, capacity", [(4, 50), (0, 50), (8, 2**31 - 1), (8, -1)])
def test_aedat3_packets_that_make_no_sense(size, capacity, tmp_path):
    path = tmp_path / "a.aedat"
    write_aedat3(path, EVENTS)
    content = bytearray(path.read_bytes())
    header = struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, 50, 50, 50)
    at = content.index(header)
    content[at : at + 28] = struct.pack("<hhiiiiii", 1, 1, size, 4, 0, capacity, 50, 50)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a.aedat"):
        read_events(path)


def test_a_reader_that_crashes_ends_in_an_error(tmp_path, monkeypatch):
    path = tmp_path / "a.aedat4"
    path.write_bytes((DATA / "dv.aedat4").read_bytes())
    for crash, name in (
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), 11)", "SEGV"),
    ):
        package = tmp_path / name / "aedat.py"
        package.parent.mkdir()
        package.write_text(f"import os\ndef Decoder(path):\n    {crash}\n")
        monkeypatch.syspath_prepend(package.parent)
        with pytest.raises(ValueError, match=f"damaged or truncated: .*{name}"):
            read_events(path)


def test_a_reader_that_never_ends_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "_SECONDS", 1)
    (tmp_path / "aedat.py").write_text("while True: pass")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    with pytest.raises(ValueError, match="SIGXCPU"):
        read_events(tmp_path / "a.aedat4")


def test_heidelberg_file_that_keeps_hdf5_in_a_loop(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    write_heidelberg(path, EVENTS)
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL") + 16  # a heap of objects, the last of which is free
    while index := int.from_bytes(content[at : at + 2], "little"):
        at += 16 + -(-int.from_bytes(content[at + 8 : at + 16], "little") // 8) * 8
    assert index == 0
    content[at + 8 : at + 16] = bytes(8)
    path.write_bytes(content)
    monkeypatch.setattr(isolated, "_SECONDS", 1)
    with pytest.raises(ValueError, match="a.h5.*SIGXCPU"):
        read_events(path, index=0)


def test_heidelberg_files_are_checked_once(tmp_path):
    path = tmp_path / "a.h5"
    write_heidelberg(path, EVENTS)
    isolated.check_hdf5.cache_clear()
    read_events(path, index=0)
    read_events(path, index=1)
    assert isolated.check_hdf5.cache_info().misses == 1
    with pytest.raises(ValueError, match="index=2"):
        read_events(path, index=2)


def zeros(path, count):
    np.savez_compressed(path, **{k: np.zeros(count, d) for k, d in COLUMNS.items()})


def zeros_in_hdf5(path, count):
    with h5py.File(path, "w") as file:
        for name, dtype in COLUMNS.items():
            file.create_dataset(name, (count,), dtype, compression="gzip")


def zeros_in_mat(path, count):
    scipy_io = pytest.importorskip("scipy.io")
    columns = {k: np.zeros(count, dtype) for k, dtype in COLUMNS.items()}
    scipy_io.savemat(path, columns, do_compression=True)


COLUMNS = {"t": "int64", "x": "uint16", "y": "uint16", "p": "uint8"}
BOMBS = {"a.npz": zeros, "a.h5": zeros_in_hdf5, "a.mat": zeros_in_mat}


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_too_much(name, tmp_path):
    path = tmp_path / name
    BOMBS[name](path, 1 << 23)
    assert path.stat().st_size < 1 << 18
    with pytest.raises(ValueError, match="a.*max_unpacked_bytes"):
        next(stream_events(path))
    BOMBS[name](path, 10_000)
    with pytest.raises(ValueError, match="limit of 1,000"):
        read_events(path, max_unpacked_bytes=1000)
    assert len(read_events(path, max_unpacked_bytes=200_000)) == 10_000


def test_npz_of_other_compressions(tmp_path):
    write_events(tmp_path / "a.npz", EVENTS)
    with zipfile.ZipFile(tmp_path / "a.npz") as source:
        with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_BZIP2) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))
    with pytest.raises(ValueError, match="b.npz.*other than deflate"):
        read_events(tmp_path / "b.npz")


@pytest.mark.parametrize("chunk_size", [0, -1, 2.5, True, "3", None, float("nan")])
def test_chunk_sizes_that_are_none(chunk_size, tmp_path):
    write_events(tmp_path / "a.npz", EVENTS)
    with pytest.raises((TypeError, ValueError), match="chunk_size"):
        stream_events(tmp_path / "a.npz", chunk_size=chunk_size)


@pytest.mark.parametrize(
    "name, options, error",
    [
        ("a.bin", {"time_unit": "s"}, TypeError),
        ("a.npz", {"timeunit": "s"}, TypeError),
        ("a.npz", {"time_unit": "hours"}, ValueError),
        ("a.npz", {"max_unpacked_bytes": 1.5}, TypeError),
        ("a.npz", {"format": 3}, ValueError),
        ("a.npz", {"format": ""}, ValueError),
        ("a.dat", {"version": 3}, ValueError),
        ("a.dat", {"version": True}, TypeError),
        ("a.h5", {"index": -1}, ValueError),
        ("a.h5", {"index": 1.0}, TypeError),
    ],
)
def test_options_that_are_none(name, options, error, tmp_path):
    (tmp_path / name).write_bytes(b"")
    argument = [*options][0]
    with pytest.raises(error, match=f"{argument}="):
        read_events(tmp_path / name, **options)


def test_aedat4_of_dv_processing():
    pytest.importorskip("aedat")
    expected = np.load(DATA / "dv.npy")
    events = read_events(DATA / "dv.aedat4")
    for name in "txyp":
        np.testing.assert_array_equal(events[name], expected[name])


def test_damaged_aedat4(tmp_path):
    pytest.importorskip("aedat")
    path = tmp_path / "a.aedat4"
    path.write_bytes((DATA / "dv.aedat4").read_bytes()[:2000])
    with pytest.raises(ValueError, match="damaged or truncated"):
        read_events(path)
    path.write_bytes(b"#!AER-DAT4.0\r\n")
    with pytest.raises(ValueError, match="not a recording in the format AEDAT 4"):
        read_events(path)


def test_empty_recordings(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"")
    assert len(read_events(tmp_path / "a.bin")) == 0
    write_events(tmp_path / "a.npz", EVENTS[:0])
    assert len(read_events(tmp_path / "a.npz")) == 0


def test_coordinates_that_do_not_fit():
    with pytest.raises(ValueError, match="`x` must lie in"):
        make_events([0], [-1])
    with pytest.raises(ValueError, match="`p` must lie in"):
        make_events([0], [1], [1], [2])


def test_readers_import_nothing_optional():
    code = (
        "import sys, keras_spiking; "
        "assert not {'scipy', 'h5py', 'aedat', 'tonic', 'matplotlib'} "
        "& (set(sys.modules) - before)"
    )
    code = f"import sys, keras; before = set(sys.modules); {code}"
    subprocess.run([sys.executable, "-c", code], check=True)
