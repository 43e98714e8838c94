"""Products on TensorFlow: at run time the dense one, or a walk over the non-zeros."""

import tensorflow as tf

from keras_spiking.backends.products import choice
from keras_spiking.backends.products import serving


def product(product, x, kernel, dense):
    """A product, differentiable.

    Args:
        product: `Product`, or `None`.
        x, kernel: Tensors.
        dense: Function of both.
    """

    def dense_weights(x, upstream):
        zeros = tf.zeros(product.kernel_shape, x.dtype)
        return _gradient(dense, x, zeros, upstream, 1)

    functions = choice.Dense(dense, weights=dense_weights)
    limits = serving.choose(product, x, functions)[:2]
    if max(limits) <= 0:
        return dense(x, kernel)

    @tf.custom_gradient
    def differentiable(x, kernel):
        few = _few(product, x, limits)

        def backward(upstream):
            of_kernel = tf.cond(
                few[1],
                lambda: product.weights(x, upstream, kernel.dtype.name),
                lambda: _gradient(dense, x, kernel, upstream, 1),
            )
            return _gradient(dense, x, kernel, upstream, 0), of_kernel

        y = tf.cond(
            few[0], lambda: product.forward(x, kernel), lambda: dense(x, kernel)
        )
        return y, backward

    return differentiable(x, kernel)


def _few(product, x, limits):
    """For each limit, whether the share of non-zeros does not exceed it."""
    if min(limits) >= 1:
        return tf.constant(True), tf.constant(True)
    size = tf.cast(tf.size(x), "float32")
    nonzeros = tf.cast(product.nonzeros(x), "float32")
    return tuple(nonzeros <= limit * size for limit in limits)


def _gradient(dense, x, kernel, upstream, which):
    with tf.GradientTape() as tape:
        tape.watch((x, kernel)[which])
        y = dense(x, kernel)
    return tape.gradient(y, (x, kernel)[which], output_gradients=upstream)
