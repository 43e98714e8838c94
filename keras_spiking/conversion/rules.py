"""Which operations can be converted, and how."""

import keras
import numpy as np
from keras import layers
from keras import ops

from keras_spiking.conversion.qcfs import QCFS
from keras_spiking.layers.regularization.dropout import Dropout as SpikingDropout
from keras_spiking.layers.temporal_layer import TemporalLayer

# Linear or affine: applied to the input of every step, they keep means.
_AFFINE_LAYERS = (
    layers.Add,
    layers.Average,
    layers.AveragePooling1D,
    layers.AveragePooling2D,
    layers.AveragePooling3D,
    layers.BatchNormalization,
    layers.Concatenate,
    layers.Conv1D,
    layers.Conv1DTranspose,
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.Conv3D,
    layers.Conv3DTranspose,
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Cropping3D,
    layers.Dense,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.EinsumDense,
    layers.Flatten,
    layers.GlobalAveragePooling1D,
    layers.GlobalAveragePooling2D,
    layers.GlobalAveragePooling3D,
    layers.Normalization,
    layers.Permute,
    layers.RepeatVector,
    layers.Rescaling,
    layers.Reshape,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
    layers.Subtract,
    layers.UpSampling1D,
    layers.UpSampling2D,
    layers.UpSampling3D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
)
# Functions of `keras.ops` record themselves under these class names.
_AFFINE_OPERATIONS = {
    "Add",
    "AveragePool",
    "Concatenate",
    "ExpandDims",
    "Flatten",
    "GetItem",
    "Mean",
    "Moveaxis",
    "Negative",
    "Pad",
    "Reshape",
    "Squeeze",
    "Stack",
    "Subtract",
    "Sum",
    "Transpose",
}
_AFFINE_WITH_ONE_TENSOR = {"Einsum", "Matmul", "Multiply"}
_AFFINE_IN_FIRST = {"Conv", "Divide", "TrueDivide"}

_MAXIMUM_LAYERS = (
    layers.GlobalMaxPooling1D,
    layers.GlobalMaxPooling2D,
    layers.GlobalMaxPooling3D,
    layers.MaxPooling1D,
    layers.MaxPooling2D,
    layers.MaxPooling3D,
    layers.Maximum,
)
_MAXIMUM_OPERATIONS = {"Amax", "Max", "MaxPool"}

# Other functions, of one input or several: `Differences` keeps the means of these.
_FUNCTION_LAYERS = (
    layers.Dot,
    layers.ELU,
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.Minimum,
    layers.Multiply,
    layers.RMSNormalization,
    layers.Softmax,
    layers.UnitNormalization,
)
_FUNCTION_ACTIVATIONS = (
    "celu",
    "elu",
    "gelu",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
)
_FUNCTION_OPERATIONS = {
    "Celu",
    "Dot",
    "Einsum",
    "Elu",
    "Erf",
    "Gelu",
    "HardSigmoid",
    "HardSilu",
    "HardTanh",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "Matmul",
    "Minimum",
    "Multiply",
    "Divide",
    "LayerNorm",
    "Power",
    "RMSNorm",
    "Rsqrt",
    "Selu",
    "Sigmoid",
    "Silu",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Square",
    "Tanh",
    "TrueDivide",
    "Var",
}
# Sums of products: synapses, if the factors are spikes.
_PRODUCT_OPERATIONS = {"Dot", "Einsum", "Matmul"}

_IDENTITY_AT_INFERENCE = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.InputLayer,
    layers.RandomBrightness,
    layers.RandomContrast,
    layers.RandomFlip,
    layers.RandomRotation,
    layers.RandomTranslation,
    layers.RandomZoom,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    SpikingDropout,
)

_HEADS = (layers.Activation, *_FUNCTION_LAYERS)

_REMEDIES = {
    "Activation": "use ReLU, LeakyReLU or keras_spiking.conversion.QCFS and train "
    "again; the last layer of an output may have any activation",
    "Lambda": "use Keras layers or functions of keras.ops",
    "Embedding": "look tokens up at the start of the model, with mask_zero=False; "
    "attention takes a mask as `attention_mask`",
    "Masking": "attention takes a mask as `attention_mask`",
    "ReLU": "use a ReLU with threshold=0, and with one of max_value and "
    "negative_slope at most",
    "TemporalLayer": "it spikes or integrates over time already; only networks that "
    "were trained as ANNs are converted",
    "Resizing": "do this to the data, before the model",
    "CenterCrop": "do this to the data, before the model",
}


class Rectifier:
    """A piecewise linear activation that a neuron can replace.

        y = clip(x, max=maximum) for x >= 0, else negative_slope x

    Attributes:
        negative_slope: Float or array. Defaults to `0.0`.
        maximum: Float or `None`. Defaults to `None`.
        levels: Integer, the number of steps of a `QCFS`, or `None`.
    """

    def __init__(self, negative_slope=0.0, maximum=None, levels=None):
        self.negative_slope = negative_slope
        self.maximum = maximum
        self.levels = levels

    def __call__(self, x):
        if self.levels is not None:
            # In the layer's words, so that both round alike.
            return QCFS(self.levels, threshold=self.maximum)(x)
        slope = ops.convert_to_tensor(self.negative_slope, x.dtype)
        negative = slope * ops.minimum(x, 0.0)
        positive = ops.maximum(x, 0.0)
        if self.maximum is not None:
            positive = ops.minimum(positive, self.maximum)
        return positive + negative


