"""What hls4ml has to know of our layers. Needs hls4ml, see `register_hls4ml`."""

import math
import pathlib

import hls4ml
import keras
import numpy as np
from hls4ml.backends.template import FunctionCallTemplate
from hls4ml.backends.template import LayerConfigTemplate
from hls4ml.converters.keras_v2_to_hls import layer_handlers as v2_handlers
from hls4ml.converters.keras_v3 import layer_handlers
from hls4ml.converters.keras_v3._base import KerasV3LayerHandler
from hls4ml.converters.keras_v3_to_hls import KerasV3HandlerDispatcher
from hls4ml.model.attributes import Attribute
from hls4ml.model.attributes import TypeAttribute
from hls4ml.model.attributes import WeightAttribute
from hls4ml.model.flow import get_flow
from hls4ml.model.layers import Layer
from hls4ml.model.optimizer import register_pass
from hls4ml.model.optimizer.passes.infer_precision import InferPrecisionTypes
from hls4ml.model.types import FixedPrecisionType
from hls4ml.model.types import IntegerPrecisionType
from hls4ml.model.types import NamedType
from hls4ml.model.types import UnspecifiedPrecisionType

from keras_spiking import layers
from keras_spiking.export import network

# Subclasses may have other equations.
_NEURONS = (layers.IFLayer, layers.LIFLayer, layers.ParametricLIFLayer)
# What these compute for a time step does not depend on the axes before.
_OF_ANY_RANK = (
    keras.layers.Dense,
    keras.layers.Activation,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Dropout,
)
_BACKENDS = ("Vivado", "Vitis")


def _full_name(kind):
    return f"{kind.__module__}.{kind.__name__}"


class NeuronsHandler(KerasV3LayerHandler):
    """From a Keras layer to the attributes of `SpikingNeurons`."""

    handles = tuple(map(_full_name, _NEURONS))

    def handle(self, layer, in_tensors, out_tensors):
        _check(layer, in_tensors)
        _, timesteps, *features = in_tensors[0].shape
        leaky = not isinstance(layer, layers.IFLayer)
        parameters = {
            "decay": 1.0 / _array(layer.tau) if leaky else np.ones(()),
            "threshold": _array(layer.v_threshold),
            "baseline": _array(layer.baseline),
        }
        shape = (1,)
        if any(value.size > 1 for value in parameters.values()):
            shape = tuple(features)
        return {
            "class_name": SpikingNeurons.__name__,
            "n_timesteps": timesteps,
            "n_features": math.prod(features),
            "leaky": leaky,
            "decay_input": leaky and layer.decay_input,
            "soft_reset": layer.v_reset is None,
            **{
                f"{name}_data": np.broadcast_to(value, shape).reshape(-1)
                for name, value in parameters.items()
            },
        }


class QuantizedHandler(KerasV3LayerHandler):
    """The layer inside, with its quantised weights."""

    handles = (_full_name(layers.Quantized),)

    def handle(self, layer, in_tensors, out_tensors):
        inner = layer.layer
        weights = (inner.kernel, getattr(inner, "bias", None))
        pairs = zip(weights, layer.quantized_weights())
        with keras.StatelessScope([pair for pair in pairs if pair[0] is not None]):
            return _parts(inner, *in_tensors, *out_tensors)


class SeqToBatchHandler(KerasV3LayerHandler):
    """The layers inside, which hls4ml applies to each time step by itself."""

    handles = (_full_name(layers.SeqToBatch),)

    def handle(self, layer, in_tensors, out_tensors):
        _check_time(layer, in_tensors)
        shape, x, parts = in_tensors[0].shape, in_tensors[0], []
        for inner in layer.layers:
            before = (shape[0], *shape[2:])
            shape = (*shape[:2], *inner.compute_output_shape(before)[1:])
            y = out_tensors[0]
            if inner is not layer.layers[-1]:
                y = keras.KerasTensor(shape)
            if isinstance(inner, keras.layers.BatchNormalization):
                parts += _normalization(layer, inner, x, y)
            elif isinstance(network.inner(inner), _OF_ANY_RANK):
                parts += _parts(inner, x, y)
            else:
                parts.append(_distributed(layer, inner, x, y))
            x = y
        return tuple(parts)


