"""Tasks that ask for what was seen long ago."""

import numpy as np

from keras_spiking.datasets.splits import shuffled_labels
from keras_spiking.datasets.splits import split_generator
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


def adding_problem(
    num_samples: int,
    *,
    timesteps: int = 100,
    split: str = "train",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Two marked numbers of a sequence, to be added.

        y = x[t1, 0] + x[t2, 0],    0 <= t1 < T // 2 <= t2 < T

    `x[t, 0]` is uniform in [0, 1], and `x[t, 1]` is 1 at `t1` and `t2`, which are
    uniform in either half of the `T = timesteps`, and 0 elsewhere. The answer 1 to
    everything has a mean squared error of 1 / 6.

    Args:
        num_samples: Integer >= 1.
        timesteps: Integer >= 2. Defaults to `100`.
        split: `"train"`, `"validation"` or `"test"`. No two share random numbers.
            Defaults to `"train"`.
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        `x`, a float32 array `(num_samples, timesteps, 2)`, and `y`, a float32 array
        `(num_samples, 1)` of values in [0, 2].

    Raises:
        ValueError: if an argument is out of its range.
        TypeError: if an argument that must be an integer is none.

    Example:

    >>> x, y = keras_spiking.datasets.adding_problem(3, timesteps=8)
    >>> [float(n) for n in x[..., 1].sum(axis=1)]
    [2.0, 2.0, 2.0]

    References:
        - [Hochreiter and Schmidhuber, 1997](https://doi.org/10.1162/neco.1997.9.8.1735)
        - [Le et al., 2015](https://arxiv.org/abs/1504.00941)
    """
    num_samples = check_integer("num_samples", num_samples, minimum=1)
    timesteps = check_integer("timesteps", timesteps, minimum=2)
    generator = split_generator(split, seed)
    half = timesteps // 2
    first = generator.integers(half, size=num_samples)
    second = generator.integers(half, timesteps, size=num_samples)
    x = np.zeros((num_samples, timesteps, 2), "float32")
    x[..., 0] = generator.random((num_samples, timesteps), "float32")
    samples = np.arange(num_samples)
    x[samples, first, 1] = x[samples, second, 1] = 1.0
    return x, x[samples, first, :1] + x[samples, second, :1]


def copy_problem(
    num_samples: int,
    *,
    length: int = 10,
    delay: int = 100,
    symbols: int = 8,
    split: str = "train",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """A word, to be repeated after a delay, when a signal asks for it.

    With the symbols `0 ... S - 1`, the blank `S` and the signal `S + 1`, in
    `delay + 2 length` time steps:

        x:  length random symbols, delay - 1 blanks, the signal, length blanks
        y:  length + delay blanks, the same symbols

    Who remembers nothing answers with blanks, then guesses, and has a mean cross
    entropy of `length log(S) / (delay + 2 length)`.

    Args:
        num_samples: Integer >= 1.
        length: Integer >= 1, of the word. Defaults to `10`.
        delay: Integer >= 1, steps from the last symbol to the signal. Defaults to
            `100`.
        symbols: Integer >= 2, `S`. Defaults to `8`.
        split: `"train"`, `"validation"` or `"test"`. No two share random numbers, but
            of few short words the same may be drawn in both. Defaults to `"train"`.
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        `x`, one-hot codes as a float32 array `(num_samples, delay + 2 length,
        symbols + 2)`, and `y`, an int64 array `(num_samples, delay + 2 length)` of
        classes from 0 to `symbols`.

    Raises:
        ValueError: if an argument is out of its range.
        TypeError: if an argument that must be an integer is none.

    Example:

    >>> x, y = keras_spiking.datasets.copy_problem(1, length=2, delay=3, symbols=2)
    >>> [int(s) for s in x[0].argmax(axis=-1)], [int(s) for s in y[0]]
    ([1, 1, 2, 2, 3, 2, 2], [2, 2, 2, 2, 2, 1, 1])

    References:
        - [Hochreiter and Schmidhuber, 1997](https://doi.org/10.1162/neco.1997.9.8.1735)
        - [Arjovsky et al., 2016](https://arxiv.org/abs/1511.06464)
    """
    num_samples = check_integer("num_samples", num_samples, minimum=1)
    length = check_integer("length", length, minimum=1)
    delay = check_integer("delay", delay, minimum=1)
    symbols = check_integer("symbols", symbols, minimum=2)
    generator = split_generator(split, seed)
    word = generator.integers(symbols, size=(num_samples, length))
    shown = np.full((num_samples, delay + 2 * length), symbols)
    answer = shown.copy()
    shown[:, :length] = answer[:, -length:] = word
    shown[:, length + delay - 1] = symbols + 1
    return np.eye(symbols + 2, dtype="float32")[shown], answer


def delayed_xor(
    num_samples: int,
    *,
    timesteps: int = 50,
    delay: int = 30,
    width: int = 1,
    rate: float = 1.0,
    noise: float = 0.0,
    split: str = "train",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Two bits, one some time after the other, of which the exclusive or is asked.

        y = first XOR second

    Input 0 fires for a bit of 0 and input 1 for a bit of 1, in `width` steps for each
    bit, with a probability of `rate`. The second bit begins `delay` steps after the
    first, which begins at a random step that leaves time for both. Besides, all
    inputs fire at random with a probability of `noise` in each step. All four pairs
    of bits are equally frequent.

    Args:
        num_samples: Integer >= 1.
        timesteps: Integer >= 2. Defaults to `50`.
        delay: Integer >= `width`, at most `timesteps - width`. Defaults to `30`.
        width: Integer >= 1, how many steps a bit takes. Defaults to `1`.
        rate: Float in (0, 1], of the input that a bit makes fire. Defaults to `1.0`.
        noise: Float in [0, 1]. Defaults to `0.0`.
        split: `"train"`, `"validation"` or `"test"`. No two share random numbers.
            Defaults to `"train"`.
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        `x`, spikes as a float32 array `(num_samples, timesteps, 2)`, and `y`, an int64
        array `(num_samples,)` of 0 and 1.

    Raises:
        ValueError: if an argument is out of its range, or the second bit would not
            end within the sequence.
        TypeError: if an argument that must be an integer is none.

    Example:

    >>> x, y = keras_spiking.datasets.delayed_xor(4, timesteps=4, delay=3)
    >>> [int(s) for s in x[0, 0]], [int(s) for s in x[0, 3]], int(y[0])
    ([1, 0], [0, 1], 1)

    References:
        - [Hochreiter and Schmidhuber, 1997](https://doi.org/10.1162/neco.1997.9.8.1735)
        - [Kim et al., 2019](https://doi.org/10.1073/pnas.1905926116)
    """
    num_samples = check_integer("num_samples", num_samples, minimum=1)
    timesteps = check_integer("timesteps", timesteps, minimum=2)
    width = check_integer("width", width, minimum=1)
    delay = check_integer("delay", delay, minimum=width)
    if delay + width > timesteps:
        raise ValueError(
            "`delay + width` must be at most `timesteps`, so that the second bit ends "
            "within the sequence. Received: "
            f"delay={delay}, width={width}, timesteps={timesteps}"
        )
    rate = check_number("rate", rate, above=0.0, maximum=1.0)
    noise = check_number("noise", noise, minimum=0.0, maximum=1.0)
    generator = split_generator(split, seed)
    pairs = shuffled_labels(generator, num_samples, 4)
    bits = np.stack([pairs // 2, pairs % 2], axis=1)
    start = generator.integers(timesteps - delay - width + 1, size=num_samples)
    x = generator.random((num_samples, timesteps, 2)) < noise
    samples = np.arange(num_samples)[:, None]
    for bit, onset in zip(bits.T, (start, start + delay)):
        steps = onset[:, None] + np.arange(width)
        x[samples, steps, bit[:, None]] |= generator.random(steps.shape) < rate
    return x.astype("float32"), bits[:, 0] ^ bits[:, 1]
