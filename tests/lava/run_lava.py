"""Runs netx files in Lava's fixed-point simulator. For Lava's own Python 3.10.

Usage: python run_lava.py folder

For every `<name>.net` in the folder, presents `<name>_input.npy`, spikes `(batch,
time, ...)` with channels last, and writes `<name>_lava.npy`, the spikes of the last
layer in the same layout.
"""

import pathlib
import sys
import types

import numpy as np

try:
    import torch  # noqa: F401
except ImportError:
    # netx imports PyTorch for resonate-and-fire neurons and for wrappers that take
    # its tensors. Networks of CUBA neurons need neither.
    print("Without PyTorch: its place is held by empty modules.")
    sys.modules["torch"] = types.ModuleType("torch")
    sys.modules["torch"].tensor = None
    name = "lava.lib.dl.slayer.neuron.rf"
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].neuron_params = None

from lava.lib.dl import netx
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc import io


def run(path, spikes):
    """The output for one sample `(time, ...)`, channels last."""
    network = netx.hdf5.Network(net_config=str(path))
    # Lava has images as (width, height, channels), and time last.
    data = np.moveaxis(spikes, 0, -1)
    if data.ndim == 4:
        data = data.transpose(1, 0, 2, 3)
    steps = data.shape[-1]
    source = io.source.RingBuffer(data=data.astype(int))
    sink = io.sink.RingBuffer(shape=network.out.shape, buffer=steps)
    source.s_out.connect(network.inp)
    network.out.connect(sink.a_in)
    try:
        network.run(
            condition=RunSteps(num_steps=steps),
            run_cfg=Loihi2SimCfg(select_tag="fixed_pt"),
        )
        output = sink.data.get()
    finally:
        network.stop()
    if output.ndim == 4:
        output = output.transpose(1, 0, 2, 3)
    return np.moveaxis(output, -1, 0)


def main(folder):
    for path in sorted(pathlib.Path(folder).glob("*.net")):
        spikes = np.load(path.with_name(f"{path.stem}_input.npy"))
        output = np.stack([run(path, sample) for sample in spikes])
        np.save(path.with_name(f"{path.stem}_lava.npy"), output.astype("uint8"))
        print(f"{path.stem}: {output.shape}, {int(output.sum())} spikes", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
