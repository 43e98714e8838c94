"""Mutations of valid files: each takes a generator of random numbers and bytes."""

import copy
import gzip
import io
import json
import math
import pickletools
import struct
import tarfile
import warnings
import zipfile
import zlib

import numpy as np

_INTEGERS = (0, 1, 2, 7, 255, 256, 65535, 10**6, 10**9, 2**31 - 1, 2**31, 2**32 - 1)
_INTEGERS += (2**33, 10**12, 2**53, 2**62, 2**63 - 1, -1, -2, -128, -(2**31), -(2**63))
_FLOATS = (math.nan, math.inf, -math.inf, 0.5, -0.0, 1e300, -1e300, 1e-320, 2.0**63)
_ESCAPES = ("../escaped", "/tmp/escaped", "a/../../escaped", "..\\escaped", "a\0b")
_ESCAPES += (
    "",
    ".",
    "..",
    "a/",
    "CON",
    "x" * 300,
    "\u202e",
    "C:\\escaped",
    "~/escaped",
)


def one_of(random, options):
    return options[int(random.integers(len(options)))]


def chance(random, share):
    return random.random() < share


def of_bytes(random, data, others=()):
    """One to four changes anywhere; what stands at the beginning is hit more often."""
    data = bytearray(data)
    for _ in range(int(random.integers(1, 5))):
        data = one_of(random, _CHANGES)(random, data, others)
    return bytes(data)


def _place(random, data, size=1):
    last = max(len(data) - size, 0)
    if chance(random, 0.4):
        last = min(last, 256)
    return int(random.integers(last + 1))


def _flip(random, data, others):
    if data:
        data[_place(random, data)] ^= 1 << int(random.integers(8))
    return data


def _byte(random, data, others):
    if data:
        data[_place(random, data)] = one_of(random, (0, 1, 127, 128, 254, 255, 10, 32))
    return data


def _integer(random, data, others):
    code, bits = one_of(random, (("H", 16), ("I", 32), ("Q", 64)))
    value = one_of(random, _INTEGERS) + int(random.integers(-1, 2))
    word = struct.pack(one_of(random, "<>") + code, value % (1 << bits))
    return _write(random, data, word)


def _float(random, data, others):
    value = one_of(random, _FLOATS)
    if chance(random, 0.5) or (math.isfinite(value) and abs(value) > 1e38):
        return _write(random, data, struct.pack("<d", value))
    return _write(random, data, struct.pack("<f", value))


def _write(random, data, word):
    at = _place(random, data, len(word))
    data[at : at + len(word)] = word
    return data


def _truncate(random, data, others):
    return data[: int(random.integers(len(data) + 1))]


def _append(random, data, others):
    return data + random.bytes(int(random.integers(1, 64)))


def _remove(random, data, others):
    at = _place(random, data)
    del data[at : at + int(random.integers(1, 64))]
    return data


def _repeat(random, data, others):
    at = _place(random, data)
    part = data[at : at + int(random.integers(1, 256))]
    data[at:at] = part * int(random.integers(1, 20))
    return data


def _exchange(random, data, others):
    size = int(random.integers(1, 33))
    a, b = _place(random, data, size), _place(random, data, size)
    data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    return data


def _splice(random, data, others):
    """The head of one file, and the tail of another."""
    other = bytearray(one_of(random, others)) if others else data
    a, b = _place(random, data), _place(random, other)
    if chance(random, 0.5):
        return data[:a] + other[a:]
    return data[:a] + other[b:]


def _number(random, data, others):
    """Another number where digits stand."""
    digits = [i for i, byte in enumerate(data[:4096]) if 48 <= byte < 58]
    if not digits:
        return _integer(random, data, others)
    at = stop = one_of(random, digits)
    while stop < len(data) and 48 <= data[stop] < 58:
        stop += 1
    numbers = (*_INTEGERS, *_FLOATS, "9" * 5000, "1e99", "0x1", "1,2")
    data[at:stop] = str(one_of(random, numbers)).encode()
    return data


_CHANGES = (
    _flip,
    _flip,
    _byte,
    _integer,
    _integer,
    _float,
    _truncate,
    _append,
    _remove,
    _repeat,
    _exchange,
    _splice,
    _number,
)


def of_gzip(random, data, others=()):
    if chance(random, 0.4):
        return of_bytes(random, data, others)
    inner = of_bytes(random, gzip.decompress(data))
    return gzip.compress(inner, 1, mtime=0)


