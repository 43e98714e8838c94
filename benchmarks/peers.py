"""Neurons of other packages, as functions of a sequence `(time, batch, ...)`.

All are leaky integrate-and-fire neurons with tau 2, threshold 1 and an arctan
surrogate, as far as the package has these. Each call starts from a fresh state.
"""

import sys


def spikingjelly():
    import torch
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based import surrogate

    # On a GPU it takes its own kernels by itself.
    node = neuron.LIFNode(2.0, surrogate_function=surrogate.ATan(), step_mode="m")

    class Neuron(torch.nn.Module):
        def forward(self, x):
            functional.reset_net(node)
            return node(x)

    return Neuron()


def snntorch():
    import snntorch
    import torch

    node = snntorch.Leaky(
        beta=0.5,
        spike_grad=snntorch.surrogate.atan(),
        reset_mechanism="zero",
        reset_delay=False,
    )

    class Neuron(torch.nn.Module):
        def forward(self, x):
            v, spikes = torch.zeros_like(x[0]), []
            for current in x.unbind():
                s, v = node(current, v)
                spikes.append(s)
            return torch.stack(spikes)

    return Neuron()


def norse():
    import torch
    from norse.torch import LIFBoxCell
    from norse.torch.functional.lif_box import LIFBoxParameters

    # It has no arctan: `super` (SuperSpike) is what it uses by default.
    parameters = LIFBoxParameters(tau_mem_inv=torch.as_tensor(0.5))
    cell = LIFBoxCell(parameters, dt=1.0)

    class Neuron(torch.nn.Module):
        def forward(self, x):
            state, spikes = None, []
            for current in x.unbind():
                s, state = cell(current, state)
                spikes.append(s)
            return torch.stack(spikes)

    return Neuron()


def spyx(features):
    from flax import nnx
    from spyx import axn
    from spyx import nn

    return nn.LIF(features, beta=0.5, activation=axn.arctan(), rngs=nnx.Rngs(0))


def folded(*modules):
    """Modules of PyTorch, over all time steps at once."""
    from torch import nn

    class Folded(nn.Sequential):
        def forward(self, x):
            y = super().forward(x.flatten(0, 1))
            return y.unflatten(0, x.shape[:2])

    return Folded(*modules)


def torch():
    """Makers of neurons for PyTorch, with all that a package has for this machine."""
    from torch import compile
    from torch import cuda

    makers = {"SpikingJelly": spikingjelly, "snnTorch": snntorch, "Norse": norse}
    if cuda.is_available():
        makers["Norse, compiled"] = lambda: compile(norse())
    return makers


def installed(makers):
    """What the makers make, without those whose package is missing."""
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except ImportError as error:
            print(f"{name} takes no part: {error}", file=sys.stderr)
    return found
