from typing import Any

import keras
from keras import ops

from keras_spiking.conversion.graph import run
from keras_spiking.conversion.graph import trace
from keras_spiking.conversion.spiking_model import SpikingModel
from keras_spiking.conversion.spiking_model import check_spiking_model
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.progress import check_verbose
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_timesteps


def simulate(
    snn: SpikingModel,
    x: Any,
    timesteps: int | None = None,
    *,
    batch_size: int = 32,
    verbose: int = 0,
) -> Any:
    """The outputs of a converted network after every time step.

    Args:
        snn: `SpikingModel`, as `convert` returns it. It is not changed.
        x: Array of inputs, or a structure of arrays as the model takes it.
        timesteps: Integer >= 1. Defaults to `None`, the model's own number.
        batch_size: Integer >= 1. Defaults to `32`.
        verbose: 0, or 1 or 2 to show progress, as in `fit`. Defaults to `0`.

    Returns:
        Array `(batch, timesteps, ...)`, or a structure of arrays as the model
        returns it. Element `[:, t - 1]` is what `snn.predict(x)` returns for
        `snn.timesteps = t`.

    Raises:
        TypeError: if `snn` is not a converted network.
        ValueError: if `timesteps < 1`.

    Example:

    >>> ann = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu")])
    >>> x = keras.random.uniform((16, 4))
    >>> snn = keras_spiking.conversion.convert(ann, x, timesteps=32)
    >>> keras_spiking.conversion.simulate(snn, x, timesteps=50).shape
    (16, 50, 3)
    """
    check_spiking_model(snn)
    check_integer("batch_size", batch_size, minimum=1)
    verbose = check_verbose(verbose)
    timesteps = check_timesteps(snn.timesteps if timesteps is None else timesteps)
    simulation = snn.simulation
    steps = StepByStep(simulation.layers[0], timesteps, reduce=None)
    sequences: Any = keras.Model(snn.inputs, steps(simulation.input))
    sequences = sequences.predict(x, batch_size=batch_size, verbose=verbose)

    # The heads are applied to the means of all steps as if these were samples.
    graph: Any = trace(snn)
    call = next(c for c in graph.calls if isinstance(c.operation, StepByStep))
    values = {
        id(tensor): y.reshape(-1, *y.shape[2:])
        for tensor, y in zip(call.outputs, keras.tree.flatten(sequences))
    }
    for call in graph.calls:
        if all(id(x) in values for x in call.inputs):
            run([call], values)
    return keras.tree.map_structure(
        lambda y: ops.convert_to_numpy(values[id(y)]).reshape(
            -1, timesteps, *y.shape[1:]
        ),
        graph.outputs,
    )
