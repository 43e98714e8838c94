import errno
import pickle
import threading

import keras
import numpy as np
import pytest
from backend import BACKEND

from keras_spiking import layers
from keras_spiking.datasets import DropEvents
from keras_spiking.datasets import EventDataset
from keras_spiking.datasets import EventMix
from keras_spiking.datasets import Frames
from keras_spiking.datasets import Recordings
from keras_spiking.datasets import Representation
from keras_spiking.datasets import SyntheticGestures
from keras_spiking.datasets import TimeSurface
from keras_spiking.datasets import files
from keras_spiking.datasets import make_events
from keras_spiking.datasets import split_train_test
from keras_spiking.datasets import write_events

SHAPE = (8, 8, 2)


def gestures(count=20, **kwargs):
    return SyntheticGestures(count, sensor_shape=SHAPE, **kwargs)


class Durations:
    """Recordings of 1, 2, 3, ... frames of 10 microseconds."""

    sensor_shape = SHAPE

    def __len__(self):
        return 10

    def __getitem__(self, index):
        t = np.arange(0, 10 * (index + 1), 2)
        return make_events(t, t % 8, t % 8, 1), index


class TonicLike:
    """What a Tonic dataset looks like from outside."""

    sensor_size = (8, 6, 2)
    dtype = np.dtype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])

    def __len__(self):
        return 5

    def __getitem__(self, index):
        events = np.zeros(20, self.dtype)
        events["t"] = np.arange(20) * 100
        events["x"], events["y"], events["p"] = 7, 5, index % 2
        return events, index


def folder_of_recordings(folder, count=6):
    for i in range(count):
        events, label = gestures()[i]
        (folder / str(label % 2)).mkdir(parents=True, exist_ok=True)
        write_events(folder / str(label % 2) / f"{i}.npz", events)
    return Recordings.from_folder(folder, SHAPE, "*.npz")


def test_batches():
    dataset = EventDataset(gestures(), Frames(number=5), batch_size=8)
    assert len(dataset) == 3
    x, y = dataset[2]
    assert x.shape == (4, 5, 8, 8, 2) and x.dtype == "float32"
    assert y.tolist() == [0, 1, 2, 3]
    events, _ = gestures()[17]
    np.testing.assert_array_equal(x[1], Frames(number=5)(events, SHAPE))


def test_drop_remainder_and_channels_first():
    dataset = EventDataset(
        gestures(),
        Frames(number=5),
        batch_size=8,
        drop_remainder=True,
        data_format="channels_first",
    )
    assert len(dataset) == 2
    last = EventDataset(gestures(), Frames(number=5), data_format="channels_last")
    expected = np.moveaxis(last[0][0][:8], -1, 2)
    np.testing.assert_array_equal(dataset[0][0], expected)


