"""The program that `isolated` starts, which imports nothing of the package.

Usage: python worker.py JSON, with the reader's name, the path of the file, the
largest number of bytes to unpack, the seconds of the processor to take, and `sys.path`.
For every part of a recording it writes a line of JSON, the dtypes and lengths of the
arrays t, x, y and p, and the bytes of these arrays.
"""

import io
import json
import os
import pickle
import sys

if __name__ == "__main__":
    NAME, PATH, LIMIT, SECONDS, sys.path[:] = json.loads(sys.argv[1])

import numpy as np

# Address space beyond the limit: what decoders and Python's objects take.
_ROOM = 1 << 29


def main():
    limit_resources(LIMIT, SECONDS)
    for columns in READERS[NAME](PATH):
        columns = [np.ascontiguousarray(values) for values in columns]
        if len(columns) < 4 or {c.dtype.kind for c in columns} - set("biuf"):
            raise ValueError("its events are not t, x, y, p")
        header = [[values.dtype.str, len(values)] for values in columns]
        sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
        for values in columns:
            sys.stdout.buffer.write(values)
    sys.stdout.buffer.flush()


def limit_resources(limit, seconds):
    """Ends this process when it takes too much memory or never comes to an end."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # not Linux
        return
    for kind, value in (
        (resource.RLIMIT_AS, used + _ROOM + limit),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        most = resource.getrlimit(kind)[1]
        if most != resource.RLIM_INFINITY:
            value = min(value, most)
        resource.setrlimit(kind, (value, most))


def read_aedat4(path):
    import aedat

    decoder = aedat.Decoder(path)
    streams = decoder.id_to_stream().items()
    chosen = min((i for i, s in streams if s["type"] == "events"), default=None)
    if chosen is None:
        raise ValueError("it has no stream of events")
    for packet in decoder:
        if packet["stream_id"] == chosen:
            events = packet["events"]
            polarity = "on" if "on" in events.dtype.names else "p"
            yield [events[name] for name in ("t", "x", "y", polarity)]


def read_bullying10k(path):
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0
        (header if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
        data = file.read()
    for part in unpickle(data):
        part = part.values if isinstance(part, _Array) else part
        if not len(part):
            continue
        if not isinstance(part, np.ndarray):
            yield list(zip(*part))[:4]
        elif part.dtype.names:
            yield [part[name] for name in part.dtype.names[:4]]
        else:
            yield list(part.T[:4])


def check_hdf5(path):
    """Reads all recordings of different length, and yields none of them."""
    import h5py

    with h5py.File(path) as file:
        group = file["spikes"]
        links = {name: group.get(name, getlink=True) for name in group}
        for name in (n for n, x in links.items() if isinstance(x, h5py.HardLink)):
            data = group[name]
            for start in range(0, len(data), 1000):
                data[start : start + 1000]
    return ()


READERS = {
    "aedat4": read_aedat4,
    "bullying10k": read_bullying10k,
    "hdf5": check_hdf5,
}

# All that a dtype may be: numbers of a fixed size. The text alone makes the dtype.
_PLAIN = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}
_PLAIN |= {"f2", "f4", "f8", "b1"}


def unpickle(data):
    """The elements of a pickled array, which may be lists, tuples and arrays.

    A pickle can hold any program, and one that sets the state of NumPy's own objects
    can turn bytes of the file into pointers. Here it sets the state of placeholders,
    from which arrays of plain numbers are made.
    """
    array = _Unpickler(io.BytesIO(data)).load()
    if not isinstance(array, _Array):
        raise ValueError("it holds no array")
    return array.values


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        found = _PLACEHOLDERS.get(name)
        if found is not None and module.split(".")[0] == found[0]:
            return found[1]
        raise pickle.UnpicklingError(f"it holds {module}.{name}, not events")


class _Dtype:
    """A dtype as text and, if it is a structure, its fields and size."""

    __slots__ = ("_format", "_dtype")

    def __init__(self, text, *_):
        kind = text.lstrip("<>=|")
        self._dtype = np.dtype(kind) if kind in _PLAIN else None
        self._format = kind if kind in _PLAIN else kind[:1]
        if self._dtype is None and not (
            kind[:1] in ("O", "V") and kind[1:].isdecimal()
        ):
            raise pickle.UnpicklingError(f"it holds values of dtype {text!r}")

    def __setstate__(self, state):
        """State is (version, byte order, subdtype, names, fields, size, ...)."""
        _, order, subdtype, names, fields, size = state[:6]
        if subdtype is not None or order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("it holds a dtype of another kind")
        if self._format == "V":
            fields = [fields[name] for name in names]
            self._dtype = np.dtype(
                {
                    "names": list(names),
                    "formats": [field[0].plain() for field in fields],
                    "offsets": [field[1] for field in fields],
                    "itemsize": size,
                }
            )
        elif names or fields:
            raise pickle.UnpicklingError("it holds a number with fields")
        elif self._format != "O":
            self._dtype = np.dtype(self._format).newbyteorder(order)

    def plain(self):
        """The dtype, which holds numbers only."""
        if self._dtype is None:
            raise pickle.UnpicklingError("it holds objects where numbers belong")
        return self._dtype


class _Array:
    """An array: a list of objects, or an array of numbers made of bytes."""

    __slots__ = ("values",)

    def __init__(self, *_):
        self.values = ()

    def __setstate__(self, state):
        _, shape, dtype, _, data = state
        if type(dtype) is not _Dtype:
            raise pickle.UnpicklingError("it holds an array without a dtype")
        if dtype._format == "O":
            self.values = list(data)
        else:
            self.values = np.frombuffer(data, dtype.plain()).reshape(shape)


def _from_buffer(data, dtype, shape, order):
    array = _Array()
    array.__setstate__((1, shape, dtype, order, data))
    return array


def _scalar(dtype, data):
    return np.frombuffer(data, dtype.plain())[0].item()


def _latin1(text, codec):
    return text.encode("latin1")


_PLACEHOLDERS = {
    "ndarray": ("numpy", _Array),
    "dtype": ("numpy", _Dtype),
    "_reconstruct": ("numpy", _Array),
    "_frombuffer": ("numpy", _from_buffer),
    "scalar": ("numpy", _scalar),
    "encode": ("_codecs", _latin1),  # bytes in old pickles
    "bytes": ("__builtin__", lambda: b""),
}

if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os._exit(0)
    except BaseException as error:  # a panic of aedat is no `Exception`
        sys.exit(f"{error or type(error).__name__}".replace("\n", " "))
