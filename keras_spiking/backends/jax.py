"""JAX: fused kernels as XLA custom calls.

All kernels share one custom call target for CPUs and one for CUDA devices
(`backends.xla`). They find a kernel by its number, so that no address gets into an
executable, which JAX may keep on disk and load in another process. CuPy compiles
the kernels of CUDA devices.
"""

import ctypes
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.numpy import reshape  # noqa: F401

from keras_spiking.backends import gpu
from keras_spiking.backends import xla
from keras_spiking.backends.exporting import is_exporting
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels import cuda
from keras_spiking.backends.kernels import entry
from keras_spiking.backends.kernels.library import NO_SECOND_DERIVATIVES
from keras_spiking.backends.kernels.library import shape_of

# XLA fuses the operations of a single step by itself.
FUSES_SINGLE_STEPS = True

HOST, DEVICE = "keras_spiking_host", "keras_spiking_device"


@functools.cache
def _cuda_devices():
    try:
        return jax.local_devices(backend="cuda")
    except RuntimeError:
        return []


@functools.cache
def _target(name, platform, source):
    """The library of a custom call target, which is then known to XLA."""
    target = compiler.load(source, (f"-I{jax.ffi.include_dir()}",))
    capsule = jax.ffi.pycapsule(target.keras_spiking_call)
    jax.ffi.register_ffi_target(name, capsule, platform=platform)
    return target


def register(library):
    """Makes kernels known to XLA."""
    entry.register(_target(HOST, "cpu", xla.HOST_SOURCE), library)
    if devices := _cuda_devices():
        target = _target(DEVICE, "CUDA", xla.DEVICE_SOURCE)
        target.keras_spiking_launcher(ctypes.CDLL("libcuda.so.1").cuLaunchKernel)
        for device in devices:
            ordinal = device.local_hardware_id
            for name in library.kernels:
                number = library.number(name) + xla.DEVICE_STRIDE * ordinal
                entry.put(target, number, gpu.address(library, name, ordinal))


def _custom_call(library, name, inputs):
    kernel = library.kernels[name]
    reusable = library.reusable(name)
    aliases = None if reusable is None else {reusable: 0}

    def call(target, arrays):
        outputs = [
            jax.ShapeDtypeStruct(shape_of(a, *inputs[0].shape), library.dtype_of(a))
            for a in arrays
        ]
        call = jax.ffi.ffi_call(target, outputs, input_output_aliases=aliases)
        number = np.uint64(library.number(name))
        return lambda *inputs: call(*inputs, kernel=number)[: len(kernel.outputs)]

    on_host = call(HOST, kernel.outputs)
    if not _cuda_devices():
        return on_host(*inputs)
    # Memory that a kernel needs for itself on a device is further outputs.
    on_device = call(DEVICE, kernel.outputs + cuda.checkpoints(kernel))
    return jax.lax.platform_dependent(*inputs, cpu=on_host, cuda=on_device)


_AXES = {"sequence": "b t f", "neuron": "b f", "mask": "b t"}


@functools.cache
def _operator(library, name):
    """A kernel as a JAX function that can be split over devices and vmapped."""
    kernel = library.kernels[name]

    @custom_partitioning
    def call(*inputs):
        return tuple(_custom_call(library, name, inputs))

    def partition(mesh, inputs, outputs):
        shardings = [[x.sharding for x in group] for group in (inputs, outputs)]
        return mesh, call.fun, tuple(shardings[1]), tuple(shardings[0])

    # Neurons are independent: XLA may split batch and features over devices
    # without gathering anything.
    axes = [
        ", ".join(_AXES[array.kind] for array in arrays)
        for arrays in (kernel.inputs, kernel.outputs)
    ]
    call.def_partition(
        partition,
        sharding_rule=" -> ".join(axes),
        need_replication_factors=("t",),
    )

    @jax.custom_batching.custom_vmap
    def operator(*inputs):
        return call(*inputs)

    @operator.def_vmap
    def _(size, batched, *inputs):
        # A further axis is more batch.
        inputs = [
            x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
            for x, is_batched in zip(inputs, batched)
        ]
        outputs = operator(*(x.reshape(-1, *x.shape[2:]) for x in inputs))
        outputs = tuple(y.reshape(size, -1, *y.shape[1:]) for y in outputs)
        return outputs, (True,) * len(outputs)

    return operator


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _over_time(library, x, states, parameters, mask):
    operator = _operator(library, "forward")
    output, *final = operator(x, *states, *parameters, *mask)
    return output, tuple(final)


def _forward(library, *inputs):
    return _over_time(library, *inputs), inputs


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _gradients(library, inputs):
    return _operator(library, "backward")(*inputs)


@_gradients.defjvp
def _(library, inputs, tangents):
    raise RuntimeError(NO_SECOND_DERIVATIVES)


def _backward(library, inputs, gradients):
    x, states, parameters, mask = inputs
    grad_output, grad_final = gradients
    arrays = (x, *states, *parameters, *mask, grad_output, *grad_final)
    grads = _gradients(library, arrays)
    grad_states = tuple(grads[1 : 1 + len(states)])
    grad_parameters = tuple(grads[1 + len(states) :])
    no_gradient = tuple(np.zeros(m.shape, jax.dtypes.float0) for m in mask)
    return grads[0], grad_states, grad_parameters, no_gradient


_over_time.defvjp(_forward, _backward)


def run(library, x, states, parameters, mask):
    """Runs a library's kernels; see `backends.fused`."""
    return _over_time(library, x, tuple(states), tuple(parameters), tuple(mask))


def unavailable(x=None):
    """Why a kernel cannot serve here, or `None`."""
    if is_exporting():
        return "the model is being exported"
    if jax.default_backend() == "cpu":
        return None
    if not _cuda_devices():
        return f"there are no kernels for JAX on {jax.default_backend()}"
    return gpu.unavailable()
