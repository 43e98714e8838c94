"""All formats that the package reads: samples, their mutations, and the reader."""

import dataclasses
import gzip
import io
import json
import os
import pathlib
import pickle
import shutil
import sys
import tempfile
import wave
import zipfile
from collections.abc import Callable

import keras
import mutations
import numpy as np

TESTS = pathlib.Path(__file__).resolve().parents[1]
DATA = TESTS / "data"
sys.path[:0] = [str(TESTS), str(TESTS / "datasets"), str(TESTS / "models")]

MAX_BYTES = 2**26


@dataclasses.dataclass
class Format:
    """How a format is attacked.

    Attributes:
        samples: Callable that returns a list of `(name of the file, bytes)`.
        mutate: Function of a generator, bytes and other samples.
        read: Function of a path.
        own_errors: Boolean, whether it is code of ours that raises. Keras's loader
            raises many kinds, and only what our classes raise is asked about.
        forks: Boolean, whether reading starts processes.
        is_model: Boolean, whether a file says how large a model is to be, which may be
            more than there is memory.
    """

    samples: Callable
    mutate: Callable
    read: Callable
    own_errors: bool = True
    forks: bool = False
    is_model: bool = False


def _recordings(*names):
    """Samples that the tests of the readers write."""

    def samples():
        import test_readers

        written = {**test_readers.FORMATS, **test_readers.OTHERS}
        events = [
            test_readers.random_events(40),
            test_readers.random_events(300, seed=1, duration=40_000_000)[:30],
            test_readers.vector_events()[:40],
        ]
        found = []
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                write, file = written[name][:2]
                for part in events:
                    if part["x"].max() >= 128 and name not in ("evt2", "evt3"):
                        continue
                    path = pathlib.Path(folder, file)
                    write(path, part)
                    found.append((file, path.read_bytes()))
        return found

    return samples


def _read_recording(**options):
    def read(path):
        from keras_spiking.datasets import read_events
        from keras_spiking.datasets import stream_events
        from keras_spiking.datasets.events import event_dtype

        whole = read_events(path, **options)
        assert whole.dtype == event_dtype and whole.ndim == 1
        assert whole["p"].max(initial=0) <= 1
        if len(whole) < 1000 and "index" not in options:
            parts = list(stream_events(path, chunk_size=13, **options))
            parts = np.concatenate(parts) if parts else whole[:0]
            np.testing.assert_array_equal(parts, whole)
        return whole

    return read


def _files(*paths):
    return lambda: [(pathlib.Path(p).name, (DATA / p).read_bytes()) for p in paths]


def _models():
    """Models in `.keras` files, with most kinds of layers that hold others."""
    from keras import layers as k

    from keras_spiking import layers
    from keras_spiking import surrogates

    def sequential(*parts):
        return keras.Sequential([keras.Input((4, 6)), *parts])

    steps = layers.StepByStep([k.Dense(3), layers.LIFLayer(name="inner")])
    recurrent = layers.ElementwiseRecurrent(layers.IFLayer(), "add")
    graph = layers.RecurrentGraph(
        {"a": [k.Dense(6)], "b": layers.IFLayer()},
        [("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")],
    )
    attention = layers.SpikingSelfAttention(num_heads=2)
    return [
        sequential(k.Dense(3), layers.LIFLayer(surrogate="sigmoid"), layers.Delay(2)),
        sequential(steps, layers.FiringRate()),
        sequential(recurrent, layers.SynapseFilter(tau=3.0)),
        sequential(graph, layers.Voting(1)),
        keras.Sequential([keras.Input((2, 3, 4)), attention]),
        sequential(
            layers.SeqToBatch([k.Dense(3)]),
            layers.IzhikevichLayer(surrogate=surrogates.PiecewiseExp(alpha=2.0)),
        ),
    ]


def _keras_files():
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for model in _models():
            path = os.path.join(folder, "model.keras")
            model.save(path)
            found.append(("model.keras", pathlib.Path(path).read_bytes()))
    return found


def _layers():
    """The configurations of models of every layer of the package."""
    import registry

    found = []
    for name in registry.layer_names():
        layer = registry.make(name)
        model = keras.Sequential([keras.Input(registry.input_shape(layer)), layer])
        config = keras.saving.serialize_keras_object(model)
        found.append(("config.json", json.dumps(config).encode()))
    return found


