"""Layers that are computed again on the way back, to train in less memory."""

import keras
from keras import ops

from keras_spiking.layers import streaming


def as_pure_function(layer, call, transform):
    """Applies `transform` to the layer's call, made pure.

    All that a call reads is given to that function and all that it changes is
    returned: on PyTorch it may run twice, and on JAX no value may leave it otherwise.

    Args:
        layer: Layer whose variables `call` reads, and maybe assigns to.
        call: Callable of tensors.
        transform: Callable, takes and returns a function, such as `keras.remat`.

    Returns:
        A function of the arguments of `call`.
    """
    trainable, others = layer.trainable_variables, layer.non_trainable_variables

    @transform
    def pure(trainable_values, other_values, *args):
        values = zip([*trainable, *others], [*trainable_values, *other_values])
        with keras.StatelessScope(list(values), collect_losses=True) as scope:
            outputs = call(*args)
        return outputs, [scope.get_current_value(v) for v in others], scope.losses

    def run(*args):
        # Copies, since the assignments below may be in place, before `pure` runs
        # again, and TensorFlow counts the gradient of a variable itself twice.
        copies = [[ops.copy(v) for v in group] for group in (trainable, others)]
        outputs, updates, losses = pure(*copies, *args)
        for variable, value in zip(others, updates):
            variable.assign(value)
        for loss in losses:
            layer.add_loss(loss)
        return outputs

    return run


class Rematerializable:
    """A layer over time that `keras.RematScope` can compute again.

    Keras differentiates `call` as a function of all its arguments. TensorFlow's
    graphs take none by name there, JAX would make a tensor of `training`, and what
    layers inside assign to would be lost.
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        if streaming.is_streaming():
            return layer_call  # its state goes on to the next step
        remat = super().rematerialized_call  # looks whether the scope means this layer
        tensors, options = {}, {}
        for name, value in kwargs.items():
            is_option = value is None or name in ("mask", "training")
            (options if is_option else tensors)[name] = value

        def call(args, tensors):
            return layer_call(*args, **tensors, **options)

        def transform(pure):
            return remat(pure, *args, **kwargs)

        run = as_pure_function(self, call, transform)
        return lambda *_, **__: run(args, tensors)
