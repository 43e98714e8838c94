"""NIR graphs in the dialect of the framework that is to read them.

Readers take some of NIR's nodes, and of these some of their fields. A graph is
rewritten in nodes that mean the same to its reader; what the reader would refuse,
or drop without a word, raises.
"""

import dataclasses

import numpy as np

from keras_spiking.export import to_nir_synapses as synapses
from keras_spiking.export.nir_package import nir

_WEIGHTED = ("Affine", "Linear", "Conv1d", "Conv2d")
_COMMON = ("Affine", "Conv2d", "Flatten", "IF", "LIF")
# A LIF that leaks less in a step than floats can tell.
_NO_LEAK = 2.0**40


@dataclasses.dataclass(frozen=True)
class Target:
    """How a framework reads NIR.

    Attributes:
        title: String, its name.
        nodes: Tuple of strings, the types of nodes that it reads.
        dt: Float, the duration of a step that it assumes, or `None` for any.
        at_threshold: Boolean, whether its neurons fire at their threshold, too.
        soft_reset: Boolean, whether they subtract their threshold.
        exponential: Boolean, whether they decay by `exp(-dt / tau)`.
        gain: `"unit"` if it adds the input as it is to the membrane, `"euler"` if it
            takes steps with `r = 1`, `None` if it takes `r` as it is.
        if_resistance: Float, the only resistance of an IF that it takes, or `None`.
        uniform: Boolean, whether it takes one value for all neurons of a node.
        v_leak: `0.0`, `"v_reset"`, or `None` for any.
        batch: Boolean, whether it counts the batch among the axes of a Flatten.
        joins: Boolean, whether it computes branches before they are joined.
        channels_last: Boolean, whether it flattens with channels last.
        late: Boolean, whether the spikes of its IF come a step later.
    """

    title: str
    nodes: tuple
    dt: float | None = None
    at_threshold: bool = False
    soft_reset: bool = False
    exponential: bool = False
    gain: str | None = "unit"
    if_resistance: float | None = None
    uniform: bool = False
    v_leak: float | str | None = 0.0
    v_reset: float | None = 0.0
    batch: bool = False
    joins: bool = True
    channels_last: bool = False
    late: bool = False


TARGETS = {
    "spikingjelly": Target(
        "SpikingJelly",
        (*_COMMON, "Linear", "Conv1d", "AvgPool2d", "CubaLIF"),
        at_threshold=True,
        gain=None,
        uniform=True,
        v_leak="v_reset",
        v_reset=None,
    ),
    "snntorch": Target(
        "snnTorch",
        (
            "Affine",
            "Linear",
            "Conv1d",
            "Conv2d",
            "Flatten",
            "AvgPool2d",
            "LIF",
            "CubaLIF",
        ),
        dt=1e-4,
        uniform=True,
        batch=True,
    ),
    "norse": Target(
        "Norse",
        (*_COMMON, "Linear", "SumPool2d", "CubaLIF"),
        gain="euler",
        if_resistance=1.0,
        v_leak=None,
        batch=True,
        joins=False,
    ),
    "sinabs": Target(
        "sinabs",
        (*_COMMON, "SumPool2d", "LI"),
        dt=1.0,
        at_threshold=True,
        soft_reset=True,
        exponential=True,
        if_resistance=1.0,
        joins=False,
    ),
    "snn-mlir": Target(
        "snn-mlir",
        (*_COMMON, "Linear", "Conv1d", "SumPool2d", "AvgPool2d"),
        if_resistance=1.0,
        uniform=True,
        joins=False,
    ),
    "spyx": Target(
        "Spyx",
        ("Affine", "Linear", "Conv2d", "SumPool2d", "Flatten", "IF", "LI", "Threshold"),
        dt=1.0,
        soft_reset=True,
        if_resistance=1.0,
        joins=False,
        channels_last=True,
        late=True,
    ),
}