def _parts(layer, x, y):
    """What hls4ml makes of a layer with the input `x` and the output `y`."""
    dispatch = KerasV3HandlerDispatcher(
        layer_handlers, allow_v2_fallback=True, v2_layer_handlers=v2_handlers
    )
    return dispatch(layer, [x], [y])


def _normalization(layer, inner, x, y):
    """Batch normalisation of the last axis; hls4ml counts no more than four axes."""
    channels = x.shape[-1]
    if inner.axis not in (-1, len(x.shape) - 2):
        raise ValueError(
            f"BatchNormalization '{inner.name}' in SeqToBatch '{layer.name}': hls4ml "
            f"normalises the last axis only. Received: axis={inner.axis}"
        )
    return [{**part, "n_filt": channels} for part in _parts(inner, x, y)]


def _distributed(layer, inner, x, y):
    """A layer in hls4ml's loop over the time steps."""
    step_in, step_out = (
        keras.KerasTensor((tensor.shape[0], *tensor.shape[2:])) for tensor in (x, y)
    )
    wrapped = _parts(inner, step_in, step_out)
    if len(wrapped) > 1:
        raise ValueError(
            f"{type(inner).__name__} '{inner.name}' in SeqToBatch '{layer.name}' is "
            "several layers of hls4ml. Make its activation a layer of its own, after "
            "the SeqToBatch."
        )
    return {
        "class_name": "TimeDistributed",
        "name": f"{layer.name}_{inner.name}",
        "n_time_steps": x.shape[1],
        "output_shape": list(y.shape[1:]),
        "wrapped_layer": wrapped[0],
        "input_keras_tensor_names": [x.name],
        "output_keras_tensor_names": [y.name],
    }


class InferTypes(InferPrecisionTypes):
    """Gives `TimeDistributed` the type of its input, as its C++ expects."""

    def match(self, node):
        if node.class_name != "TimeDistributed":
            return super().match(node)
        x, y = node.get_input_variable().type, node.get_output_variable().type
        return (
            not isinstance(x.precision, UnspecifiedPrecisionType)
            and x.precision != y.precision
        )

    def transform(self, model, node):
        if node.class_name != "TimeDistributed":
            return super().transform(model, node)
        given = node.get_input_variable().type.precision
        node.get_output_variable().type.precision = given
        return False


class SpikingNeurons(Layer):
    """Neurons over (time, features) in hls4ml's graph of a network."""

    _expected_attributes = [
        Attribute("n_timesteps"),
        Attribute("n_features"),
        Attribute("leaky", value_type=bool),
        Attribute("decay_input", value_type=bool),
        Attribute("soft_reset", value_type=bool),
        WeightAttribute("decay"),
        WeightAttribute("threshold"),
        WeightAttribute("baseline"),
        TypeAttribute("potential", FixedPrecisionType(32, 12, True, "RND", "SAT")),
        TypeAttribute("decay", FixedPrecisionType(18, 1, False, "RND", "SAT")),
    ]

    def initialize(self):
        shape = self.get_input_variable().shape
        # Spikes are one bit, whatever the types of other values are.
        self.add_output_variable(shape, precision=IntegerPrecisionType(1, signed=False))
        potential = NamedType(f"{self.name}_potential_t", self._precision("potential"))
        self.set_attr("potential_t", potential)
        for name in ("threshold", "baseline"):
            self._check_range(name, potential.precision)
            self.add_weights_variable(
                name, name + "{index}", potential.name, potential.precision
            )
        decay, name = self._precision("decay"), f"{self.name}_decay_t"
        self.add_weights_variable("decay", "decay{index}", name, decay)

    def _precision(self, name):
        """The type that the configuration gives, or the default one.

        hls4ml's types for all of a network have too few digits for neurons that leak.
        """
        config = self.model.config
        for given, of in (
            (config.layer_name_precision, self.name),
            (config.layer_type_precision, self.class_name),
        ):
            for key in (name, "default"):
                precision = given.get(f"{of.lower()}_{key}")
                if precision not in (None, "auto"):
                    return config.backend.convert_precision_string(precision)
        attributes = {each.name: each for each in self.expected_attributes}
        return attributes[f"{name}_t"].default

    def _check_range(self, name, precision):
        values = self.get_attr(f"{name}_data")
        low, high = values.min(), values.max()
        if low < precision.min or high > precision.max:
            raise ValueError(
                f"The membrane potential of the neurons '{self.name}' has the type "
                f"{precision}, which holds {precision.min} to {precision.max}, but "
                f"their {name} goes from {low} to {high}. Give `Precision: potential` "
                "more bits before the point."
            )


