"""Arguments that are not what they should be are named when an object is made."""

import wave

import numpy as np
import pytest
from event_files import random_events

from keras_spiking import datasets

pytestmark = pytest.mark.once

EVENTS = random_events(50, width=8, height=8)
SHAPE = (8, 8, 2)
NAN = float("nan")


def gestures(count=4, **kwargs):
    return datasets.SyntheticGestures(count, sensor_shape=SHAPE, **kwargs)


def dataset(**kwargs):
    arguments = {"recordings": gestures(), "representation": datasets.Frames(number=2)}
    return datasets.EventDataset(**(arguments | kwargs))


def speech(**kwargs):
    return datasets.SpeechCommands("nowhere", **kwargs)


def recordings(**kwargs):
    arguments = {"sources": [("a", {})], "labels": [0], "sensor_shape": SHAPE}
    return datasets.Recordings(**(arguments | kwargs))


def subset(**kwargs):
    return datasets.Subset(gestures(), **kwargs)


def split(**kwargs):
    return datasets.split_train_test(gestures(), **kwargs)


def count(**kwargs):
    return datasets.count_events(EVENTS, **({"sensor_shape": SHAPE} | kwargs))


def gestures_of(num_samples=4, **kwargs):
    return datasets.SyntheticGestures(num_samples, **kwargs)


INTEGERS = [
    (gestures_of, "num_samples", 0),
    (gestures_of, "duration", 0),
    (gestures_of, "seed", -1),
    (lambda **k: datasets.EventMix(**k), "num_classes", 0),
    (lambda **k: datasets.RandomShift(**k), "height", -1),
    (lambda **k: datasets.RandomShift(**k), "width", -1),
    (lambda **k: datasets.RandomCrop(**({"width": 1} | k)), "height", 0),
    (lambda **k: datasets.RandomCrop(**({"height": 1} | k)), "width", 0),
    (datasets.VoxelGrid, "timesteps", 0),
    (lambda **k: datasets.TimeSurface(tau=1.0, **k), "timesteps", 0),
    (dataset, "batch_size", 0),
    (dataset, "seed", -1),
    (dataset, "timesteps", 0),
    (dataset, "workers", -1),
    (dataset, "max_queue_size", 0),
    (speech, "batch_size", 0),
    (speech, "length", 0),
    (speech, "seed", -1),
    (split, "seed", -1),
]


@pytest.mark.parametrize("make, name, below", INTEGERS)
def test_integers(make, name, below):
    for value in (2.5, 3.0, True, "3", NAN, [1.5]):
        with pytest.raises(TypeError, match=name):
            make(**{name: value})
    with pytest.raises(ValueError, match=name):
        make(**{name: below})


NUMBERS = [
    (gestures_of, "noise", -0.1),
    (datasets.TimeJitter, "stddev", -1.0),
    (datasets.PolarityJitter, "probability", 1.1),
    (datasets.DropEvents, "probability", -0.1),
    (datasets.RandomFlip, "probability", 2),
    (datasets.RandomTimeCrop, "fraction", 0.0),
    (datasets.RandomTimeCrop, "fraction", 1.5),
    (lambda **k: datasets.EventMix(3, **k), "alpha", 0.0),
    (lambda **k: datasets.EventMix(3, **k), "probability", 1.5),
    (lambda **k: datasets.TimeSurface(2, **k), "tau", 0.0),
    (split, "train_fraction", 1.5),
]


@pytest.mark.parametrize("make, name, outside", NUMBERS)
def test_numbers(make, name, outside):
    for value in ("bad", True, None, [0.5]):
        with pytest.raises(TypeError, match=name):
            make(**{name: value})
    for value in (NAN, float("inf"), outside):
        with pytest.raises(ValueError, match=name):
            make(**{name: value})


