import numpy as np
import pytest

from keras_spiking.datasets import mackey_glass

pytestmark = pytest.mark.once


def test_series_solves_its_equation():
    """By differences over a fine grid, of which the delay is a multiple."""
    tau, step = 2.0, 0.01
    x = mackey_glass(2000, tau=tau, interval=step, washout=1000, seed=3)
    n = round(tau / step)
    change = (x[n + 2 :] - x[n:-2]) / (2 * step)
    before = x[1 : -n - 1]
    expected = 0.2 * before / (1 + before**10) - 0.1 * x[n + 1 : -1]
    np.testing.assert_allclose(change, expected, atol=1e-6)


def test_steps_are_fine_enough():
    # An interval of 0.35 is divided by 4, one of 0.07 by 1.
    coarse = mackey_glass(200, interval=0.35, washout=0, seed=1)
    fine = mackey_glass(1000, interval=0.07, washout=0, seed=1)[::5]
    np.testing.assert_allclose(coarse, fine, rtol=1e-5)


def test_constant_series_without_chaos():
    """With a short delay, the series goes to where both terms are equal, 1."""
    np.testing.assert_allclose(mackey_glass(3, tau=1.0), 1.0, rtol=1e-6)


def test_seeds_and_lengths():
    x = mackey_glass(300, seed=1)
    np.testing.assert_array_equal(x[:100], mackey_glass(100, seed=1))
    np.testing.assert_array_equal(x[50:], mackey_glass(250, washout=1050, seed=1))
    assert np.abs(x - mackey_glass(300, seed=2)).max() > 0.1
    assert x.dtype == "float64" and 0.2 < x.min() < x.max() < 1.4


@pytest.mark.parametrize(
    "argument", [{"tau": 0.0}, {"interval": 0.0}, {"washout": -1}, {"beta": np.nan}]
)
def test_bad_input(argument):
    with pytest.raises(ValueError, match=f"`{next(iter(argument))}` must be"):
        mackey_glass(10, **argument)
