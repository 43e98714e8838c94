from typing import Unpack

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking.layer_copy import copy_of
from keras_spiking.layers.neurons.leaky_integrate_and_fire import LIFLayer
from keras_spiking.layers.options import LeakyOptions
from keras_spiking.ops.parallel import run_in_parallel
from keras_spiking.ops.time_loop import masked
from keras_spiking.validation import check_integer

__all__ = ["ParallelLIFLayer"]


@keras.saving.register_keras_serializable("keras_spiking")
class ParallelLIFLayer(LIFLayer):
    """LIF neurons whose time steps are computed in parallel, resets included.

    Equations, outputs and gradients are those of `LIFLayer`. Chunks of the sequence
    run side by side, each from a guess of the membrane potential at its start, and
    again from where the chunk before has ended, until all potentials agree: a few
    times `chunk_length` steps one after the other instead of `time`, for about
    three times the work. A membrane potential that neither leaks nor is reset
    within a chunk takes more sweeps, at most as many as there are chunks.

    This pays off where launching a step costs more than computing it: in PyTorch
    and TensorFlow without a fused kernel. A fused kernel is faster still on a CPU,
    and runs the layer where there is one (a few neurons over a long sequence in chunks
    of its own); `keras_spiking.config.set_fused("never")` insists on the parallel steps
    in `keras.ops`. The loop that JAX compiles is faster on a CPU, too
    (`benchmarks/results/zoo.md`).

    A sequence of up to `chunk_length` steps, or of unknown length, runs as in
    `LIFLayer`.

    Args:
        tau: Float or array >= 1, the membrane time constant. Defaults to `2.0`.
        decay_input: Boolean. Defaults to `True`.
        chunk_length: Integer >= 1, the number of steps in a chunk. Defaults to
            `64`.
        **kwargs: The arguments of `LIFLayer`.

    Call arguments:
        inputs: Tensor of input currents, `(batch, time, ...)`.
        initial_state: Tensor or list of one tensor, `(batch, ...)`.
        mask: Boolean tensor `(batch, time)`.

    Input shape:
        `(batch, time, ...)`.

    Output shape:
        As the input; `(batch, ...)` if `return_sequences=False`.

    Raises:
        ValueError: if `chunk_length` is less than 1.

    Example:

    >>> x = keras.random.uniform((2, 100, 3), maxval=3.0)
    >>> parallel = keras_spiking.layers.ParallelLIFLayer(chunk_length=16)
    >>> sequential = keras_spiking.layers.LIFLayer()
    >>> bool(keras.ops.all(parallel(x) == sequential(x)))
    True

    References:
        - [Gerstner et al., 2014](https://neuronaldynamics.epfl.ch)
        - [Lions et al., 2001](https://doi.org/10.1016/S0764-4442(00)01793-6)
    """

    def __init__(
        self,
        tau: ArrayLike = 2.0,
        *,
        chunk_length: int = 64,
        **kwargs: Unpack[LeakyOptions],
    ):
        super().__init__(tau, **kwargs)
        self.chunk_length = check_integer("chunk_length", chunk_length, minimum=1)

    def reference(self, inputs, states, mask=None):
        timesteps = inputs.shape[1]
        # OpenVINO's `while_loop` cannot read the sequence, which is outside of it.
        is_short = timesteps is None or timesteps <= self.chunk_length
        if is_short or keras.config.backend() == "openvino":
            return super().reference(inputs, states, mask)
        steps = [self.step, copy_of(self, _without_gradient).step]
        sequences = ops.cast(inputs, self.state_dtype)
        if mask is not None:
            steps, sequences = [masked(step) for step in steps], (sequences, mask)
        return run_in_parallel(*steps, sequences, states, self.chunk_length)

    def get_config(self):
        return {**super().get_config(), "chunk_length": self.chunk_length}


def _without_gradient(name, value):
    return ops.stop_gradient(value) if ops.is_tensor(value) else value
