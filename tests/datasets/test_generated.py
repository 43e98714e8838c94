"""Benchmarks that are generated: their equations, their splits, their seeds."""

import itertools

import numpy as np
import pytest

from keras_spiking.datasets import adding_problem
from keras_spiking.datasets import copy_problem
from keras_spiking.datasets import delayed_keywords
from keras_spiking.datasets import delayed_xor
from keras_spiking.datasets import mackey_glass
from keras_spiking.datasets import randman
from keras_spiking.datasets import yin_yang

pytestmark = pytest.mark.once

# Each with its shapes for 21 samples.
GENERATORS = [
    (yin_yang, {}, (21, 4), (21,)),
    (randman, {"timesteps": 31, "units": 7}, (21, 31, 7), (21,)),
    (adding_problem, {"timesteps": 13}, (21, 13, 2), (21, 1)),
    (copy_problem, {"length": 3, "delay": 5}, (21, 11, 10), (21, 11)),
    (delayed_xor, {"noise": 0.1}, (21, 50, 2), (21,)),
    (delayed_keywords, {"timesteps": 41}, (21, 41, 20), (21,)),
]
every_generator = pytest.mark.parametrize(
    ("function", "options", "x_shape", "y_shape"),
    GENERATORS,
    ids=[function.__name__ for function, *_ in GENERATORS],
)


@every_generator
def test_shapes_and_dtypes(function, options, x_shape, y_shape):
    x, y = function(21, **options)
    assert x.shape == x_shape and x.dtype == "float32"
    assert y.shape == y_shape
    assert y.dtype == ("float32" if function is adding_problem else "int64")
    assert np.isfinite(x).all() and 0.0 <= x.min() < x.max() <= 1.0


@every_generator
def test_splits_and_seeds_share_no_sample(function, options, x_shape, y_shape):
    drawn = [
        function(21, split=split, seed=seed, **options)[0]
        for seed in (0, 1, 2**32, 2**32 + 1)
        for split in ("train", "validation", "test")
    ]
    for a, b in itertools.combinations(drawn, 2):
        same = (a[:, None] == b[None]).reshape(21, 21, -1).all(axis=-1)
        # Of what is discrete some coincide: bits, words, times of spikes.
        assert same.mean() < 0.05
        assert function not in (yin_yang, adding_problem) or not same.any()
    again, _ = function(21, split="test", seed=1, **options)
    np.testing.assert_array_equal(again, drawn[5])


@every_generator
@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({"num_samples": 0}, ValueError, "`num_samples` must be at least 1"),
        ({"num_samples": 2.5}, TypeError, "`num_samples` must be an integer"),
        ({"seed": None}, TypeError, "`seed` must be an integer"),
        ({"seed": -1}, ValueError, "`seed` must be at least 0"),
        ({"split": "valid"}, ValueError, "`split` must be one of 'train', 'valid"),
    ],
)
def test_bad_sizes_seeds_and_splits(
    function, options, x_shape, y_shape, bad, error, message
):
    with pytest.raises(error, match=message):
        function(**{"num_samples": 21, **options, **bad})


@pytest.mark.parametrize(
    ("function", "bad", "message"),
    [
        (yin_yang, {"r_small": 0.25}, "`r_small` must be less than 0.25"),
        (yin_yang, {"r_small": 0.0}, "`r_small` must be at least 0.01"),
        (randman, {"timesteps": 0}, "`timesteps` must be at least 2"),
        (randman, {"classes": 1}, "`classes` must be at least 2"),
        (randman, {"alpha": 0.5}, "`alpha` must be at least 1"),
        (randman, {"spikes": 9, "timesteps": 8}, "`spikes` must be at most 8"),
        (adding_problem, {"timesteps": 0}, "`timesteps` must be at least 2"),
        (adding_problem, {"timesteps": 1}, "`timesteps` must be at least 2"),
        (copy_problem, {"length": 0}, "`length` must be at least 1"),
        (copy_problem, {"delay": 0}, "`delay` must be at least 1"),
        (copy_problem, {"symbols": 1}, "`symbols` must be at least 2"),
        (delayed_xor, {"timesteps": 0}, "`timesteps` must be at least 2"),
        (delayed_xor, {"delay": 50}, "`delay \\+ width` must be at most `timesteps`"),
        (delayed_xor, {"width": 31}, "`delay` must be at least 31"),
        (delayed_xor, {"rate": 0.0}, "`rate` must be greater than 0"),
        (delayed_xor, {"noise": np.nan}, "`noise` must be finite"),
        (delayed_keywords, {"timesteps": 0}, "`timesteps` must be at least 2"),
        (delayed_keywords, {"timesteps": 40}, "`max_delay` must be less than"),
        (
            delayed_keywords,
            {"classes": 4, "units": 2, "max_delay": 1},
            "There are 3 words .* fewer than `classes`",
        ),
        (delayed_keywords, {"dropped": 1.0}, "`dropped` must be less than 1"),
    ],
)
def test_bad_tasks(function, bad, message):
    with pytest.raises(ValueError, match=message):
        function(8, **bad)