OTHERS = [
    (dataset, "shuffle", 1),
    (dataset, "drop_remainder", "no"),
    (dataset, "use_multiprocessing", 0),
    (dataset, "data_format", 0),
    (dataset, "data_format", "channels"),
    (dataset, "inputs", ()),
    (dataset, "inputs", ("frames", "time")),
    (dataset, "timesteps", []),
    (dataset, "timesteps", [5, 2.5]),
    (dataset, "timesteps", [5, 0]),
    (dataset, "augmentation", 3),
    (dataset, "augmentation", ["flip"]),
    (dataset, "mix", 0.5),
    (dataset, "representation", "frames"),
    (dataset, "recordings", 5),
    (dataset, "sensor_shape", (8, 8, 2.5)),
    (speech, "shuffle", 1),
    (speech, "split", "valid"),
    (recordings, "labels", [0.5]),
    (recordings, "labels", ["a"]),
    (recordings, "labels", [True]),
    (recordings, "labels", [0, 1]),
    (recordings, "sources", ["ab"]),
    (recordings, "sort", 1),
    (recordings, "orient", "up"),
    (recordings, "sensor_shape", (8, 8.5, 2)),
    (subset, "indices", [0.5]),
    (subset, "indices", [4]),
    (subset, "indices", [-1]),
    (gestures_of, "sensor_shape", (700,)),
    (gestures_of, "sensor_shape", "bad"),
    (datasets.RandomFlip, "mode", "diagonal"),
    (datasets.Frames, "split_by", "number"),
    (count, "sensor_shape", (8, 8)),
    (count, "out", np.zeros((2, 2, 2), "int32")),
    (count, "out", np.zeros(SHAPE, "int64")),
    (count, "out", np.zeros((16, 8, 2), "int32")[::2]),
    (count, "out", np.broadcast_to(np.int32(0), SHAPE)),
    (count, "out", [0]),
]


@pytest.mark.parametrize("make, name, value", OTHERS)
def test_other_arguments(make, name, value):
    arguments = {name: value}
    if name == "split_by":
        arguments["number"] = 2
    with pytest.raises((TypeError, ValueError), match=name):
        make(**arguments)


@pytest.mark.parametrize("name, value", [("workers", 0), ("workers", 1.5)])
def test_preparing(name, value, tmp_path):
    with pytest.raises((TypeError, ValueError), match=name):
        dataset(cache_dir=tmp_path).prepare(**{name: value})


@pytest.mark.parametrize("label", [-1, 3, 0.5, "a", True])
def test_mixed_labels(label):
    mix = datasets.EventMix(3, probability=1.0)
    rng = np.random.default_rng(0)
    for labels in ((label, 0), (0, label)):
        with pytest.raises((TypeError, ValueError), match="label"):
            mix(EVENTS, labels[0], EVENTS, labels[1], SHAPE, rng)


def test_arguments_that_are_misspelt():
    with pytest.raises(TypeError, match="batchsize"):
        dataset(batchsize=3)


def test_folders_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    dataset(cache_dir="~/cache").prepare(verbose=0)
    datasets.write_events("~/a.npz", EVENTS)
    np.testing.assert_array_equal(datasets.read_events("~/a.npz"), EVENTS)
    assert list((tmp_path / "cache").iterdir()) and (tmp_path / "a.npz").exists()


def test_waveforms_are_read_as_they_were_written(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", None))
        file.writeframes(np.array([0, 16384, -32768], "<i2").tobytes())
    samples = datasets.read_waveform(tmp_path / "a.wav")
    assert samples.dtype == "float32"
    np.testing.assert_array_equal(samples, [0.0, 0.5, -1.0])


def test_damaged_waveforms_and_lists_are_named(tmp_path):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", None))
        file.writeframes(bytes(200))
    content = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(content)
        at = int(random.integers(60))
        data[at : at + 4] = random.bytes(4)
        path.write_bytes(data)
        try:
            datasets.read_waveform(path)
        except ValueError as error:
            assert str(path) in str(error)
    table = tmp_path / "trials_to_train.txt"
    table.write_text("user01.aedat")
    (tmp_path / "user01_labels.csv").write_text("class,start,stop\n1,one,2\n")
    with pytest.raises(ValueError, match="user01_labels.csv"):
        datasets.load_dvs128_gesture(tmp_path)


def test_counting_without_a_compiler_that_works(monkeypatch):
    from keras_spiking.datasets import counting

    def fail(text, flags=()):
        raise RuntimeError("no space left")

    expected = datasets.count_events(EVENTS, SHAPE)
    counting._function.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(counting.compiler, "load", fail)
        patched.setattr(counting.compiler, "compiler", lambda: "cc")
        with pytest.warns(UserWarning, match="no space left"):
            counted = datasets.count_events(EVENTS, SHAPE)
    counting._function.cache_clear()
    np.testing.assert_array_equal(counted, expected)
