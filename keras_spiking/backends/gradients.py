"""What Keras has no operation for: gradients, compiling, and not compiling."""

import contextlib

import keras


def value_and_gradients(function, tensors):
    """Value of a scalar function of tensors, and its gradients.

    Args:
        function: Callable, takes a list of tensors and returns a scalar and
            whatever else it has computed.
        tensors: List of float tensors.

    Returns:
        A tuple: what `function` returned, without connection to any gradient,
        and a list of gradients, zeros where nothing depends on a tensor.
    """
    backend = keras.config.backend()
    if backend not in _IMPLEMENTATIONS:
        raise NotImplementedError(
            f"The backend '{backend}' has no gradients. Use one of "
            f"{', '.join(_IMPLEMENTATIONS)}."
        )
    return _IMPLEMENTATIONS[backend](function, list(tensors))


def _jax(function, tensors):
    import jax

    return jax.value_and_grad(function, has_aux=True)(tensors)


def _tensorflow(function, tensors):
    import tensorflow as tf

    tensors = [tf.stop_gradient(tensor) for tensor in tensors]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value, others = function(tensors)
    zero = tf.UnconnectedGradients.ZERO
    gradients = tape.gradient(value, tensors, unconnected_gradients=zero)
    return keras.tree.map_structure(tf.stop_gradient, (value, others)), gradients


def _torch(function, tensors):
    import torch

    tensors = [tensor.detach().requires_grad_() for tensor in tensors]
    with torch.enable_grad():
        value, others = function(tensors)
    gradients = [torch.zeros_like(tensor) for tensor in tensors]
    if value.requires_grad:
        found = torch.autograd.grad(value, tensors, allow_unused=True)
        gradients = [z if g is None else g for z, g in zip(gradients, found)]
    return keras.tree.map_structure(torch.detach, (value, others)), gradients


_IMPLEMENTATIONS = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}


def compiled(function):
    """A pure function of tensors, compiled if the backend compiles functions."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.jit(function)
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)
    if backend == "torch":
        import torch

        return torch.no_grad()(function)
    return function


def outside_of_tracing():
    """A context in which tensors have values, even where a function is traced."""
    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.ensure_compile_time_eval()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.init_scope()
    return contextlib.nullcontext()
