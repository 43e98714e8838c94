"""Products on PyTorch: for each call the dense one, or a walk over what is not zero."""

import torch
from torch.nn import functional

from keras_spiking.backends.products import choice
from keras_spiking.backends.products import serving


class Dense:
    """The product with a matrix, and its gradients."""

    def __call__(self, x, kernel):
        return torch.matmul(x, kernel)

    def input_gradient(self, x, kernel, upstream):
        return torch.matmul(upstream, kernel.mT)

    def weights_gradient(self, x, upstream):
        x, upstream = x.flatten(0, -2), upstream.flatten(0, -2)
        return torch.matmul(x.mT, upstream)


class Conv:
    """A convolution, and its gradients."""

    def __init__(self, function, product, options):
        self.function, self.product, self.options = function, product, options

    def __call__(self, x, kernel):
        return self.function(x, kernel, **self.options)

    def input_gradient(self, x, kernel, upstream):
        return self._gradients(x, kernel, upstream, 0)

    def weights_gradient(self, x, upstream):
        kernel = x.new_empty(self.product.kernel_shape)
        return self._gradients(x, kernel, upstream, 1)

    def _gradients(self, x, kernel, upstream, which):
        g, rank = self.product.geometry, len(kernel.shape) - 2
        if not self.product.channels_first:
            x, upstream = x.movedim(-1, 1), upstream.movedim(-1, 1)
        before, after = self._padding(rank)
        uneven = before != after
        if uneven:
            widths = [w for pair in zip(before[::-1], after[::-1]) for w in pair]
            x = functional.pad(x, widths)
        kernel = self._as_pytorch(kernel)
        result = torch.ops.aten.convolution_backward(
            upstream,
            x,
            kernel,
            None,
            [g.stride_rows, g.stride_columns][-rank:],
            [0] * rank if uneven else before,
            [g.dilation_rows, g.dilation_columns][-rank:],
            False,
            [0] * rank,
            g.groups,
            [which == 0, which == 1, False],
        )[which]
        if which == 1:
            return result.movedim((0, 1), (-1, -2))
        if uneven:
            for axis, (first, last) in enumerate(zip(before, after), 2):
                size = result.shape[axis] - first - last
                result = result.narrow(axis, first, size)
        return result if self.product.channels_first else result.movedim(1, -1)

    def _as_pytorch(self, kernel):
        """The kernel with its filters first, in memory as a convolution reads it."""
        # PyTorch transposes matrices faster than it permutes axes.
        rows = kernel.reshape(-1, kernel.shape[-1]).t().contiguous()
        return rows.reshape(-1, *kernel.shape[:-1]).movedim(-1, 1)

    def _padding(self, rank):
        g = self.product.geometry
        axes = [
            (g.in_rows, g.out_rows, g.kernel_rows, g.stride_rows, g.pad_rows)
            + (g.dilation_rows,),
            (g.in_columns, g.out_columns, g.kernel_columns, g.stride_columns)
            + (g.pad_columns, g.dilation_columns),
        ]
        before, after = [], []
        for inputs, outputs, taps, stride, pad, dilation in axes[-rank:]:
            met = (outputs - 1) * stride + (taps - 1) * dilation + 1
            before.append(pad)
            # What no output meets behind the last input is not cut off.
            after.append(max(met - inputs - pad, 0))
        if self.options["padding"] == "valid":
            after = before
        return before, after


class Recorded:
    """A product whose gradients PyTorch finds: it runs once more for each."""

    def __init__(self, function, product, options):
        self.function, self.product, self.options = function, product, options

    def __call__(self, x, kernel):
        return self.function(x, kernel, **self.options)

    def input_gradient(self, x, kernel, upstream):
        return self._gradient(x, kernel, upstream, 0)

    def weights_gradient(self, x, upstream):
        kernel = x.new_zeros(self.product.kernel_shape)
        return self._gradient(x, kernel, upstream, 1)

    def _gradient(self, x, kernel, upstream, which):
        arguments = [x.detach(), kernel.detach()]
        arguments[which].requires_grad_()
        with torch.enable_grad():
            y = self(*arguments)
        return torch.autograd.grad(y, arguments[which], upstream)[0]


def product(product, x, kernel, dense):
    """A product, differentiable.

    Args:
        product: `Product`, or `None`.
        x, kernel: Tensors.
        dense: `Dense`, `Conv` or `Recorded`: PyTorch's product.
    """
    functions = choice.Dense(dense, dense.input_gradient, dense.weights_gradient)
    found = serving.choose(product, x, functions)
    limits = found.forward, found.weights
    if max(limits) <= 0 and not any(found.own):
        return dense(x, kernel)
    needs_gradient = torch.is_grad_enabled() and (
        x.requires_grad or kernel.requires_grad
    )
    share = 1.0
    if 0 < (max(limits) if needs_gradient else limits[0]) < 1:
        share = product.nonzeros(x).item() / max(x.numel(), 1)
    forward, weights = (
        name if share <= limit else f"dense_{name}" if is_own else None
        for name, limit, is_own in zip(
            ("forward", "weights"), limits, (found.own[0], found.own[2])
        )
    )
    if needs_gradient and (forward or weights or found.own[1]):
        kernels = forward, found.own[1], weights
        return _Product.apply(x, kernel, product, dense, kernels)
    return product.forward(x, kernel, forward) if forward else dense(x, kernel)


class _Product(torch.autograd.Function):
    """A product by kernels of ours, or where there is none for it, by PyTorch."""

    @staticmethod
    def forward(ctx, x, kernel, product, dense, kernels):
        ctx.product, ctx.dense, ctx.kernels = product, dense, kernels
        ctx.save_for_backward(x, kernel)
        if kernels[0]:
            return product.forward(x, kernel, kernels[0])
        return dense(x, kernel)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        x, kernel = ctx.saved_tensors
        _, own_inputs, weights = ctx.kernels
        of_x = of_kernel = None
        if ctx.needs_input_grad[0]:
            of_inputs = ctx.product.inputs if own_inputs else ctx.dense.input_gradient
            of_x = of_inputs(x, kernel, upstream)
        if ctx.needs_input_grad[1] and weights:
            of_kernel = ctx.product.weights(x, upstream, kernel.dtype, weights)
        elif ctx.needs_input_grad[1]:
            of_kernel = ctx.dense.weights_gradient(x, upstream)
        return of_x, of_kernel, None, None, None
