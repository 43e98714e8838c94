"""The base class of local learning rules."""

import copy
from typing import Any

import keras
from keras import ops
from numpy.typing import ArrayLike

from keras_spiking import backends
from keras_spiking.described import Described
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_number


class Learner(Described):
    """A local learning rule: what the spikes of a batch change in a synapse.

    Before and after the synapse each neuron has a trace of its spikes,

        tr[t] = tr[t-1] - tr[t-1] / tau + s[t],    tr[-1] = 0

    For a rule of your own, override `update`, in terms of spikes, traces,
    weights and `correlate`. The rule then holds for every layer with a kernel:
    dense, convolutions with any strides, padding, dilation and groups, transposed and
    depthwise convolutions. For more traces override `trace_constants`; a rule with a
    third factor, such as a reward, is a `ThreeFactor`.

    Args:
        synapse: Keras layer with a `kernel` and no activation function. For a
            callback, its name will do.
        tau_pre: Float >= 1, the time constant of presynaptic traces in time
            steps. Defaults to `2.0`.
        tau_post: Float >= 1, the same after the synapse. Defaults to `2.0`.

    Call arguments:
        pre: Tensor `(batch, time, ...)`, the spikes that enter the synapse. For a
            recurrent one those are the spikes of the time step before.
        post: Tensor `(batch, time, ...)`, the spikes of the neurons after it.
        reward: See `ThreeFactor`. Other rules take none.
        traces: Tuple of the traces before the first step, `(batch, ...)` each, as
            an earlier call has returned them. A sequence in parts, each with the
            traces of the part before, changes a synapse as the whole does.
            Defaults to `None`, zeros.
        return_traces: Boolean, whether to return the final traces in addition.
            Defaults to `False`.

    Output shape:
        That of the kernel: the change, summed over batch and time.

    Raises:
        ValueError: if the synapse has no kernel or an activation function, or if there
            are more or fewer traces than the rule has.

    Example:

    >>> class AntiHebbian(keras_spiking.learning.Learner):
    ...     def update(self, pre, post, traces, weights):
    ...         return -weights * self.correlate(traces[0], post)
    >>> dense = keras.layers.Dense(3)
    >>> pre = keras.ops.ones((2, 5, 4))
    >>> post = keras_spiking.layers.IFLayer()(dense(pre))
    >>> if keras.config.backend() != "numpy":
    ...     change = AntiHebbian(dense)(pre, post)
    ...     new = dense.kernel.assign(dense.kernel + 0.1 * change)
    """

    takes_reward = False
    smallest_tau = {"minimum": 1.0}
    _worth = None  # of the present step, for each sample

    def __init__(
        self,
        synapse: keras.layers.Layer | str,
        tau_pre: float = 2.0,
        tau_post: float = 2.0,
    ):
        self.synapse = check_layer("synapse", synapse)
        self.tau_pre = check_number("tau_pre", tau_pre, **self.smallest_tau)
        self.tau_post = check_number("tau_post", tau_post, **self.smallest_tau)

    def update(self, pre: Any, post: Any, traces: tuple, weights: Any) -> Any:
        """The change of the weights in one time step: override this.

        Args:
            pre: Tensor `(batch, ...)`, presynaptic spikes.
            post: Tensor `(batch, ...)`, postsynaptic spikes.
            traces: Tuple of the pre- and the postsynaptic traces and of those that
                `trace_constants` adds. They include the spikes of this step.
            weights: Tensor, the kernel.

        Returns:
            Tensor of the kernel's shape, the change summed over the batch.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement `update(pre, post, traces, "
            "weights)`."
        )

    def trace_constants(self) -> dict[str, tuple[str, float]]:
        """For the name of each trace its side, `"pre"` or `"post"`, and its `tau`."""
        return {
            "trace_pre": ("pre", self.tau_pre),
            "trace_post": ("post", self.tau_post),
        }

    def kept(self, tau: float) -> float:
        """What a time step leaves of a trace."""
        return 1.0 - 1.0 / tau

    def trace_shapes(self, pre: tuple, post: tuple) -> dict[str, tuple]:
        """Shapes of all that goes on from one call to the next, by name.

        Args:
            pre: Shape `(batch, ...)` of the spikes of a step that enter the synapse.
            post: Shape `(batch, ...)` of the spikes of a step after it.
        """
        sides = {"pre": pre, "post": post}
        constants = self.trace_constants()
        return {name: sides[side] for name, (side, _) in constants.items()}

    def __call__(
        self,
        pre: ArrayLike,
        post: ArrayLike,
        reward: ArrayLike | None = None,
        traces: tuple | None = None,
        return_traces: bool = False,
    ) -> Any:
        check_bool("return_traces", return_traces)
        if not self.takes_reward and reward is not None:
            raise ValueError(
                f"{type(self).__name__} takes no reward. Received: reward={reward!r}"
            )
        post = ops.stop_gradient(ops.convert_to_tensor(post, "float32"))
        pre = ops.stop_gradient(ops.convert_to_tensor(pre, "float32"))
        pre = self.over_time(pre, post)
        before = self.zeros(pre, post)
        if traces is not None:
            if len(traces) != len(before):
                raise ValueError(
                    f"{type(self).__name__} has {len(before)} traces: "
                    f"{', '.join(before) or 'none'}. Received {len(traces)} `traces`."
                )
            pairs = zip(before, traces)
            before = {k: ops.convert_to_tensor(v, "float32") for k, v in pairs}
        delta, after = self.learn(pre, post, reward, before)
        if not return_traces:
            return delta
        after = {**after, **self.memory(pre, post, before)}
        return delta, tuple(after[name] for name in before)

    def zeros(self, pre: Any, post: Any) -> dict:
        """The traces before a first call."""
        sides = {"pre": pre[:, 0], "post": post[:, 0]}
        constants = self.trace_constants()
        return {k: ops.zeros_like(sides[side]) for k, (side, _) in constants.items()}

    def learn(self, pre: Any, post: Any, reward: Any, traces: dict) -> tuple:
        """What a call changes, and the traces after it."""
        return self.accumulate(pre, post, traces)

    def memory(self, pre: Any, post: Any, traces: dict) -> dict:
        """What else goes on to the next call, and is found only if asked for."""
        return {}

    def accumulate(self, pre: Any, post: Any, traces: dict, worth: Any = None) -> tuple:
        """Sum of the updates of all time steps, and the traces after them.

        Args:
            pre: Tensor `(batch, time, ...)`.
            post: Tensor `(batch, time, ...)`.
            traces: Dictionary from names to the traces before.
            worth: Tensor `(batch, time)`, what the update of a step counts for, or
                `None`, 1.
        """
        weights = ops.stop_gradient(ops.convert_to_tensor(self.synapse.kernel))

        # Step by step: float32 would not hold the sums over all steps, most of
        # which cancel, to the precision that their difference needs.
        def step(x, carry):
            pre, post = x["spikes"]
            traces = self.next_traces(carry["traces"], pre, post)
            rule = copy.copy(self)
            rule._worth = x.get("worth")
            change = rule.update(pre, post, tuple(traces.values()), weights)
            return (), {"traces": traces, "delta": carry["delta"] + change}

        sequences = {"spikes": (pre, post)}
        if worth is not None:
            sequences["worth"] = worth
        traces = {name: traces[name] for name in self.trace_constants()}
        carry = {"traces": traces, "delta": ops.zeros_like(weights)}
        _, carry = time_loop(step, sequences, carry)
        return carry["delta"], carry["traces"]

    def next_traces(self, traces: dict, pre: Any, post: Any) -> dict:
        """The traces after one more time step."""
        spikes = {"pre": pre, "post": post}
        return {
            name: self.kept(tau) * traces[name] + spikes[side]
            for name, (side, tau) in self.trace_constants().items()
        }

    def correlate(self, pre: Any, post: Any) -> Any:
        """Sum over the batch of `pre_i post_j` for every weight `w_ij`.

        It is the gradient of `sum(post * synapse(pre))` with respect to the
        kernel, which backends compute fast for every kind of layer. In a rule with a
        third factor samples count for what that says.
        """
        synapse = self.synapse
        if self._worth is not None:
            ones = (1,) * (len(post.shape) - 1)
            post = post * ops.reshape(self._worth, (-1, *ones))
        kernel = synapse.kernel
        others = [
            (v, ops.convert_to_tensor(v)) for v in synapse.variables if v is not kernel
        ]

        def overlap(tensors):
            # Not `synapse(pre)`: nobody is to listen to this call.
            with keras.StatelessScope([(kernel, tensors[0]), *others]):
                return ops.sum(post * type(synapse).call(synapse, pre)), ()

        weights = ops.convert_to_tensor(kernel)
        return backends.active().value_and_gradients(overlap, [weights])[1][0]

    def over_time(self, pre: Any, post: Any) -> Any:
        """Brings spikes with time folded into the batch to `(batch, time, ...)`."""
        check_synapse(self.synapse)
        batch, time = ops.shape(post)[:2]
        rank = self.synapse.input_spec.ndim or self.synapse.input_spec.min_ndim
        features = ops.shape(pre)[-(rank - 1) :]
        if len(pre.shape) < len(features) + 2 or pre.shape[:2] != post.shape[:2]:
            pre = ops.reshape(pre, (batch, time, *features))
        return pre


def check_layer(name: str, layer: keras.layers.Layer | str) -> Any:
    """Returns `layer` if it is a layer, or a string: the name of one."""
    if not isinstance(layer, (str, keras.layers.Layer)):
        raise TypeError(
            f"`{name}` must be a Keras layer or the name of one. "
            f"Received: {name}={layer!r} (of type {type(layer).__name__})"
        )
    return layer


def check_synapse(synapse: keras.layers.Layer | str) -> None:
    """Raises an error for a layer that local rules cannot teach."""
    if isinstance(synapse, str):
        raise TypeError(
            "Outside of a callback the synapse must be the layer itself, not its "
            f"name. Received: synapse={synapse!r}"
        )
    if getattr(synapse, "kernel", None) is None:
        raise ValueError(
            "The synapse must be a built layer with a kernel, such as "
            f"keras.layers.Dense or Conv2D. Received: {type(synapse).__name__} "
            f"'{synapse.name}'"
        )
    if synapse.quantization_mode is not None:
        raise ValueError(
            f"Keras has quantised the {type(synapse).__name__} '{synapse.name}' "
            f"({synapse.quantization_mode}): its weights are integers, which cannot "
            "learn. Train before `model.quantize`."
        )
    activation = getattr(synapse, "activation", None)
    if activation not in (None, keras.activations.linear):
        raise ValueError(
            "The synapse must have no activation function: neurons follow it. "
            f"Received: {type(synapse).__name__} '{synapse.name}' with "
            f"activation={activation.__name__!r}"
        )
