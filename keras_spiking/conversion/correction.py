"""Calibration of a network after conversion: mean rates are corrected."""

import numpy as np
from keras import ops

from keras_spiking.conversion.calibration import batches
from keras_spiking.conversion.calibration import channel_rows
from keras_spiking.conversion.calibration import channels
from keras_spiking.conversion.calibration import run_graph
from keras_spiking.conversion.calibration import to_channels
from keras_spiking.conversion.folding import copy_layer
from keras_spiking.conversion.measure import means_over_time
from keras_spiking.conversion.measure import step_of
from keras_spiking.conversion.rules import Rectifier
from keras_spiking.parameter import current_value
from keras_spiking.progress import progress_bar


def correct(graph, neurons, assemble, data, correction, batch_size, verbose):
    """Replaces `neurons`, layer after layer, by corrected ones.

    The difference between the mean activation of a channel and its mean rate is
    added to the constant current (`"bias"`), or, times the number of steps, to
    the initial membrane potential (`"potential"`).

    Args:
        graph: Graph of the ANN.
        neurons: Dictionary from names of calls to layers of neurons.
        assemble: Callable, returns the `SpikingModel` of the present `neurons`.
        data: List of arrays, the calibration data.
        correction: `"bias"` or `"potential"`.
        batch_size: Integer.
        verbose: See `convert`.
    """
    calls = [c for c in graph.calls if isinstance(c.operation, Rectifier)]
    targets = _mean_activations(graph, calls, data, batch_size)
    progress = progress_bar(len(calls), verbose, "layer")
    for call in calls:
        snn = assemble()
        tensor = step_of(snn).get_layer(call.name).output
        (rates,) = means_over_time(snn, [tensor], data, batch_size)
        axis = channels(graph, call)
        missing = targets[call.name] - channel_rows(rates, axis).mean(axis=1)
        missing = to_channels(missing, call, axis)
        name, factor = "current", 1.0
        if correction == "potential":
            name, factor = "v_init", snn.timesteps
        value = np.asarray(current_value(neurons[call.name], name))
        changed = {name: value + factor * missing}
        neurons[call.name] = copy_layer(neurons[call.name], **changed)
        progress.add(1)


def _mean_activations(graph, calls, data, batch_size):
    sums = {}
    for batch in batches(data, batch_size):
        values = run_graph(graph, batch)
        for call in calls:
            x = ops.convert_to_numpy(values[id(call.outputs[0])])
            rows = channel_rows(x, channels(graph, call)).mean(axis=1) * len(x)
            sums[call.name] = sums.get(call.name, 0.0) + rows
    return {name: total / len(data[0]) for name, total in sums.items()}
