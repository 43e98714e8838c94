import pathlib

import numpy as np
import pytest
from event_files import random_events

from keras_spiking.backends.kernels import compiler
from keras_spiking.datasets import Frames
from keras_spiking.datasets import Representation
from keras_spiking.datasets import TimeSurface
from keras_spiking.datasets import VoxelGrid
from keras_spiking.datasets import count_events
from keras_spiking.datasets import make_events
from keras_spiking.datasets import read_events
from keras_spiking.datasets import sort_by_time

pytestmark = pytest.mark.once

DATA = pathlib.Path(__file__).parents[1] / "data"
SHAPE = (12, 17, 2)
EVENTS = random_events(1000, width=17, height=12)

# Made by SpikingJelly 2.0.0 of the same recording, moved to channels last.
RECORDED = np.load(DATA / "event_frames.npz")
SAMPLE = read_events(DATA / "sample_nmnist.bin")


@pytest.fixture(autouse=True, params=["with a compiler", "without"])
def with_or_without_a_compiler(request, monkeypatch):
    if request.param == "without":
        monkeypatch.setattr(compiler, "compiler", lambda: None)
    elif compiler.compiler() is None:
        pytest.skip("there is no C compiler")


@pytest.mark.parametrize("number", [1, 7, 20])
@pytest.mark.parametrize("split_by, name", [("time", "time"), ("count", "number")])
def test_fixed_number_as_recorded(number, split_by, name):
    frames = Frames(number=number, split_by=split_by)(SAMPLE, (34, 34, 2))
    np.testing.assert_array_equal(frames, RECORDED[f"number_{number}_{name}"])


@pytest.mark.parametrize("duration", [40_000, 33_333])
def test_fixed_duration_as_recorded(duration):
    frames = Frames(duration=duration)(SAMPLE, (34, 34, 2))
    np.testing.assert_array_equal(frames, RECORDED[f"duration_{duration}"])


def test_duration_that_divides_the_recording_as_recorded():
    events = make_events(np.arange(0, 101, 10), np.arange(11), 0, np.arange(11) % 2)
    for duration, name in ((25, "multiple"), (50, "multiple_50")):
        frames = Frames(duration=duration)(events, (1, 11, 2))
        np.testing.assert_array_equal(frames, RECORDED[name])


def slow_frames(events, bounds):
    frames = np.zeros((len(bounds), *SHAPE), int)
    for frame, (start, stop) in zip(frames, bounds):
        for _, x, y, p in events[start:stop].tolist():
            frame[y, x, p] += 1
    return frames


def test_events_per_frame():
    frames = Frames(events_per_frame=300)(EVENTS, SHAPE)
    bounds = [(0, 300), (300, 600), (600, 900), (900, 1000)]
    np.testing.assert_array_equal(frames, slow_frames(EVENTS, bounds))


@pytest.mark.parametrize(
    "arguments",
    [
        {"number": 6},
        {"number": 6, "split_by": "count"},
        {"duration": 7_001},
        {"events_per_frame": 77},
    ],
)
def test_chunks_make_the_same_frames(arguments):
    frames = Frames(**arguments)
    pieces = np.array_split(EVENTS, [0, 1, 130, 131, 600])
    streamed = frames.from_chunks(lambda: iter(pieces), SHAPE)
    np.testing.assert_array_equal(streamed, frames(EVENTS, SHAPE))
    assert streamed.sum() == len(EVENTS)


def test_merged_polarities_and_one_dimension():
    frames = Frames(number=3)
    both = frames(EVENTS, SHAPE)
    one = frames(EVENTS, (12, 17, 1))
    np.testing.assert_array_equal(one, both.sum(-1, keepdims=True))
    flat = EVENTS.copy()
    flat["y"] = 0
    units = frames(flat, (17,))
    np.testing.assert_array_equal(units, both.sum((1, 3)))


@pytest.mark.parametrize("split_by", ["time", "count"])
def test_fewer_than_frames_are_in_the_last(split_by):
    one = make_events([5], [3], [2], [1])
    frames = Frames(number=4, split_by=split_by)(one, SHAPE)
    assert frames[:3].sum() == 0 and frames[3, 2, 3, 1] == 1


def test_zero_duration():
    events = make_events([7] * 9, [1] * 9)
    assert Frames(number=3)(events, SHAPE).sum((1, 2, 3)).tolist() == [0, 0, 9]
    assert Frames(duration=10)(events, SHAPE).shape == (1, *SHAPE)
    assert Frames(duration=10)(events, SHAPE).sum() == 9


