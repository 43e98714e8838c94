"""PyTorch: fused kernels as custom operators.

They are opaque to `torch.compile`, which keeps whole graphs around them, and
differentiable by a registered formula. Tensors of the CPU go to the C kernels,
tensors of a CUDA device to the same text compiled by CuPy.
"""

import functools

import torch
from torch import Tensor

from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.library import backward_inputs
from keras_spiking.backends.kernels.library import shape_of

THREADS = 256
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
    return [
        torch.empty(
            shape_of(array, *first.shape),
            dtype=getattr(torch, library.dtype_of(array)),
            device=first.device,
        )
        for array in library.kernels[kernel].outputs
    ]


def _remember(ctx, inputs, output):
    key, kernel, arrays = inputs
    program = libraries.get(key).program
    states = len(program.step.states)
    parameters = len(program.step.parameters)
    ctx.key = key
    ctx.kernel = kernel
    if kernel == "backward":
        return
    ctx.states = states
    kept = {f"saved{i}": s for i, s in enumerate(output[1 + states :])}
    if program.reads_input:
        kept["x"] = arrays[0]
    if program.reads_output:
        kept["output"] = output[0]
    ctx.parameters = slice(len(kept), len(kept) + parameters)
    ctx.names = list(kept)
    ctx.save_for_backward(*kept.values(), *arrays[1 + states :])


def _differentiate(ctx, grads):
    if ctx.kernel == "backward":
        raise RuntimeError(
            "Fused kernels have no second derivatives: use "
            '`keras_spiking.config.set_fused("never")`.'
        )
    program = libraries.get(ctx.key).program
    tensors = ctx.saved_tensors
    remembered = dict(zip(ctx.names, tensors))
    inputs = backward_inputs(
        program,
        grads[0],
        grads[1 : 1 + ctx.states],
        tensors[ctx.parameters],
        remembered,
        tensors[ctx.parameters.stop :],
    )
    results = over_time(ctx.key, "backward", inputs)
    return None, None, results + [None] * program.masked


over_time.register_autograd(_differentiate, setup_context=_remember)


def run(library, x, states, parameters, mask):
    """Runs a library's kernels; see `backends.fused`."""
    inputs = [x, *states, *parameters, *mask]
    learns = torch.is_grad_enabled() and any(i.requires_grad for i in inputs)
    kernel = "forward" if learns else "infer"
    results = over_time(library.key, kernel, inputs)
    return results[0], tuple(results[1 : 1 + len(states)])


def unavailable(x=None):
    """Why a kernel cannot serve here, or `None`."""
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return "the model is being exported"
    if x is None or x.device.type in ("cpu", "meta"):  # symbols are on "meta"
        return None
    if x.device.type != "cuda":
        return f"there are no kernels for the device {x.device.type}"
    try:
        import cupy  # noqa: F401
    except ImportError:
        return 'CuPy is not installed: `pip install "keras3-spiking[cupy]"`'
    return None


@functools.cache
def _module(library, device):
    import cupy

    return cupy.RawModule(code=library.gpu_source, options=("--fmad=false",))


def _launch(library, kernel, inputs, outputs):
    import cupy
    import numpy as np

    device = inputs[0].device
    batch, time, features = inputs[0].shape
    stream = cupy.cuda.ExternalStream(torch.cuda.current_stream(device).cuda_stream)
    with cupy.cuda.Device(device.index), stream:
        function = _module(library, device.index).get_function(kernel)
        sizes = [np.int64(n) for n in (batch, time, features)]
        pointers = [np.uint64(x.data_ptr()) for x in (*inputs, *outputs)]
        blocks = -(-batch * features // THREADS)
        function((blocks,), (THREADS,), (*sizes, *pointers))
