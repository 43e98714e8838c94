"""Writes NIR files of other frameworks with spikes that their networks gave.

Usage: python write.py norse|sinabs|spikingjelly folder

Writes `<framework>.nir`, and `<framework>.npz` with `x`, `(batch, time, features)`,
and the `spikes` of the network for it.
"""

import pathlib
import sys

import nir
import numpy as np
import torch

SHAPE = (3, 40, 8)


def norse():
    import norse.torch as norse

    def parameters(tau, threshold):
        return norse.LIFBoxParameters(
            tau_mem_inv=torch.full((6,), 1 / tau),
            v_th=torch.full((6,), threshold),
            v_leak=torch.zeros(6),
        )

    network = norse.SequentialState(
        torch.nn.Linear(8, 6),
        norse.LIFBoxCell(parameters(5e-3, 0.15)),
        torch.nn.Linear(6, 6),
        norse.LIFBoxCell(parameters(2e-3, 0.05)),
    )

    def run(x):
        state, outputs = None, []
        for t in range(x.shape[1]):
            y, state = network(x[:, t], state)
            outputs.append(y)
        return torch.stack(outputs, 1)

    return norse.to_nir(network, torch.zeros(1, 8)), run


def sinabs():
    import sinabs.layers
    from sinabs.activation import SingleSpike
    from sinabs.nir import to_nir

    network = torch.nn.Sequential(
        torch.nn.Linear(8, 6),
        sinabs.layers.LIF(
            tau_mem=torch.full((6,), 5.0),
            spike_threshold=torch.full((6,), 0.15),
            spike_fn=SingleSpike,
        ),
        torch.nn.Linear(6, 6),
        sinabs.layers.IAF(spike_threshold=0.4, spike_fn=SingleSpike),
    )

    def run(x):
        for layer in network:
            if hasattr(layer, "reset_states"):
                layer.reset_states()
        return network(x)

    network(torch.zeros(SHAPE))
    return to_nir(network, torch.zeros(SHAPE)), run


def spikingjelly():
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based import layer
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    network = torch.nn.Sequential(
        layer.Linear(8, 6),
        neuron.LIFNode(tau=3.0, v_threshold=0.2, v_reset=-0.1),
        layer.Linear(6, 6),
        neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=0.4, v_reset=0.0),
        layer.Linear(6, 6),
        neuron.IFNode(v_threshold=0.5),
    )
    functional.set_step_mode(network, "m")
    graph = export_to_nir(network, torch.zeros(1, 1, 8))

    def run(x):
        functional.reset_net(network)
        return network(x.transpose(0, 1)).transpose(0, 1)

    return graph, run


def main(framework, folder):
    torch.manual_seed(1)
    graph, run = {"norse": norse, "sinabs": sinabs, "spikingjelly": spikingjelly}[
        framework
    ]()
    x = (np.random.default_rng(0).uniform(size=SHAPE) < 0.5).astype("float32")
    with torch.no_grad():
        spikes = run(torch.from_numpy(x)).numpy()
    path = pathlib.Path(folder) / f"{framework}.nir"
    nir.write(path, graph)
    np.savez_compressed(path.with_suffix(".npz"), x=x, spikes=spikes)
    print(f"{framework}: {spikes.shape}, {int(spikes.sum())} spikes, {spikes.max()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