def test_padding_mask_and_lengths():
    dataset = EventDataset(
        Durations(),
        Frames(duration=10),
        batch_size=3,
        inputs=("frames", "mask", "lengths"),
    )
    x, _ = dataset[0]
    assert x["lengths"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(x["mask"], np.tri(3, dtype=bool))
    assert x["frames"][~x["mask"]].sum() == 0
    assert x["frames"].sum((1, 2, 3, 4)).tolist() == [5, 10, 15]


@pytest.mark.parametrize(
    "timesteps, expected", [(None, [4, 8, 10]), (6, [6, 6, 6]), ([9, 5], [5, 9, 9])]
)
def test_fixed_and_bucketed_lengths(timesteps, expected):
    dataset = EventDataset(
        Durations(),
        Frames(duration=10),
        batch_size=4,
        timesteps=timesteps,
        inputs=("frames", "lengths"),
    )
    assert [x["frames"].shape[1] for x, _ in dataset] == expected
    lengths = np.minimum([9, 10], expected[2])
    np.testing.assert_array_equal(dataset[2][0]["lengths"], lengths)


def test_order_is_reproducible_and_new_in_every_epoch():
    def labels(dataset):
        return [y for _, labels in dataset for y in labels.tolist()]

    def new():
        return EventDataset(
            Durations(), Frames(duration=10), batch_size=4, shuffle=True, seed=3
        )

    first, second = new(), new()
    epochs = []
    for _ in range(3):
        assert labels(first) == labels(second)
        epochs.append(labels(first))
        first.on_epoch_end()
        second.on_epoch_end()
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_augmentation_is_new_in_every_epoch_and_independent_of_order():
    def new(**kwargs):
        return EventDataset(
            gestures(8), Frames(number=5), augmentation=DropEvents(0.5), **kwargs
        )

    dataset = new()
    first = dataset[0][0]
    np.testing.assert_array_equal(first, dataset[0][0])
    dataset.on_epoch_end()
    assert not np.array_equal(first, dataset[0][0])
    x, y = new(shuffle=True)[0]
    np.testing.assert_array_equal(x[np.argsort(y)], first)


def test_mix_makes_soft_labels():
    dataset = EventDataset(
        gestures(8), Frames(number=5), mix=EventMix(8, probability=1.0)
    )
    x, y = dataset[0]
    assert x.shape == (8, 5, *SHAPE) and y.shape == (8, 8)
    np.testing.assert_allclose(y.sum(-1), 1.0, rtol=1e-6)
    assert 0 < np.sum(y > 0) - 8


class Counted(Frames):
    calls = 0

    def from_chunks(self, chunks, sensor_shape):
        type(self).calls += 1
        return super().from_chunks(chunks, sensor_shape)


def test_cache_keeps_what_was_computed(tmp_path):
    recordings = folder_of_recordings(tmp_path / "recordings")
    plain = EventDataset(recordings, Frames(number=4))[0]
    Counted.calls = 0
    for _ in range(2):
        dataset = EventDataset(
            recordings, Counted(number=4), cache_dir=tmp_path / "cache"
        )
        dataset.prepare(workers=2, verbose=0)
        for cached, expected in zip(dataset[0], plain):
            np.testing.assert_array_equal(cached, expected)
    assert Counted.calls == 6


def test_cache_tells_data_and_transforms_apart(tmp_path):
    recordings = folder_of_recordings(tmp_path / "recordings")

    def check(recordings, representation):
        cached = EventDataset(recordings, representation, cache_dir=tmp_path / "cache")
        plain = EventDataset(recordings, representation)
        np.testing.assert_array_equal(cached[0][0], plain[0][0])

    for representation in (
        Frames(number=4),
        Frames(number=4, split_by="count"),
        Frames(duration=100_000),
        TimeSurface(4, tau=1e4),
        TimeSurface(4, tau=1e5),
    ):
        check(recordings, representation)
    path = recordings.sources[0][0]
    write_events(path, gestures(seed=9)[0][0])
    check(recordings, Frames(number=4))
    check(gestures(6), Frames(number=4))
    check(gestures(6, seed=1), Frames(number=4))


def test_cache_of_events_below_augmentation(tmp_path):
    kwargs = {"augmentation": DropEvents(0.5)}
    recordings = folder_of_recordings(tmp_path / "recordings")
    plain = EventDataset(recordings, Frames(number=4), **kwargs)
    cached = EventDataset(
        recordings, Frames(number=4), cache_dir=tmp_path / "cache", **kwargs
    )
    for _ in range(2):
        np.testing.assert_array_equal(cached[0][0], plain[0][0])


def test_interrupted_preparation_goes_on(tmp_path):
    recordings = folder_of_recordings(tmp_path / "recordings")
    done = threading.Semaphore(3)

    class Interrupted(Counted):
        __qualname__ = "Counted"

        def from_chunks(self, chunks, sensor_shape):
            if not done.acquire(blocking=False):
                raise KeyboardInterrupt
            return super().from_chunks(chunks, sensor_shape)

    cache = tmp_path / "cache"
    dataset = EventDataset(recordings, Interrupted(number=4), cache_dir=cache)
    with pytest.raises(KeyboardInterrupt):
        dataset.prepare(workers=1, verbose=0)
    assert len(list(cache.rglob("*.npz"))) == 3
    Counted.calls = 0
    dataset = EventDataset(recordings, Counted(number=4), cache_dir=cache)
    dataset.prepare(workers=1, verbose=0)
    assert Counted.calls == 3
    assert not list(cache.rglob(".part-*"))


def test_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = tmp_path / "cache"
    dataset = EventDataset(gestures(4), Frames(number=4), cache_dir=cache)
    with monkeypatch.context() as patched:
        patched.setattr(files.np, "savez_compressed", full)
        with pytest.raises(OSError, match="No space left.*choose another `cache_dir`"):
            dataset.prepare(verbose=0)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    assert dataset[0][0].shape[0] == 4


def test_cache_that_cannot_be_written_to_names_its_argument(tmp_path):
    (tmp_path / "file").touch()
    cache = tmp_path / "file" / "cache"
    dataset = EventDataset(gestures(1), Frames(number=4), cache_dir=cache)
    with pytest.raises(OSError, match="choose another `cache_dir`.*file/cache"):
        dataset[0]


def test_cache_of_a_collection_without_fingerprints(tmp_path):
    plain = EventDataset(TonicLike(), Frames(number=4))[0]
    for _ in range(2):
        dataset = EventDataset(TonicLike(), Frames(number=4), cache_dir=tmp_path)
        for cached, expected in zip(dataset[0], plain):
            np.testing.assert_array_equal(cached, expected)


def test_cache_needs_a_configuration(tmp_path):
    with pytest.raises(ValueError, match="derive from that class"):
        EventDataset(gestures(2), lambda events, shape: events, cache_dir=tmp_path)


def test_dataset_of_tonic():
    dataset = EventDataset(TonicLike(), Frames(number=4))
    x, y = dataset[0]
    assert x.shape == (5, 4, 6, 8, 2) and y.tolist() == [0, 1, 2, 3, 4]
    assert x[1, :, 5, 7, 1].tolist() == [5, 5, 5, 5]


def test_sensor_of_tonic_in_one_dimension():
    class Audio(TonicLike):
        sensor_size = (700, 1, 1)
        dtype = np.dtype([("t", "i8"), ("x", "i2"), ("p", "i1")])

        def __getitem__(self, index):
            events = np.zeros(3, self.dtype)
            events["x"] = 650
            return events, index

    assert EventDataset(Audio(), Frames(number=4))[0][0].shape == (5, 4, 700)


def test_sensor_that_is_not_known():
    with pytest.raises(ValueError, match="Give `sensor_shape"):
        EventDataset([(make_events([0], [1]), 0)], Frames(number=1))


def test_no_recordings():
    with pytest.raises(ValueError, match="`recordings` is empty"):
        EventDataset([], Frames(number=1), sensor_shape=SHAPE)


def test_representation_without_time_steps():
    class Nothing(Representation):
        def represent(self, events, sensor_shape):
            return np.zeros((0, *sensor_shape))

    with pytest.raises(ValueError, match="has no time steps"):
        EventDataset(gestures(2), Nothing())[0]


def test_pickles_for_worker_processes(tmp_path):
    dataset = EventDataset(
        gestures(), Frames(number=5), batch_size=8, cache_dir=tmp_path, shuffle=True
    )
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy[1][0], dataset[1][0])


