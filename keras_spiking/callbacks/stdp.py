"""STDP and its relatives under `fit`."""

from collections.abc import Callable

import keras
from numpy.typing import ArrayLike

from keras_spiking import learning
from keras_spiking.callbacks.local_learning import LocalLearning

Layer = keras.layers.Layer | str
Bounds = tuple[float, float]


class STDP(LocalLearning):
    """Spike-timing-dependent plasticity of a synapse, while a model is trained.

        tr[t] = tr[t-1] - tr[t-1] / tau + s[t]                      (both sides)
        dw[t] = f_post(w) tr_pre[t] s_post[t] - f_pre(w) tr_post[t] s_pre[t]

    summed over batch and time. With a `learning_rate` the weights move by it
    after each batch, whatever the optimizer does with them; a model without a
    loss learns by this alone. Without a `learning_rate`, `-dw` is added to the
    gradient of the loss, and the optimizer of the model applies both.

    Args:
        synapse: Dense, convolution or depthwise convolution without an activation
            function, or its name; in a `SeqToBatch` or a sub-model, too.
        neuron: The spiking layer after it, or its name. With `stateful=True` the
            traces go on from batch to batch, until its `reset_state()`.
        tau_pre: Float >= 1, the time constant of presynaptic traces in time
            steps.
        tau_post: Float >= 1, the same after the synapse.
        f_pre: Function of the weights, the size of depression.
        f_post: Function of the weights, the size of potentiation.
        learning_rate: Float >= 0 or `None`. Defaults to `None`.
        bounds: Tuple of the smallest and the largest weight, or `None`. Defaults
            to `None`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: when training starts, if the layers do not exist, the
            synapse has no kernel or the neuron does not follow it.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((5, 3)),
    ...         keras.layers.Dense(4, name="synapse"),
    ...         keras_spiking.layers.LIFLayer(name="neuron"),
    ...     ]
    ... )
    >>> stdp = keras_spiking.callbacks.STDP(
    ...     "synapse",
    ...     "neuron",
    ...     tau_pre=5.0,
    ...     tau_post=5.0,
    ...     f_pre=lambda w: w,
    ...     f_post=lambda w: 1.0 - w,
    ...     learning_rate=0.01,
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("sgd")
    ...     x = keras.ops.ones((8, 5, 3))
    ...     history = model.fit(x, callbacks=[stdp], verbose=0)

    References:
        - [Morrison et al., 2008](https://doi.org/10.1007/s00422-008-0233-1)
        - [Fang et al., 2023](https://arxiv.org/abs/2310.16620)
    """

    def __init__(
        self,
        synapse: Layer,
        neuron: Layer,
        tau_pre: float,
        tau_post: float,
        f_pre: Callable,
        f_post: Callable,
        learning_rate: float | None = None,
        bounds: Bounds | None = None,
    ):
        learner = learning.STDP(synapse, tau_pre, tau_post, f_pre, f_post)
        super().__init__(learner, neuron, learning_rate, bounds)


class MSTDP(LocalLearning):
    """Reward-modulated STDP of a synapse, while a model is trained.

        dw = sum_t r[t] e[t-1]

    where `e` is the eligibility of `keras_spiking.learning.MSTDP` and `r[t]` is the
    reward, which counts for the time step before it.

    Args:
        synapse: See `STDP`.
        neuron: See `STDP`.
        tau_pre: Float > 0, see `keras_spiking.learning.MSTDP`.
        tau_post: Float > 0, see `keras_spiking.learning.MSTDP`.
        f_pre: Function of the weights, see `STDP`.
        f_post: Function of the weights, see `STDP`.
        reward: Function `reward(y_true, y_pred)` of the targets and the outputs
            of a batch; returns a number, one for each sample, or one for each
            time step. Or such a number.
        tau_eligibility: Float > 0, the time constant of an eligibility trace in
            time steps (MSTDPET): a reward counts for all that has happened before
            it. Defaults to `None`, no such trace.
        learning_rate: Float or `None`, see `STDP`. Defaults to `None`.
        bounds: Tuple of two floats or `None`, see `STDP`. Defaults to `None`.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((5, 3)),
    ...         keras.layers.Dense(2, name="synapse"),
    ...         keras_spiking.layers.LIFLayer(name="neuron"),
    ...         keras_spiking.layers.FiringRate(),
    ...     ]
    ... )
    >>> def reward(y_true, y_pred):
    ...     right = keras.ops.equal(keras.ops.argmax(y_pred, axis=-1), y_true)
    ...     return 2.0 * keras.ops.cast(right, "float32") - 1.0
    >>> one = keras.ops.ones_like
    >>> mstdp = keras_spiking.callbacks.MSTDP(
    ...     "synapse", "neuron", 5.0, 5.0, one, one, reward, learning_rate=0.01
    ... )
    >>> if keras.config.backend() != "numpy":
    ...     model.compile("sgd")
    ...     x, y = keras.ops.ones((8, 5, 3)), keras.ops.zeros((8,), "int64")
    ...     history = model.fit(x, y, callbacks=[mstdp], verbose=0)

    References:
        - [Florian, 2007](https://doi.org/10.1162/neco.2007.19.6.1468)
    """

    def __init__(
        self,
        synapse: Layer,
        neuron: Layer,
        tau_pre: float,
        tau_post: float,
        f_pre: Callable,
        f_post: Callable,
        reward: Callable | ArrayLike,
        tau_eligibility: float | None = None,
        learning_rate: float | None = None,
        bounds: Bounds | None = None,
    ):
        if tau_eligibility is None:
            learner = learning.MSTDP(synapse, tau_pre, tau_post, f_pre, f_post)
        else:
            learner = learning.MSTDPET(
                synapse, tau_pre, tau_post, tau_eligibility, f_pre, f_post
            )
        super().__init__(learner, neuron, learning_rate, bounds, reward)


class Hebbian(LocalLearning):
    """Hebbian learning of firing rates, while a model is trained.

        dw_ij = r_i r_j

    with the firing rates `r`, means over time, on both sides of the synapse.

    Args:
        synapse: See `STDP`.
        neuron: See `STDP`.
        learning_rate: Float or `None`, see `STDP`. Defaults to `None`.
        bounds: Tuple of two floats or `None`, see `STDP`. Defaults to `None`.

    Example:

    >>> hebbian = keras_spiking.callbacks.Hebbian("dense", "lif", learning_rate=0.1)
    """

    def __init__(
        self,
        synapse: Layer,
        neuron: Layer,
        learning_rate: float | None = None,
        bounds: Bounds | None = None,
    ):
        learner = learning.Hebbian(synapse)
        super().__init__(learner, neuron, learning_rate, bounds)
