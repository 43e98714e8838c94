"""Products on JAX: at run time the dense one, or a walk over what is not zero."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning

from keras_spiking.backends.products import serving

# The arrays of kernels, which may be split over devices along the images alone.
_AXES = {
    "count": "n r c i -> k",
    "forward": "n r c i, g a b d w -> n s t f",
    "weights": "n r c i, n s t f -> g a b d w",
}


def product(product, x, kernel, dense):
    """A product, differentiable.

    Args:
        product: `Product`, or `None`.
        x, kernel: Arrays.
        dense: Function of both, linear in each.
    """

    def dense_weights(x, upstream):
        return transposed(dense, 1, x, jnp.zeros(product.kernel_shape, x.dtype))(
            upstream
        )

    limits = serving.limits(product, x, jax.jit(dense), jax.jit(dense_weights))
    if max(limits) <= 0:
        return dense(x, kernel)
    return _product(product, dense, limits, x, kernel)


def transposed(function, which, *arguments):
    """From gradients of a function's value to those of an argument it is linear in."""

    def of_one(value):
        return function(*arguments[:which], value, *arguments[which + 1 :])

    transpose = jax.linear_transpose(of_one, arguments[which])
    return lambda upstream: transpose(upstream)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _product(product, dense, limits, x, kernel):
    return _choose(product, x, limits.forward, product.forward, dense, kernel)


def _forward(product, dense, limits, x, kernel):
    return _product(product, dense, limits, x, kernel), (x, kernel)


def _backward(product, dense, limits, arrays, upstream):
    x, kernel = arrays

    def walked(x, upstream):
        return product.weights(x, upstream, kernel.dtype)

    def of_weights(x, upstream):
        return transposed(dense, 1, x, kernel)(upstream)

    of_x = transposed(dense, 0, x, kernel)(upstream)
    return of_x, _choose(product, x, limits.weights, walked, of_weights, upstream)


_product.defvjp(_forward, _backward)


def _choose(product, x, limit, walk, dense, other):
    if limit <= 0:
        return dense(x, other)
    if limit >= 1:
        return walk(x, other)
    few = product.nonzeros(x) <= limit * x.size
    return jax.lax.cond(few, walk, dense, x, other)


def run(target, product, kernel, arrays, shape, whole):
    """Runs a kernel of a product as a custom call of a target."""

    def call(*arrays):
        images = arrays[0].shape[0]
        output = shape if whole else (images, *shape)
        call = jax.ffi.ffi_call(
            target,
            jax.ShapeDtypeStruct(output, product.dtype),
            vmap_method="sequential",
        )
        number = np.uint64(product.library.number(kernel))
        sizes = np.array((images, *product.geometry), np.int64)
        return call(*arrays, kernel=number, sizes=sizes)

    @jax.custom_batching.sequential_vmap
    def operator(*arrays):
        return _split(call, kernel, whole)(*arrays)

    return operator(*arrays)


def _split(call, kernel, whole):
    """A custom call that can be split over devices."""
    split = custom_partitioning(call)

    def partition(mesh, inputs, output):
        spec = tuple(inputs[0].sharding.spec)
        axes = spec[0] if spec else None

        def summed(*arrays):
            y = call(*arrays)
            return jax.lax.psum(y, axes) if whole and axes is not None else y

        return mesh, summed, output.sharding, tuple(x.sharding for x in inputs)

    others = dict.fromkeys(_AXES[kernel].translate(str.maketrans("", "", "n ,->")))
    split.def_partition(
        partition,
        sharding_rule=_AXES[kernel],
        reduction_factors=("n",) if whole else (),
        need_replication_factors=tuple(others),
    )
    return split
