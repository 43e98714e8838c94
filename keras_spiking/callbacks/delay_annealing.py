import keras

from keras_spiking.described import Described
from keras_spiking.inspection.selection import all_layers
from keras_spiking.layers.synapses.delay_line import LearnedDelays
from keras_spiking.round_delays import round_delays
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number


class DelayAnnealing(Described, keras.callbacks.Callback):
    """Narrows the Gaussians of learned delays, from epoch to epoch.

        sigma = sigma_0 (final_sigma / sigma_0)^min(epoch / epochs, 1)

    where `sigma_0` is the `sigma` of each `DelayedDense` or `LearnableDelay`. A wide
    Gaussian sees spikes from far away; a narrow one is nearly the rounded delay that
    is used at inference.

    Args:
        epochs: Integer >= 1, the number of epochs after which Gaussians have their
            final width. The paper takes a quarter of all epochs.
        final_sigma: Float > 0, that width in time steps. Defaults to `0.5`.
        round_delays: Boolean, whether delays are rounded then, by
            `keras_spiking.utils.round_delays`, for the rest of the training. They no
            longer move, and the weights learn with the delays of inference: what
            rounding has changed, they make up for. Defaults to `False`.

    Raises:
        ValueError: when training starts, if no layer of the model has delays with
            `delay_kernel="gaussian"`.

    Example:

    >>> annealing = keras_spiking.callbacks.DelayAnnealing(10)
    >>> model = keras.Sequential([keras_spiking.layers.DelayedDense(4)])
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("sgd", "mse")
    ...     x, y = keras.ops.ones((8, 12, 3)), keras.ops.ones((8, 12, 4))
    ...     history = model.fit(x, y, callbacks=[annealing], epochs=12, verbose=0)

    References:
        - [Hammouamri et al., 2023](https://arxiv.org/abs/2306.17670)
    """

    def __init__(
        self, epochs: int, *, final_sigma: float = 0.5, round_delays: bool = False
    ):
        super().__init__()
        self.epochs = check_integer("epochs", epochs, minimum=1)
        self.final_sigma = check_number("final_sigma", final_sigma, above=0.0)
        self.round_delays = check_bool("round_delays", round_delays)

    def on_train_begin(self, logs=None):
        self._find()

    def on_epoch_begin(self, epoch, logs=None):
        # From the number of the epoch alone: training may be resumed at any.
        done = min(epoch / self.epochs, 1.0)
        if self.round_delays and done == 1.0:
            # Each epoch: an optimizer with momentum may have moved them a little.
            round_delays(self.model)
            return
        for layer in self._find():
            start = layer.initial_sigma
            layer.sigma.assign(start * (self.final_sigma / start) ** done)

    def _find(self):
        found = [
            layer
            for layer in all_layers(self.model).values()
            if isinstance(layer, LearnedDelays) and layer.delay_kernel == "gaussian"
        ]
        if not found:
            raise ValueError(
                f"Model '{self.model.name}' has nothing to anneal: it needs a "
                "DelayedDense or LearnableDelay with `delay_kernel='gaussian'`."
            )
        # A model that is not built yet has no weights before its first batch; they
        # start with the width of the first epoch.
        return [layer for layer in found if layer.built]
