"""PyTorch: Keras's own `Adam`, `AdamW` and `SGD` with PyTorch's fused updates.

Keras makes an update of about ten operations on lists of tensors, each a pass over
weights, gradients or moments; PyTorch has kernels that make it in one. They take
the place of the method of Keras's classes that computes updates, so an optimizer
keeps its variables, its files, and all that happens before and after an update.
A call that the kernels do not cover goes to Keras's method.
"""

import inspect
import logging

import keras
import torch

from keras_spiking import config

_DTYPES = (torch.float32, torch.float64)
_METHOD = "_parallel_update_step"
_PARAMETERS = ["self", "grads", "variables", "learning_rate"]

_logger = logging.getLogger("keras_spiking")
_reasons = {}  # why an optimizer is not fused, or `None`


def install():
    """Puts the fused updates into Keras's classes, once."""
    for name, update, options in (
        ("Adam", _adam, {}),
        ("SGD", _sgd, {"momentum": 0.9}),
    ):
        if name not in _reasons:
            _reasons[name] = _put(name, update, options)


def report():
    """Which updates are fused, in words."""
    install()
    if not config.fused_optimizers():
        return "Keras's own updates: switched off"
    return ", ".join(
        f"{name} fused" if reason is None else f"{name} not fused: {reason}"
        for name, reason in _reasons.items()
    )


def _put(name, update, options):
    """Puts an update into the class that Keras has for an optimizer on PyTorch.

    Args:
        name: String, of the class in `keras.optimizers`.
        update: Function of what Keras's method takes, that tells whether it served.
        options: Arguments of the optimizer for an example to compare both in.

    Returns:
        Why not, or `None`.
    """
    cls = type(getattr(keras.optimizers, name)(name="example"))
    own = vars(cls).get(_METHOD)
    if own is None or list(inspect.signature(own).parameters) != _PARAMETERS:
        return f"Keras {keras.__version__} computes updates in another way"
    agrees = None  # unknown before the first update

    def step(self, grads, variables, learning_rate):
        nonlocal agrees
        if config.fused_optimizers() and not torch.compiler.is_compiling():
            if agrees is None:
                agrees = _agree(cls, options, own, update)
                if not agrees:
                    _reasons[name] = "its results differ from Keras's"
                    _logger.warning("%s is not fused: %s.", name, _reasons[name])
            if agrees and update(self, grads, variables, learning_rate):
                return
        own(self, grads, variables, learning_rate)

    setattr(cls, _METHOD, step)
    return None


def _agree(cls, options, own, update):
    """Whether two updates give the same result in an example."""

    def result(step):
        start = torch.tensor([1.0, -2.0, 0.5])
        variable = keras.Variable(start, dtype="float32", name="example")
        optimizer = cls(name="example", **options)
        optimizer.build([variable])
        for _ in range(2):
            gradient = torch.sin(3.0 * variable.value.detach())
            step(optimizer, [gradient], [variable], optimizer.learning_rate)
            optimizer.iterations.assign_add(1)
        return variable.value.detach()

    try:
        return torch.allclose(result(own), result(update), rtol=1e-5, atol=1e-6)
    except Exception:
        return False


def _adam(optimizer, grads, variables, learning_rate):
    """Keras's update of Adam. Returns whether it could be made.

    PyTorch's formula corrects the bias of the second moment before `epsilon` is added,
    Keras's after that. An infinite step makes PyTorch correct nothing, and Keras's
    correction is part of the learning rate.
    """
    indices = [optimizer._get_variable_index(variable) for variable in variables]
    moments = [optimizer._momentums, optimizer._velocities]
    if optimizer.amsgrad:
        moments.append(optimizer._velocity_hats)
    lists = _tensors(grads, variables, moments, indices)
    if lists is None:
        return False
    values, grads, first, second, *largest = lists
    dtype, device = values[0].dtype, values[0].device
    rate = keras.ops.convert_to_tensor(learning_rate).to(device, dtype)
    step = keras.ops.convert_to_tensor(optimizer.iterations).to(dtype) + 1
    beta_1 = torch.tensor(optimizer.beta_1, dtype=dtype, device=device)
    beta_2 = torch.tensor(optimizer.beta_2, dtype=dtype, device=device)
    rate = rate * torch.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    torch._fused_adam_(
        values,
        grads,
        first,
        second,
        largest[0] if largest else [],
        [torch.full((), torch.inf, device=device)] * len(values),
        lr=rate,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        eps=optimizer.epsilon,
        amsgrad=optimizer.amsgrad,
        maximize=False,
    )
    return True


def _sgd(optimizer, grads, variables, learning_rate):
    """Keras's update of SGD with momentum. Returns whether it could be made.

    Keras's momentum is a change of the weights and PyTorch's a gradient: PyTorch gets a
    learning rate of -1, and that of Keras by way of the dampening.
    """
    if optimizer.momentum == 0:
        return False  # Keras makes it in one operation
    indices = [optimizer._get_variable_index(variable) for variable in variables]
    lists = _tensors(grads, variables, [optimizer.momentums], indices)
    if lists is None or lists[0][0].device.type != "cpu":
        return False
    values, grads, momentum = lists
    rate = float(keras.ops.convert_to_tensor(learning_rate))
    if optimizer.nesterov:
        grads = torch._foreach_mul(grads, -rate)
    torch._fused_sgd_(
        values,
        grads,
        momentum,
        weight_decay=0.0,
        momentum=optimizer.momentum,
        lr=-1.0,
        dampening=0.0 if optimizer.nesterov else 1.0 + rate,
        nesterov=optimizer.nesterov,
        maximize=False,
        is_first_step=False,
    )
    return True


def _tensors(grads, variables, moments, indices):
    """Tensors for a fused update: weights, gradients and moments, or `None`.

    The kernels run through memory: all tensors of a weight must lie in it alike, on
    GPUs even those with an axis of one element. What does not is moved, moments once.
    """
    values = [variable.value for variable in variables]
    dtype, device = values[0].dtype, values[0].device
    if dtype not in _DTYPES or device.type not in ("cpu", "cuda"):
        return None
    if any(v.dtype != dtype or v.device != device for v in values):
        return None
    grads = list(grads)
    moments = [[moment[i].value for i in indices] for moment in moments]
    for n, value in enumerate(values):
        if not _is_dense(value) or not _is_alike(grads[n], value):
            return None
        grads[n] = _placed_like(value, grads[n])
        for tensors in moments:
            if (placed := _placed_like(value, tensors[n])) is not tensors[n]:
                tensors[n].data = placed
    return [values, grads, *moments]


def _is_alike(tensor, other):
    return (
        tensor.dtype == other.dtype
        and tensor.device == other.device
        and tensor.layout == other.layout
        and tensor.shape == other.shape
    )


def _placed_like(other, tensor):
    """A tensor with the same elements at the same places in memory as another."""
    if tensor.stride() == other.stride():
        return tensor
    return torch.empty_strided(
        other.shape, other.stride(), dtype=other.dtype, device=other.device
    ).copy_(tensor)


def _is_dense(tensor):
    """Whether a tensor is a contiguous one with its axes permuted."""
    strides = tensor.stride()
    order = sorted(range(len(strides)), key=strides.__getitem__, reverse=True)
    return tensor.permute(order).is_contiguous()
