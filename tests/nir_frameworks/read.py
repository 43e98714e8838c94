"""Reads the NIR files that were written for a framework, and counts what differs.

Usage: python read.py spikingjelly|snntorch|norse|sinabs|spyx|snn-mlir folder

For every `<name>.nir` of the folder there is a `<name>.npz` with `x`,
`(batch, time, ...)` and channels first, and the `outputs` that are expected. Prints
JSON: for each name how many outputs differ by more than 1e-6.
"""

import json
import pathlib
import sys

import nir
import numpy as np

DT = 1e-4


def steps(network, x):
    """Runs a network that takes a step and a state; one output, no more."""
    import torch

    state, outputs = None, []
    for t in range(x.shape[1]):
        y, state = network(torch.from_numpy(x[:, t].copy()), state)
        outputs.append(y.detach().numpy())
    return np.stack(outputs, 1)


def spikingjelly(graph, x):
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return steps(import_from_nir(graph, dt=DT), x)


def snntorch(graph, x):
    from snntorch.import_nir import import_from_nir

    return steps(import_from_nir(graph), x)


def norse(graph, x):
    import norse.torch

    return steps(norse.torch.from_nir(graph, dt=DT), x)


def sinabs(graph, x):
    import torch
    from sinabs.activation import SingleSpike
    from sinabs.nir import from_nir

    network = from_nir(graph, batch_size=len(x))
    for layer in network.modules():
        if getattr(layer, "spike_fn", None) is not None:
            layer.spike_fn, layer.min_v_mem = SingleSpike, None
    y, _ = network(torch.from_numpy(x.reshape(-1, *x.shape[2:]).copy()))
    return y.detach().numpy().reshape(*x.shape[:2], *y.shape[1:])


def spyx(graph, x):
    import spyx.nir

    if x.ndim == 5:
        x = x.transpose(0, 1, 3, 4, 2)
    _, outputs = spyx.nir.from_nir(graph, x.swapaxes(0, 1))
    return np.asarray(outputs).swapaxes(0, 1)


def main(framework, folder):
    counts = {}
    for path in sorted(pathlib.Path(folder).glob("*.nir")):
        graph = nir.read(path)
        with np.load(path.with_suffix(".npz")) as record:
            x, expected = record["x"], record["outputs"]
        if framework == "snn-mlir":  # its simulator has to be built from source
            from snn_mlir._check import check

            report = check(graph)
            counts[path.stem] = len(report.errors)
            continue
        outputs = globals()[framework](graph, x)
        assert outputs.shape == expected.shape, (outputs.shape, expected.shape)
        counts[path.stem] = int(np.sum(np.abs(outputs - expected) > 1e-6))
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
