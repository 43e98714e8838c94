"""PyTorch: fused kernels as functions of autograd.

To `torch.compile`, which keeps whole graphs around them, they are opaque custom
operators of the same derivative. Tensors of the CPU go to the C kernels, tensors of a
CUDA device to the same text compiled by CuPy.
"""

import functools
import inspect

import keras
import torch
from keras import ops
from torch import Tensor

from keras_spiking.backends import gpu
from keras_spiking.backends import memory
from keras_spiking.backends import torch_layers
from keras_spiking.backends import torch_optimizers
from keras_spiking.backends import torch_processes
from keras_spiking.backends import torch_products as event_driven
from keras_spiking.backends.backend import Backend
from keras_spiking.backends.kernels import cuda
from keras_spiking.backends.kernels import library as libraries
from keras_spiking.backends.kernels.library import shape_of
from keras_spiking.backends.products.product import of_conv
from keras_spiking.backends.products.product import of_conv_transpose
from keras_spiking.backends.products.product import of_dense
from keras_spiking.backends.products.product import of_depthwise_conv


class Torch(Backend):
    has_kernels = True
    has_native_layers = True

    def prepare(self):
        memory.keep(gains=not torch.accelerator.is_available())
        torch_optimizers.install()

    def knows(self, tensor):
        compiling = torch.compiler.is_compiling() or torch.jit.is_tracing()
        return not (compiling or tensor.is_meta)

    def value_and_gradients(self, function, tensors):
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        with torch.enable_grad():
            value, others = function(tensors)
        gradients = [torch.zeros_like(tensor) for tensor in tensors]
        if value.requires_grad:
            found = torch.autograd.grad(value, tensors, allow_unused=True)
            gradients = [z if g is None else g for z, g in zip(gradients, found)]
        return keras.tree.map_structure(torch.detach, (value, others)), gradients

    def compiled(self, function):
        return torch.no_grad()(function)

    def is_compiling(self):
        return torch.compiler.is_compiling()

    def check_processes(self):
        torch_processes.check_group()

    def share_steps(self, model, hooks):
        torch_processes.share_steps(model, hooks)

    def gather(self, text):
        return torch_processes.gather(text)

    def processes(self):
        return torch_processes.processes()

    def sum_over_processes(self, tensors):
        return torch_processes.sum_over_processes(tensors)

    def random_state(self):
        # Keras's `Dropout` draws from them, unless it has a seed of its own.
        states = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            states["cuda"] = torch.stack(torch.cuda.get_rng_state_all())
        return {name: state.numpy() for name, state in states.items()}

    def set_random_state(self, state):
        torch.set_rng_state(torch.from_numpy(state["cpu"]))
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(list(torch.from_numpy(state["cuda"])))

    def unavailable(self, x=None):
        if is_exporting():
            return "the model is being exported"
        if x is None or x.device.type in ("cpu", "meta"):  # symbols are on "meta"
            return None
        if x.device.type != "cuda":
            return f"there are no kernels for the device {x.device.type}"
        return gpu.unavailable()

    def run(self, library, inputs):
        return run(library, "forward", inputs)

    def dense(self, x, kernel):
        product = of_dense(x, kernel)
        return event_driven.product(product, x, kernel, event_driven.Dense())

    def conv(self, x, kernel, **options):
        product = of_conv(x, kernel, **options)
        dense = event_driven.Conv(torch_layers.conv, product, options)
        return event_driven.product(product, x, kernel, dense)

    def depthwise_conv(self, x, kernel, **options):
        product = of_depthwise_conv(x, kernel, **options)
        dense = event_driven.Recorded(super().depthwise_conv, product, options)
        return event_driven.product(product, x, kernel, dense)

    def conv_transpose(self, x, kernel, **options):
        product = of_conv_transpose(x, kernel, **options)
        dense = event_driven.Recorded(super().conv_transpose, product, options)
        return event_driven.product(product, x, kernel, dense)

    def max_pool(self, x, **options):
        return torch_layers.max_pool(x, **options)

    def average_pool(self, x, **options):
        return torch_layers.average_pool(x, **options)

    def batch_norm(self, x, gamma, beta, axis, epsilon, mask=None):
        return torch_layers.batch_norm(x, gamma, beta, axis, epsilon, mask)

    def normalize(self, x, mean, variance, gamma, beta, axis, epsilon):
        return torch_layers.normalize(x, mean, variance, gamma, beta, axis, epsilon)

    def channels_first(self, x):
        return x.movedim(-1, 1).contiguous()

    def products_unavailable(self, x=None):
        if torch.compiler.is_compiling() or is_exporting():
            return "the model is being compiled or exported"
        if x is not None and x.device.type != "cpu":
            return f"the device is {x.device.type}, they run on a CPU"
        return None

    def run_product(self, product, kernel, arrays, shape, *, whole=False, limit=0.0):
        arrays = [x.detach().contiguous() for x in arrays]
        images = len(arrays[0])
        output = torch.empty(
            shape if whole else (images, *shape), dtype=getattr(torch, product.dtype)
        )
        sizes = product.sizes(images, limit)
        addresses = [x.data_ptr() for x in arrays]
        product.library.call(kernel, sizes, addresses, [output.data_ptr()])
        return output

    def reshape(self, x, shape):
        return torch.reshape(x, shape)  # 20 times as fast as that of `keras.ops`

    def cast(self, x, dtype):
        if isinstance(x, keras.Variable):
            x = x.value
        if not isinstance(x, Tensor):
            return ops.cast(x, dtype)
        return x.to(getattr(torch, dtype) if isinstance(dtype, str) else dtype)

    def constant(self, values, dtype, like):
        plain = type(like) is Tensor and not torch.compiler.is_compiling()
        make = _kept if plain and like.is_cuda else _kept.__wrapped__
        return make(tuple(values), dtype, like.device)

    def optimizer_report(self):
        return torch_optimizers.report()

    def call_report(self):
        operator = f"custom operator {over_time._qualname}"
        return f"function of autograd, under torch.compile the {operator}"

    def cuda_report(self):
        if not torch.cuda.is_available():
            return "PyTorch sees no GPU"
        return gpu.report(torch.cuda.get_device_name())


