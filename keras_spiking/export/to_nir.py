"""Keras models as NIR graphs."""

import json

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.export import chain
from keras_spiking.export.files import complete_file
from keras_spiking.export.nir_package import nir
from keras_spiking.validation import check_number


def to_nir(model, path=None, dt=1e-4, approximate=False):
    """Makes a NIR graph of a model.

    What can be written: Dense, Conv1D, Conv2D, AveragePooling2D, Flatten,
    ZeroPadding1D and 2D and BatchNormalization behind or in front of a convolution or
    Dense layer, Rescaling, Dropout, `Delay`, the neurons `IFLayer`, `LIFLayer`,
    `ParametricLIFLayer`, `LILayer` and `Integrator`, and around them
    `ElementwiseRecurrent` (with `"add"`) and `RecurrentGraph`. Arrays are written
    with channels first, as NIR wants them.

    A time constant of `tau` steps becomes `tau * dt`. The resistance `r` is 1 for
    `decay_input=True`, `tau` for `False`, and `1 / dt` for `IFLayer`, so that Euler
    steps of `dt` compute what the model does. `dt` is noted in the metadata of the
    graph.

    NIR has no soft reset and no fixed-point arithmetic. Such neurons raise, unless
    `approximate=True`: then they are written as the nearest NIR neuron (hard reset to
    0, real numbers), and the exact layer is noted in the metadata of its node, from
    where `from_nir` restores it. Other readers run the approximation.

    Args:
        model: Keras model over `(batch, time, ...)`.
        path: Where to write a NIR file, or `None`. A file that exists is replaced
            once the new one is complete.
        dt: Float > 0, the duration of a time step. Defaults to `1e-4`, which is
            what snnTorch takes for granted.
        approximate: Boolean, whether neurons that NIR cannot express are
            approximated. Defaults to `False`.

    Returns:
        The `nir.NIRGraph`.

    Raises:
        ValueError: before anything is written, if a layer cannot be expressed.
        ImportError: if the package `nir` is missing.

    References:
        - [Pedersen et al., 2024](https://doi.org/10.1038/s41467-024-52259-9)
    """
    writer = _Writer(check_number("dt", dt, above=0.0), approximate)
    stages = chain.chain(model)
    shape = _channels_first(stages[0].input_shape)
    writer.nodes["input"] = nir().Input({"input": np.array(shape)})
    last = writer.add_all(stages, ["input"])
    if not isinstance(last, list):
        last = [last]
    shape = _channels_first(stages[-1].output_shape)
    writer.nodes["output"] = nir().Output({"output": np.array(shape)})
    writer.edges += [(name, "output") for name in last]
    graph = nir().NIRGraph(writer.nodes, writer.edges, metadata={"dt": dt})
    if path is not None:
        with complete_file(path) as temporary:
            nir().write(temporary, graph)
    return graph