def test_mackey_glass_has_three_series():
    series = [mackey_glass(300, split=s) for s in ("train", "validation", "test")]
    for a, b in itertools.combinations(series, 2):
        assert np.abs(a - b).mean() > 0.1
    with pytest.raises(TypeError, match="`seed` must be an integer"):
        mackey_glass(10, seed=None)


def test_classes_of_yin_yang():
    x, y = yin_yang(3000, seed=3)
    np.testing.assert_allclose(x[:, :2] + x[:, 2:], 1.0, atol=1e-6)
    assert np.all(np.hypot(*(x[:, :2] - 0.5).T) <= 0.5 + 1e-6)
    np.testing.assert_allclose(np.bincount(y) / 3000, 1 / 3, atol=0.03)
    # Turned by half a circle, yin is yang, and dots are dots.
    regions = {
        (0.25, 0.5): 2,
        (0.25, 0.35): 1,  # the lobe around the left dot, below the middle
        (0.5, 0.9): 1,
        (0.1, 0.7): 1,
        (0.75, 0.65): 0,
        (0.5, 0.1): 0,
        (0.75, 0.5): 2,
    }
    for place, label in regions.items():
        near = np.hypot(*(x[:, :2] - place).T) < 0.04
        assert near.sum() > 3
        assert set(y[near]) == {label}, place


def test_yin_yang_by_the_published_conditions():
    """In the order and form of the published program, one point at a time."""

    def classify(x, y, small=0.15, big=0.5):
        right = ((x - 1.5 * big) ** 2 + (y - big) ** 2) ** 0.5
        left = ((x - 0.5 * big) ** 2 + (y - big) ** 2) ** 0.5
        if right < small or left < small:
            return 2
        lobe = small < left <= 0.5 * big
        return int(right <= small or lobe or (y > big and right > 0.5 * big))

    x, y = yin_yang(500, r_small=0.15)
    assert [classify(*map(float, row[:2])) for row in x] == list(y)


def test_randman_solves_its_equation():
    """Times against the equation, one unit and sample at a time, in plain Python."""
    from keras_spiking.datasets.randman import _Manifold

    manifold = _Manifold(3, 2, 2.0, np.random.default_rng(1))
    k = np.arange(1, 33)  # 33^-2 is below 0.001
    assert len(manifold.amplitude) == 32
    points = np.random.default_rng(2).uniform(size=(50, 2))
    random = np.random.default_rng(1)
    a, b, c = random.uniform(size=(3, 32, 2, 3))
    a[0] = 0.0

    def f(x, i):
        return np.prod(
            [
                sum(
                    a[:, d, i]
                    * k**-2.0
                    * np.sin(2 * np.pi * ((k - 1) * b[:, d, i] * x[d] + c[:, d, i]))
                )
                for d in range(2)
            ]
        )

    survey = random.uniform(size=(1000, 2))
    for i in range(3):
        extent = [f(x, i) for x in survey]
        expected = [(f(x, i) - min(extent)) / np.ptp(extent) for x in points]
        np.testing.assert_allclose(
            manifold(points)[:, i], np.clip(expected, 0, 1), atol=1e-9
        )