@functools.lru_cache(maxsize=1024)
def _kept(values, dtype, device):
    """A vector of numbers. To send it to a GPU again would wait for all its work."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=getattr(torch, dtype), device=device)


def run(library, kernel, inputs):
    """Runs a kernel, differentiably.

    What compilers of PyTorch and symbolic calls see is a custom operator. To call one
    takes 70 us more, both ways, than to call a function, which runs where it can.
    """
    plain = all(type(x) is Tensor and not x.is_meta for x in inputs)
    if plain and not torch.compiler.is_compiling():
        return list(OverTime.apply(library, kernel, *inputs))
    return over_time(library.key, kernel, inputs)


@torch.library.custom_op("keras_spiking::over_time", mutates_args=())
def over_time(key: str, kernel: str, inputs: list[Tensor]) -> list[Tensor]:
    return _run(libraries.get(key), kernel, inputs)


@over_time.register_fake
def _(key, kernel, inputs):
    return _empty(libraries.get(key), kernel, inputs[0])


def _of_operator(ctx, inputs, output):
    key, kernel, arrays = inputs
    _remember(ctx, libraries.get(key), kernel, arrays)


over_time.register_autograd(
    lambda ctx, grads: (None, None, _differentiate(ctx, grads)),
    setup_context=_of_operator,
)


class OverTime(torch.autograd.Function):
    """The same operator without the machinery around it."""

    @staticmethod
    def forward(library, kernel, *inputs):
        return tuple(_run(library, kernel, inputs))

    @staticmethod
    def setup_context(ctx, inputs, output):
        library, kernel, *arrays = inputs
        _remember(ctx, library, kernel, arrays)

    @staticmethod
    def backward(ctx, *grads):
        return None, None, *_differentiate(ctx, grads)


# PyTorch asks for it in each call, and to find it takes longer than the rest.
OverTime.forward.__signature__ = inspect.signature(OverTime.forward)


def _remember(ctx, library, kernel, arrays):
    ctx.kernel = kernel
    ctx.library = library  # its layer may be gone when gradients are taken
    # A gradient that nobody has need not be an array of zeros, except for kernels.
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*arrays)


def _differentiate(ctx, grads):
    if ctx.kernel == "backward":
        raise RuntimeError(libraries.NO_SECOND_DERIVATIVES)
    inputs = list(ctx.saved_tensors)
    wanted = ctx.library.kernels["backward"].inputs[len(inputs) :]
    upstream = [
        _make(torch.zeros, ctx.library, array, inputs[0]) if grad is None else grad
        for array, grad in zip(wanted, grads)
    ]
    results = run(ctx.library, "backward", inputs + upstream)
    # A mask and numbers have no gradient.
    return results + [None] * (len(inputs) - len(results))


def _run(library, kernel, inputs):
    device = inputs[0].device
    if any(x.device != device for x in inputs):
        devices = ", ".join(sorted({str(x.device) for x in inputs}))
        raise ValueError(
            "The inputs, states and weights of a layer must be on one device. "
            f"Received tensors on: {devices}."
        )
    inputs = [x.contiguous() for x in inputs]
    outputs = _empty(library, kernel, inputs[0])
    if device.type == "cuda":
        _launch(library, kernel, inputs, outputs)
    else:
        pointers = [[x.data_ptr() for x in group] for group in (inputs, outputs)]
        library.call(kernel, inputs[0].shape, *pointers)
    return outputs


def _empty(library, kernel, first):
    arrays = library.kernels[kernel].outputs
    return [_make(torch.empty, library, array, first) for array in arrays]


def _make(how, library, array, first):
    return how(
        shape_of(array, *first.shape),
        dtype=getattr(torch, library.dtype_of(array)),
        device=first.device,
    )


def _launch(library, kernel, inputs, outputs):
    batch, time, features = inputs[0].shape
    if not batch * features:
        return
    device = inputs[0].device
    arrays = cuda.checkpoints(library.kernels[kernel])
    scratch = [_make(torch.empty, library, a, inputs[0]) for a in arrays]
    gpu.launch(
        gpu.address(library, kernel, device.index),
        device.index,
        torch.cuda.current_stream(device).cuda_stream,
        -(-batch * features // cuda.THREADS),
        cuda.THREADS,
        (batch, time, features),
        [x.data_ptr() for x in (*inputs, *outputs, *scratch)],
    )


# Where `torch.compile` reads it, PyTorch before 2.13 calls any compilation an export.
@torch.compiler.assume_constant_result
def is_exporting():
    """Whether the model is being traced for an export."""
    return torch.compiler.is_exporting() or torch.jit.is_tracing()


BACKEND = Torch("torch")
