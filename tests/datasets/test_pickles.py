"""A pickle of arrays is read as numbers, whatever it says about itself."""

import pickle

import numpy as np
import pytest
from event_files import random_events

from keras_spiking.datasets import make_events
from keras_spiking.datasets import read_events

pytestmark = pytest.mark.once

EVENTS = random_events(100)
OBJECTS = np.dtype("O").__reduce__()[2]


class Reduced:
    """Pickles as a call, and the state that its result is given."""

    def __init__(self, function, args, state=None):
        self.reduced = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.reduced


def dtype(text, *state):
    return Reduced(np.dtype, (text, False, True), state or None)


def array(of, data, shape=(1,)):
    make = np.empty(0).__reduce__()[0]
    return Reduced(make, (np.ndarray, (0,), b"b"), (1, shape, of, False, data))


def plain(text="i8"):
    return dtype(text, 3, "<", None, None, None, -1, -1, 0)


def fields(of, offset, size=8, flags=0):
    return dtype("V8", 3, "|", None, ("t",), {"t": (of, offset)}, size, 1, flags)


def save(path, *parts, protocol=4):
    recording = np.empty(len(parts), object)
    recording[:] = parts
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": (len(parts),)}
        )
        pickle.dump(recording, file, protocol=protocol)
    return path


def read(path):
    return read_events(path, format="bullying10k")


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_lists_of_events(protocol, tmp_path):
    dtype = [("t", ">i4"), ("x", "<u2"), ("y", "u1"), ("p", "?")]
    other = np.empty(10, dtype)
    for name in "txyp":
        other[name] = EVENTS[name][:10]
    matrix = np.stack([EVENTS[name][50:] for name in "txyp"], axis=1)
    rows = [tuple(event) for event in EVENTS[10:20]]  # of NumPy's numbers
    parts = (other, rows, EVENTS[20:50].tolist(), [], EVENTS[:0], matrix)
    path = save(tmp_path / "a.npy", *parts, protocol=protocol)
    np.testing.assert_array_equal(read(path), EVENTS)


@pytest.mark.parametrize(
    "part",
    [
        # Fields of objects, with the flags of a type that has none.
        array(fields(dtype("O8", *OBJECTS), 0), b"A" * 8),
        array(fields(dtype("O8", 3, "|", None, None, None, -1, -1, 0), 0), b"A" * 8),
        array(fields(plain(), 10**9), b"A" * 8),
        array(fields(plain(), -8), b"A" * 8),
        array(fields(plain(), 0, size=10**12), b"A" * 8),
        array(fields("O", 0), b"A" * 8),
        # A number that becomes a structure, a subarray or objects.
        array(
            dtype("i8", 3, "|", None, ("t",), {"t": (plain(), 0)}, 8, 1, 0), b"A" * 8
        ),
        array(dtype("i8", 3, "|", (plain(), (9,)), None, None, 72, 1, 0), b"A" * 8),
        array(dtype("i8", *OBJECTS), b"A" * 3),
        array(dtype("O8", *OBJECTS), b"A" * 8),
        array(dtype("S8"), b"A" * 8),
        array(dtype("M8[us]"), b"A" * 8),
        array(dtype("i8,O"), b"A" * 16),
        array(plain(), b"A" * 8, shape=(10**9,)),
        array(plain(), b"A" * 8, shape=(0,)),
        array("i8", b"A" * 8),
        array(plain(), "text"),
        # State for what is called, and for what has none.
        Reduced(np.dtype, ("i8",), {"plain": 1}),
        Reduced(np.dtype, (np.dtype, False, True)),
        Reduced(np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), {"values": [1]}),
        Reduced(np.int64(1).__reduce__()[0], (dtype("O8", *OBJECTS), b"A" * 8)),
        Reduced(np.fromfile, ("/etc/hostname",)),
        Reduced(np.load, ("/etc/hostname",)),
        Reduced(eval, ("1",)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_pickles_that_lie(part, tmp_path):
    with pytest.raises(ValueError, match="a.npy") as error:
        read(save(tmp_path / "a.npy", part))
    assert "not t, x, y, p" not in str(error.value)  # it is refused before


def test_bytes_are_never_objects(tmp_path):
    """An address in the file would be that of an object, if NumPy believed it."""
    address = id(EVENTS).to_bytes(8, "little")
    for flags in (0, 1, 63):
        with pytest.raises(ValueError, match="a.npy"):
            lie = fields(dtype("O8", *OBJECTS), 0, flags=flags)
            read(save(tmp_path / "a.npy", array(lie, address)))


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x04Nr\xff\xff\xff\x7f.",  # a place in the memo beyond all memory
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00.",  # bytes, too
        b"\x80\x04" + b"(" * 100_000 + b".",
        b"\x80\x04]" + b"\x85" * 1_000_000 + b".",
        b"\x80\x04N.",
        b"\x80\x04cnumpy\ndtype\n}\x8c\x01aK\x01sb.",  # state for what it calls
        b"\x80\x04cnumpy\nndarray\n(]}tb.",
    ],
    ids=range(7),
)
def test_programs_without_arrays(program, tmp_path):
    path = save(tmp_path / "a.npy")
    header = path.read_bytes().split(b"\n")[0] + b"\n"
    path.write_bytes(header + program)
    with pytest.raises(ValueError, match="a.npy"):
        read(path)


def test_times_of_a_pickle_have_a_unit(tmp_path):
    path = save(tmp_path / "a.npy", [(0.5, 1, 2, 1), (0.75, 1, 2, 1)])
    with pytest.raises(ValueError, match="a.npy.*time_unit"):
        read(path)
    events = read_events(path, format="bullying10k", time_unit="ms")
    np.testing.assert_array_equal(events, make_events([500, 750], [1, 1], 2, 1))
