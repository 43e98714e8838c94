"""Products on JAX: at run time the dense one, or a walk over what is not zero."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning

from keras_spiking.backends.kernels.library import NO_SECOND_DERIVATIVES
from keras_spiking.backends.products import serving
from keras_spiking.backends.products.choice import Dense
from keras_spiking.backends.products.library import COUNTS

# The arrays of kernels, which may be split over devices along the images alone.
_AXES = {
    "count": "n r c i -> k",
    "forward": "n r c i, g a b d w -> n s t f",
    "inputs": "n r c i, g a b d w -> n s t f",
    "weights": "n r c i, n s t f -> g a b d w",
}


def product(product, x, kernel, dense):
    """A product, differentiable.

    Args:
        product: `Product`, or `None`.
        x, kernel: Arrays.
        dense: Function of both, linear in each: XLA's product.
    """

    def inputs(x, kernel, upstream):
        return _transposed(dense, 0, upstream, x, kernel)

    def weights(x, upstream):
        kernel = jnp.zeros(product.kernel_shape, x.dtype)
        return _transposed(dense, 1, upstream, x, kernel)

    choice = serving.choose(product, x, Dense(dense, inputs, weights))
    if max(choice.forward, choice.weights) <= 0 and not any(choice.own):
        return dense(x, kernel)
    return _product(product, dense, choice, x, kernel)


def _transposed(function, which, upstream, *arguments):
    """The gradient of an argument that a function is linear in."""

    def of_one(value):
        return function(*arguments[:which], value, *arguments[which + 1 :])

    return jax.linear_transpose(of_one, arguments[which])(upstream)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _product(product, dense, choice, x, kernel):
    def own(which, limit=0.0):
        return lambda x, kernel: product.forward(x, kernel, which, limit)

    limit, is_own = choice.forward, choice.own[0]
    return _choose(product, "forward", limit, is_own, own, dense, x, kernel)


def _forward(product, dense, choice, x, kernel):
    return _product(product, dense, choice, x, kernel), (x, kernel)


def _backward(product, dense, choice, arrays, upstream):
    x, kernel = arrays

    def own(which, limit=0.0):
        return lambda x, upstream: product.weights(
            x, upstream, kernel.dtype, which, limit
        )

    def theirs(x, upstream):
        return _transposed(dense, 1, upstream, x, kernel)

    if choice.own[1]:
        of_x = product.inputs(x, kernel, upstream)
    else:
        of_x = _transposed(dense, 0, upstream, x, kernel)
    limit, is_own = choice.weights, choice.own[2]
    return of_x, _choose(product, "weights", limit, is_own, own, theirs, x, upstream)


_product.defvjp(_forward, _backward)


def _choose(product, name, limit, is_own, own, theirs, x, other):
    """The walk of that name or a dense product, by the share of non-zeros.

    Args:
        own: Function from the name of a kernel to a function of `x` and `other`.
        theirs: XLA's function of both.
    """
    if limit >= 1:
        return own(name)(x, other)
    if is_own:
        which = f"either_{name}" if limit > 0 else f"dense_{name}"
        return own(which, limit)(x, other)
    if limit <= 0:
        return theirs(x, other)
    few = product.nonzeros(x) <= limit * x.size
    return jax.lax.cond(few, own(name), theirs, x, other)


def run(target, product, kernel, arrays, shape, whole, limit):
    """Runs a kernel of a product as a custom call of a target."""

    def call(name, shape, *arrays):
        images = arrays[0].shape[0]
        call = jax.ffi.ffi_call(
            target,
            jax.ShapeDtypeStruct(shape, product.dtype),
            vmap_method="sequential",
        )
        number = np.uint64(product.library.number(name))
        sizes = np.array(product.sizes(images, limit), np.int64)
        return call(*arrays, kernel=number, sizes=sizes)

    def local(*arrays):
        """On one device, whose images decide alone."""
        if kernel.startswith("either"):
            arrays += (call("count", (COUNTS,), arrays[0]),)
        images = arrays[0].shape[0]
        return call(kernel, shape if whole else (images, *shape), *arrays)

    @jax.custom_batching.sequential_vmap
    def operator(*arrays):
        return _split(local, kernel.split("_")[-1], whole)(*arrays)

    @jax.custom_jvp
    def once_differentiable(*arrays):
        return operator(*arrays)

    @once_differentiable.defjvp
    def _(arrays, tangents):
        raise RuntimeError(NO_SECOND_DERIVATIVES)

    return once_differentiable(*arrays)


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
