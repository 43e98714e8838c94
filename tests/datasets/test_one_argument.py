"""Tonic's datasets, caches and transforms, by small stand-ins and, if it is installed,
by itself."""

import dataclasses

import numpy as np
import pytest

from keras_spiking.datasets import DropEvents
from keras_spiking.datasets import EventDataset
from keras_spiking.datasets import Frames
from keras_spiking.datasets import split_train_test

pytestmark = pytest.mark.once

SIZE = (7, 5, 2)  # x, y, p
LAYOUT = np.dtype([("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])


class Recorded:
    """A Tonic dataset, as seen from outside: recordings of 10, 20, ... events."""

    sensor_size = SIZE

    def __init__(self, transform=None, count=6):
        self.transform = transform
        self.targets = [i % 2 for i in range(count)]

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        events = np.empty(10 * (index + 1), LAYOUT)
        events["t"] = 100 * np.arange(len(events))
        for name, size in zip("xyp", SIZE):
            events[name] = rng.integers(0, size, len(events))
        if self.transform is not None:
            events = self.transform(events)
        return events, self.targets[index]


@dataclasses.dataclass(frozen=True)
class ToFrame:
    """Frames of a duration, with the polarities first."""

    sensor_size: tuple
    time_window: int

    def __call__(self, events):
        steps = (events["t"] - events["t"][0]) // self.time_window
        frames = np.zeros((steps[-1] + 1, *self.sensor_size[::-1]), "int16")
        np.add.at(frames, (steps, events["p"].astype(int), events["y"], events["x"]), 1)
        events["p"] = 0  # transforms may write to what they are given
        return frames


@dataclasses.dataclass
class Jitter:
    """Moves timestamps by global random numbers, which leaves them unsorted."""

    std: float

    def __call__(self, events):
        assert events.dtype["x"].kind == "i" and events.dtype["p"].kind == "b"
        events["t"] = events["t"] + np.random.normal(0, self.std, len(events))
        return events


def in_order(events):
    return events[np.argsort(events["t"])]


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, events):
        for transform in self.transforms:
            events = transform(events)
        return events


class Cached:
    """Tonic's caches know their dataset, and nothing else."""

    def __init__(self, dataset, transform=None):
        self.dataset = dataset
        self.transform = transform

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        data, label = self.dataset[index]
        return (data if self.transform is None else self.transform(data)), label


def ours(index):
    return Frames(duration=500)(Recorded()[index][0], (5, 7, 2))


def check_frames(dataset):
    x, y = dataset[0]
    assert x["frames"].shape == (4, 8, 5, 7, 2)
    assert x["lengths"].tolist() == [2, 4, 6, 8] and y.tolist() == [0, 1, 0, 1]
    for i, (frames, mask) in enumerate(zip(x["frames"], x["mask"])):
        np.testing.assert_array_equal(frames[mask], ours(i))
        assert not frames[~mask].any()


def ragged(recordings, representation=None, **kwargs):
    return EventDataset(
        recordings,
        representation,
        batch_size=4,
        inputs=("frames", "mask", "lengths"),
        data_format="channels_last",
        **kwargs,
    )


TO_FRAME = ToFrame(SIZE, 500)


def test_frames_by_a_transform_of_the_recordings():
    check_frames(ragged(Recorded(TO_FRAME)))
    check_frames(ragged(Cached(Recorded(TO_FRAME))))
    check_frames(ragged(Cached(Recorded(), TO_FRAME)))


def test_frames_by_a_transform_as_representation(tmp_path):
    check_frames(ragged(Recorded(), TO_FRAME))
    check_frames(ragged(Recorded(), Compose([TO_FRAME])))
    for _ in range(2):
        check_frames(ragged(Recorded(), TO_FRAME, cache_dir=tmp_path))
    assert len(list(tmp_path.rglob("*.npz"))) == 4
    check_frames(ragged(Recorded(), Compose([TO_FRAME]), cache_dir=tmp_path))
    other = EventDataset(Recorded(), ToFrame(SIZE, 250), cache_dir=tmp_path)
    assert other[0][0].shape[1] == 24


def test_channels_first():
    kwargs = {"data_format": "channels_first"}
    expected = EventDataset(Recorded(), Frames(duration=500), **kwargs)[0][0]
    assert expected.shape == (6, 12, 2, 5, 7)
    for dataset in (
        EventDataset(Recorded(), TO_FRAME, **kwargs),
        EventDataset(Recorded(TO_FRAME), **kwargs),
    ):
        np.testing.assert_array_equal(dataset[0][0], expected)


def test_frames_of_a_sensor_in_one_dimension():
    class Sounds:
        sensor_size = (700, 1, 1)

        def __len__(self):
            return 2

        def __getitem__(self, index):
            events = np.zeros(6, [("t", "i8"), ("x", "i4"), ("p", "i1")])
            events["t"], events["x"] = np.arange(6), 100 * np.arange(6)
            return events, index

    def to_frame(events):
        assert set(events.dtype.names) == {"t", "x", "p"}
        frames = np.zeros((6, 1, 700), "int16")
        frames[events["t"], 0, events["x"]] = 1
        return frames

    x, _ = EventDataset(Sounds(), to_frame)[0]
    assert x.shape == (2, 6, 700)
    np.testing.assert_array_equal(x[1, :, ::100][:, :6], np.eye(6))


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: EventDataset(
            Recorded(), Frames(number=4), augmentation=Jitter(500), sort=True, **k
        ),
        lambda **k: EventDataset(Recorded(Jitter(500)), Frames(4), sort=True, **k),
        lambda **k: EventDataset(
            Recorded(), Compose([Jitter(1), in_order, ToFrame(SIZE, 500)]), **k
        ),
        lambda **k: EventDataset(
            Recorded(Compose([Jitter(1), in_order, ToFrame(SIZE, 500)])), **k
        ),
    ],
)
def test_random_transforms_follow_seed_and_epoch(make):
    def frames(seed, epoch, noise):
        np.random.seed(noise)  # of no influence
        dataset = make(seed=seed)
        dataset.set_epoch(epoch)
        before = np.random.get_state()[1].copy()
        x = dataset[0][0]
        np.testing.assert_array_equal(np.random.get_state()[1], before)
        return x

    first = frames(0, 0, 1)
    np.testing.assert_array_equal(first, frames(0, 0, 2))
    assert not np.array_equal(first, frames(0, 1, 1))
    assert not np.array_equal(first, frames(1, 0, 1))


