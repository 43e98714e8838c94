"""Reading checkpoints of PyTorch on every backend, hostile ones too."""

import collections
import io
import json
import pathlib
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

from keras_spiking.models.checkpoints import read_state

CHECKPOINT = pathlib.Path(__file__).parents[1] / "data" / "models" / "checkpoint.pt"


def safetensors(arrays, **changes):
    header, data = {}, b""
    for name, array in arrays.items():
        end = len(data) + array.nbytes
        entry = {"dtype": "F32", "shape": array.shape, "data_offsets": [len(data), end]}
        header[name] = {**entry, **changes}
        data += array.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def torch_file(path, content, storages=()):
    """A file like PyTorch's, with any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", content)
        for key, data in dict(storages).items():
            archive.writestr(f"x/data/{key}", data)
    return path


def test_a_checkpoint_of_a_training_gives_its_weights():
    state = read_state(CHECKPOINT)
    assert list(state)[:2] == ["0.weight", "0.bias"]
    assert state["0.weight"].shape == (3, 2, 3, 3)
    # What `torch.manual_seed(0)` draws first.
    expected = [-0.0018, 0.1264, -0.1940]
    np.testing.assert_allclose(state["0.weight"].flatten()[:3], expected, atol=1e-4)
    np.testing.assert_array_equal(state["0.bias"], [1.0, 3.0, 5.0])
    np.testing.assert_array_equal(state["3.weight"], np.arange(24.0).reshape(12, 2).T)


def test_dictionaries_npz_and_safetensors(tmp_path):
    arrays = {"a.weight": np.arange(6, dtype="float32").reshape(2, 3)}
    np.savez(tmp_path / "x.npz", **arrays)
    (tmp_path / "x.safetensors").write_bytes(safetensors(arrays))
    for source in (arrays, {"state_dict": arrays}, tmp_path / "x.npz"):
        np.testing.assert_array_equal(
            read_state(source)["a.weight"], arrays["a.weight"]
        )
    state = read_state(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(state["a.weight"], arrays["a.weight"])
    parallel = {f"module.{name}": value for name, value in arrays.items()}
    assert list(read_state(parallel)) == ["a.weight"]


class Call:
    """Pickles to the call of any function."""

    def __init__(self, function, *args):
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


def test_pickles_run_nothing(tmp_path):
    ran = tmp_path / "ran"
    state = {"w": 1.0, "x": Call(open, str(ran), "w"), "y": Call(eval, "1 / 0")}
    path = torch_file(tmp_path / "x.pt", pickle.dumps(state))
    with pytest.raises(ValueError, match="no named arrays"):
        read_state(path)
    assert not ran.exists()


Storage = collections.namedtuple("Storage", "key size")


def rebuild(shape, strides, offset=0):
    """The pickle of a tensor over a storage of four numbers."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            if isinstance(obj, Storage):
                return "storage", FloatStorage, obj.key, "cpu", obj.size
            return None

    def function(name, module):
        return type(name, (), {"__module__": module, "__qualname__": name})

    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    FloatStorage = torch.FloatStorage = function("FloatStorage", "torch")
    build = utils._rebuild_tensor_v2 = function("_rebuild_tensor_v2", "torch._utils")
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        file = io.BytesIO()
        args = Storage("0", 4), offset, shape, strides, False, None
        Pickler(file, 2).dump({"w": Call(build, *args)})
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return file.getvalue()


FOUR = np.arange(4, dtype="float32").tobytes()


def test_tensors_are_views_of_storages(tmp_path):
    path = torch_file(tmp_path / "x.pt", rebuild((2, 1), (1, 7), 2), {"0": FOUR})
    np.testing.assert_array_equal(read_state(path)["w"], [[2.0], [3.0]])


@pytest.mark.parametrize(
    "shape, strides, offset",
    [
        ((5,), (1,), 0),
        ((2,), (4,), 0),
        ((2,), (1,), 3),
        ((2,), (-1,), 1),
        ((-2,), (1,), 0),
        ((2,), (1,), -4),
        ((10**9, 10**9), (0, 0), 0),
        ((2, 2), (1,), 0),
    ],
)
def test_tensors_stay_within_their_storage(shape, strides, offset, tmp_path):
    path = torch_file(tmp_path / "x.pt", rebuild(shape, strides, offset), {"0": FOUR})
    with pytest.raises(ValueError, match="no whole checkpoint"):
        read_state(path)


def test_members_that_claim_to_be_larger_than_the_file(tmp_path):
    whole = CHECKPOINT.read_bytes()
    entry = whole.index(b"PK\1\2")  # the first of the directory
    claims = (2**31 - 2).to_bytes(4, "little") * 2
    (tmp_path / "x.pt").write_bytes(whole[: entry + 20] + claims + whole[entry + 28 :])
    with pytest.raises(ValueError, match="claims to be larger"):
        read_state(tmp_path / "x.pt")


def test_damaged_files_are_refused(tmp_path):
    whole = CHECKPOINT.read_bytes()
    random = np.random.default_rng(0)
    samples = [b"", whole[:100], whole[: len(whole) // 2], b"\x80\x02}q\x00."]
    for _ in range(100):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 8):
            damaged[place] = random.integers(256)
        samples.append(bytes(damaged))
    for suffix in (".pt", ".npz", ".safetensors"):
        path = tmp_path / f"damaged{suffix}"
        for sample in samples:
            path.write_bytes(sample)
            try:
                state = read_state(path)
            except ValueError:
                continue
            assert all(isinstance(x, np.ndarray) for x in state.values())


def test_compressed_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(10**6))
    with pytest.raises(ValueError, match="compressed"):
        read_state(tmp_path / "x.pt")


def test_tensors_that_share_bytes_are_counted(tmp_path):
    entry = {"dtype": "F32", "shape": [2**18], "data_offsets": [0, 2**20]}
    for count in (10, 110):
        header = json.dumps({str(i): entry for i in range(count)}).encode()
        content = len(header).to_bytes(8, "little") + header + bytes(2**20)
        (tmp_path / "x.safetensors").write_bytes(content)
        if count == 10:
            assert len(read_state(tmp_path / "x.safetensors")) == 10
    with pytest.raises(ValueError, match="beyond the limit"):
        read_state(tmp_path / "x.safetensors")


@pytest.mark.parametrize("number", [b"p2147483647\n", b"r\xff\xff\xff\x7f"])
def test_pickles_that_ask_for_much_memory(number, tmp_path):
    path = torch_file(tmp_path / "x.pt", b"\x80\x02}" + number + b".")
    with pytest.raises(ValueError, match="numbers an object 2,147,483,647"):
        read_state(path)


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="no file"):
        read_state(tmp_path / "none.pt")
    with pytest.raises(TypeError, match="state dictionary"):
        read_state(3)
    with pytest.raises(ValueError, match="no named arrays"):
        read_state({})
    with pytest.raises(ValueError, match="not finite"):
        read_state({"w": np.array([np.nan])})
    damaged = safetensors({"a": np.zeros(2, "float32")}, shape=[3])
    (tmp_path / "x.safetensors").write_bytes(damaged)
    with pytest.raises(ValueError, match="no whole safetensors"):
        read_state(tmp_path / "x.safetensors")
