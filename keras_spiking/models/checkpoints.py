"""Checkpoints of PyTorch as arrays, on every backend, without running what they say.

A `.pt` file is a zip of raw numbers and a pickle that tells how tensors lie in them.
Pickles can call any function. This reader knows the few that make up a tensor;
everything else becomes an object that does nothing.
"""

import io
import json
import math
import os
import pickle
import pickletools
import zipfile

import numpy as np

from keras_spiking.datasets.limits import UnpackedBytes
from keras_spiking.datasets.readers.arrays import load_npz

# What `.safetensors` files and the storages of PyTorch call their types.
_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_NESTED = ("state_dict", "model_state_dict", "model", "model_ema", "net")


def read_state(source):
    """The named arrays of a state dictionary or a file: `{name: array}`.

    Args:
        source: Dictionary of arrays or tensors, or the path of a `.pt`, `.pth`,
            `.bin`, `.safetensors` or `.npz` file.
    """
    if hasattr(source, "items"):
        return _arrays(source, "the dictionary")
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(
            "A checkpoint must be a state dictionary or the path of a file. Received: "
            f"{source!r} (of type {type(source).__name__})"
        )
    path = os.fsdecode(source)
    if not os.path.isfile(path):
        raise ValueError(f"There is no file {path!r}.")
    readers = {".safetensors": _read_safetensors, ".npz": load_npz}
    read = readers.get(os.path.splitext(path)[1].lower(), _read_torch)
    try:
        return _arrays(read(path), path)
    except RecursionError as error:
        raise ValueError(f"{path!r} nests its content too deeply.") from error


def _arrays(state, source):
    for key in _NESTED:
        if hasattr(state, "items") and hasattr(state.get(key), "items"):
            state = state[key]
    found = {}
    for name, value in state.items() if hasattr(state, "items") else ():
        if hasattr(value, "detach"):  # a tensor of PyTorch
            value = value.detach().cpu()
            value = (value.float() if value.is_floating_point() else value).numpy()
        if isinstance(name, str) and isinstance(value, (np.ndarray, np.number)):
            found[name] = np.asarray(value)
    if not found:
        raise ValueError(f"There are no named arrays in {source}.")
    if all(name.startswith("module.") for name in found):  # of a parallel training
        found = {name.removeprefix("module."): x for name, x in found.items()}
    for name, value in found.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(f"{name!r} in {source} has values that are not finite.")
    return found


def _read_safetensors(path):
    data = memoryview(np.fromfile(path, "uint8"))
    budget = UnpackedBytes(path)
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(bytes(data[8:start]).decode("utf-8"))
        header.pop("__metadata__", None)
        return {
            name: _tensor(
                data[start:][slice(*entry["data_offsets"])],
                _TYPES[entry["dtype"]],
                entry["shape"],
                budget,
            )
            for name, entry in header.items()
        }
    except Exception as error:
        raise ValueError(f"{path!r} is no whole safetensors file: {error!r}") from error


def _read_torch(path):
    try:
        size = os.path.getsize(path)
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError("it is compressed, which PyTorch's files are not")
                if member.compress_size > size:
                    raise ValueError(f"{member.filename!r} claims to be larger than it")
            (name,) = [n for n in archive.namelist() if n.endswith("/data.pkl")]
            folder = name.removesuffix("data.pkl")
            text = archive.read(name)
            _check_memo(text)
            return _Unpickler(
                io.BytesIO(text),
                lambda key: archive.read(f"{folder}data/{key}"),
                UnpackedBytes(path),
            ).load()
    except Exception as error:
        raise ValueError(
            f"{path!r} is no whole checkpoint of PyTorch: {error!r}. Files from before "
            "PyTorch 1.6 must be saved again with a newer one."
        ) from error


def _check_memo(text):
    """Python makes room for as many objects as a pickle's highest number."""
    for operation, number, _ in pickletools.genops(text):
        if operation.name in ("PUT", "LONG_BINPUT") and number > len(text):
            raise ValueError(f"its pickle numbers an object {number:,}")


def _tensor(data, dtype, shape, budget, offset=0, strides=None):
    """An array of its own from raw bytes, within their bounds.

    Many tensors may share bytes: `budget` counts those of all of them.
    """
    if dtype == "bfloat16":  # the upper half of a float32
        raw = np.frombuffer(data, "<u2").astype("<u4") << 16
        values = raw.view("<f4")
    else:
        values = np.frombuffer(data, np.dtype(dtype).newbyteorder("<"))
    shape = [int(n) for n in shape]
    budget.add(max(math.prod(shape), 0) * values.itemsize)
    if strides is None:
        return values.reshape(shape).copy()
    strides = [int(n) for n in strides]
    if min([0, offset, *shape, *strides]) < 0 or len(shape) != len(strides):
        raise ValueError("a tensor with negative sizes")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides))
    if math.prod(shape) > values.size or math.prod(shape) and last >= values.size:
        raise ValueError("a tensor reaches beyond its storage")
    size = values.itemsize
    view = np.lib.stride_tricks.as_strided(
        values[offset:], shape, [step * size for step in strides], writeable=False
    )
    return view.copy()


class _Nothing:
    """Stands for whatever else a pickle wants: it takes any arguments and does
    nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def __call__(self, *args, **kwargs):
        return self

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, value):
        pass

    def extend(self, values):
        pass


class _Dictionary(dict):
    def __setstate__(self, state):
        """Nothing: PyTorch hangs versions of modules on its dictionaries."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, read_storage, budget):
        super().__init__(file)
        self._read_storage = read_storage
        self._budget = budget

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return _Dictionary
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _tensor(
                *storage, shape, self._budget, int(offset), strides
            )
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        return _Nothing

    def persistent_load(self, pid):
        kind, dtype, key, _, _ = pid
        if kind != "storage" or not isinstance(dtype, str):
            raise ValueError("a storage of an unknown type")
        data = self._read_storage(key)
        self._budget.add(len(data))
        return data, dtype
