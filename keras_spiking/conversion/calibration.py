"""Thresholds from the activations of the ANN on calibration data."""

import keras
import numpy as np
from keras import ops

from keras_spiking.conversion.graph import run
from keras_spiking.conversion.rules import Rectifier
from keras_spiking.progress import progress_bar
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_samples

METHODS = ("max", "percentile", "scale", "ltb")


def check_data(graph, data):
    """Returns calibration data as a list of arrays, one for each input."""
    inputs = keras.tree.flatten(graph.inputs)
    if isinstance(data, dict) and not isinstance(graph.inputs, dict):
        data = [data.get(x.name) for x in inputs]  # as Keras does it
    arrays = [np.asarray(x) for x in keras.tree.flatten(data)]
    check_samples("calibration_data", arrays, inputs)
    return arrays


def batches(data, batch_size):
    """Splits a list of arrays into lists of arrays of `batch_size` samples."""
    check_integer("batch_size", batch_size, minimum=1)
    for start in range(0, len(data[0]), batch_size):
        yield [x[start : start + batch_size] for x in data]


def thresholds(
    graph, data, timesteps, method, percentile, scale, channel_wise, size, verbose=0
):
    """The threshold for each rectifier of a graph, by its name.

    Returns:
        Dictionary from names to floats or, channel-wise, to arrays that broadcast
        over the features.
    """
    calls = [c for c in graph.calls if isinstance(c.operation, Rectifier)]
    axes = {c.name: _known_channels(graph, c) if channel_wise else None for c in calls}
    passes = 1 if method in ("max", "scale") else 2
    progress = progress_bar(passes * -(-len(data[0]) // size), verbose, "batch")

    def rows():
        for batch in batches(data, size):
            values = run_graph(graph, batch)
            for call in calls:
                yield call.name, channel_rows(_signal(call, values), axes[call.name])
            progress.add(1)

    peaks = {}
    for name, x in rows():
        peak = x.max(axis=1)
        peaks[name] = np.maximum(peaks[name], peak) if name in peaks else peak
    chosen = peaks
    if method == "scale":
        chosen = {name: scale * peak for name, peak in peaks.items()}
    elif method != "max":
        histograms = {name: _Histogram(peak) for name, peak in peaks.items()}
        for name, x in rows():
            histograms[name].add(x)
        chosen = {
            name: histogram.percentile(percentile)
            if method == "percentile"
            else histogram.best_threshold(timesteps)
            for name, histogram in histograms.items()
        }
    return {c.name: _threshold(c, chosen[c.name], axes[c.name]) for c in calls}


def run_graph(graph, batch):
    """The values of all tensors of a graph, by their id, for a list of arrays."""
    inputs = keras.tree.flatten(graph.inputs)
    values = {id(x): ops.convert_to_tensor(y, x.dtype) for x, y in zip(inputs, batch)}
    return run(graph.calls, values)


def _signal(call, values):
    """What must stay below the threshold: activations, or, for neurons that fire
    in both directions, the size of their input."""
    if np.any(call.operation.negative_slope):
        return np.abs(ops.convert_to_numpy(values[id(call.inputs[0])]))
    return ops.convert_to_numpy(values[id(call.outputs[0])])


def channel_rows(x, axis):
    """All values in one row, or the values of each channel in a row."""
    if axis is None:
        return x.reshape(1, -1)
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def _known_channels(graph, call):
    """The axis of channels, or `None` if the number of channels is left open, as that
    of the keys of attention weights may be."""
    axis = channels(graph, call)
    return None if call.inputs[0].shape[axis] is None else axis


def channels(graph, call):
    """The axis of channels of a call's output: 1 after a convolution whose
    channels come first, else the last."""
    (tensor,) = call.inputs
    last = len(tensor.shape) - 1
    while len(tensor.shape) == last + 1 > 2:
        call = next((c for c in graph.calls if tensor in c.outputs), None)
        if call is None:
            break
        if hasattr(call.operation, "data_format"):
            return 1 if call.operation.data_format == "channels_first" else last
        tensor = call.inputs[0]
    return last


def _threshold(call, values, axis):
    rectifier = call.operation
    if rectifier.levels is not None:
        return rectifier.maximum
    # A channel that was never active has no maximum: it gets that of the others.
    fallback = values.max() if values.max() > 0.0 else 1.0
    values = np.where(values > 0.0, values, fallback)
    if rectifier.maximum is not None:
        values = np.minimum(values, rectifier.maximum)
    if axis is None:
        return float(values[0])
    return to_channels(values, call, axis)


def to_channels(values, call, axis):
    """One value a channel, in a shape that broadcasts over the features."""
    following = len(call.outputs[0].shape) - 1 - axis
    return values.reshape(-1, *(1,) * following)


class _Histogram:
    """Counts activations in bins that grow geometrically up to the maximum.

    So each quantile is known to within 0.3 % wherever the maximum is, in memory
    that does not grow with the data. All that is below `LOWEST` times the
    maximum is in the first bin.
    """

    BINS = 4096
    LOWEST = 1e-5

    def __init__(self, peaks):
        self.peaks = peaks[:, None]
        self.counts = np.zeros((len(peaks), self.BINS))
        self.edges = np.geomspace(self.LOWEST, 1.0, self.BINS)

    def add(self, x):
        relative = x / np.where(self.peaks > 0.0, self.peaks, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            position = 1.0 - np.log(relative) / np.log(self.LOWEST)
        position = np.nan_to_num(position, nan=0.0, neginf=0.0)
        index = np.clip(np.ceil(position * (self.BINS - 1)), 0, self.BINS - 1)
        index = index.astype("int64") + np.arange(len(x))[:, None] * self.BINS
        counts = np.bincount(index.ravel(), minlength=self.counts.size)
        self.counts += counts.reshape(self.counts.shape)

    def percentile(self, percentile):
        """The percentile of each row."""
        below = np.cumsum(self.counts, axis=1)
        below = below / below[:, -1:] * 100.0
        edges = [np.interp(percentile, row, self.edges) for row in below]
        return np.array(edges) * self.peaks[:, 0]

    def best_threshold(self, timesteps, candidates=100):
        """The threshold with the least squared error of the rates, each row's.

        That is the error between the activation and the rate after `timesteps`
        steps, clipping and quantisation together.
        """
        thresholds = np.linspace(1.0 / candidates, 1.0, candidates)[:, None]
        quantum = thresholds / timesteps
        spikes = np.clip(np.floor(self.edges / quantum + 0.5), 0, timesteps)
        errors = (spikes * quantum - self.edges) ** 2
        best = np.argmin(self.counts @ errors.T, axis=1)
        return thresholds[best, 0] * self.peaks[:, 0]
