"""The base class of all layers with a state that evolves over time."""

import functools
from typing import Any
from typing import Unpack

import keras
import numpy as np
from keras import ops

from keras_spiking import backends
from keras_spiking import config
from keras_spiking.backends import fused
from keras_spiking.layers import recording
from keras_spiking.layers import streaming
from keras_spiking.layers.layer import Layer
from keras_spiking.layers.mistakes import warn_of_mistakes
from keras_spiking.layers.options import LayerOptions
from keras_spiking.layers.options import describe
from keras_spiking.layers.probe import Probe
from keras_spiking.ops.reduce import reduce_time
from keras_spiking.ops.time_loop import masked
from keras_spiking.ops.time_loop import time_loop
from keras_spiking.parameter import Alias
from keras_spiking.parameter import normalize_learnable
from keras_spiking.parameter import parameters
from keras_spiking.parameter import to_config
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_data_format
from keras_spiking.validation import check_mask
from keras_spiking.validation import check_time_axis
from keras_spiking.validation import same_shape


class TemporalLayer(Layer):
    """A layer over `(batch, time, ...)` that is given by its single step.

    Subclasses implement `step(x, states)`: equations in `keras.ops`. They name
    their states in `state_names` and override `get_initial_state` if these do not
    start at 0. The loop over time, masks, state between calls, precision and
    parameters are taken care of here.

    The state starts fresh in every call. It is float32 under every dtype policy
    (float64 under `"float64"`).

    Args:
        return_sequences: Boolean, whether to return the output of every step or
            of the last one (under a mask: the last unmasked one).
        return_state: Boolean, whether to return the final states in addition.
        stateful: Boolean, whether a call starts from the state that the last
            call left behind.
        learnable: Names of parameters that are weights, see `SpikingLayer`.
        data_format: Tells `learnable={...: "channel"}` where the channels are.
    """

    has_time_axis = True
    state_names = ("v",)  # monitors show a state as `{layer}/{name}`
    declared = {}  # the parameters of the class: `{name: Parameter}`
    traced_steps = {}

    def __init__(
        self,
        return_sequences: bool = True,
        *,
        return_state: bool = False,
        stateful: bool = False,
        learnable: Any = None,
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ):
        super().__init__(**kwargs)
        self.learnable = normalize_learnable(learnable, type(self))
        self.data_format = check_data_format(data_format)
        self.return_sequences = check_bool("return_sequences", return_sequences)
        self.return_state = check_bool("return_state", return_state)
        self.stateful = check_bool("stateful", stateful)
        self.supports_masking = True
        self.probe = Probe()
        fused.forget(self)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        cls.declared = parameters(cls)
        cls.traced_steps = {}  # see `backends.fused`
        if "step" in vars(cls):
            cls.step = _in_state_dtype(cls.step)

    def step(self, x, states):
        """One time step, a pure function.

        Args:
            x: Tensor `(batch, ...)`, the input of this step.
            states: Tuple of tensors as `get_initial_state` returns it.

        Returns:
            The output of this step and a tuple of the new states.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement `step(x, states)`."
        )

    def get_initial_state(self, x):
        """States before the first step, all 0, for an input `x` of one step."""
        zeros = ops.zeros_like(x, dtype=self.state_dtype)
        return (zeros,) * len(self.state_names)

    @property
    def removes_time_axis(self):
        """Whether the output has no time axis any more."""
        return not self.return_sequences

    def build(self, inputs_shape, initial_state_shape=None):
        check_time_axis(self, inputs_shape)
        batch, self.features = inputs_shape[0], tuple(inputs_shape[2:])
        for parameter in self.declared.values():
            parameter.build(self, self.features)
        if self.stateful:
            self._build_state((batch, *self.features))
        backends.active().prepare()
        fused.prepare(self)

    def _build_state(self, shape):
        check_fixed_shape(self, shape)
        self.batch_size = shape[0]

        def initial(i):
            zeros = ops.zeros(shape, self.state_dtype)
            return lambda shape, dtype: self.get_initial_state(zeros)[i]

        symbolic = keras.KerasTensor(shape, dtype=self.state_dtype)
        states = self.get_initial_state(symbolic)
        self.states = [
            self.add_weight(
                name=f"state_{name}",
                shape=state.shape,
                initializer=initial(i),
                dtype=self.state_dtype,
                trainable=False,
                autocast=False,
            )
            for i, (name, state) in enumerate(self.named(states).items())
        ]

    def named(self, states):
        """The states as a dictionary, by their names."""
        missing = range(len(self.state_names), len(states))
        return dict(zip([*self.state_names, *(f"state{i}" for i in missing)], states))

    def reset_state(self):
        """Sets the state of a stateful layer back to the initial one."""
        if not self.stateful:
            raise ValueError(
                f"Layer '{self.name}' has no state between calls to reset: it "
                "was made with `stateful=False`."
            )
        self.probe.reset()
        if self.built:
            x = ops.zeros(self.states[0].shape, self.state_dtype)
            for state, value in zip(self.states, self.get_initial_state(x)):
                state.assign(value)

    def call(self, inputs, initial_state=None, mask=None):
        return self.over_time(self.run_steps, inputs, initial_state, mask)

    def over_time(self, run, inputs, initial_state=None, mask=None):
        """A call, from the states before it to the outputs.

        Args:
            run: Callable, runs all time steps, as `run_steps` does.
            inputs, initial_state, mask: See `call`.
        """
        check_time_axis(self, inputs.shape)
        check_mask(self, inputs.shape, mask)
        inputs = backends.active().cast(inputs, self.compute_dtype)
        mask = None if mask is None else ops.cast(mask, "bool")
        keeps_state = self.stateful or self.return_state or streaming.is_streaming()
        checks = config.checks_finite()
        states = None
        if initial_state is not None or keeps_state or checks:
            states = self.states_before(inputs, initial_state)
        slot = streaming.Slot()
        outputs, states = run(inputs, states, mask)
        slot.put(states)
        if checks:
            _check_finite(self, states)
        if self.stateful:
            for variable, value in zip(self.states, states):
                backends.active().keep(variable, value)
        if not self.return_sequences:
            outputs = self.collapse(outputs, mask)
        outputs = backends.active().cast(outputs, self.compute_dtype)
        return (outputs, *states) if self.return_state else outputs

    def run_steps(self, inputs, states=None, mask=None):
        """Runs all time steps: by a fused kernel if there is one, else in `keras.ops`.

        Args:
            inputs: Tensor `(batch, time, ...)`.
            states: Tuple of tensors, or `None`: the states are the initial ones, and
                what is returned for the final ones may be empty.
            mask: Boolean tensor `(batch, time)`, or `None`.

        Returns:
            The outputs of all steps, `(batch, time, ...)`, and the final states.
        """
        if (record := recording.present(self)) is not None:
            return self._recorded(record, inputs, states, mask)
        kernel = fused.serving(self, inputs, mask is not None, fresh=states is None)
        if kernel is not None and kernel.fresh:
            return fused.run(kernel, self, inputs, (), mask)
        if states is None:
            states = self.states_before(inputs)
        if kernel is not None:
            return fused.run(kernel, self, inputs, states, mask)
        return self.reference(inputs, states, mask)

    def reference(self, inputs, states, mask=None):
        """`run_steps` in `keras.ops`, from given states."""
        inputs = backends.active().cast(inputs, self.state_dtype)
        if mask is None:
            return time_loop(self.step, inputs, states)
        return time_loop(masked(self.step), (inputs, mask), states)

    def _recorded(self, record, inputs, states, mask):
        """The reference, which leaves the states of all steps in a record."""
        states = tuple(self.states_before(inputs) if states is None else states)

        def step(x, states):
            outputs, states = one(x["inputs"], states)
            return (outputs, states), states

        one, steps = self.step, backends.active().cast(inputs, self.state_dtype)
        if mask is not None:
            one, steps = masked(self.step), (steps, mask)
        outputs, states = time_loop(step, {"inputs": steps}, states)
        outputs, record.states = outputs
        return outputs, states

    def collapse(self, outputs, mask=None):
        """What is returned for a whole sequence if `return_sequences=False`."""
        return reduce_time(outputs, "last", mask)

    def states_before(self, inputs, initial_state=None):
        """The states that a call with these inputs starts from, as a tuple.

        They are the given ones, or those that the last time step of a stream or the
        last call of a stateful layer left behind, or the initial ones.
        """
        if initial_state is not None:
            states = keras.tree.flatten(initial_state)
            _check_states(self, states, self.get_initial_state(inputs[:, 0]))
            return tuple(ops.cast(s, self.state_dtype) for s in states)
        states = streaming.previous_state()
        if states is not None:
            return states
        if self.stateful:
            # Copies: PyTorch assigns in place, and the gradient needs the old ones.
            states = tuple(ops.copy(s) for s in self.states)
            return for_batch_of(self, inputs, states)
        return self.get_initial_state(ops.cast(inputs[:, 0], self.state_dtype))

    def compute_output_shape(self, inputs_shape, initial_state_shape=None):
        spec = self.compute_output_spec(keras.KerasTensor(inputs_shape))
        return keras.tree.map_structure(lambda tensor: tensor.shape, spec)

    def compute_output_spec(self, inputs, initial_state=None, mask=None):
        check_time_axis(self, inputs.shape)
        warn_of_mistakes(self, inputs)
        batch, time, *features = inputs.shape
        shape = (batch, time, *features)
        if not self.return_sequences:
            shape = (batch, *features)
        outputs = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not self.return_state:
            return outputs
        x = keras.KerasTensor((batch, *features), dtype=self.state_dtype)
        return (outputs, *self.get_initial_state(x))

    def compute_mask(self, inputs, mask=None):
        mask = keras.tree.flatten(mask)[0]
        mask = mask if self.return_sequences else None
        if not self.return_state:
            return mask
        shapes = self.compute_output_shape(keras.tree.flatten(inputs)[0].shape)
        return [mask] + [None] * (len(shapes) - 1)

    def __repr__(self):
        return describe(self)

    def __dir__(self):
        # Keras reads all attributes that it finds here when it saves a layer.
        cls = type(self)
        names = super().__dir__()
        return [n for n in names if not isinstance(getattr(cls, n, None), Alias)]

    def get_config(self):
        config = super().get_config()
        for name, parameter in self.declared.items():
            config[name] = to_config(parameter.given(self))
        config.update(
            return_sequences=self.return_sequences,
            return_state=self.return_state,
            stateful=self.stateful,
            learnable=dict(self.learnable),
            data_format=self.data_format,
        )
        return config


def _in_state_dtype(step):
    """Lets a step be called with arrays of any dtype."""

    @functools.wraps(step)
    def converted(self, x, states):
        if not isinstance(x, keras.KerasTensor):
            x = ops.convert_to_tensor(x, self.state_dtype)
        return step(self, x, tuple(states))

    return converted


def check_fixed_shape(layer, shape):
    """Checks that the state `(batch, ...)` of a stateful layer has a known shape."""
    if None in shape:
        raise ValueError(
            f"A layer with `stateful=True` needs a fixed batch size and fixed "
            f"features: use `keras.Input(batch_shape=...)` or "
            f"`stateful=False`. Layer '{layer.name}' received an input of "
            f"shape {(shape[0], None, *shape[1:])}."
        )


def for_batch_of(layer, inputs, states):
    """The states, if they are for as many samples as the inputs have."""
    received = inputs.shape[0]
    message = (
        f"The stateful layer '{layer.name}' was built for batches of "
        f"{layer.batch_size}. Received a batch of {received or 'another size'}: "
        "drop the last, smaller batch, or use `stateful=False`."
    )
    if received is None:  # only a running graph of TensorFlow knows
        condition = ops.shape(inputs)[0] == layer.batch_size
        return backends.active().require(condition, message, states)
    if received not in (None, layer.batch_size):
        raise ValueError(message)
    return states


def _check_states(layer, states, expected):
    given = [np.shape(state) for state in states]
    shapes = [tuple(state.shape) for state in expected]
    if not (len(given) == len(shapes) and all(map(same_shape, given, shapes))):
        raise ValueError(
            f"The `initial_state` of layer '{layer.name}' must be {len(shapes)} "
            f"tensor(s) of shape {', '.join(map(str, shapes))}. Received: "
            f"{len(given)} of shape {', '.join(map(str, given))}."
        )


def _check_finite(layer, states):
    for name, state in layer.named(states).items():
        backends.active().require(
            ops.all(ops.isfinite(state)),
            f"The state `{name}` of layer '{layer.name}' is not finite any more: "
            "inputs that overflow (mixed_float16?) or a neuron that runs away. See "
            "`keras_spiking.config.set_check_finite`.",
            (state,),
        )
