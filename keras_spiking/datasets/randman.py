"""Randman: times of spikes from smooth random manifolds."""

import numpy as np

from keras_spiking.datasets.splits import shuffled_labels
from keras_spiking.datasets.splits import split_generator
from keras_spiking.datasets.splits import task_generator
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number

# The largest weight that is left out, as in the published code.
_PRECISION = 1e-3
_MOST_FREQUENCIES = 1000
# Points of a manifold that tell its extent.
_SURVEYED = 1000


def randman(
    num_samples: int,
    *,
    classes: int = 10,
    units: int = 20,
    timesteps: int = 100,
    dimensions: int = 1,
    alpha: float = 3.0,
    spikes: int = 1,
    split: str = "train",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes at times that are points of smooth random manifolds, one per class.

    A manifold of `D` dimensions is the image of the unit cube. Unit `i` has there

        f_i(x) = prod_d sum_k A k^-alpha sin(2 pi ((k - 1) B x_d + C)),  k = 1, 2, ...

    with `A`, `B` and `C` uniform in [0, 1] and drawn for each `i`, `d` and `k`, and
    with `A = 0` for `k = 1`. The sum ends where `k^-alpha` is below `0.001`. A sample
    is a random point `x`; unit `i` fires at the time `f_i(x)`, scaled so that the
    manifold reaches from the first to the last time step in every unit. Each unit
    fires equally often in every sample: only times tell the classes apart. The smaller
    `alpha` and the larger `dimensions`, the harder it is.

    All splits have the same manifolds, which are scaled by points of their own, and
    different points on them.

    Args:
        num_samples: Integer >= 1. Classes have equally many, if it is a multiple.
        classes: Integer >= 2, number of manifolds. Defaults to `10`.
        units: Integer >= 1, number of input neurons. Defaults to `20`.
        timesteps: Integer >= 2. Defaults to `100`.
        dimensions: Integer >= 1, of the manifolds. Defaults to `1`.
        alpha: Float >= 1, how smooth they are. At 1, the sum has 1,000 terms, and a
            thousand samples take about half a minute. Defaults to `3.0`.
        spikes: Integer from 1 to `timesteps`, of a unit, each from a manifold of its
            own. Two in one step are one spike. Defaults to `1`.
        split: `"train"`, `"validation"` or `"test"`. No two share random numbers.
            Defaults to `"train"`.
        seed: Integer >= 0, of manifolds and points. Defaults to `0`.

    Returns:
        `x`, spikes as a float32 array `(num_samples, timesteps, units)`, and `y`, an
        int64 array `(num_samples,)` of classes.

    Raises:
        ValueError: if an argument is out of its range.
        TypeError: if an argument that must be an integer is none.

    Example:

    >>> x, y = keras_spiking.datasets.randman(50, classes=5, timesteps=30)
    >>> x.shape, y.shape
    ((50, 30, 20), (50,))

    References:
        - [Zenke and Vogels, 2021](https://doi.org/10.1162/neco_a_01367)
    """
    num_samples = check_integer("num_samples", num_samples, minimum=1)
    classes = check_integer("classes", classes, minimum=2)
    units = check_integer("units", units, minimum=1)
    timesteps = check_integer("timesteps", timesteps, minimum=2)
    dimensions = check_integer("dimensions", dimensions, minimum=1)
    alpha = check_number("alpha", alpha, minimum=1.0)
    spikes = check_integer("spikes", spikes, minimum=1, maximum=timesteps)
    generator = split_generator(split, seed)
    labels = shuffled_labels(generator, num_samples, classes)
    points = generator.uniform(size=(num_samples, dimensions))
    shapes = task_generator(seed)
    x = np.zeros((num_samples, timesteps, units), "float32")
    for label in range(classes):
        samples = np.flatnonzero(labels == label)
        for _ in range(spikes):
            manifold = _Manifold(units, dimensions, alpha, shapes)
            times = manifold(points[samples])
            steps = np.minimum((times * timesteps).astype("int64"), timesteps - 1)
            x[samples[:, None], steps, np.arange(units)] = 1.0
    return x, labels


class _Manifold:
    """A function from the unit cube to as many numbers in [0, 1] as there are units."""

    def __init__(self, units, dimensions, alpha, generator):
        frequencies = np.ceil(_PRECISION ** (-1.0 / alpha))
        frequencies = int(min(max(frequencies, 2), _MOST_FREQUENCIES))
        shape = (3, frequencies, dimensions, units)
        self.amplitude, self.stretch, self.phase = generator.uniform(size=shape)
        self.amplitude[0] = 0.0
        k = np.arange(1.0, frequencies + 1)
        self.amplitude *= (k**-alpha)[:, None, None]
        self.stretch *= (k - 1)[:, None, None]
        surveyed = self._evaluate(generator.uniform(size=(_SURVEYED, dimensions)))
        self.low, self.high = surveyed.min(0), surveyed.max(0)

    def _evaluate(self, points):
        sums = 0.0
        for amplitude, stretch, phase in zip(self.amplitude, self.stretch, self.phase):
            turns = stretch * points[..., None] + phase
            sums = sums + amplitude * np.sin(2.0 * np.pi * turns)
        return np.prod(sums, axis=-2)

    def __call__(self, points):
        scaled = (self._evaluate(points) - self.low) / (self.high - self.low)
        return np.clip(scaled, 0.0, 1.0)