def _read_layers(path):
    config = json.loads(path.read_text("utf-8"))
    return keras.saving.deserialize_keras_object(config, safe_mode=True)


def _presets():
    from keras_spiking.models import save_to_preset

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for i, model in enumerate(_models()):
            save_to_preset(model, f"{folder}/{i}")
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as archive:
                for name in ("config.json", "model.weights.h5"):
                    archive.writestr(
                        name, pathlib.Path(folder, f"{i}", name).read_bytes()
                    )
            found.append(("preset.bundle", content.getvalue()))
    return found


def _mutate_preset(random, data, others):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = mutations.one_of(random, list(files))
    files[name] = mutations.of_member(random, name, files[name])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, value in files.items():
            archive.writestr(name, value)
    return content.getvalue()


def _read_preset(path):
    from keras_spiking.models import from_preset

    folder = path.parent / "preset.bundle.d"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(path) as archive:
        for name in ("config.json", "model.weights.h5"):
            (folder / name).write_bytes(archive.read(name))
    return _finite(from_preset(folder))


def _finite(model):
    for variable in model.variables:
        value = np.asarray(variable.value)
        assert value.dtype.kind != "f" or np.isfinite(value).all(), variable.path
    return model


def _read_keras(path):
    return keras.saving.load_model(path)


def _read_nir(path):
    from keras_spiking.export import from_nir

    model = from_nir(path, dt=1e-6, discretization="exponential", max_bytes=MAX_BYTES)
    return _finite(model)


def _read_lava(path):
    from keras_spiking.export import from_lava
    from keras_spiking.export import simulate_lava

    model = from_lava(path, max_bytes=MAX_BYTES)
    shape = [2 if n is None else n for n in model.input_shape]
    return simulate_lava(path, np.zeros(shape, "float32"), max_bytes=MAX_BYTES)


def _read_state(path):
    from keras_spiking.models.checkpoints import read_state

    for value in read_state(path).values():
        assert value.dtype.kind in "iufb", value.dtype


def _weights():
    arrays = {"0.weight": np.ones((3, 2), "float32"), "0.bias": np.zeros(3, "float32")}
    from test_checkpoints import safetensors

    content = io.BytesIO()
    np.savez(content, **arrays)
    return [("w.safetensors", safetensors(arrays)), ("w.npz", content.getvalue())]


def _mutate_weights(random, data, others):
    if data.startswith(b"PK"):
        return mutations.of_zip(random, data, others)
    length = int.from_bytes(data[:8], "little")
    if mutations.chance(random, 0.5):
        return mutations.of_bytes(random, data, others)
    text = mutations.of_json(random, data[8 : 8 + length])
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _archives(kind):
    def samples():
        from test_archives import tar_of
        from test_archives import zip_of

        inner = zip_of({"c.txt": b"inner" * 10})
        files = {"a/1.bin": bytes(range(100)), "a/b/2.txt": b"text", "a/x.zip": inner}
        if kind == "zip":
            return [("a.zip", zip_of(files)), ("a.zip", zip_of({"x.npz": b"1" * 500}))]
        return [("a.tar.gz", tar_of(files)), ("a.tar.gz", tar_of({"x": b"1" * 500}))]

    return samples


def _read_archive(path):
    from keras_spiking.datasets import archives
    from keras_spiking.datasets.downloads import Archive

    shutil.rmtree(path.parent / "unpacked", ignore_errors=True)
    try:
        (root, place) = archives.unpacked(path.parent, {path.name: Archive(md5=None)})
        inside = pathlib.Path(os.path.realpath(place))
        for found in place.rglob("*"):
            assert pathlib.Path(os.path.realpath(found)).is_relative_to(inside), found
    finally:
        unpacked = path.parent / "unpacked"
        if unpacked.exists():
            left = [p.name for p in unpacked.iterdir() if p.name != path.name]
            assert not left, left


def _gzip():
    return [("a.h5.gz", gzip.compress(bytes(range(200)) * 3, mtime=0))]


def _read_gzip(path):
    from keras_spiking.datasets import archives

    path.with_suffix("").unlink(missing_ok=True)
    archives.unpack_gzip(path)


