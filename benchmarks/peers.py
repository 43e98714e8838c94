"""Neurons of other packages, as functions of a sequence `(time, batch, ...)`.

All are leaky integrate-and-fire neurons with tau 2, threshold 1 and an arctan
surrogate, as far as the package has these. Each call starts from a fresh state.
"""

import functools
import sys

LONGEST_COMPILED = 32  # steps of time that `torch.compile` gets in one graph


def spikingjelly(implementation=None):
    """`implementation`: what runs on a GPU, `"cuda"`, `"triton"` or `"torch"`."""
    import torch
    from spikingjelly.activation_based import surrogate
    from spikingjelly.activation_based.functional import lif_multi_step

    select = _selects(implementation) if implementation else lambda: None
    gradient = surrogate.ATan()

    class Neuron(torch.nn.Module):
        def forward(self, x):
            select()
            v = torch.zeros(x.shape[1:], device=x.device)
            return lif_multi_step(x, v, 2.0, surrogate_function=gradient)[0]

    return Neuron()


def _selects(implementation):
    """A function that makes SpikingJelly run its LIF by one implementation.

    It has a variable of the environment for that, which is read once a process.
    """
    from spikingjelly._ops.lif import _selection as selection
    from torch import cuda

    requested, selection._requested = selection._requested, implementation
    try:
        chosen = selection._select(cuda.current_device())
    except RuntimeError as error:
        raise ImportError(error) from error
    finally:
        selection._requested = requested

    def select():
        selection._selections[cuda.current_device()] = chosen

    return select


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


def norse(compiled=lambda cell: cell):
    import torch
    from norse.torch import LIFBoxCell
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState
    from norse.torch.functional.lif_box import LIFBoxParameters

    # It has no arctan: `super` (SuperSpike) is what it uses by default.
    parameters = LIFBoxParameters(tau_mem_inv=torch.as_tensor(0.5))
    cell = compiled(LIFBoxCell(parameters, dt=1.0))

    class Neuron(torch.nn.Module):
        def forward(self, x):
            # `torch.compile` cannot take the first state that the cell makes itself.
            state, spikes = LIFBoxFeedForwardState(torch.zeros_like(x[0])), []
            for current in x.unbind():
                s, state = cell(current, state)
                spikes.append(s)
            return torch.stack(spikes)

    return Neuron()


def norse_compiled():
    """By `torch.compile`: whole, or step by step if that would take minutes."""
    import torch

    whole = torch.compile(norse())
    steps = norse(torch.compile)

    class Neuron(torch.nn.Module):
        def forward(self, x):
            return whole(x) if len(x) <= LONGEST_COMPILED else steps(x)

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
    from torch import cuda

    makers = {"SpikingJelly": spikingjelly, "snnTorch": snntorch, "Norse": norse}
    if cuda.is_available():
        del makers["SpikingJelly"]
        for implementation in ("cuda", "triton", "torch"):
            name = f"SpikingJelly, {implementation}"
            makers[name] = functools.partial(spikingjelly, implementation)
        makers["Norse, compiled"] = norse_compiled
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
