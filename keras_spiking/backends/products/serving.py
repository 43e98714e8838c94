"""Which product serves a call: the dense one, or a walk over what is not zero."""

import functools

from keras_spiking import config
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.loading import active
from keras_spiking.backends.products import choice
from keras_spiking.backends.products import library
from keras_spiking.backends.products.choice import Choice

served = {}
"""The last `Choice` for each `Product` that has been called."""


def choose(product, x, dense):
    """The `Choice` for a call.

    Args:
        product: `Product`, or `None` if there are no kernels for it.
        x: Tensor, the input.
        dense: `choice.Dense`, how the framework computes it.

    Raises:
        RuntimeError: if there is no walk and the mode is `"always"`.
    """
    mode = config.event_driven()
    if config.fused() == "never":
        return Choice()
    reason = unavailable(product, x)
    if reason is not None:
        if mode == "always":
            raise RuntimeError(
                f"There is no event-driven product: {reason}. They were required by "
                '`keras_spiking.config.set_event_driven("always")`; with "auto" the '
                "dense product serves instead."
            )
        return Choice()
    if mode == "always":
        found = served[product] = Choice(1.0, 1.0)
        return found
    found = served[product] = choice.of(product, product.images_of(x), dense)
    return found if mode == "auto" else Choice(own=found.own)


def explain(product):
    """What serves a product that has been called, and why.

    Returns:
        A pair of `"event-driven"` or `"dense"`, and a reason.
    """
    mode = config.event_driven()
    if config.fused() == "never":
        return "dense", 'kernels are switched off: set_fused("never")'
    reason = unavailable(product)
    if reason is not None:
        return "dense", reason
    if mode == "always":
        return "event-driven", 'set_event_driven("always")'
    if mode == "never":
        return "dense", 'walks are switched off: set_event_driven("never")'
    found = served[product]
    if found == Choice():
        return "dense", "it is faster with any input, or too small to be measured"
    kernel = "a kernel of ours" if found.own[0] else "the framework's"
    if max(found.forward, found.weights) <= 0:
        return "dense", f"it is faster with any input ({kernel})"
    shares = [f"{max(share, 0):.0%}" for share in (found.forward, found.weights)]
    reason = f"a walk over up to {shares[0]} of non-zeros, for the weights' gradient "
    return "event-driven", f"{reason}{shares[1]}; beyond, the dense one ({kernel})"


def unavailable(product, x=None):
    """Why there is no walk for a product, or `None`."""
    if product is None:
        return (
            "it has more than two spatial axes, or sizes that are not fixed, or this "
            "version of Keras pads it in another way than on other backends"
        )
    if compiler.compiler() is None:
        return "there is no C compiler: install gcc or clang, or set CC"
    return active().products_unavailable(x) or _failure(product.dtype, active())


@functools.cache
def _failure(dtype, backend):
    """Why the kernels of a dtype cannot be made, or `None`."""
    try:
        backend.register_products(library.get(dtype))
    except (RuntimeError, OSError) as error:
        return str(error)
    return None