def test_spikes_of_randman():
    x, y = randman(60, classes=3, timesteps=50, units=8)
    np.testing.assert_array_equal(x.sum(axis=1), 1.0)
    np.testing.assert_array_equal(np.bincount(y), 20)
    twice, _ = randman(60, classes=3, timesteps=50, units=8, spikes=2)
    assert set(twice.sum(axis=1).ravel()) == {1.0, 2.0}
    # A curve: next to the times of a sample there are those of others of its class.
    times = x.argmax(axis=1).astype(float)
    apart = np.abs(times[:, None] - times).mean(axis=-1) + 1e3 * np.eye(60)
    assert np.mean(y[apart.argmin(axis=1)] == y) > 0.9


def test_sums_of_the_adding_problem():
    x, y = adding_problem(400, timesteps=7)
    marks = x[..., 1]
    np.testing.assert_array_equal(marks[:, :3].sum(axis=1), 1.0)
    np.testing.assert_array_equal(marks[:, 3:].sum(axis=1), 1.0)
    assert np.all(marks.sum(axis=0) > 60)
    np.testing.assert_allclose(y[:, 0], (x[..., 0] * marks).sum(axis=1), rtol=1e-6)
    assert abs(np.mean((y - 1.0) ** 2) - 1 / 6) < 0.03
    np.testing.assert_array_equal(adding_problem(3, timesteps=2)[0][..., 1], 1.0)


def test_words_of_the_copy_problem():
    x, y = copy_problem(40, length=3, delay=4, symbols=5)
    shown = x.argmax(axis=-1)
    np.testing.assert_array_equal(x.sum(axis=-1), 1.0)
    np.testing.assert_array_equal(shown[:, :3], y[:, -3:])
    np.testing.assert_array_equal(shown[:, 3:], [[5, 5, 5, 6, 5, 5, 5]] * 40)
    np.testing.assert_array_equal(y[:, :-3], 5)
    assert set(y[:, -3:].ravel()) == set(range(5))


def test_bits_of_delayed_xor():
    x, y = delayed_xor(80, timesteps=20, delay=12, width=3)
    fires = x.sum(axis=-1)
    np.testing.assert_array_equal(fires.sum(axis=1), 6.0)
    start = fires.argmax(axis=1)
    assert set(start) == set(range(6))
    samples = np.arange(80)
    first = x[samples, start].argmax(axis=-1)
    second = x[samples, start + 12].argmax(axis=-1)
    np.testing.assert_array_equal(first ^ second, y)
    np.testing.assert_array_equal(np.bincount(2 * first + second), 20)
    noisy, _ = delayed_xor(400, rate=0.5, noise=0.2)
    expected = 0.2 + 0.8 * 2 * 0.5 / 100
    assert abs(noisy.mean() - expected) < 0.01


def test_only_delays_tell_words_apart():
    options = {"classes": 4, "units": 6, "timesteps": 30, "max_delay": 15}
    exact = {"jitter": 0.0, "dropped": 0.0, "noise": 0.0}
    x, y = delayed_keywords(80, **options, **exact)
    np.testing.assert_array_equal(x.sum(axis=1), 1.0)
    times = x.argmax(axis=1)
    delays = times - times.min(axis=1, keepdims=True)
    for label in range(4):
        assert len(np.unique(delays[y == label], axis=0)) == 1
    assert len(np.unique(delays, axis=0)) == 4
    assert len(np.unique(times[y == 0, 0])) > 5
    # The test has the same words, with spikes that are missing, moved and added.
    noisy, label = delayed_keywords(80, **options, split="test")
    word = delays[np.argmax(y[None] == label[:, None], axis=1)]
    same = [
        max(
            sum(noisy[n, s + word[n, i], i] for i in range(6) if s + word[n, i] < 30)
            for s in range(-1, 16)
        )
        for n in range(80)
    ]
    assert 2.0 < np.mean(same) < 5.0


def test_all_possible_words_are_found():
    options = {"units": 2, "timesteps": 4, "max_delay": 1}
    x, y = delayed_keywords(30, classes=3, jitter=0, dropped=0, noise=0, **options)
    times = x.argmax(axis=1)
    assert set(times[:, 0] - times[:, 1]) == {-1, 0, 1}
