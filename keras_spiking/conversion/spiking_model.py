import keras

from keras_spiking.layers.containers.step_by_step import StepByStep
from keras_spiking.validation import check_timesteps


@keras.saving.register_keras_serializable("keras_spiking")
class SpikingModel(keras.Model):
    """A converted network: a Functional model that simulates time steps.

    `convert` makes it.

    Attributes:
        simulation: The `StepByStep` layer that holds the spiking part.
        timesteps: Integer, the number of time steps. It can be changed.
    """

    @property
    def simulation(self):
        return next(x for x in self.layers if isinstance(x, StepByStep))

    @property
    def timesteps(self):
        return self.simulation.timesteps

    @timesteps.setter
    def timesteps(self, timesteps):
        self.simulation.timesteps = check_timesteps(timesteps)
        # These hold the compiled loop over the former number of steps.
        self.train_function = None
        self.test_function = None
        self.predict_function = None
