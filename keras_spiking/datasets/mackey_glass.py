"""The chaotic series of Mackey and Glass, a benchmark of prediction."""

import math

import numpy as np

from keras_spiking.datasets.splits import split_generator
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number

_LONGEST_STEP = 0.1


def mackey_glass(
    length: int,
    *,
    tau: float = 17.0,
    beta: float = 0.2,
    gamma: float = 0.1,
    exponent: float = 10.0,
    interval: float = 1.0,
    washout: int = 1000,
    split: str = "train",
    seed: int = 0,
) -> np.ndarray:
    """A series of Mackey and Glass, chaotic for a delay `tau` of 17 and more.

        dx/dt = beta x(t - tau) / (1 + x(t - tau)^exponent) - gamma x(t)

    It is integrated by the classical method of Runge and Kutta of order four, in steps
    of 0.1 at most, from a constant past between 0.5 and 1.5 that the seed draws.

    Args:
        length: Integer >= 1, the number of values.
        tau: Float >= 0.1, the delay. Defaults to `17.0`.
        beta: Float > 0. Defaults to `0.2`.
        gamma: Float in (0, 10]. Defaults to `0.1`.
        exponent: Float > 0. Defaults to `10.0`.
        interval: Float > 0, the time between two values. NeuroBench takes 75 in a
            Lyapunov time, `197 / 75`. Defaults to `1.0`.
        washout: Integer >= 0, how many values are left out at the beginning. Defaults
            to `1000`.
        split: `"train"`, `"validation"` or `"test"`: three series, which chaos drives
            apart within the `washout`. Defaults to `"train"`.
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        A float64 array `(length,)`.

    Raises:
        ValueError: if an argument is out of its range, or the series overflows.
        TypeError: if an argument that must be an integer is none.

    Example:

    >>> x = keras_spiking.datasets.mackey_glass(200)
    >>> bool(0.2 < x.min() < x.max() < 1.4)
    True

    References:
        - [Mackey and Glass, 1977](https://doi.org/10.1126/science.267326)
    """
    length = check_integer("length", length, minimum=1)
    tau = check_number("tau", tau, minimum=_LONGEST_STEP)
    for name, value in {
        "beta": beta,
        "gamma": gamma,
        "exponent": exponent,
        "interval": interval,
    }.items():
        check_number(name, value, above=0.0)
    washout = check_integer("washout", washout, minimum=0)
    check_number("gamma", gamma, maximum=1.0 / _LONGEST_STEP)
    start = split_generator(split, seed).uniform(0.5, 1.5)
    substeps = math.ceil(interval / _LONGEST_STEP)
    step = interval / substeps
    # Values and slopes from before time 0, when the series was constant.
    past = math.ceil(tau / step) + 1
    x, slope = [start] * past, [0.0] * past

    def delayed(offset):
        """`x(t + offset - tau)`, between the known values by cubic polynomials."""
        place = len(x) - 1 + (offset - tau) / step
        i = min(max(int(place), 0), len(x) - 2)
        s = place - i
        return (
            (1 + 2 * s) * (1 - s) ** 2 * x[i]
            + s**2 * (3 - 2 * s) * x[i + 1]
            + step * s * (1 - s) * ((1 - s) * slope[i] - s * slope[i + 1])
        )

    def growth(offset):
        y = delayed(offset)
        try:
            return beta * y / (1.0 + y**exponent)
        except OverflowError:
            raise ValueError(
                "The series overflows. Take smaller numbers. Received: "
                f"beta={beta}, gamma={gamma}, exponent={exponent}"
            ) from None

    for _ in range((washout + length - 1) * substeps):
        now = x[-1]
        slope[-1] = k1 = growth(0.0) - gamma * now
        between, after = growth(step / 2), growth(step)
        k2 = between - gamma * (now + step / 2 * k1)
        k3 = between - gamma * (now + step / 2 * k2)
        k4 = after - gamma * (now + step * k3)
        x.append(now + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        slope.append(0.0)
    return np.array(x[past - 1 :: substeps][washout:])
