"""Sequences as NIR's data, on a grid of time or as events, and back."""

from typing import Any

import keras
import numpy as np

from keras_spiking.export.files import MAX_BYTES
from keras_spiking.export.files import check_bytes
from keras_spiking.export.nir_package import nir
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


def to_nir_data(x: Any, dt: float = 1e-4, *, events: bool = False) -> Any:
    """Makes NIR data of sequences, such as the input or the spikes of a model.

    The neurons of images are numbered with channels first, as in NIR's Flatten.
    `nir.write_data` writes such data, under the names of nodes.

    Args:
        x: Array `(samples, time, ...features)`, images with channels last.
        dt: Float > 0, the duration of a time step. Defaults to `1e-4`.
        events: Boolean, whether to list what is not 0, with its time, in place of a
            grid. Defaults to `False`.

    Returns:
        A `nir.TimeGriddedData`, of booleans if all values are 0 or 1; with `events`,
        a `nir.EventData` for these, else a `nir.ValuedEventData`.

    Raises:
        ValueError: if there is no axis of features.
        ImportError: if the package `nir` is missing.

    Example:

    >>> spikes = keras.ops.array([[[0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]])
    >>> data = keras_spiking.export.to_nir_data(spikes, dt=0.5, events=True)
    >>> [int(i) for i in data.idx[0]], [float(t) for t in data.time[0]]
    ([1, 0, 1], [0.0, 1.0, 1.0])
    >>> grid = keras_spiking.export.from_nir_data(data, dt=0.5)
    >>> bool((grid == keras.ops.convert_to_numpy(spikes)).all())
    True
    """
    check_number("dt", dt, above=0.0)
    check_bool("events", events)
    x = keras.ops.convert_to_numpy(x)
    if x.ndim < 3:
        raise ValueError(
            f"`x` must be (samples, time, ...features). Its shape is {x.shape}."
        )
    if x.ndim > 3:
        x = np.moveaxis(x, -1, 2)
    x = x.reshape(*x.shape[:2], -1)
    binary = bool(np.all((x == 0) | (x == 1)))
    if not events:
        return nir().TimeGriddedData(x.astype(bool) if binary else x, dt)
    samples, steps, neurons = np.nonzero(x)
    count = np.bincount(samples, minlength=len(x))
    place = np.arange(samples.size) - np.repeat(np.cumsum(count) - count, count)
    shape = (len(x), int(count.max(initial=0)))
    indices, times, values = np.full(shape, -1), np.full(shape, np.inf), np.zeros(shape)
    indices[samples, place] = neurons
    times[samples, place] = steps * dt
    values[samples, place] = x[samples, steps, neurons]
    size, end = x.shape[2], x.shape[1] * dt
    if binary:
        return nir().EventData(indices, times, size, end)
    return nir().ValuedEventData(indices, times, size, end, values)


def from_nir_data(
    data: Any,
    dt: float | None = None,
    *,
    shape: tuple[int, ...] | None = None,
    max_bytes: int = MAX_BYTES,
) -> np.ndarray:
    """Makes sequences of NIR data.

    Args:
        data: `nir.TimeGriddedData`, `nir.EventData` or `nir.ValuedEventData`, as in
            the `observables` of what `nir.read_data` reads.
        dt: Float > 0, the duration of a time step. Events need it, in their unit of
            time; grids have their own.
        shape: Tuple of integers, the features, images with channels last. Defaults to
            `(neurons,)`.
        max_bytes: Integer, a limit on the memory of the result. Defaults to `2**30`.

    Returns:
        A float32 array `(samples, time, *shape)`. Of several events of a neuron in a
        step the last counts.

    Raises:
        TypeError: if it is no such data.
        ValueError: if `dt` contradicts the grid or is missing, the features do not
            fit, an event lies outside of the recording, or the result is too large.
        ImportError: if the package `nir` is missing.
    """
    check_integer("max_bytes", max_bytes, minimum=1)
    if dt is not None:
        check_number("dt", dt, above=0.0)
    if isinstance(data, nir().TimeGriddedData):
        if dt is not None and not np.isclose(dt, data.dt):
            raise ValueError(
                f"The grid has steps of {data.dt:g}. Received: dt={dt:g}. Leave it out."
            )
        grid = np.asarray(data.data, "float32")
    elif isinstance(data, nir().EventData):
        grid = _grid(data, dt, max_bytes)
    else:
        raise TypeError(
            "`data` must be a nir.TimeGriddedData, nir.EventData or "
            f"nir.ValuedEventData. Received: {data!r} (of type {type(data).__name__})"
        )
    features = grid.shape[2:] if shape is None else tuple(shape)
    if int(np.prod(features)) != grid.shape[2]:
        raise ValueError(f"`shape` must be {grid.shape[2]} features. Received: {shape}")
    if len(features) == 1:
        return grid
    grid = grid.reshape(*grid.shape[:2], features[-1], *features[:-1])
    return np.ascontiguousarray(np.moveaxis(grid, 2, -1))


def _grid(data, dt, max_bytes):
    if dt is None:
        raise ValueError("Events have no time step: give the duration `dt` of one.")
    # Times are products with `dt`, and quotients of these just below whole numbers.
    count = int(np.round(data.t_max / dt))
    samples, neurons = len(data.idx), int(data.n_neurons)
    check_bytes("the sequences", 4 * samples * count * neurons, max_bytes)
    sample, place = np.nonzero(np.asarray(data.idx) != -1)
    neuron = np.asarray(data.idx)[sample, place]
    time = np.asarray(data.time, "float64")[sample, place]
    step = np.floor(time / dt + 1e-6)
    inside = (step >= 0) & (step < count) & (neuron >= 0) & (neuron < neurons)
    if not np.all(inside):
        first = np.flatnonzero(~inside)[0]
        raise ValueError(
            f"An event of neuron {neuron[first]} at the time {time[first]:g} lies "
            f"outside of {neurons} neurons and the recording of {data.t_max:g}."
        )
    grid = np.zeros((samples, count, neurons), "float32")
    value = getattr(data, "value", None)
    value = 1.0 if value is None else np.asarray(value)[sample, place]
    grid[sample, step.astype(int), neuron] = value
    return grid