def as_rectifier(call):
    """The `Rectifier` that a call computes, or `None`."""
    operation = call.operation
    if isinstance(operation, layers.Activation):
        operation = operation.activation
    if isinstance(operation, QCFS):
        threshold = float(ops.convert_to_numpy(operation.threshold))
        return Rectifier(maximum=threshold, levels=operation.levels)
    if isinstance(operation, layers.LeakyReLU):
        return Rectifier(float(operation.negative_slope))
    if isinstance(operation, layers.PReLU):
        return Rectifier(ops.convert_to_numpy(operation.alpha))
    is_layer = isinstance(operation, keras.layers.Layer)
    if is_layer and not isinstance(operation, layers.ReLU):
        return None
    name = getattr(operation, "__name__", type(operation).__name__)
    if name == "ReLU":  # the layer, or `keras.activations.relu` of a tensor
        slope, maximum = operation.negative_slope, operation.max_value
        if operation.threshold or (slope and maximum is not None):
            return None
        return Rectifier(float(slope), maximum)
    if name in ("Relu", "relu"):
        return Rectifier()
    if name in ("Relu6", "relu6"):
        return Rectifier(maximum=6.0)
    if name == "leaky_relu":
        return Rectifier(0.2)
    if name == "LeakyRelu":
        return Rectifier(float(operation.negative_slope))
    if name == "Maximum" and len(_constants(call)) == 1:
        return None if np.any(_constants(call)[0]) else Rectifier()
    return None


def is_affine(call):
    operation = call.operation
    if isinstance(operation, keras.layers.Layer):
        return computes(operation, _AFFINE_LAYERS)
    name = type(operation).__name__
    if name in _AFFINE_WITH_ONE_TENSOR:
        return len(call.inputs) == 1
    if name in _AFFINE_IN_FIRST:
        return len(call.inputs) == 1 and call.inputs[0] is call.args[0]
    return name in _AFFINE_OPERATIONS


def is_maximum(call):
    operation = call.operation
    if isinstance(operation, keras.layers.Layer):
        return computes(operation, _MAXIMUM_LAYERS)
    name = type(operation).__name__
    return name in _MAXIMUM_OPERATIONS or (name == "Maximum" and not _constants(call))


def is_function(call):
    """Whether a call is a function that `Differences` computes."""
    operation = call.operation
    if is_affine(call) or is_maximum(call):
        return False
    if isinstance(operation, layers.Activation):
        activations = [getattr(keras.activations, x) for x in _FUNCTION_ACTIVATIONS]
        return operation.activation in activations
    if isinstance(operation, keras.layers.Layer):
        return computes(operation, _FUNCTION_LAYERS)
    return type(operation).__name__ in _FUNCTION_OPERATIONS


def is_product(call):
    """Whether a call sums products of two inputs, as attention does."""
    operation = call.operation
    if not is_function(call) or len(call.inputs) < 2:
        return False
    return isinstance(operation, layers.Dot) or (
        type(operation).__name__ in _PRODUCT_OPERATIONS
    )


def is_allowed_before_neurons(call):
    """Whether a call may be computed once, on inputs that are the same in all steps.

    Functions of `keras.ops`, such as those that make masks, and embeddings may. So may
    layers of one's own that cannot be looked into, if all layers inside are affine.
    """
    operation = call.operation
    if not isinstance(operation, keras.layers.Layer):
        return True
    if isinstance(operation, layers.Embedding):
        return not operation.mask_zero
    inside = [x for x in operation._flatten_layers() if x is not operation]
    kinds = (*_AFFINE_LAYERS, *_IDENTITY_AT_INFERENCE, layers.Embedding)
    return call.trouble is not None and all(computes(x, kinds) for x in inside)


def is_known(call):
    """Whether an operation is one that these rules speak of."""
    return (
        isinstance(call.operation, (Rectifier, layers.Embedding))
        or as_rectifier(call) is not None
        or is_identity(call.operation)
        or is_affine(call)
        or is_maximum(call)
        or is_function(call)
    )


def is_identity(operation):
    """Whether an operation returns its input at inference."""
    if isinstance(operation, layers.Activation):
        return operation.activation is keras.activations.linear
    return computes(operation, _IDENTITY_AT_INFERENCE)


def is_head(graph, call):
    """Whether a call is an activation that computes an output and nothing else.

    It is applied to the mean of its input over time.
    """
    if not isinstance(call.operation, _HEADS) or len(call.inputs) != 1:
        if isinstance(call.operation, keras.layers.Layer) or len(call.inputs) != 1:
            return False
        if call.inputs[0].shape != call.outputs[0].shape:
            return False
    (output,) = call.outputs
    return graph.is_output(output) and not graph.consumers(output)


def explain(call):
    """Why a call cannot be converted, and what to use instead."""
    operation = call.operation
    kind = type(operation).__name__
    what = kind
    if isinstance(operation, layers.Activation):
        activation = operation.activation
        what = f"activation {getattr(activation, '__name__', activation)!r}"
    elif isinstance(operation, TemporalLayer):
        kind = "TemporalLayer"
    is_activation = isinstance(operation, _HEADS) or (
        not isinstance(operation, keras.layers.Layer) and len(call.inputs) == 1
    )
    remedy = _REMEDIES.get("Activation" if is_activation else kind)
    remedy = remedy or "replace it with layers that are linear in their input, and ReLU"
    if call.trouble is not None:
        remedy = (
            "a layer of one's own must call Keras layers and functions of keras.ops "
            f"only, for any batch size, but this was raised: {call.trouble}"
        )
    return f"'{call.place}' ({what}): {remedy}"


def computes(layer, kinds):
    """Whether a layer is of one of these kinds, and computes as they do."""
    cls, methods = type(layer), ("call", "convolution_op")
    return any(
        isinstance(layer, x)
        and all(getattr(cls, m, None) is getattr(x, m, None) for m in methods)
        for x in kinds
    )


def _constants(call):
    arguments = keras.tree.flatten((call.args, call.kwargs))
    return [x for x in arguments if not isinstance(x, keras.KerasTensor)]
