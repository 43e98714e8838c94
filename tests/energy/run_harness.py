"""Prints the metrics that NeuroBench computes of a network of snnTorch with the weights
of `network`. For an environment with neurobench, snntorch and keras.

Usage: KERAS_BACKEND=torch PYTHONPATH=. python tests/energy/run_harness.py
"""

import keras
import numpy as np
import snntorch
import torch
from energy_network import data
from energy_network import network
from neurobench.benchmarks import Benchmark
from neurobench.metrics import static
from neurobench.metrics import workload
from neurobench.models import SNNTorchModel

from keras_spiking import neurobench

METRICS = [
    [static.ParameterCount, static.Footprint, static.ConnectionSparsity],
    [
        workload.ActivationSparsity,
        workload.SynapticOperations,
        workload.MembraneUpdates,
    ],
]


def in_snntorch(model):
    """Layer by layer, without buffers of the neurons, which are no weights."""

    def neurons(layer, last=False):
        beta = 1.0 - 1.0 / layer.tau
        leaky = snntorch.Leaky(
            beta,
            init_hidden=True,
            output=last,
            reset_mechanism="zero",
            reset_delay=False,
        )
        for name in list(leaky._buffers):
            setattr(leaky, name, leaky._buffers.pop(name))
        return leaky

    def linear(layer):
        *sizes, bias = *layer.kernel.shape, layer.use_bias
        module = torch.nn.Linear(*sizes, bias=bias)
        module.weight.data = torch.tensor(np.array(layer.get_weights()[0].T))
        if bias:
            module.bias.data = torch.tensor(layer.get_weights()[1])
        return module

    a, first, b, second = model.layers
    return torch.nn.Sequential(
        linear(a), neurons(first), linear(b), neurons(second, last=True)
    )


def main():
    model, x = network(), data()
    targets = torch.zeros(len(x))
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.tensor(x), targets), batch_size=2
    )
    adapted = SNNTorchModel(in_snntorch(model))
    print(Benchmark(adapted, loader, [], [], METRICS).run(quiet=True))
    for harness in ("always", "never"):
        print(neurobench.run(model, x, batch_size=2, harness=harness))
    difference = np.abs(
        keras.ops.convert_to_numpy(model(x))
        - adapted(torch.tensor(x)).numpy(force=True)
    ).sum()
    print("differing spikes:", difference)


if __name__ == "__main__":
    main()
