"""PyTorch: fused kernels as custom operators.

They are opaque to `torch.compile`, which keeps whole graphs around them, and
differentiable by a registered formula. Tensors of the CPU go to the C kernels,
tensors of a CUDA device to the same text compiled by CuPy.
"""

import torch
from torch import Tensor
from torch import reshape  # noqa: F401

from keras_spiking.backends import gpu
from keras_spiking.backends.kernels import cuda
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.library import shape_of

FUSES_SINGLE_STEPS = False


@torch.library.custom_op("keras_spiking::over_time", mutates_args=())
def over_time(key: str, kernel: str, inputs: list[Tensor]) -> list[Tensor]:
    library = libraries.get(key)
    inputs = [x.contiguous() for x in inputs]
    outputs = _empty(library, kernel, inputs[0])
    if inputs[0].is_cuda:
        _launch(library, kernel, inputs, outputs)
    else:
        pointers = [[x.data_ptr() for x in group] for group in (inputs, outputs)]
        library.call(kernel, inputs[0].shape, *pointers)
    return outputs


@over_time.register_fake
def _(key, kernel, inputs):
    return _empty(libraries.get(key), kernel, inputs[0])


def _empty(library, kernel, first):
    arrays = library.kernels[kernel].outputs
    return [_make(torch.empty, library, array, first) for array in arrays]


def _make(how, library, array, first):
    return how(
        shape_of(array, *first.shape),
        dtype=getattr(torch, library.dtype_of(array)),
        device=first.device,
    )


def _remember(ctx, inputs, output):
    ctx.key, ctx.kernel, arrays = inputs
    # A gradient that nobody has need not be an array of zeros, except for kernels.
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*arrays)


def _differentiate(ctx, grads):
    if ctx.kernel == "backward":
        raise RuntimeError(libraries.NO_SECOND_DERIVATIVES)
    library = libraries.get(ctx.key)
    inputs = list(ctx.saved_tensors)
    wanted = library.kernels["backward"].inputs[len(inputs) :]
    upstream = [
        _make(torch.zeros, library, array, inputs[0]) if grad is None else grad
        for array, grad in zip(wanted, grads)
    ]
    results = over_time(ctx.key, "backward", inputs + upstream)
    return None, None, results + [None] * library.program.masked


over_time.register_autograd(_differentiate, setup_context=_remember)


def register(library):
    """Nothing to do: the operator finds a library by its key."""


def run(library, x, states, parameters, mask):
    """Runs a library's kernels; see `backends.fused`."""
    output, *final = over_time(library.key, "forward", [x, *states, *parameters, *mask])
    return output, tuple(final)


def unavailable(x=None):
    """Why a kernel cannot serve here, or `None`."""
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return "the model is being exported"
    if x is None or x.device.type in ("cpu", "meta"):  # symbols are on "meta"
        return None
    if x.device.type != "cuda":
        return f"there are no kernels for the device {x.device.type}"
    return gpu.unavailable()


def _launch(library, kernel, inputs, outputs):
    import cupy
    import numpy as np

    device = inputs[0].device
    batch, time, features = inputs[0].shape
    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream(device).cuda_stream)
    with cupy.cuda.Device(device.index), stream:
        function = gpu.function(library, kernel, device.index)
        sizes = [np.int64(n) for n in (batch, time, features)]
        arrays = cuda.checkpoints(library.kernels[kernel])
        scratch = [_make(torch.empty, library, a, inputs[0]) for a in arrays]
        pointers = [np.uint64(x.data_ptr()) for x in (*inputs, *outputs, *scratch)]
        if blocks := -(-batch * features // cuda.THREADS):
            function((blocks,), (cuda.THREADS,), (*sizes, *pointers))