def _kernels():
    from keras_spiking.backends.kernels import cache

    content = b"\x7fELF" + bytes(range(200))
    return [("0" * 32 + ".so", content + cache._seal("0" * 32, content))]


def _read_kernel(path):
    from keras_spiking.backends.kernels import cache

    os.environ["KERAS_SPIKING_CACHE"] = str(path.parent)
    os.chmod(path, 0o600)
    found = cache.read(path.stem)
    assert found in (None, b"\x7fELF" + bytes(range(200))), "a damaged library is read"


def _measurements():
    return [("0" * 32 + ".so", json.dumps([0.5, -1.0, [True, False, True]]).encode())]


def _read_measurement(path):
    """The seal is right, so that the content is looked at."""
    from keras_spiking.backends.kernels import cache
    from keras_spiking.backends.products import choice

    os.environ["KERAS_SPIKING_CACHE"] = str(path.parent)
    content = path.read_bytes()
    path.write_bytes(content + cache._seal(path.stem, content))
    os.chmod(path, 0o600)
    found = choice._read(path.stem)
    assert found is None or len(found.own) == 3, found


def _cached():
    from keras_spiking.datasets.cache import Cache

    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(folder)
        cache.get("key", lambda: np.arange(300).reshape(10, 30))
        return [("cached.npz", cache.path("key").read_bytes())]


def _read_cached(path):
    """What is damaged is computed again."""
    from keras_spiking.datasets.cache import Cache

    cache = Cache(path.parent)
    entry = cache.path("key")
    entry.parent.mkdir(exist_ok=True)
    shutil.copy(path, entry)
    return cache.get("key", lambda: np.zeros(3))


def _checkpoints():
    state = {"epoch": 1, "step": 2, "best": 0.5, "history": [{"epoch": 1, "loss": 0.5}]}
    values = {"model/0": np.ones((3, 2), "float32"), "random/seed": np.arange(2)}
    content = io.BytesIO()
    np.savez(content, **values, state=np.array(json.dumps(state)))
    return [("checkpoint.npz", content.getvalue())]


def _read_checkpoint(path):
    from keras_spiking.train.checkpoint import Checkpoint

    Checkpoint(path, None).load()


def _training_data():
    x, y = np.zeros((4, 3, 3, 1), "uint8"), np.arange(4) % 2
    content, other = io.BytesIO(), io.BytesIO()
    np.savez_compressed(content, x=x, y=y)
    np.savez(other, x_train=x, y_train=y, x_test=x, y_test=y)
    return [("data.npz", content.getvalue()), ("data.npz", other.getvalue())]


def _read_training_data(path):
    from keras_spiking.train import data
    from keras_spiking.train.recipe import Recipe

    recipe = Recipe(model="sew_resnet18", data=str(path), validation=0.5)
    data._from_npz(path, recipe)


def _recipes():
    text = {"model": "sew_resnet18", "data": "digits", "epochs": 3, "mean": [0.5, 0.5]}
    text["augmentation"] = {"flip": 0.5, "crop": 4}
    yaml = "model: sew_resnet18\ndata: digits\nepochs: 3\nmean: [0.5]\n"
    return [("recipe.json", json.dumps(text).encode()), ("recipe.yaml", yaml.encode())]


def _mutate_recipe(random, data, others):
    if data.startswith(b"{"):
        return mutations.of_json(random, data, others)
    return mutations.of_bytes(random, data, others)


def _read_recipe(path):
    from keras_spiking.train import recipe

    options = recipe.read(path)
    try:
        recipe.Recipe(**options)
    except (TypeError, ValueError) as error:  # names the option, as for a command line
        raise ValueError(f"{path.name}: {error}") from None


def _waves():
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(range(100)))
    return [("a.wav", content.getvalue())]


def _read_wave(path):
    from keras_spiking.datasets.speech_commands import read_waveform

    return read_waveform(path)


def _images():
    import PIL.Image

    found = []
    for kind in ("png", "jpeg", "bmp", "gif", "webp", "ppm", "tiff"):
        content = io.BytesIO()
        image = np.arange(7 * 5 * 3, dtype="uint8").reshape(7, 5, 3)
        PIL.Image.fromarray(image).save(content, kind)
        found.append((f"a.{kind}", content.getvalue()))
    return found


def _read_image(path):
    from keras_spiking.train.images import read_image

    return read_image(path)