def classifier(timesteps):
    frames = keras.Input((timesteps, *SHAPE), name="frames")
    mask = keras.Input((timesteps,), dtype="bool", name="mask")
    x = layers.SeqToBatch([keras.layers.Flatten(), keras.layers.Dense(10)])(frames)
    x = layers.LIFLayer()(x, mask=mask)
    model = keras.Model({"frames": frames, "mask": mask}, layers.FiringRate()(x))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.trains
@pytest.mark.parametrize("workers", [1, 2])
def test_fit_with_mask(workers):
    dataset = EventDataset(
        gestures(),
        Frames(duration=60_000),
        batch_size=10,
        timesteps=8,
        inputs=("frames", "mask"),
        shuffle=True,
        workers=workers,
    )
    history = classifier(8).fit(dataset, epochs=2, verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    assert dataset.epoch >= 2


def test_predict():
    dataset = EventDataset(
        gestures(), Frames(number=8), batch_size=10, inputs=("frames", "mask")
    )
    assert classifier(8).predict(dataset, verbose=0).shape == (20, 10)


@pytest.mark.trains
@pytest.mark.skipif(BACKEND != "tensorflow", reason="needs TensorFlow")
def test_tf_data_with_buckets():
    dataset = EventDataset(
        Durations(),
        Frames(duration=10),
        batch_size=4,
        timesteps=[5, 10],
        inputs=("frames", "mask"),
        shuffle=True,
    )
    data = dataset.to_tf_data()
    assert len(data) == 3
    passes = [[(x["frames"].shape[1], y.numpy()) for x, y in data] for _ in "12"]
    assert {steps for batches in passes for steps, _ in batches} <= {5, 10}
    orders = [np.concatenate([y for _, y in batches]) for batches in passes]
    assert sorted(orders[0]) == sorted(orders[1]) and any(orders[0] != orders[1])
    classifier(None).fit(data, epochs=2, verbose=0)


@pytest.mark.trains
@pytest.mark.skipif(BACKEND != "torch", reason="needs PyTorch")
def test_torch_data_loader():
    dataset = EventDataset(
        gestures(),
        Frames(number=8),
        batch_size=8,
        inputs=("frames", "mask"),
        shuffle=True,
    )
    loader = dataset.to_torch()
    passes = [list(loader) for _ in "12"]
    assert [len(y) for _, y in passes[0]] == [8, 8, 4]
    assert passes[0][0][0]["frames"].shape == (8, 8, *SHAPE)
    orders = [np.concatenate([y.numpy() for _, y in batches]) for batches in passes]
    assert sorted(orders[0]) == sorted(orders[1]) and any(orders[0] != orders[1])
    classifier(8).fit(loader, epochs=2, verbose=0)


def test_split_train_test_per_class():
    train, test = split_train_test(gestures(24), 0.6)
    assert np.bincount(train.labels).tolist() == [2] * 8
    assert train.indices[:2] == [0, 8] and test.indices[:1] == [16]
    random, rest = split_train_test(gestures(24), 0.6, seed=1)
    assert np.bincount(random.labels).tolist() == [2] * 8
    assert sorted(random.indices + rest.indices) == list(range(24))
    assert random.indices != train.indices
    assert split_train_test(gestures(24), 0.6, seed=1)[0].indices == random.indices
    assert test[0][1] == test.labels[0]
    assert train.sensor_shape == SHAPE and train.classes == SyntheticGestures.classes
