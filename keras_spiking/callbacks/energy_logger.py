from collections.abc import Iterable
from typing import Any

import keras

from keras_spiking.energy.costs import Cost
from keras_spiking.energy.costs import get_costs
from keras_spiking.energy.report import report
from keras_spiking.validation import check_integer


class EnergyLogger(keras.callbacks.Callback):
    """Logs synaptic operations and energy at the end of every epoch.

    Runs the model on data of its own, see `keras_spiking.energy.report`, and adds to
    the logs, all per sample,

    - `"spikes"`, `"acs"` (accumulations) and `"macs"` (multiply-accumulations),
    - `"energy/{cost}"`: joules for each cost.

    They are in the `History` that `fit` returns. Callbacks that shall see them, such as
    `CSVLogger`, come later in the list.

    Args:
        data: Inputs to count on, an array or a structure of arrays.
        costs: See `keras_spiking.energy.report`. Defaults to `"45nm"`.
        batch_size: Integer >= 1. Defaults to `32`.

    Attributes:
        reports: List of `keras_spiking.energy.Report`s, one for each epoch.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((5, 3)),
    ...         keras_spiking.layers.LIFLayer(),
    ...         keras.layers.Dense(4),
    ...     ]
    ... )
    >>> x, y = keras.ops.ones((8, 5, 3)), keras.ops.ones((8, 5, 4))
    >>> logger = keras_spiking.callbacks.EnergyLogger(x[:2])
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("sgd", "mse")
    ...     history = model.fit(x, y, callbacks=[logger], verbose=0)
    ...     energy = history.history["energy/45nm"]
    """

    def __init__(
        self,
        data: Any,
        *,
        costs: str | Cost | Iterable[str | Cost] | None = "45nm",
        batch_size: int = 32,
    ):
        super().__init__()
        self.data = data
        self.costs = get_costs(costs)
        self.batch_size = check_integer("batch_size", batch_size, minimum=1)
        self.reports = []

    def on_epoch_end(self, epoch, logs=None):
        found = report(
            self.model, self.data, costs=self.costs, batch_size=self.batch_size
        )
        self.reports.append(found)
        if logs is not None:
            logs.update(spikes=found.spikes, acs=found.acs, macs=found.macs)
            logs.update({f"energy/{c.name}": found.snn_energy(c) for c in self.costs})