class _Writer:
    """Collects nodes and edges."""

    def __init__(self, dt, approximate):
        self.dt = dt
        self.approximate = approximate
        self.nodes = {}
        self.edges = []

    def add_all(self, stages, before):
        """Adds stages that follow one another behind the nodes `before`.

        Returns:
            A list of the names of the nodes that give the output.
        """
        stages = list(stages)
        while stages:
            stage = stages.pop(0)
            layer = stage.layer
            if isinstance(layer, layers.RecurrentGraph):
                before = self._graph(stage, before)
            elif isinstance(layer, layers.ElementwiseRecurrent):
                before = self._feedback(stage, before)
            elif isinstance(layer, (keras.layers.Permute, keras.layers.Flatten)):
                before = self._flatten(stage, stages, before)
            elif isinstance(layer, layers.TemporalLayer):
                before = self._put(layer.name, self._neurons(stage), before)
            else:
                before = self._stateless(stage, stages, before)
        return before

    def _put(self, name, node, before):
        if name in self.nodes:
            raise ValueError(
                f"The layer '{name}' is used more than once, or two layers have this "
                "name: a NIR graph needs a node for each."
            )
        self.nodes[name] = node
        self.edges += [(b, name) for b in before]
        return [name]

    def _stateless(self, stage, stages, before):
        padding = (0, 0)
        if isinstance(stage.layer, _PADDINGS):
            padding = _symmetric(stage)
            if not stages or not isinstance(
                chain.inner(stages[0].layer), (*_CONVOLUTIONS, _POOLING)
            ):
                raise ValueError(
                    f"{stage} must be followed by a convolution or AveragePooling2D, "
                    "whose padding it becomes."
                )
            padded, stage = stage, stages.pop(0)
        layer = chain.inner(stage.layer)
        name = stage.layer.name
        if isinstance(layer, keras.layers.Rescaling):
            if np.any(layer.offset):
                raise ValueError(f"{stage}: NIR's Scale has no offset.")
            scale = _per_neuron(layer.scale, stage.output_shape)
            return self._put(name, nir().Scale(scale), before)
        if isinstance(layer, layers.Delay):
            delay = np.full(
                _channels_first(stage.output_shape), layer.delay_steps * self.dt
            )
            return self._put(name, nir().Delay(delay), before)
        if isinstance(layer, _POOLING):
            return self._put(name, _pool(stage, padding), before)
        if not isinstance(layer, (keras.layers.Dense, *_CONVOLUTIONS)) or isinstance(
            layer, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
        ):
            raise ValueError(
                f"NIR has no {stage}. It takes Dense, Conv1D, Conv2D, "
                "AveragePooling2D, Flatten, BatchNormalization behind one of these, "
                "Rescaling, Delay, IFLayer, LIFLayer, LILayer, Integrator, "
                "RecurrentGraph and Dropout. Encoders and readouts are not part of a "
                "graph: export what is between them."
            )
        if getattr(layer, "activation", None) not in (None, keras.activations.linear):
            raise ValueError(f"{stage}: NIR has no activation functions.")
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(f"{stage}: export takes `data_format='channels_last'`.")
        kernel, bias = chain.weights(stage.layer)
        if stages and isinstance(stages[0].layer, keras.layers.BatchNormalization):
            normalization = stages.pop(0).layer
            kernel, bias = chain.fold_scale_and_shift(
                kernel, bias, *chain.scale_and_shift(normalization)
            )
            kernel, bias = kernel.astype("float32"), bias.astype("float32")
        if isinstance(layer, keras.layers.Dense):
            node = self._dense(stage, kernel, bias)
        else:
            shape = padded.input_shape if any(padding) else stage.input_shape
            node = _convolution(stage, shape, kernel, bias, padding)
        return self._put(name, node, before)

    def _dense(self, stage, kernel, bias):
        if len(stage.input_shape) > 1:
            raise ValueError(
                f"{stage} acts on the last axis of features {stage.input_shape}. Put "
                "a Flatten in front, or use a convolution with a kernel of 1."
            )
        if self.pixels is not None:
            kernel = _rows_channels_first(kernel, self.pixels)
        self.pixels = None
        weight = np.ascontiguousarray(kernel.T)
        return nir().Linear(weight) if bias is None else nir().Affine(weight, bias)

    # The shape that a Flatten in front of the next Dense layer has flattened with
    # channels last.
    pixels = None

    def _flatten(self, stage, stages, before):
        shape = stage.input_shape
        if isinstance(stage.layer, keras.layers.Permute):
            to_front = (len(shape), *range(1, len(shape)))
            follows = stages and isinstance(stages[0].layer, keras.layers.Flatten)
            if tuple(stage.layer.dims) != to_front or not follows:
                raise ValueError(
                    f"{stage}: NIR cannot permute. Only moving channels to the front "
                    "of a Flatten can be exported."
                )
            stage = stages.pop(0)
        elif len(shape) > 1:
            if not stages or not isinstance(
                chain.inner(stages[0].layer), keras.layers.Dense
            ):
                raise ValueError(
                    f"{stage} must be followed by Dense: NIR flattens with channels "
                    "first, and only its weights can be reordered."
                )
            self.pixels = shape
        node = nir().Flatten(
            input_type={"input": np.array(_channels_first(shape))},
            start_dim=0,
            end_dim=-1,
        )
        return self._put(stage.layer.name, node, before)

    def _feedback(self, stage, before):
        layer = stage.layer
        if layer.function is not keras.ops.add or layer.reduce is not None:
            raise ValueError(
                f"{stage}: only `function='add'` and `reduce=None` can be exported."
            )
        known = set(self.nodes)
        last = self.add_all(chain.stages_of(layer.layers, stage.input_shape), before)
        first = next(name for name in self.nodes if name not in known)
        self.edges += [(name, first) for name in last]
        return last

    def _graph(self, stage, before):
        layer = stage.layer
        if layer.reduce is not None:
            raise ValueError(f"{stage}: only `reduce=None` can be exported.")
        shapes = {"input": stage.input_shape}
        shapes |= {n: s[1:] for n, s in zip(layer.order, layer.node_shapes)}
        starts, stops = {"output": "output"}, {"input": before}
        for name, node in layer.nodes.items():
            source = next(a for a, b in layer.edges if b == name)
            known = set(self.nodes)
            stops[name] = self.add_all(chain.stages_of(node, shapes[source]), [])
            starts[name] = next(n for n in self.nodes if n not in known)
        self.edges += [
            (stop, starts[after])
            for source, after in layer.edges
            if after != "output"
            for stop in stops[source]
        ]
        return [s for a, b in layer.edges if b == "output" for s in stops[a]]

    def _neurons(self, stage):
        layer, dt = stage.layer, self.dt

        def full(value):
            return _per_neuron(value, stage.output_shape)

        if isinstance(layer, layers.Integrator):
            return nir().I(r=full(1 / dt))
        if isinstance(layer, layers.CubaLIFLayer):
            return self._fixed_point(stage, full)
        kinds = (
            layers.IFLayer,
            layers.LIFLayer,
            layers.ParametricLIFLayer,
            layers.LILayer,
        )
        if not isinstance(layer, kinds):
            raise ValueError(
                f"NIR has no {stage}. Use IFLayer, LIFLayer, ParametricLIFLayer, "
                "LILayer or Integrator."
            )
        if isinstance(layer, layers.IFLayer):
            fields = {"r": full(1 / dt)}
        else:
            tau = keras.ops.convert_to_numpy(layer.tau).astype("float64")
            fields = {
                "tau": full(tau * dt),
                "r": full(1.0 if layer.decay_input else tau),
                "v_leak": full(getattr(layer, "rest", 0.0)),
            }
        if isinstance(layer, layers.LILayer):
            if layer.reduce is not None:
                raise ValueError(f"{stage}: only `reduce=None` can be exported.")
            return nir().LI(**fields)
        metadata = {}
        if layer.v_reset is None:
            self._only_if_approximate(stage, "a soft reset (`v_reset=None`)")
            metadata = _note(layer)
        fields["v_threshold"] = full(layer.v_threshold)
        fields["v_reset"] = full(layer.rest)
        node = nir().IF if isinstance(layer, layers.IFLayer) else nir().LIF
        return node(**fields, metadata=metadata)

    def _fixed_point(self, stage, full):
        self._only_if_approximate(stage, "fixed-point arithmetic")
        fixed = {
            name: keras.ops.convert_to_numpy(value).astype("float64")
            for name, value in stage.layer.fixed_point().items()
        }
        current, voltage = fixed["current_decay"], fixed["voltage_decay"]
        if np.any(current == 0) or np.any(voltage == 0):
            raise ValueError(f"{stage}: NIR's CubaLIF cannot have a decay of 0.")
        return nir().CubaLIF(
            tau_syn=full(self.dt / current),
            tau_mem=full(self.dt / voltage),
            r=full(1 / voltage),
            v_leak=full(fixed["bias"] / voltage),
            v_threshold=full(fixed["v_threshold"]),
            v_reset=full(0.0),
            w_in=full(1 / current),
            metadata=_note(stage.layer),
        )

    def _only_if_approximate(self, stage, what):
        if not self.approximate:
            raise ValueError(
                f"{stage}: NIR cannot express {what}. `approximate=True` writes the "
                "nearest NIR neuron and notes the exact layer in its metadata."
            )


