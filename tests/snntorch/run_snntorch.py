"""Runs NIR files in snnTorch. For an environment with snntorch, nirtorch and nir.

Usage: python run_snntorch.py folder

For every `<name>.nir` in the folder, presents `<name>_input.npy`, `(batch, time, ...)`
with channels last, and writes `<name>_snntorch.npy`, spikes in the same layout.
"""

import pathlib
import sys

import nir
import numpy as np
import torch
from snntorch import utils
from snntorch.import_nir import import_from_nir


def run(path, sample):
    """Spikes for one sample `(time, ...)`: to snnTorch the first axis of a Flatten in
    NIR is the batch, to NIR it is the channels. In a batch of one that is the same."""
    network = import_from_nir(nir.read(path))
    utils.reset(network)
    x = torch.from_numpy(np.moveaxis(sample, -1, 1).astype("float32"))
    outputs, state = [], None
    with torch.no_grad():
        for x_t in x:
            x_t = x_t[None]
            y = network(x_t) if state is None else network(x_t, state)
            if isinstance(y, tuple):
                y, state = y
            outputs.append(y.reshape(-1))
    return torch.stack(outputs).numpy()


def main(folder):
    for path in sorted(pathlib.Path(folder).glob("*.nir")):
        spikes = np.load(path.with_name(f"{path.stem}_input.npy"))
        output = np.stack([run(path, sample) for sample in spikes])
        np.save(path.with_name(f"{path.stem}_snntorch.npy"), output.astype("uint8"))
        print(f"{path.stem}: {output.shape}, {int(output.sum())} spikes")


if __name__ == "__main__":
    main(sys.argv[1])
