"""The Yin-Yang data set: three classes that no shallow network tells apart."""

import numpy as np

from keras_spiking.datasets.splits import split_generator
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number

_RADIUS = 0.5
_CLASSES = 3
# Points that are drawn at once until each class has enough of them.
_DRAWN = 4096


def yin_yang(
    num_samples: int,
    *,
    r_small: float = 0.1,
    split: str = "train",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Points of the Yin-Yang symbol, to be told yin from yang from its dots.

    The symbol is the disc of radius `R = 0.5` around `(R, R)`. With the distances `l`
    and `r` of a point `(x, y)` from the centres `(R / 2, R)` and `(3 R / 2, R)` of the
    dots, its class is

        2 (dot)     if l < r_small or r < r_small, else
        1 (yang)    if l <= R / 2, or y > R and r > R / 2, else
        0 (yin)

    A class is drawn for each sample, then points of the disc until one is of that
    class. Each point comes with its mirror image, `(x, y, 1 - x, 1 - y)`, so that
    neurons need no bias. Encoded by `LatencyEncoder`, these are times of spikes.

    Of the published results, a linear classifier reaches 64 % and a network with a
    hidden layer of 120 units 98.7 %.

    Args:
        num_samples: Integer >= 1. The paper has 5,000 for training, 1,000 for
            validation and 1,000 for the test.
        r_small: Float in [0.01, 0.25), the radius of the dots. Defaults to `0.1`.
        split: `"train"`, `"validation"` or `"test"`. No two share random numbers.
            Defaults to `"train"`.
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        `x`, a float32 array `(num_samples, 4)` of values in [0, 1], and `y`, an int64
        array `(num_samples,)` of classes.

    Raises:
        ValueError: if an argument is out of its range.
        TypeError: if `num_samples` or `seed` is no integer.

    Example:

    >>> x, y = keras_spiking.datasets.yin_yang(5000)
    >>> x.shape, y.shape
    ((5000, 4), (5000,))

    References:
        - [Kriener et al., 2022](https://arxiv.org/abs/2102.08211)
    """
    num_samples = check_integer("num_samples", num_samples, minimum=1)
    r_small = check_number("r_small", r_small, minimum=0.01, below=_RADIUS / 2)
    generator = split_generator(split, seed)
    labels = generator.integers(_CLASSES, size=num_samples)
    points = np.empty((num_samples, 2))
    missing = [np.flatnonzero(labels == c) for c in range(_CLASSES)]
    while any(map(len, missing)):
        drawn = generator.uniform(0.0, 2 * _RADIUS, (_DRAWN, 2))
        drawn = drawn[np.linalg.norm(drawn - _RADIUS, axis=1) <= _RADIUS]
        found = _classify(drawn[:, 0], drawn[:, 1], r_small)
        for c, places in enumerate(missing):
            fitting = drawn[found == c][: len(places)]
            points[places[: len(fitting)]] = fitting
            missing[c] = places[len(fitting) :]
    return np.hstack([points, 1.0 - points]).astype("float32"), labels


def _classify(x, y, r_small):
    left = np.hypot(x - 0.5 * _RADIUS, y - _RADIUS)
    right = np.hypot(x - 1.5 * _RADIUS, y - _RADIUS)
    yang = (left <= 0.5 * _RADIUS) | ((y > _RADIUS) & (right > 0.5 * _RADIUS))
    return np.where(np.minimum(left, right) < r_small, 2, yang)