_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D)
_PADDINGS = (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D)
_POOLING = keras.layers.AveragePooling2D


def _note(layer):
    config = keras.saving.serialize_keras_object(layer)
    inner = config["config"]
    # Learned values are weights, which a configuration does not hold.
    for name, weight in layer.parameter_weights.items():
        value = keras.ops.convert_to_numpy(weight).astype("float64")
        if name == "w":
            name, value = "init_tau", 1 + np.exp(-value)
        inner[name] = value.tolist()
    config.pop("build_config", None)
    return {"keras_spiking": json.dumps(config)}


def _convolution(stage, shape, kernel, bias, padding):
    layer = chain.inner(stage.layer)
    rank = len(layer.kernel_size)
    pads = list(padding[:rank])
    if layer.padding == "same":
        for axis in range(rank):
            size, stride = stage.input_shape[axis], layer.strides[axis]
            extent = (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis] + 1
            total = max((-(-size // stride) - 1) * stride + extent - size, 0)
            if total % 2:
                raise ValueError(
                    f"{stage}: `padding='same'` pads one side more than the other "
                    "here, which NIR cannot say. Use zero padding layers and "
                    "`padding='valid'`."
                )
            pads[axis] += total // 2
    elif layer.padding != "valid":
        raise ValueError(f"{stage}: NIR has no `padding={layer.padding!r}`.")
    weight = np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1)))
    # The package `nir` (1.0.8) infers wrong shapes for groups and for kernels that
    # are not square, and then refuses to read the graph.
    if len(set(weight.shape[2:])) > 1:
        raise ValueError(
            f"{stage}: NIR graphs with kernels that are not square cannot be read "
            f"back. Received: kernel_size={layer.kernel_size}"
        )
    weight = _without_groups(weight, layer.groups)
    bias = np.zeros(weight.shape[0], weight.dtype) if bias is None else bias
    single = rank == 1

    def value(numbers):
        numbers = tuple(int(n) for n in numbers)
        return numbers[0] if single else numbers

    node = nir().Conv1d if single else nir().Conv2d
    return node(
        input_shape=value(shape[:rank]),
        weight=weight,
        stride=value(layer.strides),
        padding=value(pads),
        dilation=value(layer.dilation_rate),
        groups=1,
        bias=bias,
    )


