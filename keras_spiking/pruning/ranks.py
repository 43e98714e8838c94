"""Places in an order."""

from typing import Any

from keras import ops


def ranks(x: Any) -> Any:
    """At which place each element would be if all were sorted, as int32, from 0 on."""
    shape = tuple(x.shape)
    order = ops.argsort(ops.reshape(x, (-1,)))
    places = ops.arange(order.shape[0], dtype="int32")
    indices = ops.cast(ops.expand_dims(order, -1), "int32")
    return ops.reshape(ops.scatter(indices, places, (order.shape[0],)), shape)