def test_random_transforms_in_several_threads():
    def make(**kwargs):
        return EventDataset(
            Recorded(Jitter(500), count=12),
            Frames(number=4),
            augmentation=Jitter(500),
            sort=True,
            batch_size=2,
            **kwargs,
        )

    expected = make().batches(epochs=2)
    for (x, _), (same, _) in zip(make(workers=3).batches(epochs=2), expected):
        np.testing.assert_array_equal(x, same)


class Backwards(Recorded):
    def __getitem__(self, index):
        events, label = super().__getitem__(index)
        return events[::-1], label


def test_augmentation_gets_events_in_order(tmp_path):
    def check(events, sensor_shape, rng):
        assert np.all(np.diff(events["t"]) >= 0)
        return events

    for kwargs in ({}, {"cache_dir": tmp_path}, {"cache_dir": tmp_path}):
        check_frames(
            ragged(
                Backwards(),
                Frames(duration=500),
                augmentation=check,
                sort=True,
                **kwargs,
            )
        )


def test_unsorted_events(tmp_path):
    with pytest.raises(ValueError, match=r"backwards.*EventDataset\(..., sort=True\)"):
        ragged(Backwards(), Frames(duration=500))[0]
    check_frames(ragged(Backwards(), Frames(duration=500), sort=True))
    check_frames(ragged(Backwards(), TO_FRAME, sort=True))
    for _ in range(2):
        cached = ragged(
            Backwards(), Frames(duration=500), sort=True, cache_dir=tmp_path
        )
        check_frames(cached)


def test_random_transforms_are_cached_once(tmp_path):
    dataset = EventDataset(
        Recorded(Jitter(500)), Frames(4), sort=True, cache_dir=tmp_path
    )
    first = dataset[0][0]
    dataset.set_epoch(1)
    np.testing.assert_array_equal(dataset[0][0], first)
    assert len(list(tmp_path.rglob("*.npz"))) == 6


def test_labels_and_sensor_through_caches_and_subsets():
    class Subset(Cached):
        indices = [4, 1, 0, 2, 3]

        def __len__(self):
            return 5

    train, test = split_train_test(Cached(Cached(Recorded())), 0.5)
    assert train.labels == [0, 0, 1, 1] and train.sensor_shape == (5, 7, 2)
    assert split_train_test(Subset(Recorded()), 0.5)[0].labels == [0, 0, 1]
    with pytest.raises(ValueError, match="Give `sensor_shape"):
        EventDataset(Cached([(0, 0)]), Frames(4))


@pytest.mark.parametrize(
    "kwargs",
    [{"augmentation": DropEvents(0.1)}, {"sort": True}, {"cache_dir": "nowhere"}],
)
def test_frames_of_the_recordings_cannot_be_changed(kwargs):
    with pytest.raises(ValueError, match=f"`{next(iter(kwargs))}` work on events"):
        EventDataset(Recorded(TO_FRAME), **kwargs)


def test_events_without_representation():
    with pytest.raises(ValueError, match="recordings must give an array"):
        EventDataset(Recorded())[0]


def test_callables_of_other_arguments():
    with pytest.raises(TypeError, match="events, sensor_shape, rng"):
        EventDataset(Recorded(), TO_FRAME, augmentation=lambda: None)
    with pytest.raises(TypeError, match="or of the events alone"):
        EventDataset(Recorded(), lambda a, b, c, d: a)


def test_cache_of_transforms_without_configuration(tmp_path):
    for transform in (
        lambda events: events,
        Compose([lambda events: events]),
        Jitter(std=np.square),
    ):
        with pytest.raises(ValueError, match="derive from that class"):
            EventDataset(Recorded(), transform, cache_dir=tmp_path)


def test_tonic_itself(tmp_path):
    tonic = pytest.importorskip("tonic")
    transforms = tonic.transforms
    window = {"time_window": 500, "include_incomplete": True}
    to_frame = transforms.ToFrame(sensor_size=SIZE, **window)
    check_frames(ragged(Recorded(), to_frame, cache_dir=tmp_path / "ours"))
    check_frames(ragged(Recorded(to_frame)))
    check_frames(ragged(tonic.MemoryCachedDataset(Recorded(to_frame))))
    disk = tonic.DiskCachedDataset(Recorded(), cache_path=str(tmp_path / "theirs"))
    for _ in range(2):
        check_frames(ragged(disk, Frames(duration=500)))
    jittered = EventDataset(
        disk,
        transforms.Compose([transforms.TimeJitter(1, sort_timestamps=True), to_frame]),
        augmentation=[
            transforms.SpatialJitter(SIZE, 2.0, 2.0, clip_outliers=True),
            transforms.TimeJitter(200),
        ],
        sort=True,
        shuffle=True,
    )
    first = jittered[0][0]
    np.testing.assert_array_equal(first, jittered[0][0])
