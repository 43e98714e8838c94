"""Noise with a power spectrum of `1 / f^exponent`."""

from typing import Any

import keras
import numpy as np
from keras import ops


def coloured_noise(
    shape: tuple[Any, ...], exponent: float, seed: Any = None, dtype: str = "float32"
) -> Any:
    """Normal noise of unit variance that is coloured along the second axis.

    Each frequency has a random amplitude and phase, by the method of Timmer and König
    (1995). An exponent of 0 gives white noise, 1 pink and 2 brown noise.

    Args:
        shape: Tuple `(batch, time, ...)` of a known number of time steps.
        exponent: Float.
        seed: Integer or `keras.random.SeedGenerator`.
        dtype: `"float32"` or `"float64"`.
    """
    batch, steps, *features = shape
    scale = ops.convert_to_tensor(spectrum(steps, exponent), dtype)
    size = (2, batch, *features, steps // 2 + 1)
    noise = keras.random.normal(size, dtype=dtype, seed=seed)
    real, imaginary = noise[0] * scale[:, 0], noise[1] * scale[:, 1]
    noise = ops.irfft((real, imaginary), fft_length=steps)
    return ops.moveaxis(ops.cast(noise, dtype), -1, 1)


def spectrum(steps: int, exponent: float) -> np.ndarray:
    """Standard deviations of the real and imaginary parts, `(steps // 2 + 1, 2)`.

    The lowest frequency that fits into the sequence stands for all below it, and the
    variance of the noise is 1. The parts whose signal is real have no phase.
    """
    frequencies = np.fft.rfftfreq(steps)
    frequencies[0] = frequencies[1] if steps > 1 else 1.0
    scale = np.stack([frequencies ** (-exponent / 2.0)] * 2, axis=1)
    real = [0] if steps % 2 else [0, -1]
    scale[real] *= (np.sqrt(2.0), 0.0)
    power = np.sum(scale**2, axis=1)
    power[1 : len(power) - (steps % 2 == 0)] *= 2.0  # of negative frequencies, too
    return (scale / np.sqrt(power.sum()) * steps).astype("float32")