def _pickles():
    import test_readers

    found = []
    for name, data in _recordings("bullying10k")():
        found.append((name, data))
    parts = np.empty(2, object)
    parts[:] = [test_readers.EVENTS[:9], test_readers.EVENTS[9:20].tolist()]
    for protocol in (0, 2, 5):
        content = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            content, {"descr": "|O", "fortran_order": False, "shape": (2,)}
        )
        found.append(("a.npy", content.getvalue() + pickle.dumps(parts, protocol)))
    return found


def _mutate_pickle(random, data, others):
    start = data.index(b"\n") + 1
    if mutations.chance(random, 0.1):
        return mutations.of_bytes(random, data, others)
    return data[:start] + mutations.of_pickle(random, data[start:])


_of = mutations
FORMATS = {
    "atis": Format(_recordings("atis"), _of.of_bytes, _read_recording()),
    "aedat2": Format(  # which may say that it is AEDAT 4
        _recordings("aedat2"), _of.of_bytes, _read_recording(), forks=True
    ),
    "aedat3": Format(  # which may say that it is AEDAT 4
        _recordings("aedat3"), _of.of_bytes, _read_recording(), forks=True
    ),
    "aedat4": Format(_files("dv.aedat4"), _of.of_bytes, _read_recording(), forks=True),
    "dat": Format(
        _recordings("dat", "dat, version 1"), _of.of_bytes, _read_recording()
    ),
    "evt2": Format(_recordings("evt2"), _of.of_bytes, _read_recording()),
    "evt3": Format(_recordings("evt3"), _of.of_bytes, _read_recording()),
    "npz": Format(_recordings("npz"), _of.of_zip, _read_recording()),
    "npy": Format(
        _recordings("npy", "npy of other fields"), _of.of_bytes, _read_recording()
    ),
    "es_imagenet": Format(
        _recordings("es_imagenet"), _of.of_zip, _read_recording(format="es_imagenet")
    ),
    "bullying10k": Format(
        _pickles, _mutate_pickle, _read_recording(format="bullying10k"), forks=True
    ),
    "hdf5": Format(
        _recordings("hdf5", "hdf5 table", "compressed hdf5"),
        _of.of_hdf5,
        _read_recording(),
    ),
    "heidelberg": Format(
        _recordings("heidelberg"), _of.of_hdf5, _read_recording(index=1), forks=True
    ),
    "mat": Format(_recordings("mat", "compressed mat"), _of.of_mat, _read_recording()),
    "nir": Format(
        _files(
            "nir_frameworks/norse.nir",
            "nir_frameworks/sinabs.nir",
            "nir_frameworks/spikingjelly.nir",
            "snntorch/dense.nir",
            "snntorch/convolutional.nir",
        ),
        _of.of_hdf5,
        _read_nir,
    ),
    "lava": Format(
        _files("lava/convolutional.net", "lava/delayed.net", "lava/varied.net"),
        _of.of_hdf5,
        _read_lava,
    ),
    "keras": Format(
        _keras_files, _of.of_zip, _read_keras, own_errors=False, is_model=True
    ),
    "layers": Format(
        _layers, _of.of_json, _read_layers, own_errors=False, is_model=True
    ),
    "preset": Format(_presets, _mutate_preset, _read_preset, is_model=True),
    "pt": Format(_files("models/checkpoint.pt"), _of.of_zip, _read_state),
    "weights": Format(_weights, _mutate_weights, _read_state),
    "zip": Format(_archives("zip"), _of.of_zip, _read_archive),
    "tar": Format(_archives("tar"), _of.of_tar, _read_archive),
    "gzip": Format(_gzip, _of.of_gzip, _read_gzip),
    "kernel": Format(_kernels, _of.of_bytes, _read_kernel),
    "measurement": Format(_measurements, _of.of_json, _read_measurement),
    "cached": Format(_cached, _of.of_zip, _read_cached),
    "checkpoint": Format(_checkpoints, _of.of_zip, _read_checkpoint),
    "training_data": Format(_training_data, _of.of_zip, _read_training_data),
    "recipe": Format(_recipes, _mutate_recipe, _read_recipe),
    "wave": Format(_waves, _of.of_bytes, _read_wave),
    "image": Format(_images, _of.of_bytes, _read_image),
}
