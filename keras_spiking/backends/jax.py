"""JAX: fused kernels as XLA custom calls.

All kernels share one custom call target for CPUs and one for CUDA devices
(`backends.xla`). They find a kernel by its number, so that no address gets into an
executable, which JAX may keep on disk and load in another process. CuPy compiles
the kernels of CUDA devices.
"""

import functools
import importlib.metadata
import importlib.util
import inspect
import math

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.experimental import multihost_utils
from jax.experimental.custom_partitioning import custom_partitioning
from keras import ops

from keras_spiking.backends import gpu
from keras_spiking.backends import jax_products
from keras_spiking.backends import memory
from keras_spiking.backends import xla
from keras_spiking.backends.backend import Backend
from keras_spiking.backends.exporting import is_exporting
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels import cuda
from keras_spiking.backends.kernels import entry
from keras_spiking.backends.kernels.library import NO_SECOND_DERIVATIVES
from keras_spiking.backends.kernels.library import shape_of
from keras_spiking.backends.products.product import of_conv
from keras_spiking.backends.products.product import of_conv_transpose
from keras_spiking.backends.products.product import of_dense
from keras_spiking.backends.products.product import of_depthwise_conv

HOST, DEVICE = "keras_spiking_host", "keras_spiking_device"


class Jax(Backend):
    has_kernels = True
    unrolled_steps = 8  # XLA fuses a few steps, but unrolled code compiles slowly
    fuses_single_steps = True
    flattens_last = True

    def __init__(self, name):
        super().__init__(name)
        # Threads have their arenas from when JAX starts them: a layer is too late.
        memory.keep(gains=not _may_have_accelerators(), one_arena=True)

    def loop(self, step, inputs, states, timesteps):
        def scanned(states, x):
            y, states = step(x, states)
            return states, y

        inputs = keras.tree.map_structure(lambda x: ops.moveaxis(x, 1, 0), inputs)
        states, outputs = ops.scan(scanned, states, inputs, length=timesteps)
        outputs = keras.tree.map_structure(lambda y: ops.moveaxis(y, 0, 1), outputs)
        return outputs, states

    def knows(self, tensor):
        return not isinstance(tensor, jax.core.Tracer)

    def value_and_gradients(self, function, tensors):
        return jax.value_and_grad(function, has_aux=True)(list(tensors))

    def compiled(self, function):
        return jax.jit(function)

    def gather(self, text):
        data = np.frombuffer(text.encode(), "uint8")
        size = multihost_utils.process_allgather(np.array(len(data)))
        row = np.zeros(size.max(), "uint8")
        row[: len(data)] = data
        rows = multihost_utils.process_allgather(row).reshape(-1, len(row))
        return [bytes(r[:n]).decode() for r, n in zip(rows, np.ravel(size))]

    def devices_of_batch(self):
        distribution = keras.distribution.distribution()
        if distribution is None:
            return 1
        return max(1, distribution.num_model_replicas // jax.process_count())

    def whole(self, variable):
        array = variable.value
        if array.is_fully_addressable or array.is_fully_replicated:
            return np.asarray(array)
        return None

    def outside_of_tracing(self):
        return jax.ensure_compile_time_eval()

    def unavailable(self, x=None):
        if is_exporting():
            return "the model is being exported"
        if not _splits_over_devices():
            return _TOO_OLD
        if jax.default_backend() == "cpu":
            return None
        if not _cuda_devices():
            return f"there are no kernels for JAX on {jax.default_backend()}"
        return gpu.unavailable()

    def register(self, library):
        entry.register(_target(HOST, "cpu", xla.HOST_SOURCE), library)
        if devices := _cuda_devices():
            target = _target(DEVICE, "CUDA", xla.DEVICE_SOURCE)
            target.keras_spiking_launcher(gpu.driver().cuLaunchKernel)
            for device in devices:
                ordinal = device.local_hardware_id
                for name in library.kernels:
                    number = library.number(name) + xla.DEVICE_STRIDE * ordinal
                    entry.put(target, number, gpu.address(library, name, ordinal))

    def run(self, library, inputs):
        return list(_over_time(library, tuple(inputs)))

    def dense(self, x, kernel):
        return jax_products.product(of_dense(x, kernel), x, kernel, jnp.matmul)

    def conv(self, x, kernel, **options):
        dense = functools.partial(super().conv, **options)
        return jax_products.product(of_conv(x, kernel, **options), x, kernel, dense)

    def depthwise_conv(self, x, kernel, **options):
        dense = functools.partial(super().depthwise_conv, **options)
        product = of_depthwise_conv(x, kernel, **options)
        return jax_products.product(product, x, kernel, dense)

    def conv_transpose(self, x, kernel, **options):
        dense = functools.partial(super().conv_transpose, **options)
        product = of_conv_transpose(x, kernel, **options)
        return jax_products.product(product, x, kernel, dense)

    def products_unavailable(self, x=None):
        if is_exporting():
            return "the model is being exported"
        if not _splits_over_devices():
            return _TOO_OLD
        if jax.default_backend() != "cpu":
            return f"they run on a CPU, and JAX on {jax.default_backend()}"
        distribution = keras.distribution.distribution()
        if isinstance(distribution, keras.distribution.ModelParallel):
            return "weights are split over devices by ModelParallel"
        if x is not None and not all(isinstance(n, int) for n in x.shape):
            return "the size of the batch is not known"
        return None

    def register_products(self, library):
        entry.register(_target(HOST, "cpu", xla.HOST_SOURCE), library)

    def run_product(self, product, kernel, arrays, shape, *, whole=False, limit=0.0):
        return jax_products.run(HOST, product, kernel, arrays, shape, whole, limit)

    def reshape(self, x, shape):
        return jnp.reshape(x, shape)

    def constant(self, values, dtype, like):
        return np.asarray(values, dtype)

    def call_report(self):
        if not _splits_over_devices():
            return f"none: {_TOO_OLD}"
        header = f"{jax.ffi.include_dir()}/xla/ffi/api/c_api.h"
        return f"XLA custom calls, compiled against {header}"

    def cuda_report(self):
        if jax.default_backend() == "cpu":
            return "JAX sees no GPU"
        return gpu.report(jax.devices()[0].device_kind)


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


def _custom_call(library, name, inputs):
    """Runs a kernel, which sees all arrays flat."""
    kernel = library.kernels[name]
    features = inputs[0].shape[2:]
    sizes = (*inputs[0].shape[:2], math.prod(features))
    inputs = [
        x.reshape(shape_of(array, *sizes)) if array.kind in _AXES else x
        for x, array in zip(inputs, kernel.inputs)
    ]
    reusable = library.reusable(name)
    aliases = None if reusable is None else {reusable: 0}

    def call(target, arrays):
        outputs = [
            jax.ShapeDtypeStruct(shape_of(a, *sizes), library.dtype_of(a))
            for a in arrays
        ]
        call = jax.ffi.ffi_call(target, outputs, input_output_aliases=aliases)
        number = np.uint64(library.number(name))
        return lambda *inputs: call(*inputs, kernel=number)[: len(kernel.outputs)]

    on_host = call(HOST, kernel.outputs)
    if _cuda_devices():
        # Memory that a kernel needs for itself on a device is further outputs.
        on_device = call(DEVICE, kernel.outputs + cuda.checkpoints(kernel))
        outputs = jax.lax.platform_dependent(*inputs, cpu=on_host, cuda=on_device)
    else:
        outputs = on_host(*inputs)
    return tuple(y.reshape(*y.shape[:-1], *features) for y in outputs)


# Axes of the arrays of a kernel, before those of features where it has them.
_AXES = {"sequence": "b t", "neuron": "b"}
_OTHER_AXES = {"mask": "b t", "scalars": "k"}


def _operator(library, name, rank):
    """A kernel as a JAX function, made once and kept by its library.

    Args:
        rank: Integer, the number of axes of features.
    """
    if (name, rank) not in library.operators:
        library.operators[name, rank] = _make_operator(library, name, rank)
    return library.operators[name, rank]


_TOO_OLD = (
    f"JAX {jax.__version__} cannot say which axes of a kernel's arrays stay whole on a "
    "device: install 0.7.2 or later"
)


@functools.cache
def _splits_over_devices():
    signature = inspect.signature(custom_partitioning.def_partition)
    return "need_replication_factors" in signature.parameters


def _make_operator(library, name, rank):
    """A kernel as a JAX function that can be split over devices and vmapped."""
    kernel = library.kernels[name]
    features = "".join(f" f{i}" for i in range(rank))
    axes_of = {k: axes + features for k, axes in _AXES.items()} | _OTHER_AXES

    @custom_partitioning
    def call(*inputs):
        return _custom_call(library, name, inputs)

    def partition(mesh, inputs, outputs):
        shardings = [[x.sharding for x in group] for group in (inputs, outputs)]
        return mesh, call.fun, tuple(shardings[1]), tuple(shardings[0])

    # Neurons are independent: XLA may split batch and features over devices
    # without gathering anything.
    axes = [
        ", ".join(axes_of[array.kind] for array in arrays)
        for arrays in (kernel.inputs, kernel.outputs)
    ]
    whole = ("t", "k") if "k" in axes[0] else ("t",)
    call.def_partition(
        partition,
        sharding_rule=" -> ".join(axes),
        need_replication_factors=whole,
    )

    @jax.custom_batching.custom_vmap
    def operator(*inputs):
        return call(*inputs)

    @operator.def_vmap
    def _(size, batched, *inputs):
        # A further axis is more batch.
        def merged(x, is_batched, array):
            if array.kind == "scalars":  # numbers, the same for all
                return x[0] if is_batched else x
            x = x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
            return x.reshape(-1, *x.shape[2:])

        outputs = operator(*map(merged, inputs, batched, kernel.inputs))
        outputs = tuple(y.reshape(size, -1, *y.shape[1:]) for y in outputs)
        return outputs, (True,) * len(outputs)

    return operator


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _over_time(library, inputs):
    return _operator(library, "forward", inputs[0].ndim - 2)(*inputs)


def _forward(library, inputs):
    return _over_time(library, inputs), inputs


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _gradients(library, inputs):
    return _operator(library, "backward", inputs[0].ndim - 2)(*inputs)


@_gradients.defjvp
def _(library, inputs, tangents):
    raise RuntimeError(NO_SECOND_DERIVATIVES)


def _backward(library, inputs, upstream):
    gradients = _gradients(library, (*inputs, *upstream))
    rest = inputs[len(gradients) :]  # a mask and numbers have no gradient
    return ((*gradients, *map(_no_gradient, rest)),)


def _no_gradient(x):
    if jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.zeros_like(x)
    return np.zeros(x.shape, jax.dtypes.float0)


_over_time.defvjp(_forward, _backward)


def _may_have_accelerators():
    """Whether JAX could run on anything but CPUs. To ask JAX itself would start it."""
    if jax.config.jax_platforms == "cpu":
        return False
    modules = ("jax_plugins", "libtpu")
    return bool(importlib.metadata.entry_points(group="jax_plugins")) or any(
        importlib.util.find_spec(module) is not None for module in modules
    )


BACKEND = Jax("jax")
