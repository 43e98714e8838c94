import numpy as np
import pytest
from event_files import random_events

from keras_spiking.datasets import DropEvents
from keras_spiking.datasets import EventMix
from keras_spiking.datasets import PolarityJitter
from keras_spiking.datasets import RandomCrop
from keras_spiking.datasets import RandomFlip
from keras_spiking.datasets import RandomShift
from keras_spiking.datasets import RandomTimeCrop
from keras_spiking.datasets import SyntheticGestures
from keras_spiking.datasets import TimeJitter
from keras_spiking.datasets import make_events

pytestmark = pytest.mark.once

SHAPE = (12, 17, 2)
EVENTS = random_events(500, width=17, height=12)
ALL = [
    RandomFlip("horizontal", 1.0),
    RandomFlip("vertical", 1.0),
    RandomFlip("polarity", 1.0),
    RandomFlip("time", 1.0),
    RandomShift(3, 4),
    RandomCrop(6, 6),
    RandomTimeCrop(0.5),
    TimeJitter(1000.0),
    PolarityJitter(0.3),
    DropEvents(0.3),
]


def identity(augment):
    mode = getattr(augment, "mode", "")
    return f"{type(augment).__name__} {mode}".strip()


@pytest.mark.parametrize("augment", ALL, ids=identity)
def test_seeded_in_order_and_on_the_sensor(augment):
    before = EVENTS.copy()
    once = augment(EVENTS, SHAPE, np.random.default_rng(2))
    again = augment(EVENTS, SHAPE, np.random.default_rng(2))
    np.testing.assert_array_equal(once, again)
    np.testing.assert_array_equal(EVENTS, before)
    assert not np.array_equal(once, EVENTS)
    assert np.all(np.diff(once["t"]) >= 0)
    assert once["x"].max() < 17 and once["y"].max() < 12 and len(once)


@pytest.mark.parametrize("augment", ALL, ids=identity)
def test_empty_and_single_recordings(augment):
    rng = np.random.default_rng(0)
    assert len(augment(EVENTS[:0], SHAPE, rng)) == 0
    assert len(augment(EVENTS[:1], SHAPE, rng)) <= 1


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "polarity", "time"])
def test_flipping_twice_changes_nothing(mode):
    flip = RandomFlip(mode, 1.0)
    events = make_events([0, 3, 10], [1, 2, 16], [0, 11, 5], [0, 1, 1])
    rng = np.random.default_rng(0)
    twice = flip(flip(events, SHAPE, rng), SHAPE, rng)
    np.testing.assert_array_equal(twice, events)


def test_amounts():
    rng = np.random.default_rng(0)
    events = random_events(20_000, width=17, height=12)
    assert 0.68 < len(DropEvents(0.3)(events, SHAPE, rng)) / 20_000 < 0.72
    changed = PolarityJitter(0.3)(events, SHAPE, rng)["p"] != events["p"]
    assert 0.28 < changed.mean() < 0.32
    assert 0.48 < len(RandomTimeCrop(0.5)(events, SHAPE, rng)) / 20_000 < 0.52
    inside = RandomCrop(6, 17)(events, SHAPE, rng)
    assert np.ptp(inside["y"]) == 5 and 0.48 < len(inside) / 20_000 < 0.52


def test_shift_moves_all_alike():
    events = make_events([0, 1], [8, 9], [6, 6])
    shifts = set()
    rng = np.random.default_rng(0)
    for _ in range(100):
        moved = RandomShift(2, 1)(events, SHAPE, rng)
        shift = moved["x"].astype(int) - [8, 9], moved["y"].astype(int) - [6, 6]
        assert np.ptp(shift, axis=1).max() == 0
        shifts.add((int(shift[0][0]), int(shift[1][0])))
    assert len(shifts) == 15


def test_mix_labels_by_share_of_events():
    mix = EventMix(3, probability=1.0)
    ours, theirs = EVENTS.copy(), random_events(500, 17, 12, seed=1, duration=5000)
    ours["p"], theirs["p"] = 0, 1
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mixed, label = mix(ours, 0, theirs, 2, SHAPE, rng)
        np.testing.assert_allclose(label[2], mixed["p"].mean(), rtol=1e-6)
        np.testing.assert_allclose(label.sum(), 1.0, rtol=1e-6)
        assert np.all(np.diff(mixed["t"]) >= 0)
        assert mixed["t"][-1] <= ours["t"][-1]
        shares.append(label[2])
    assert 0.3 < np.mean(shares) < 0.7


def test_probabilities_that_are_none():
    with pytest.raises(ValueError, match="at most 1"):
        DropEvents(1.5)
    with pytest.raises(ValueError, match="at least 0"):
        RandomFlip(probability=-0.1)


def test_synthetic_gestures_are_reproducible():
    first, second = SyntheticGestures(16, seed=4), SyntheticGestures(99, seed=4)
    np.testing.assert_array_equal(first[11][0], second[11][0])
    assert not np.array_equal(first[11][0], SyntheticGestures(16, seed=5)[11][0])
    assert [first[i][1] for i in range(16)] == first.labels
    with pytest.raises(IndexError):
        first[16]


def test_synthetic_gestures_move_as_they_are_called():
    gestures = SyntheticGestures(8, noise=0.0, seed=2)
    for name, field, sign in (("left", "x", -1), ("right", "x", 1), ("down", "y", 1)):
        events, _ = gestures[gestures.classes.index(name)]
        slope = np.polyfit(events["t"], events[field].astype(float), 1)[0]
        assert slope * sign > 0
    events, _ = gestures[gestures.classes.index("approaching")]
    assert events["p"].mean() > 0.95