class SpikingNeuronsConfig(LayerConfigTemplate):
    """The constants of a layer in C++."""

    template = """struct config{index} : nnet::spiking_config {{
    typedef {potential_t.name} potential_t;
    typedef {decay_t.name} decay_t;
    static const unsigned n_timesteps = {n_timesteps};
    static const unsigned n_features = {n_features};
    static const unsigned n_parameters = {n_parameters};
    static const unsigned reuse_factor = {reuse};
    static const bool leaky = {leaky};
    static const bool decay_input = {decay_input};
    static const bool soft_reset = {soft_reset};
}};\n"""

    def __init__(self):
        super().__init__(SpikingNeurons)

    def format(self, node):
        size = node.get_weights("threshold").data_length
        constants = {**self._default_config_params(node), "n_parameters": size}
        return self.template.format(**constants)


class SpikingNeuronsFunction(FunctionCallTemplate):
    """The call of a layer in C++."""

    template = (
        "nnet::spiking<{input_t}, {output_t}, {config}>"
        "({input}, {output}, {decay}, {threshold}, {baseline});"
    )

    def __init__(self):
        super().__init__(SpikingNeurons, ["nnet_utils/nnet_spiking.h"])

    def format(self, node):
        weights = ("decay", "threshold", "baseline")
        names = {name: node.get_weights(name).name for name in weights}
        return self.template.format(**{**self._default_function_params(node), **names})


def register():
    # Handlers register themselves when their classes are made.
    hls4ml.model.layers.register_layer(SpikingNeurons.__name__, SpikingNeurons)
    register_pass("infer_types_over_time", InferTypes)
    passes = get_flow("vivado:optimize").optimizers  # Vitis has the same
    passes.insert(passes.index("infer_precision_types"), "infer_types_over_time")
    header = pathlib.Path(__file__).with_name("nnet_spiking.h")
    for name in _BACKENDS:
        backend = hls4ml.backends.get_backend(name)
        backend.register_template(SpikingNeuronsConfig)
        backend.register_template(SpikingNeuronsFunction)
        backend.register_source(header.resolve())


def _check(layer, in_tensors):
    """Raises `ValueError` for what the neurons in C++ do not have."""
    what = f"{type(layer).__name__} '{layer.name}'"
    if not layer.surrogate.spiking:
        raise ValueError(
            f"{what} has no spikes, but smooth activations: assign "
            "`layer.surrogate.spiking = True` first."
        )
    for name, wanted in (
        ("return_sequences", True),
        ("return_state", False),
        ("stateful", False),
    ):
        if getattr(layer, name) != wanted:
            raise ValueError(
                f"{what}: networks for FPGAs take whole sequences and start afresh. "
                f"Make the layer with `{name}={wanted}`."
            )
    _check_time(layer, in_tensors)


def _check_time(layer, in_tensors):
    what = f"{type(layer).__name__} '{layer.name}'"
    if len(in_tensors) != 1:
        raise ValueError(
            f"{what}: networks for FPGAs know neither masks nor initial states. "
            f"It has {len(in_tensors)} inputs, leave out all but the first."
        )
    shape = in_tensors[0].shape
    if None in shape[1:]:
        raise ValueError(
            f"{what}: the number of time steps and features must be fixed, "
            f"`keras.Input((timesteps, ...))`. Received: input shape {shape}"
        )


def _array(value):
    return keras.ops.convert_to_numpy(value).astype("float64")
