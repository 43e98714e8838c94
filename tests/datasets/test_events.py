"""One rule for times, coordinates and polarities, whatever holds the events."""

import h5py
import numpy as np
import pytest

from keras_spiking.datasets import Recordings
from keras_spiking.datasets import as_events
from keras_spiking.datasets import cell_index
from keras_spiking.datasets import make_events
from keras_spiking.datasets import read_events
from keras_spiking.datasets import write_events

pytestmark = pytest.mark.once

GOOD = {"t": [0, 10, 20], "x": [1, 2, 3], "y": [4, 5, 6], "p": [0, 1, 1]}


def from_arrays(folder, columns, **options):
    return make_events(**columns, **options)


def from_dictionary(folder, columns, **options):
    return as_events(columns, **options)


def structured(columns):
    columns = {name: np.asarray(values) for name, values in columns.items()}
    dtype = [(name, values.dtype) for name, values in columns.items()]
    events = np.empty(len(columns["t"]), dtype)
    for name, values in columns.items():
        events[name] = values
    return events


def from_structure(folder, columns, **options):
    return as_events(structured(columns), **options)


def from_npz(folder, columns, **options):
    np.savez(folder / "a.npz", **columns)
    return read_events(folder / "a.npz", **options)


def from_npy(folder, columns, **options):
    np.save(folder / "a.npy", structured(columns))
    return read_events(folder / "a.npy", **options)


def from_hdf5(folder, columns, **options):
    with h5py.File(folder / "a.h5", "w") as file:
        for name, values in columns.items():
            file[name] = values
    return read_events(folder / "a.h5", **options)


def from_hdf5_table(folder, columns, **options):
    with h5py.File(folder / "a.h5", "w") as file:
        file["events"] = structured(columns)
    return read_events(folder / "a.h5", **options)


def from_mat(folder, columns, **options):
    pytest.importorskip("scipy.io").savemat(folder / "a.mat", columns)
    return read_events(folder / "a.mat", **options)


CONTAINERS = [
    from_arrays,
    from_dictionary,
    from_structure,
    from_npz,
    from_npy,
    from_hdf5,
    from_hdf5_table,
    from_mat,
]


@pytest.fixture(params=CONTAINERS, ids=lambda function: function.__name__)
def read(request, tmp_path):
    return lambda columns, **options: request.param(tmp_path, columns, **options)


@pytest.mark.parametrize("dtype", ["int32", "uint64", "float32", "float64", ">i8"])
def test_whole_numbers_of_any_type_are_microseconds(read, dtype):
    columns = {name: np.array(values, dtype) for name, values in GOOD.items()}
    np.testing.assert_array_equal(read(columns), make_events(**GOOD))


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("t", 0.5, "whole numbers of microseconds.*time_unit"),
        ("t", float("nan"), "time_unit.*nan"),
        ("t", float("inf"), "time_unit.*inf"),
        ("t", 1e300, "time_unit"),
        ("t", np.uint64(2**63), "9223372036854775808"),
        ("x", 1.7, "`x` must be whole numbers.*1.7"),
        ("x", float("nan"), "`x` must be whole numbers.*nan"),
        ("x", np.uint64(2**63 + 1), "`x` must be"),
        ("x", -1, "`x` must lie in"),
        ("y", 65536, "`y` must lie in"),
        ("y", 0.1, "`y` must be whole numbers"),
        ("p", -1, r"`\(p \+ 1\) // 2`"),
        ("p", -1.0, r"`\(p \+ 1\) // 2`"),
        ("p", 0.5, "`p` must be whole numbers"),
        ("p", 2, "`p` must lie in"),
    ],
)
def test_values_that_events_cannot_have(read, name, value, message):
    values = np.array([0, 1, 1], np.asarray(value).dtype)
    values[1] = value
    with pytest.raises(ValueError, match=message):
        read(GOOD | {name: values})


