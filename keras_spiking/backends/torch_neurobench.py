"""A model as the harness of NeuroBench takes it, whose metrics look at hooks.

The harness counts operations with copies of a layer of PyTorch whose weights are 0 and
1. So each layer of weights has a stand-in there, and the hooks, which the harness would
fill when PyTorch calls the stand-in, are filled with what reaches the layer itself.
"""

import contextlib
import io

import keras
import numpy as np
import torch
from keras import layers
from neurobench.benchmarks import Benchmark
from neurobench.hooks.layer import LayerHook
from neurobench.hooks.neuron import NeuronHook
from neurobench.metrics.static import ConnectionSparsity
from neurobench.metrics.static import Footprint
from neurobench.metrics.static import ParameterCount
from neurobench.metrics.workload import ActivationSparsity
from neurobench.metrics.workload import MembraneUpdates
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import NeuroBenchModel

from keras_spiking.backends.products import geometry
from keras_spiking.energy.fan_out import DEPTHWISE
from keras_spiking.energy.fan_out import is_counted
from keras_spiking.energy.observation import observe
from keras_spiking.inspection.selection import all_layers
from keras_spiking.neurobench.metrics import is_activation
from keras_spiking.neurobench.metrics import membranes

_METRICS = [
    [ParameterCount, Footprint, ConnectionSparsity],
    [ActivationSparsity, SynapticOperations, MembraneUpdates],
]


class Adapter(NeuroBenchModel):
    """See `keras_spiking.neurobench.to_neurobench_model`."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.membranes = membranes(model)
        counted = {n: x for n, x in all_layers(model).items() if is_counted(x)}
        self.stand_ins = {name: _stand_in(x) for name, x in counted.items()}
        self.net = torch.nn.Module()
        self.net.connections = torch.nn.ModuleList(self.stand_ins.values())
        self.net.others = torch.nn.Module()
        held = {id(w) for x in counted.values() for w in x.weights}
        others = (w for w in model.weights if id(w) not in held)
        for i, weight in enumerate(others):
            _set(self.net.others, f"weight_{i}", weight, weight.value)
        self.of_layers = {}
        self.of_neurons = {}

    def __net__(self):
        return self.net

    def register_hooks(self):
        self.of_layers = {n: LayerHook(x) for n, x in self.stand_ins.items()}
        self.connection_hooks = list(self.of_layers.values())
        self.of_neurons = {}
        self.activation_hooks = []

    def __call__(self, batch):
        x = batch.numpy(force=True)
        y = observe(self.model, x, self._at_synapses, self._at_neurons)
        for name, potential in self.membranes(x).items():
            steps = list(torch.tensor(potential).unbind(1))
            hook = self._of_neuron(name)
            hook.post_fire_mem_potential = steps
            hook.pre_fire_mem_potential = [steps[0], *steps[:-1]]
        return y

    def benchmark(self, batches):
        """The harness's metrics of complexity on batches of inputs."""
        x = torch.cat([torch.tensor(keras.tree.flatten(b)[0]) for b in batches])
        targets = torch.zeros(len(x))
        loader = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(x, targets), batch_size=len(batches[0])
        )
        # It prints errors of metrics and goes on with 0.
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            with contextlib.redirect_stderr(io.StringIO()):
                results = Benchmark(self, loader, [], [], _METRICS).run()
        if "Error running" in printed.getvalue():
            raise RuntimeError(f"NeuroBench's harness failed: {printed.getvalue()}")
        return results

    def _at_synapses(self, name, layer, part, x):
        if getattr(layer, "data_format", "channels_first") == "channels_last":
            x = np.moveaxis(x, -1, 1)
        self.of_layers[name].inputs.append((torch.tensor(x),))

    def _at_neurons(self, name, layer, outputs, has_time):
        if is_activation(layer):
            outputs = torch.tensor(outputs)
            self._of_neuron(name).activation_outputs.append(outputs)

    def _of_neuron(self, name):
        if name not in self.of_neurons:
            self.of_neurons[name] = NeuronHook(None, name)
            self.activation_hooks.append(self.of_neurons[name])
        return self.of_neurons[name]


class _Padded:
    """A convolution with the padding of Keras, which is not the same at both ends."""

    pads = ()

    def forward(self, x):
        return super().forward(torch.nn.functional.pad(x, self.pads))


class _Conv1d(_Padded, torch.nn.Conv1d):
    pass


class _Conv2d(_Padded, torch.nn.Conv2d):
    pass


class _Conv3d(_Padded, torch.nn.Conv3d):
    pass


def _stand_in(layer):
    """A layer of PyTorch with the weights of a layer of Keras."""
    if isinstance(layer, layers.Dense):
        module = torch.nn.Linear(1, 1, bias=layer.use_bias)
        _set(module, "weight", layer.kernel, layer.kernel.value.T)
    else:
        module = _convolution(layer)
    if layer.use_bias:
        _set(module, "bias", layer.bias, layer.bias.value)
    return module


def _convolution(layer):
    *taps, depth, filters = layer.kernel.shape
    kernel = layer.kernel.value.movedim((-1, -2), (0, 1))
    groups = getattr(layer, "groups", 1)
    if isinstance(layer, DEPTHWISE):
        kernel = layer.kernel.value.reshape(*taps, 1, -1).movedim((-1, -2), (0, 1))
        groups, filters, depth = depth, depth * filters, 1
    module = (_Conv1d, _Conv2d, _Conv3d)[len(taps) - 1](
        depth * groups,
        filters,
        tuple(taps),
        stride=tuple(layer.strides),
        dilation=tuple(layer.dilation_rate),
        groups=groups,
        bias=layer.use_bias,
    )
    _set(module, "weight", layer.kernel, kernel)
    shape = layer.get_build_config()["input_shape"][1:]
    size = shape[1:] if layer.data_format == "channels_first" else shape[:-1]
    module.pads = [
        pad
        for axis in zip(size, taps, layer.strides, layer.dilation_rate)
        for pad in reversed(_pads(*axis, layer.padding))
    ][::-1]
    return module


def _pads(size, taps, stride, dilation, padding):
    """Zeros before and behind an axis."""
    width = (taps - 1) * dilation + 1
    if padding == "causal":
        return width - 1, 0
    outputs, before, *_ = geometry.conv_axis(size, taps, stride, dilation, padding)
    return before, max((outputs - 1) * stride + width - size - before, 0)


def _set(module, name, variable, value):
    """Gives a module the value of a variable, as a parameter if it is trained."""
    value = value.detach().clone().contiguous()
    if hasattr(module, name):
        delattr(module, name)
    if variable.trainable:
        module.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
    else:
        module.register_buffer(name, value)
