"""What a converted network computes on sums over time."""

import keras
from keras import ops

from keras_spiking.layers import streaming
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.validation import check_number


@keras.saving.register_keras_serializable("keras_spiking")
class CumulativeMaximum(keras.layers.Layer):
    """Max pooling over spikes: passes on the growth of the largest sum.

        A[t] = A[t-1] + X[t]
        Y[t] = max(A[t]) - max(A[t-1])

    where `max` is the wrapped pooling. The outputs of all steps up to `t` add up
    to `max(A[t])`: their mean is the maximum of the mean inputs, exactly, after
    every number of steps. Spikes of one size come out as spikes of this size. It
    runs inside of a `StepByStep`, one step at a time.

    Args:
        layer: Keras layer that takes the maximum, such as `MaxPooling2D` or
            `Maximum`.

    Call arguments:
        inputs: Tensor `(batch, ...)`, or a list of these.

    Input shape:
        As the layer's.

    Output shape:
        As the layer's.

    Example:

    >>> inputs = keras.Input((4, 1))
    >>> pooling = keras.layers.MaxPooling1D(2)
    >>> outputs = keras_spiking.conversion.CumulativeMaximum(pooling)(inputs)
    >>> outputs.shape
    (None, 2, 1)
    """

    def __init__(self, layer, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer

    def call(self, inputs):
        slot = streaming.Slot()
        sums, before = inputs, 0.0
        if slot.previous is not None:
            sums, before = slot.previous
            sums = keras.tree.map_structure(ops.add, sums, inputs)
        largest = self.layer(sums)
        slot.put((sums, largest))
        return largest - before

    def compute_output_spec(self, inputs):
        return self.layer.compute_output_spec(inputs)

    def get_config(self):
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer}

    @classmethod
    def from_config(cls, config):
        layer = keras.saving.deserialize_keras_object(config["layer"])
        return cls(**{**config, "layer": layer})


@keras.saving.register_keras_serializable("keras_spiking")
class RunningMean(TemporalLayer):
    """The mean of all inputs so far, a readout that may start with a delay.

        Y[t] = (X[1] + ... + X[t]) / t                    (t <= delay)
        Y[t] = (X[delay + 1] + ... + X[t]) / (t - delay)  (t > delay)

    Args:
        delay: Integer >= 0, number of steps to leave out, in which spikes have
            not yet reached the deep layers. Defaults to `0`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input.

    Example:

    >>> x = keras.ops.array([[[9.0], [1.0], [3.0]]])
    >>> y = keras_spiking.conversion.RunningMean(delay=1)(x)
    >>> [float(v) for v in keras.ops.reshape(y, (-1,))]
    [9.0, 1.0, 2.0]
    """

    def __init__(self, delay=0, **kwargs):
        super().__init__(**kwargs)
        self.delay = int(check_number("delay", delay, minimum=0))

    def get_initial_state(self, x):
        (zeros,) = super().get_initial_state(x)
        return zeros, zeros

    def step(self, x, states):
        total, count = states
        count = count + 1.0
        total = ops.where(ops.equal(count, self.delay + 1.0), 0.0, total) + x
        left_out = ops.where(count > self.delay, float(self.delay), 0.0)
        return total / (count - left_out), (total, count)

    def get_config(self):
        return {**super().get_config(), "delay": self.delay}
