"""PyTorch: training steps that several processes share, each with a part of the batch.

`DistributedDataParallel` averages the gradients. What else depends on the whole batch
is summed here: statistics of batch normalisation, metrics, and whatever asks
`sum_over_processes`.
"""

import contextlib
import functools

import numpy as np
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from keras_spiking.inspection import hooks

# Whether the process runs a shared step. Not of one thread: gradients have their own.
_sharing = False


def _has_group():
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def check_group():
    """See `Backend.check_processes`."""
    if not _has_group():
        raise RuntimeError(
            "There is no group of processes: start them with `torchrun`, and call "
            "`torch.distributed.init_process_group()` before the model is made."
        )


def gather(text):
    """A string of each process, the same list on all of them."""
    if not _has_group():
        return [text]
    texts = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(texts, text)
    return texts


def processes():
    """See `Backend.processes`."""
    return torch.distributed.get_world_size() if _sharing else 1


def sum_over_processes(tensors):
    """See `Backend.sum_over_processes`. One message for all tensors."""
    if processes() == 1:
        return tensors
    flat = _Sum.apply(torch.cat([x.reshape(-1) for x in tensors]))
    parts = flat.split([x.numel() for x in tensors])
    return [part.reshape(x.shape) for part, x in zip(parts, tensors)]


class _Sum(torch.autograd.Function):
    """The gradient of a sum over processes is the sum of their gradients."""

    @staticmethod
    def forward(ctx, x):
        x = x.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, upstream):
        return _Sum.apply(upstream)


class _Network(torch.nn.Module):
    """What `DistributedDataParallel` wraps: the weights of a model, and any call."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, call, *args, **kwargs):
        return call(*args, **kwargs)


def share_steps(model, hooks_of_step):
    """See `Backend.share_steps`."""
    if getattr(model, "learns_by_optimizer", True):
        hooks_of_step = [*hooks_of_step, (model, "call", _averaged(model))]

    def share(name, around):
        step = getattr(model, name)

        @functools.wraps(step)
        def shared(*args):
            if model.jit_compile:
                raise ValueError(
                    "Steps that processes share cannot be compiled: call "
                    "`model.compile(..., jit_compile=False)`."
                )
            with _shared(), _summed_metrics(model), hooks.around(around):
                return step(*args)

        # Not `setattr`: layers keep track of what is assigned to them.
        vars(model)[name] = shared

    share("train_step", hooks_of_step)
    share("test_step", [])
    _draw_differently(model)


def _averaged(model):
    """A function that makes a call, whose gradients will be averaged."""
    first = next(iter(model.parameters()))
    devices = [first.device] if first.is_cuda else None
    return DistributedDataParallel(_Network(model), device_ids=devices)


@contextlib.contextmanager
def _shared():
    global _sharing
    before, _sharing = _sharing, True
    try:
        yield
    finally:
        _sharing = before


@contextlib.contextmanager
def _summed_metrics(model):
    """Adds to metrics, within this context, what all processes have seen."""
    variables = model.metrics_variables
    before = [v.value.detach().clone() for v in variables]

    def summed(call):
        with torch.no_grad():
            news = [v.value.double() - b.double() for v, b in zip(variables, before)]
            for variable, old, new in zip(variables, before, sum_over_processes(news)):
                variable.assign((old.double() + new).to(old.dtype))
        return call()

    with hooks.around([(model, "get_metrics_result", summed)]):
        yield


def _draw_differently(model):
    """Gives random layers other numbers in each process: they see other samples."""
    rank = torch.distributed.get_rank()
    if rank == 0:
        return
    for variable in model.non_trainable_variables:
        if variable.name == "seed_generator_state":
            state = variable.value.tolist()
            (state[0],) = np.random.SeedSequence([state[0], rank]).generate_state(1)
            variable.assign(np.asarray(state, "uint32"))
    seed = np.random.SeedSequence([torch.initial_seed(), rank]).generate_state(1)
    torch.manual_seed(int(seed[0]))


class BatchNorm(torch.autograd.Function):
    """Normalises each channel, axis 1, by mean and variance of the whole batch.

    It keeps what the native operation keeps: the input and two numbers a channel.

        y = gamma (x - mean) / sqrt(variance + epsilon) + beta

    Args of `apply`: tensors `x`, `gamma` and `beta` (or `None`), `epsilon`, and weights
    of samples that broadcast with `x`, or `None`. Returns `y`, mean and variance.
    """

    @staticmethod
    def forward(ctx, x, gamma, beta, epsilon, weight):
        axes = [0, *range(2, x.ndim)]
        shape = (1, -1) + (1,) * (x.ndim - 2)
        if weight is None:
            count = x.new_full((1,), x.numel() / x.shape[1])
        else:
            count = weight.expand_as(x).sum() / x.shape[1]

        def total(values):
            return (values if weight is None else weight * values).sum(axes)

        summed, count = sum_over_processes([total(x), count.reshape(1)])
        count = count.clamp_min(1.0)
        mean = summed / count
        (squares,) = sum_over_processes([total((x - mean.reshape(shape)).square())])
        variance = squares / count
        ctx.save_for_backward(x, gamma, mean, variance, count, weight)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance)
        y = torch.batch_norm(x, gamma, beta, mean, variance, False, 0.0, epsilon, False)
        return y, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream, *_):
        x, gamma, mean, variance, count, weight = ctx.saved_tensors
        axes = [0, *range(2, x.ndim)]
        shape = (1, -1) + (1,) * (x.ndim - 2)
        scale = (variance + ctx.epsilon).rsqrt().reshape(shape)
        normalized = (x - mean.reshape(shape)) * scale
        # The factors learn from this process's part, as all weights do.
        of_beta, of_gamma = upstream.sum(axes), (upstream * normalized).sum(axes)
        sums = sum_over_processes([of_beta, of_gamma])
        first, second = (s.reshape(shape) / count for s in sums)
        through = first + normalized * second
        if weight is not None:
            through = weight * through
        of_x = (upstream - through) * scale
        if gamma is None:
            return of_x, None, None, None, None
        return of_x * gamma.reshape(shape), of_gamma, of_beta, None, None