@pytest.mark.parametrize(
    "unit, times",
    [
        ("s", [0.0, 0.25, 1.0000004]),
        ("ms", [0.0, 250.0, 1000.0004]),
        ("us", [0.0, 250000.4, 1e6]),
        ("ns", [0.0, 2.5e8, 1e9 + 400]),
        ("ns", [0, 250_000_000, 1_000_000_400]),
    ],
)
def test_units_of_time(read, unit, times):
    events = read(GOOD | {"t": times}, time_unit=unit)
    assert events["t"].tolist() == [0, 250_000, 1_000_000]


def test_large_integers_keep_their_value(read):
    t = np.array([2**62, 2**62 + 1, 2**62 + 1001])
    assert read(GOOD | {"t": t})["t"].tolist() == t.tolist()
    expected = [(int(n) + 500) // 1000 for n in t]
    assert read(GOOD | {"t": t}, time_unit="ns")["t"].tolist() == expected
    with pytest.raises(ValueError, match="64 bits"):
        read(GOOD | {"t": t}, time_unit="s")


def test_half_precision_seconds():
    t = np.array([0.5, 0.25], "float16")
    assert make_events(t, [1, 2], time_unit="s")["t"].tolist() == [500_000, 250_000]


@pytest.mark.parametrize(
    "read", [from_arrays, from_dictionary, from_npz, from_hdf5, from_mat]
)
@pytest.mark.parametrize("length", [1, 2, 4])
def test_lengths_that_differ_are_named(read, length, tmp_path):
    with pytest.raises(ValueError, match=rf"(?s)'t'.*3.*'x'.*{length}"):
        read(tmp_path, GOOD | {"x": [1] * length})


@pytest.mark.parametrize(
    "values", ["abc", None, [None], [[1, 2, 3]], [1j, 2, 3], [True]]
)
@pytest.mark.parametrize("name", ["t", "x"])
def test_arrays_that_are_none(name, values):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make_events(**(GOOD | {name: values}))


def test_polarities_may_be_truth_values(read):
    events = read(GOOD | {"p": np.array([False, True, True])})
    assert events["p"].tolist() == [0, 1, 1]


def test_raw_truth_values_become_one():
    p = np.array([0, 2, 255], "uint8").view("bool")
    assert make_events([0, 1, 2], 1, p=p)["p"].tolist() == [0, 1, 1]


@pytest.mark.parametrize("unit", ["hours", "", 1, True])
def test_units_that_are_none(read, unit):
    with pytest.raises(ValueError, match="time_unit"):
        read(GOOD, time_unit=unit)


def test_recordings_take_the_unit(tmp_path):
    (tmp_path / "0").mkdir()
    np.savez(tmp_path / "0" / "a.npz", **(GOOD | {"t": [0.0, 0.1, 0.2]}))
    options = {"time_unit": "s"}
    recordings = Recordings.from_folder(tmp_path, (9, 9, 2), options=options)
    assert recordings[0][0]["t"].tolist() == [0, 100_000, 200_000]
    with pytest.raises(ValueError, match="a.npz.*time_unit"):
        Recordings.from_folder(tmp_path, (9, 9, 2))[0]


def test_written_events_are_checked(tmp_path):
    write_events(tmp_path / "a.npz", GOOD)
    np.testing.assert_array_equal(read_events(tmp_path / "a.npz"), make_events(**GOOD))
    with pytest.raises(ValueError, match="`x`"):
        write_events(tmp_path / "b.npz", GOOD | {"x": [0.5, 1, 2]})
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize(
    "shape",
    [(2.5, 3, 2), ("3", 3, 2), "abc", 5, (True, 3, 2), (3, 3, 3), (0,), None, ()],
)
def test_sensor_shapes_that_are_none(shape):
    with pytest.raises((TypeError, ValueError), match="sensor_shape"):
        cell_index(make_events(**GOOD), shape)


def test_cells_of_a_huge_sensor():
    events = make_events([0], [65535], [65535], [1])
    assert cell_index(events, (65536, 65536, 2)).tolist() == [2**33 - 1]