class Dialect:
    """Rewrites the nodes and edges of a `Writer` for a target."""

    def __init__(self, writer, target):
        self.nodes, self.edges = writer.nodes, writer.edges
        self.target, self.dt = target, writer.dt
        self.maxima = writer.maxima
        self.delayed = writer.delayed

    def rewrite(self):
        for name in list(self.nodes):
            if name in self.nodes:
                self._rewrite(name, type(self.nodes[name]).__name__)
        self._join_at_end()
        for name, node in self.nodes.items():
            self._check(name, node)
        if self.delayed:
            self._check_feedback()
        elif not self.target.joins:
            self._check_joins()

    def _rewrite(self, name, kind):
        node, target = self.nodes[name], self.target
        if kind == "Threshold" and name in self.maxima and kind not in target.nodes:
            self._any_spike(name, node)
        elif kind == "SumPool2d" and kind not in target.nodes:
            self._pool(name, nir().AvgPool2d, float(np.prod(node.kernel_size)))
        elif kind == "AvgPool2d" and kind not in target.nodes:
            self._pool(name, nir().SumPool2d, 1 / float(np.prod(node.kernel_size)))
        elif kind == "Linear" and kind not in target.nodes:
            zeros = np.zeros(len(node.weight), node.weight.dtype)
            self.nodes[name] = nir().Affine(node.weight, zeros)
        elif kind == "Scale" and kind not in target.nodes:
            self.nodes[name] = self._matrix(name, node.scale)
        elif kind == "Flatten" and target.batch:
            # Counted from the end, axes are the same with a batch and without.
            rank = len(node.input_type["input"])
            self.nodes[name] = nir().Flatten(node.input_type, -rank, -1)
        elif kind == "Flatten" and target.channels_last:
            self._flatten(name, node)
        elif kind == "IF":
            self._non_leaky(name, node)
            if target.late:
                self._absorb_delay(name)
        elif kind in ("LI", "LIF"):
            self._leaky(name, node)
        elif kind == "CubaLIF":
            self._current_based(name, node)

    def _any_spike(self, name, node):
        """Neurons that fire for any spike have no memory, since 0 stays 0."""
        if self.target.soft_reset:
            self._refuse(name, "maximum pooling. Use average pooling")
        self.nodes[name] = nir().IF(
            r=np.full(node.threshold.shape, 1 / self.dt),
            v_threshold=node.threshold,
            v_reset=np.zeros(node.threshold.shape),
        )
        self._non_leaky(name, self.nodes[name])

    def _pool(self, name, kind, factor):
        """Turns averages into sums, or sums into averages."""
        node = self.nodes[name]
        self.nodes[name] = kind(node.kernel_size, node.stride, node.padding)
        after = [b for a, b in self.edges if a == name]
        if len(after) == 1 and after[0] in self.maxima:
            node = self.nodes[after[0]]
            field = "threshold" if hasattr(node, "threshold") else "v_threshold"
            setattr(node, field, getattr(node, field) / factor)
        else:
            self._scale_after(name, factor)

    def _scale_after(self, name, factor):
        """Multiplies what the nodes after one get from it."""
        for after in [b for a, b in self.edges if a == name]:
            node = self.nodes[after]
            alone = sum(b == after for _, b in self.edges) == 1
            if alone and type(node).__name__ in _WEIGHTED:
                node.weight = (node.weight * factor).astype(node.weight.dtype)
            elif alone and isinstance(node, nir().Flatten):
                self._scale_after(after, factor)
            else:
                self._refuse(
                    name,
                    f"a pooling whose output goes to '{after}'. Place a Dense or a "
                    "Conv2D after it, whose weights make up for the factor between "
                    "sums and averages",
                )

    def _scale_before(self, name, factor):
        """Multiplies the input of neurons, by an array for every neuron."""
        if np.all(np.float32(factor) == 1):
            return
        by_channel = _by_channel(factor)
        before = [a for a, b in self.edges if b == name]
        foldable = by_channel is not None and all(
            type(self.nodes[a]).__name__ in _WEIGHTED
            and sum(x == a for x, _ in self.edges) == 1
            for a in before
        )
        if not foldable:
            self._insert(before, name, self._matrix(name, factor))
            return
        for node in (self.nodes[a] for a in before):
            weight = np.moveaxis(node.weight * 1.0, 0, -1) * by_channel
            node.weight = np.ascontiguousarray(np.moveaxis(weight, -1, 0), "float32")
            if hasattr(node, "bias"):
                node.bias = np.asarray(node.bias * by_channel, "float32")

    def _insert(self, before, after, node):
        """Puts a node on the edges that lead from `before` to `after`."""
        name = f"{after}_gain"
        while name in self.nodes:
            name += "_"
        moved = [(a, after) for a in before]
        self.edges[:] = [e for e in self.edges if e not in moved]
        self.edges += [*((a, name) for a in before), (name, after)]
        self.nodes[name] = node
        return name

    def _flatten(self, name, node):
        """Reorders what comes after a Flatten, for channels last."""
        shape = node.input_type["input"]
        order = np.moveaxis(np.arange(np.prod(shape)).reshape(shape), 0, -1).reshape(-1)
        if np.all(order == np.arange(order.size)):
            return
        for after in [b for a, b in self.edges if a == name]:
            if type(self.nodes[after]).__name__ not in _WEIGHTED:
                self._refuse(name, "a Flatten that no Dense comes after")
            self.nodes[after].weight = self.nodes[after].weight[:, order]

    def _absorb_delay(self, name):
        """Removes the delay of a step after neurons whose spikes come a step later."""
        after = [b for a, b in self.edges if a == name]
        node = self.nodes[after[0]]
        if len(after) > 1 or not (
            isinstance(node, nir().Delay) and np.all(node.delay == self.dt)
        ):
            self._refuse(
                name,
                "spikes in the step that they are fired in, but a step later: place a "
                "Delay(1) after the neurons",
            )
        self.edges.remove((name, after[0]))
        self.edges[:] = [(name if a == after[0] else a, b) for a, b in self.edges]
        del self.nodes[after[0]]

    def _matrix(self, name, factor):
        """A node with weights that multiplies by an array `(channels, ...)`."""
        by_channel = _by_channel(factor)
        if by_channel is None:
            self._refuse(name, "a factor that differs between the pixels of a channel")
        weight = np.diag(by_channel).astype("float32")
        if factor.ndim > 1:
            return synapses.pointwise(weight, None, factor.shape[1:])
        return nir().Affine(weight, np.zeros(len(weight), "float32"))

    def _non_leaky(self, name, node):
        target = self.target
        self._scale_before(name, node.r * self.dt)
        if "IF" not in target.nodes:
            tau = np.full(node.r.shape, self.dt * _NO_LEAK)
            zeros = np.zeros(node.r.shape)
            self.nodes[name] = nir().LIF(
                tau, tau / self.dt, zeros, node.v_threshold, v_reset=node.v_reset
            )
        else:
            r = 1 / self.dt if target.if_resistance is None else target.if_resistance
            node.r = np.full(node.r.shape, r)

    def _leaky(self, name, node):
        gain, steps = self.target.gain, node.tau / self.dt
        if gain == "unit":
            self._scale_before(name, node.r / steps)
            node.r = steps
        elif gain == "euler":
            self._scale_before(name, node.r)
            node.r = np.ones_like(node.r)
        if self.target.exponential:
            if node.tau.ndim > 1:  # `any` of an array of several axes
                self._refuse(name, "leaky neurons of images, at which it stops")
            if np.any(steps <= 1):
                self._refuse(name, "a time constant of one step")
            node.tau = -self.dt / np.log1p(-1 / steps)
            node.r = np.ones_like(node.r)

    def _current_based(self, name, node):
        if self.target.gain == "euler":
            return
        synapse, membrane = node.tau_syn / self.dt, node.tau_mem / self.dt
        # Both factors are those of the input: the current is linear in it.
        self._scale_before(name, node.w_in / synapse * node.r / membrane)
        node.w_in, node.r = synapse, membrane

    def _join_at_end(self):
        """Readers take one edge into the output."""
        before = [a for a, b in self.edges if b == "output"]
        if len(before) > 1:
            shape = self.nodes["output"].output_type["output"]
            self._insert(before, "output", self._matrix("output", np.ones(shape)))

    def _check(self, name, node):
        kind, target = type(node).__name__, self.target
        if kind in ("Input", "Output"):
            return
        if kind not in target.nodes:
            self._refuse(name, f"a {kind}. It reads {', '.join(target.nodes)}")
        if target.title == "Spyx":
            self._check_spyx(name, node)
        if kind == "SumPool2d" and np.any(node.padding):
            self._refuse(name, "the padding of a pooling, which it drops")
        if hasattr(node, "v_threshold"):
            self._check_neurons(name, node)

    def _check_spyx(self, name, node):
        after = [self.nodes[b] for a, b in self.edges if a == name]
        if isinstance(node, nir().Conv2d) and np.any(np.array(node.dilation) != 1):
            self._refuse(name, "a dilation, which it drops")
        if isinstance(node, nir().LI) and not (
            len(after) == 1 and isinstance(after[0], nir().Threshold)
        ):
            self._refuse(
                name, "an LI that no Threshold comes after: an LIFLayer(tau=1)"
            )
        before = [self.nodes[a] for a, b in self.edges if b == name]
        if isinstance(node, nir().Threshold) and not isinstance(before[0], nir().LI):
            self._refuse(name, "a Threshold that comes after anything but an LI")

    def _check_neurons(self, name, node):
        target = self.target
        v_leak = getattr(node, "v_leak", 0.0)
        if target.v_leak == "v_reset":
            rest = 0.0 if isinstance(node, nir().CubaLIF) else node.v_reset
            if hasattr(node, "v_leak") and np.any(v_leak != rest):
                self._refuse(name, "a potential at rest that is not that of the reset")
        elif np.any(v_leak) and (
            target.v_leak == 0.0 or isinstance(node, nir().CubaLIF)
        ):
            self._refuse(name, "a potential at rest other than 0")
        if target.v_reset is not None and np.any(node.v_reset):
            self._refuse(name, "a reset to other than 0, which it drops. Use v_reset=0")
        if target.title == "SpikingJelly" and isinstance(node, nir().LIF):
            if np.any(node.tau <= self.dt):
                self._refuse(name, "a time constant of one step")
        if not target.uniform:
            return
        for field in ("tau", "tau_syn", "tau_mem", "r", "w_in", "v_threshold",
                      "v_reset", "v_leak"):  # fmt: skip
            if np.unique(getattr(node, field, 0.0)).size > 1:
                self._refuse(name, f"different values of {field} in one layer")

    def _check_joins(self):
        """Raises unless the reader, which goes deep first, meets joins last."""
        order = []

        def visit(name):
            if name not in order:
                order.append(name)
                for after in [b for a, b in self.edges if a == name]:
                    visit(after)

        # Nodes that are further from the input come later.
        rank = {name: i for i, name in enumerate(_sorted(self.nodes, self.edges))}
        self.edges.sort(key=lambda edge: (rank[edge[0]], rank[edge[1]]))
        if self.target.title in ("snn-mlir", "Spyx") and (
            join := next((b for _, b in self.edges if self._sources(b) > 1), None)
        ):
            self._refuse(join, "branches that are joined")
        visit("input")
        for before, after in self.edges:
            if order.index(before) > order.index(after):
                self._refuse(
                    after,
                    f"branches that are joined: it computes '{after}' before "
                    f"'{before}', and leaves that out",
                )

    def _check_feedback(self):
        """Raises unless the reader delays the edges that the model delays."""
        before, _ = self.delayed[0]
        if self.target.title != "SpikingJelly":
            self._refuse(before, "feedback within the network, which it misreads")
        late = set(_late_edges(self.nodes, self.edges))
        for before, after in set(self.delayed) - late:
            node = self.nodes[after]
            # It is the same to delay what a matrix gets or what it gives.
            around = {(after, b) for a, b in self.edges if a == after}
            passes_zero = type(node).__name__ in _WEIGHTED and not np.any(
                getattr(node, "bias", 0.0)
            )
            if not (self._sources(after) == 1 and passes_zero and around <= late):
                self._refuse(
                    after,
                    f"feedback from '{before}' as the model has it: it delays "
                    f"{sorted(late)}. Let what is fed back come from neurons by a "
                    "Dense without a bias, or use ElementwiseRecurrent",
                )

    def _sources(self, name):
        return sum(b == name for _, b in self.edges)

    def _refuse(self, name, what):
        raise ValueError(
            f"The node '{name}' cannot be written for {self.target.title}, which does "
            f"not take {what}."
        )


def _late_edges(nodes, edges):
    """The edges of cycles that nirtorch delays: those whose source comes later."""
    done, late, queue = (
        {"input"},
        [],
        [n for n in nodes if n not in ("input", "output")],
    )
    for _ in range(len(queue) ** 2):
        if not queue:
            break
        name = queue.pop(0)
        before = [a for a, b in edges if b == name]
        missing = [a for a in before if a not in done]
        if missing and (len(before) == 1 or not _reached(name, edges) >= set(missing)):
            queue.append(name)
            continue
        late += [(a, name) for a in missing]
        done.add(name)
    return late


def _reached(name, edges):
    found = {name}
    while more := {b for a, b in edges if a in found} - found:
        found |= more
    return found


def _by_channel(factor):
    """One value for each channel of an array `(channels, ...)`, or `None`."""
    rows = np.reshape(factor, (len(factor), -1))
    return rows[:, 0] if np.all(rows == rows[:, :1]) else None


def _sorted(names, edges):
    """Names in an order along acyclic edges."""
    done, left = [], list(names)
    while left:
        ready = [n for n in left if all(a in done for a, b in edges if b == n)]
        if not ready:
            return done + left
        done.append(ready[0])
        left.remove(ready[0])
    return done