def test_no_events():
    assert Frames(number=3)(EVENTS[:0], SHAPE).shape == (3, *SHAPE)
    assert Frames(duration=10)(EVENTS[:0], SHAPE).shape == (1, *SHAPE)
    assert Frames(events_per_frame=10)(EVENTS[:0], SHAPE).sum() == 0
    assert VoxelGrid(3)(EVENTS[:0], SHAPE).sum() == 0
    assert TimeSurface(3, tau=10)(EVENTS[:0], SHAPE).sum() == 0


def test_gaps_are_empty_frames():
    events = make_events([0, 1, 98, 100], [1, 1, 1, 1])
    assert Frames(number=5)(events, SHAPE).sum((1, 2, 3)).tolist() == [2, 0, 0, 0, 2]


def test_backwards_in_time():
    events = make_events([0, 10, 5], [1, 2, 3])
    with pytest.raises(ValueError, match="10 is followed by 5.*sort_by_time"):
        Frames(number=2)(events, SHAPE)
    assert Frames(number=2)(sort_by_time(events), SHAPE).sum() == 3
    with pytest.raises(ValueError, match="10 is followed by 5"):
        Frames(number=2).from_chunks(lambda: [events[:2], events[2:]], SHAPE)


@pytest.mark.parametrize("x, y, name", [(17, 0, "x=17"), (0, 12, "y=12")])
def test_outside_of_the_sensor(x, y, name):
    with pytest.raises(ValueError, match=name):
        Frames(number=2)(make_events([0], [x], [y]), SHAPE)


def test_polarity_that_does_not_exist():
    events = EVENTS[::3].copy()
    events["p"][5] = 2
    for shape in (SHAPE, (12, 17, 1)):
        with pytest.raises(ValueError, match="p=2"):
            count_events(events, shape)


def test_events_that_are_not_side_by_side():
    expected = count_events(EVENTS[::3].copy(), SHAPE)
    np.testing.assert_array_equal(count_events(EVENTS[::3], SHAPE), expected)
    assert expected.sum() == len(EVENTS[::3])


@pytest.mark.parametrize("arguments", [{}, {"number": 2, "duration": 3}])
def test_arguments_that_make_no_sense(arguments):
    with pytest.raises(ValueError, match="exactly one of"):
        Frames(**arguments)


@pytest.mark.parametrize("name", ["number", "duration", "events_per_frame"])
@pytest.mark.parametrize("value", [0, -1, 0.5, 2.0, True, "3", float("nan")])
def test_numbers_that_are_none(name, value):
    error = ValueError if type(value) is int else TypeError
    with pytest.raises(error, match=name):
        Frames(**{name: value})


def test_sensor_shape_that_makes_no_sense():
    with pytest.raises(ValueError, match="sensor_shape"):
        Frames(number=2)(EVENTS, (2, 12, 17))


def test_voxel_grid_by_its_equation():
    grid = VoxelGrid(5)(EVENTS, SHAPE)
    expected = np.zeros((5, 12, 17, 1))
    t = EVENTS["t"].astype(float)
    steps = 4 * (t - t[0]) / (t[-1] - t[0])
    for b in range(5):
        weight = np.maximum(0, 1 - abs(b - steps)) * (2.0 * EVENTS["p"] - 1)
        np.add.at(expected[b, ..., 0], (EVENTS["y"], EVENTS["x"]), weight)
    np.testing.assert_allclose(grid, expected, atol=1e-5)


def test_time_surface_by_its_equation():
    surfaces = TimeSurface(3, tau=5e4)(EVENTS, SHAPE)
    t = EVENTS["t"].astype(float)
    for j in range(3):
        end = t[0] + (t[-1] - t[0]) * (j + 1) / 3
        latest = np.full(SHAPE, -np.inf)
        for time, x, y, p in EVENTS[t <= end].tolist():
            latest[y, x, p] = time
        expected = np.exp((latest - end) / 5e4)
        np.testing.assert_allclose(surfaces[j], expected, atol=1e-6)


def test_own_representation():
    class OnlyOn(Representation):
        def represent(self, events, sensor_shape):
            return Frames(number=2)(events[events["p"] == 1], sensor_shape)

    assert OnlyOn()(EVENTS, SHAPE).sum() == EVENTS["p"].sum()


def test_damaged_timestamps_make_no_endless_frames():
    events = make_events([0, 2**60], [1, 1], 1, 1)
    with pytest.raises(ValueError, match="damaged timestamp"):
        Frames(duration=1000)(events, (4, 4, 2))
