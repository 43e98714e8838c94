"""Products on TensorFlow: at run time the dense one, or a walk over the non-zeros."""

import tensorflow as tf

from keras_spiking.backends.products import serving
from keras_spiking.backends.products.choice import Dense


def product(product, x, kernel, dense):
    """A product, differentiable.

    Args:
        product: `Product`, or `None`.
        x, kernel: Tensors.
        dense: Function of both: TensorFlow's product.
    """

    def inputs(x, kernel, upstream):
        return _gradient(dense, x, kernel, upstream, 0)

    def weights(x, upstream):
        zeros = tf.zeros(product.kernel_shape, x.dtype)
        return _gradient(dense, x, zeros, upstream, 1)

    choice = serving.choose(product, x, Dense(dense, inputs, weights))
    if max(choice.forward, choice.weights) <= 0 and not any(choice.own):
        return dense(x, kernel)

    @tf.custom_gradient
    def differentiable(x, kernel):
        def forward(which, limit=0.0):
            return product.forward(x, kernel, which, limit)

        def backward(upstream):
            def own(which, limit=0.0):
                return product.weights(x, upstream, kernel.dtype.name, which, limit)

            own_inputs = choice.own[1]
            of_inputs = product.inputs if own_inputs else inputs
            return of_inputs(x, kernel, upstream), _choose(
                product,
                "weights",
                choice.weights,
                choice.own[2],
                own,
                lambda: _gradient(dense, x, kernel, upstream, 1),
                x,
            )

        limit, is_own = choice.forward, choice.own[0]
        y = _choose(
            product, "forward", limit, is_own, forward, lambda: dense(x, kernel), x
        )
        return y, backward

    return differentiable(x, kernel)


def _choose(product, name, limit, is_own, own, theirs, x):
    """The walk of that name or a dense product, by the share of non-zeros.

    Args:
        own: Function from the name of a kernel to its result.
        theirs: Function without arguments, TensorFlow's result.
    """
    if limit >= 1:
        return own(name)
    if is_own:
        return own(f"either_{name}" if limit > 0 else f"dense_{name}", limit)
    if limit <= 0:
        return theirs()
    nonzeros = tf.cast(product.nonzeros(x), "float32")
    few = nonzeros <= limit * tf.cast(tf.size(x), "float32")
    return tf.cond(few, lambda: own(name), theirs)


def _gradient(dense, x, kernel, upstream, which):
    with tf.GradientTape() as tape:
        tape.watch((x, kernel)[which])
        y = dense(x, kernel)
    return tape.gradient(y, (x, kernel)[which], output_gradients=upstream)
