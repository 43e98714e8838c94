"""Words that differ in nothing but the delays between their sounds."""

import numpy as np

from keras_spiking.datasets.splits import shuffled_labels
from keras_spiking.datasets.splits import split_generator
from keras_spiking.datasets.splits import task_generator
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


def delayed_keywords(
    num_samples: int,
    *,
    classes: int = 10,
    units: int = 20,
    timesteps: int = 60,
    max_delay: int = 40,
    jitter: float = 1.0,
    dropped: float = 0.1,
    noise: float = 0.005,
    split: str = "train",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Words of spikes, as from an ear, of which only the delays tell which they are.

    Word `k` has a delay `d[k, i]` for each unit `i`, drawn from `0 ... max_delay`. In a
    sample that begins at step `s`, unit `i` fires at

        t_i = s + d[k, i] + e_i,    e_i = round(jitter n_i),  n_i normally distributed

    kept within the sequence, and is silent with a probability of `dropped`. The
    beginning `s` is random, so that no time by itself tells anything. Besides, all
    units fire at random with a probability of `noise` in each step. All words have
    equally many spikes, and from equal units.

    All splits have the same words.

    Args:
        num_samples: Integer >= 1. Words are equally frequent, if it is a multiple.
        classes: Integer >= 2, number of words, at most `(max_delay + 1)^units -
            max_delay^units`, as many as differ in more than their beginning.
            Defaults to `10`.
        units: Integer >= 2, number of input neurons. Defaults to `20`.
        timesteps: Integer >= 2. Defaults to `60`.
        max_delay: Integer >= 1, less than `timesteps`. Defaults to `40`.
        jitter: Float >= 0, the standard deviation of a spike's time, in steps.
            Defaults to `1.0`.
        dropped: Float in [0, 1). Defaults to `0.1`.
        noise: Float in [0, 1]. Defaults to `0.005`.
        split: `"train"`, `"validation"` or `"test"`. No two share random numbers.
            Defaults to `"train"`.
        seed: Integer >= 0, of words and samples. Defaults to `0`.

    Returns:
        `x`, spikes as a float32 array `(num_samples, timesteps, units)`, and `y`, an
        int64 array `(num_samples,)` of words.

    Raises:
        ValueError: if an argument is out of its range.
        TypeError: if an argument that must be an integer is none.

    Example:

    >>> x, y = keras_spiking.datasets.delayed_keywords(20, timesteps=50)
    >>> x.shape, y.shape
    ((20, 50, 20), (20,))

    References:
        - [Izhikevich, 2006](https://doi.org/10.1162/089976606775093882), of which the
          patterns are, with delays between groups of neurons
        - [Hammouamri et al., 2023](https://arxiv.org/abs/2306.17670), who learn such
          delays for recorded words
    """
    num_samples = check_integer("num_samples", num_samples, minimum=1)
    units = check_integer("units", units, minimum=2)
    timesteps = check_integer("timesteps", timesteps, minimum=2)
    max_delay = check_integer("max_delay", max_delay, minimum=1)
    if max_delay >= timesteps:
        raise ValueError(
            "`max_delay` must be less than `timesteps`, so that a word ends within the "
            f"sequence. Received: max_delay={max_delay}, timesteps={timesteps}"
        )
    classes = check_integer("classes", classes, minimum=2)
    possible = (max_delay + 1) ** units - max_delay**units
    if classes > possible:
        raise ValueError(
            f"There are {possible} words that differ in more than their beginning, "
            "fewer than `classes`. Take more `units` or a longer `max_delay`. "
            f"Received: classes={classes}, units={units}, max_delay={max_delay}"
        )
    jitter = check_number("jitter", jitter, minimum=0.0)
    dropped = check_number("dropped", dropped, minimum=0.0, below=1.0)
    noise = check_number("noise", noise, minimum=0.0, maximum=1.0)
    words = _words(task_generator(seed), classes, units, max_delay)
    generator = split_generator(split, seed)
    labels = shuffled_labels(generator, num_samples, classes)
    start = generator.integers(timesteps - max_delay, size=(num_samples, 1))
    shape = (num_samples, units)
    moved = np.rint(jitter * generator.standard_normal(shape)).astype("int64")
    times = np.clip(start + words[labels] + moved, 0, timesteps - 1)
    heard = generator.random(shape) >= dropped
    x = generator.random((num_samples, timesteps, units)) < noise
    samples, unit = np.nonzero(heard)
    x[samples, times[samples, unit], unit] = True
    return x.astype("float32"), labels


def _words(generator, classes, units, max_delay):
    """Delays `(classes, units)`, of which no two rows differ by a constant."""
    words = {}
    while len(words) < classes:
        delays = generator.integers(max_delay + 1, size=units)
        words.setdefault(tuple(delays - delays.min()), delays)
    return np.array(list(words.values()))
