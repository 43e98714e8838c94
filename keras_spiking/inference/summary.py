"""A network's parts as a table."""

from keras_spiking.inference.graph import END
from keras_spiking.inference.graph import ONCE
from keras_spiking.inference.graph import Affine
from keras_spiking.inference.graph import Apply
from keras_spiking.inference.graph import Attention
from keras_spiking.inference.graph import Copy
from keras_spiking.inference.graph import Pool
from keras_spiking.inference.graph import Product
from keras_spiking.inference.graph import Softmax

_WHEN = {ONCE: "once a call", END: "at the end"}


def summary(text, name):
    """What a network consists of."""
    rows = [("layers", "computes", "weights", "states", "output")]
    for kernel in text.kernels:
        weights = sum(text.bytes_of_weights(op) for op in kernel.operations)
        states = sum(4 * len(s) for op in kernel.states for s in op.states)
        output = kernel.output
        kept = f"{output.size} bits" if output.binary else f"{output.size} numbers"
        rows.append(
            (
                kernel.name,
                _computes(text, kernel),
                _bytes(weights),
                _bytes(states),
                kept,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join(c.ljust(n) for c, n in zip(row, widths)).rstrip() for row in rows
    ]
    tables = sum(table.nbytes for table in text.tables)
    arena = text.arena
    return "\n".join(
        [
            f"{name}, {text.weights}",
            *lines,
            f"Weights and tables: {_bytes(tables)}. Memory of a sample: "
            f"{_bytes(arena.size)}, {_bytes(arena.states)} of it from step to step.",
        ]
    )


def _computes(text, kernel):
    source, parts = kernel.source, []
    if isinstance(source, Product):
        parts.append(_product(text, source))
    elif isinstance(source, Pool):
        parts.append(f"{source.mode} over windows")
    elif isinstance(source, Copy):
        parts.append("moves")
    elif isinstance(source, Softmax):
        parts.append("softmax")
    elif isinstance(source, Attention):
        parts.append("products of queries, keys and values")
    for op, _ in kernel.chain:
        if isinstance(op, Apply):
            parts.append("neurons" if op.states else "activation")
        elif isinstance(op, Affine):
            parts.append("scale and shift")
    if kernel.reduces is not None:
        parts.append(f"{kernel.reduces.mode} over time")
    if kernel.phase in _WHEN:
        parts.append(_WHEN[kernel.phase])
    return ", ".join(parts) or "element-wise"


def _product(text, op):
    if op.depthwise:
        return "product of all inputs, by channel"
    over = "bits" if op.inputs[0].binary else "non-zeros"
    kind = text.weights
    if op in text.sparse:
        return f"product over {over} of weights that are not 0, {kind}"
    if kind == "int8":
        kind = "int8 in int32"
        if not op.inputs[0].binary:
            kind += " if all are 1, else in float32"
    return f"product over {over}, {kind}"


def _bytes(size):
    if size < 10_000:
        return f"{size} B" if size else "-"
    return f"{size / 1e3:.0f} kB" if size < 1e7 else f"{size / 1e6:.0f} MB"