def _without_groups(weight, groups):
    """The same convolution with zeros between the groups."""
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    full = np.zeros((weight.shape[0], inputs * groups, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        full[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return full


def _pool(stage, padding):
    layer = stage.layer
    if layer.padding != "valid" or layer.data_format == "channels_first":
        raise ValueError(
            f"{stage}: only `padding='valid'` and `data_format='channels_last'` can "
            "be exported."
        )
    return nir().AvgPool2d(
        kernel_size=np.array(layer.pool_size),
        stride=np.array(layer.strides),
        padding=np.array(padding),
    )


def _symmetric(stage):
    pads = np.reshape(stage.layer.padding, (-1, 2))
    if np.any(pads[:, 0] != pads[:, 1]):
        raise ValueError(f"{stage}: NIR pads both sides alike.")
    return tuple(int(p) for p in pads[:, 0])


def _per_neuron(value, shape):
    """One value for every neuron, channels first."""
    value = np.asarray(keras.ops.convert_to_numpy(value), "float64")
    value = np.broadcast_to(value, shape)
    return np.ascontiguousarray(np.moveaxis(value, -1, 0))


def _rows_channels_first(kernel, shape):
    kernel = kernel.reshape(*shape, -1)
    return np.moveaxis(kernel, -2, 0).reshape(-1, kernel.shape[-1])


def _channels_first(shape):
    return (shape[-1], *shape[:-1])