def of_mat(random, data, others=()):
    """Changes what is compressed, and compresses it again."""
    content = data[128:]
    if chance(random, 0.3) or not content.startswith(b"\x0f\0\0\0"):
        return of_bytes(random, data, others)
    elements, at = [], 0
    while at < len(content):
        size = struct.unpack_from("<I", content, at + 4)[0]
        elements.append(zlib.decompress(content[at + 8 : at + 8 + size]))
        at += 8 + size
    chosen = int(random.integers(len(elements)))
    elements[chosen] = of_bytes(random, elements[chosen], elements)
    packed = [zlib.compress(element) for element in elements]
    tags = [struct.pack("<II", 15, len(element)) for element in packed]
    return data[:128] + b"".join(map(b"".join, zip(tags, packed)))


def of_zip(random, data, others=()):
    """Changes names and contents of members, whose checksums are right again."""
    if chance(random, 0.3):
        return of_bytes(random, data, others)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(member, archive.read(member)) for member in archive.infolist()]
    method = one_of(random, (zipfile.ZIP_STORED,) * 3 + (zipfile.ZIP_DEFLATED,) * 3)
    if chance(random, 0.03):
        method = one_of(random, (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    chosen = int(random.integers(len(members)))
    what = random.random()
    member, content = members[chosen]
    if what < 0.75:
        content = of_member(random, member.filename, content)
        members[chosen] = member, content
    elif what < 0.8:
        del members[chosen]
    elif what < 0.85:
        members.append(members[chosen])
    elif what < 0.95:
        member.filename = one_of(random, (*_ESCAPES, *(m.filename for m, _ in members)))
    else:  # a link, a device or a folder
        kind = one_of(random, (0o120777, 0o060777, 0o010777, 0o040777, 0o104777))
        member.external_attr = kind << 16
        members[chosen] = member, one_of(random, (b"/etc/passwd", b"..", content))
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # of two members with one name
        for member, content in members:
            member.compress_type = method
            archive.writestr(member, content, method)
    return file.getvalue()


def of_member(random, name, content):
    if name.endswith(".json"):
        return of_json(random, content)
    if name.endswith(".h5"):
        return of_hdf5(random, content)
    if name.endswith(".pkl"):
        return of_pickle(random, content)
    return of_bytes(random, content)


def of_tar(random, data, others=()):
    """A `.tar.gz` with other members."""
    if chance(random, 0.2):
        return of_gzip(random, data, others)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [
            (member, archive.extractfile(member).read() if member.isfile() else b"")
            for member in archive.getmembers()
        ]
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    kinds += (tarfile.DIRTYPE, tarfile.GNUTYPE_SPARSE, b"Z")
    places = (*_ESCAPES, "/etc/passwd", *(member.name for member, _ in members))
    for _ in range(int(random.integers(1, 4))):
        member, content = one_of(random, members)
        what = int(random.integers(5))
        if what == 0:
            member.name = one_of(random, places)
        elif what == 1:
            member.type = one_of(random, kinds)
            member.linkname = one_of(random, places)
        elif what == 2:
            member.mode = one_of(random, (0o7777, 0, 0o4755, 0o222))
            member.uid = member.gid = one_of(random, (0, 2**21 - 1, 1))
        elif what == 3:
            member.size = int(random.integers(0, 10_000))
        else:
            members.append((member, of_bytes(random, content or b"content")))
    file = io.BytesIO()
    form = one_of(random, (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for member, content in members:
            try:
                archive.fileobj.write(member.tobuf(form))
            except ValueError:  # no header can say that
                continue
            archive.fileobj.write(content + bytes(-len(content) % 512))
    content = file.getvalue() + bytes(1024)
    if chance(random, 0.3):
        content = of_bytes(random, content)
    return gzip.compress(content, 1, mtime=0)


def of_pickle(random, data, others=()):
    """Bytes, or pieces of programs put between the instructions."""
    if chance(random, 0.4):
        return of_bytes(random, data, others)
    places = [at for _, _, at in pickletools.genops(data)]
    for _ in range(int(random.integers(1, 4))):
        at = one_of(random, places)
        data = data[:at] + one_of(random, _PROGRAMS) + data[at:]
    return data


_PROGRAMS = (
    b"cos\nsystem\n",
    b"cos\nsystem\n(Vtouch /tmp/escaped\ntR",
    b"cbuiltins\neval\n(V1\ntR",
    b"ctypes\nFunctionType\n",
    b"cnumpy\ndtype\n(VO8\ntR",
    b"cnumpy\ndtype\n(VV8\ntR(K\x03V|\nNNNK\x08K\x01K?tb",
    b"cnumpy\nfromfile\n(V/etc/passwd\ntR",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch\nload\n",
    b"ccollections\nOrderedDict\n)R",
    b"(dVx\nK\x01s",
    b"R",
    b"b",
    b"0",
    b"2",
    b"(",
    b"N",
    b"}",
    b"]",
    b")",
    b"t",
    b"a",
    b"s",
    b"u",
    b"e",
    b"Q",
    b"Ppid\n",
    b"\x81",
    b"\x85",
    b"\x94",
    b"h\x00",
    b"r\xff\xff\xff\x0f",
    b"K\xff",
    b"I" + b"9" * 5000 + b"\n",
    b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
    b"G\x7f\xf8\0\0\0\0\0\0",
    b"\x8e\xff\xff\xff\xff\0\0\0\0",
    b"T\xff\xff\xff\x7f",
    b"\x82\x01",
    b".",
)


def of_json(random, data, others=()):
    """Other values anywhere in a tree."""
    if chance(random, 0.1):
        return of_bytes(random, data, others)
    tree = json.loads(data)
    for _ in range(int(random.integers(1, 4))):
        places = list(_places(tree))
        if not places:
            break
        parent, key = one_of(random, places)
        other_parent, other_key = one_of(random, places)
        what = random.random()
        if what < 0.3:
            parent[key] = copy.deepcopy(one_of(random, _VALUES))
        elif what < 0.5:
            parent[key] = _hostile(random, parent[key])
        elif what < 0.6 and isinstance(parent, dict):
            del parent[key]
        elif what < 0.7:  # a copy, since a tree must not contain itself
            parent[key] = copy.deepcopy(other_parent[other_key])
        elif what < 0.8:
            a, b = json.dumps(parent[key]), json.dumps(other_parent[other_key])
            other_parent[other_key] = json.loads(a)
            parent[key] = json.loads(b)
        elif what < 0.9:
            parent[key] = [parent[key]] * int(random.integers(4))
        elif isinstance(parent, dict):
            parent[one_of(random, _KEYS)] = _hostile(random, parent[key])
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def _places(tree):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _deep(levels):
    return json.loads("[" * levels + "]" * levels)


_VALUES = (
    *_INTEGERS,
    *_FLOATS,
    None,
    True,
    False,
    "",
    "x",
    [],
    {},
    [[]],
    [1, 2],
    [None],
)
_VALUES += ("keras.ops.add", "relu", "atan", "\ud800", "9" * 400, _deep(200), {"a": {}})
_KEYS = ("function", "surrogate", "neuron", "layer", "module", "class_name", "name")
_KEYS += (
    "build_config",
    "compile_config",
    "registered_name",
    "dtype",
    "cells",
    "config",
)


def _function(module, name):
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }


def _object(module, name, /, **config):
    registered = f"keras_spiking>{name}" if module.startswith("keras_spiking") else None
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": registered,
    }


_LAMBDA = {
    "class_name": "__lambda__",
    "config": {"value": "4wAAAAAAAAAA", "code": "4wAA", "defaults": None},
    "globals": {"os": {"module": "os"}, "x": {"module": "antigravity"}},
}
HOSTILE = (
    _LAMBDA,
    {**_LAMBDA, "module": "builtins"},
    _function("os", "system"),
    _function("builtins", "eval"),
    _function("builtins", "exec"),
    _function("keras.saving", "load_model"),
    _function("keras.utils", "get_file"),
    _function("keras.config", "enable_unsafe_deserialization"),
    _function("keras.src.utils.python_utils", "func_load"),
    _function("keras_spiking.models", "from_preset"),
    _function("keras_spiking.function_config", "from_config"),
    _function("keras.ops", "add"),
    _object("subprocess", "Popen", args="touch /tmp/escaped"),
    _object("keras.layers", "Lambda", name="l", function=_LAMBDA),
    _object("keras.layers", "Lambda", name="l", function=_function("os", "system")),
    _object("keras.layers", "TFSMLayer", filepath="/tmp/escaped"),
    _object("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
    _object("keras.layers", "Dense", units=3),
    _object("keras_spiking.surrogates", "FromDerivative", function=_LAMBDA),
    _object(
        "keras_spiking.surrogates", "FromDerivative", function=_function("os", "system")
    ),
    _object("keras_spiking.surrogates", "FromDerivative", function="os.system"),
    _object("keras_spiking.layers", "ElementwiseRecurrent", function="os.system"),
    _object("keras_spiking.layers", "ElementwiseRecurrent", function=_LAMBDA),
    _object("keras_spiking.layers", "ElementwiseRecurrent", function="__class__"),
    _object("keras_spiking.layers", "IFLayer"),
    _object("keras_spiking.layers", "Delay", steps=10**9),
    {"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}},
    {"class_name": "__tensor__", "config": {"value": [1e999], "dtype": "float32"}},
    {"class_name": "__bytes__", "config": {"value": "x"}},
    {"class_name": "__ellipsis__", "config": {}},
    {"class_name": "__keras_tensor__", "config": {"shape": [3], "dtype": "x"}},
)


def _hostile(random, value):
    found = copy.deepcopy(one_of(random, HOSTILE))
    # What was there may be what the new one asks for.
    inner = value.get("config") if isinstance(value, dict) else None
    if isinstance(inner, dict):
        if chance(random, 0.5) and isinstance(found["config"], dict):
            return {**value, "config": {**inner, **found["config"]}}
        if chance(random, 0.5):
            names = ("module", "class_name", "registered_name")
            return {**value, **{k: v for k, v in found.items() if k in names}}
    return found


def of_hdf5(random, data, others=()):
    """Bytes, or other objects in the place of those that are there."""
    if chance(random, 0.5):
        return of_bytes(random, data, others)
    import h5py

    memory = io.BytesIO(data)
    with h5py.File(memory, "r+") as file:
        for _ in range(int(random.integers(1, 4))):
            names = []
            file.visit(names.append)
            if not names:
                break
            try:
                _change_hdf5(random, file, one_of(random, names), names)
            except Exception:  # a change before this one has made that impossible
                break
    return memory.getvalue()


def _change_hdf5(random, file, name, names):
    import h5py

    found = file.get(name)
    is_array = isinstance(found, h5py.Dataset)
    values = found[()] if is_array and found.size < 10_000 else np.zeros(3)
    what = int(random.integers(12))
    if what == 0:
        del file[name]
    elif what == 1:
        _put(file, name, h5py.SoftLink(f"/{one_of(random, names)}"))
    elif what == 2:
        _put(file, name, h5py.ExternalLink("secret.h5", one_of(random, "txyp/")))
    elif what == 3:
        group = _put(file, name, None)
        group["x"] = group["weight"] = values
    elif what == 4:
        shape = tuple(int(one_of(random, (1, 3, 10**6, 10**9))) for _ in range(2))
        del file[name]
        chunks = tuple(min(max(n, 1), 100) for n in shape)
        file.create_dataset(name, shape, "f8", chunks=chunks, compression="gzip")
    elif what == 5 and np.asarray(values).dtype.kind in "iuf":
        values = np.array(values, "float64" if chance(random, 0.5) else None)
        number = one_of(
            random, _FLOATS if values.dtype.kind == "f" else (0, 1, -1, 127)
        )
        if values.ndim and values.size:
            values.flat[int(random.integers(values.size))] = number
        else:
            values = number
        _put(file, name, values)
    elif what == 6:
        _put(file, name, one_of(random, ("text", b"\xff", 0, -1, 1e9, True, [], [[1]])))
    elif what == 7:
        _put(file, name, np.zeros(3, [("t", "i8"), ("x", "i4")]))
    elif what == 8 and getattr(values, "size", 0):
        values = np.asarray(values)
        shapes = ((-1, 1), (1, -1), (-1,), (1, 1, -1, 1))
        _put(file, name, values.reshape(one_of(random, shapes)))
    elif what == 9:
        layout = h5py.VirtualLayout((3,), "f8")
        layout[:] = h5py.VirtualSource("secret.h5", "t", (3,))
        del file[name]
        file.create_virtual_dataset(name, layout)
    elif what == 10:
        file[f"{name}_another"] = values
    else:
        other = one_of(random, names)
        if name in file and other in file and other != name:
            if not other.startswith(name) and not name.startswith(other):
                file.move(name, "exchanged")
                file.move(other, name)
                file.move("exchanged", other)


def _put(file, name, value):
    del file[name]
    if value is None:
        return file.create_group(name)
    file[name] = value
    return file[name] if isinstance(value, np.ndarray) else None
