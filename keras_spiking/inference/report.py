"""What int8 weights cost."""

from typing import Any

import keras
import numpy as np

from keras_spiking.backends.explain import Explanation


class Report(Explanation):
    """A list of dictionaries, one for each layer with weights, that prints as a table.

    The keys are `"layer"`, `"weights"` (how many), `"error"` (root mean square of
    what rounding has changed, as a share of that of the weights) and `"largest"`
    (the largest change, as a share of the largest weight).

    Attributes:
        agreement: What the outputs for the data have in common with those of float32
            weights: a dictionary with `"equal"`, the share of outputs that are equal to
            1e-5, `"class"`, the share of samples (and time steps) whose largest output
            is the same, and `"difference"`, the largest one. `None` without data.
    """

    columns = ("layer", "weights", "error", "largest")

    def __init__(self, text, outputs):
        super().__init__(_row(op, *pair) for op, pair in text.quantized.items())
        self.agreement = None if outputs is None else _agreement(*outputs)

    def __str__(self):
        rows = [self.columns]
        for row in self:
            shares = [f"{100 * row[c]:.3g} %" for c in self.columns[2:]]
            rows.append((row["layer"], f"{row['weights']:,}", *shares))
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.columns))]
        lines = [
            "  ".join(cell.ljust(n) for cell, n in zip(row, widths)).rstrip()
            for row in rows
        ]
        if self.agreement is not None:
            found = self.agreement
            lines.append(
                f"Outputs: {100 * found['equal']:.2f} % equal, "
                f"{100 * found['class']:.2f} % of the same class, "
                f"largest difference {found['difference']:.3g}"
            )
        return "\n".join(lines)


def _row(op, levels, scale) -> dict[str, Any]:
    kernel = op.kernel.reshape(levels.shape)
    error = levels * scale[:, None, None, None].astype("float64") - kernel

    def share(measure):
        total = measure(kernel)
        return float(measure(error) / total) if total else 0.0

    return {
        "layer": op.name,
        "weights": kernel.size,
        "error": share(lambda w: np.sqrt(np.mean(np.square(w)))),
        "largest": share(lambda w: np.max(np.abs(w))),
    }


def _agreement(exact, rounded):
    pairs = list(zip(keras.tree.flatten(exact), keras.tree.flatten(rounded)))
    differences = np.concatenate([np.abs(a - b).ravel() for a, b in pairs])
    classes = [(a.argmax(-1) == b.argmax(-1)).ravel() for a, b in pairs]
    return {
        "equal": float(np.mean(differences <= 1e-5)),
        "class": float(np.mean(np.concatenate(classes))),
        "difference": float(differences.max(initial=0.0)),
    }
