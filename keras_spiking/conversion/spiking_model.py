from typing import Any

import keras

from keras_spiking import backends
from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.validation import check_timesteps


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingModel(keras.Model):
    """A converted network: a Functional model that simulates time steps.

    `convert` returns it.

    Attributes:
        simulation: The `StepByStep` layer that holds the spiking part.
        timesteps: Integer, the number of time steps. It can be changed.
    """

    @property
    def simulation(self) -> StepByStep:
        return next(x for x in self.layers if isinstance(x, StepByStep))

    @property
    def timesteps(self) -> Any:
        return self.simulation.timesteps

    @timesteps.setter
    def timesteps(self, timesteps: int):
        self.simulation.timesteps = check_timesteps(timesteps)
        backends.active().forget_compiled(self)


def check_spiking_model(snn):
    """Raises `TypeError` for anything but a converted network."""
    if not isinstance(snn, SpikingModel):
        raise TypeError(
            "`snn` must be a SpikingModel, as `keras_spiking.conversion.convert` "
            f"returns it. Received: {snn!r} (of type {type(snn).__name__}). The firing "
            "rates of a network that was trained as a spiking one are measured by "
            "keras_spiking.callbacks.FiringRateLogger and OutputMonitor."
        )
