"""What the layers of a model do on data, as reports show it.

The model runs on all samples to count spikes, and once more on one sample, of which
spikes and membrane potentials are kept of some neurons. It runs in plain operations, so
that what is not kept can be forgotten at once.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_spiking import backends
from keras_spiking.backends.explain import Explanation
from keras_spiking.callbacks.firing_rate_logger import ALWAYS
from keras_spiking.callbacks.firing_rate_logger import SATURATED
from keras_spiking.callbacks.firing_rate_logger import SILENT
from keras_spiking.energy.counting import batches
from keras_spiking.energy.counting import build
from keras_spiking.energy.observation import to_array
from keras_spiking.inspection import hooks
from keras_spiking.inspection.capture import Capture
from keras_spiking.inspection.selection import all_layers
from keras_spiking.inspection.selection import check_spiking_model
from keras_spiking.inspection.selection import is_spiking
from keras_spiking.inspection.states import states_before_step
from keras_spiking.inspection.states import states_over_time
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.ops.time_loop import unrolled
from keras_spiking.parameter import current_value
from keras_spiking.visualization.accuracy import Accuracy
from keras_spiking.visualization.accuracy import accuracy_over_time
from keras_spiking.visualization.accuracy import check_labels

NEURONS = 64  # of a raster
TRACES = 4  # membrane potentials of a layer
STEPS = 1000  # of rasters and traces
ALL_STEPS = 8000  # the same, summed over layers


@dataclasses.dataclass
class Trace:
    """The membrane potential of one neuron.

    Attributes:
        neuron: Integer, which one of the layer, flat.
        potential: Array `(time,)`.
        threshold: Array `(time,)`, or `None` if the layer does not say.
        spikes: Array `(time,)`.
    """

    neuron: int
    potential: np.ndarray
    threshold: np.ndarray | None
    spikes: np.ndarray


@dataclasses.dataclass
class Activity:
    """What one layer over time does.

    Attributes:
        layer: The layer.
        shape: Shape of its features.
        calls: Integer, how often the model calls it. Rasters and traces are those of
            the first call.
        spikes: Array, of each neuron, summed over samples and steps; `None` for a
            layer that does not spike.
        of_sample: Array, the spikes of each neuron in the sample that is shown.
        steps: Float, how many steps each neuron took, over all samples.
        rates: Array `(time,)`, spikes per neuron in each step.
        raster: Array `(time, some neurons)` of one sample, or `None`.
        neurons: Array, which neurons are in the raster.
        traced: Array, which neurons have a trace.
        traces: List of `Trace`s of that sample.
        before_reset: Boolean, whether traces are of the potential before the reset.
        sample_steps: Integer, the number of steps of the sample; those beyond the
            first are left out of raster and traces.
        finite: Boolean, whether outputs are finite.
    """

    layer: keras.layers.Layer
    shape: tuple = ()
    calls: int = 1
    spikes: Any = None
    of_sample: Any = None
    steps: float = 0.0
    rates: Any = None
    raster: Any = None
    neurons: Any = None
    traced: Any = None
    traces: list = dataclasses.field(default_factory=list)
    before_reset: bool = False
    sample_steps: int = 0
    finite: bool = True

    @property
    def size(self) -> int:
        """How many neurons there are."""
        return math.prod(self.shape)

    @property
    def neuron_rates(self) -> np.ndarray:
        """Spikes per step of each neuron."""
        return self.spikes / max(self.steps, 1.0)

    @property
    def rate(self) -> float:
        return float(np.mean(self.neuron_rates))

    @property
    def silent(self) -> np.ndarray:
        """Neurons that have not fired at all."""
        return np.flatnonzero(self.spikes == 0.0)

    @property
    def saturated(self) -> np.ndarray:
        """Neurons that have fired in nearly every step.

        Those that may fire more than once in a step do that without being stuck.
        """
        often = self.spikes >= ALWAYS * self.steps
        return np.flatnonzero(often & (self.spikes <= self.steps))

    @property
    def state(self) -> str | None:
        """`"not finite"`, `"silent"`, `"saturated"`, or `None` if all is well."""
        if not self.finite:
            return "not finite"
        if self.spikes is None:
            return None
        if len(self.silent) >= SILENT * self.size:
            return "silent"
        return "saturated" if len(self.saturated) >= SATURATED * self.size else None


@dataclasses.dataclass
class Observation:
    """What `observe` returns.

    Attributes:
        model: Keras model.
        samples: Integer.
        sample: Integer, which of them rasters and traces are of.
        shapes: Dictionary from names of layers to the shapes of their outputs.
        neurons: Dictionary from names of spiking layers to `Activity`s.
        readouts: The same of layers with a state over time that do not spike.
        explanation: What `backends.explain` says.
        outputs: Outputs of the model on all samples, a structure of arrays.
    """

    model: keras.layers.Layer
    samples: int
    sample: int
    shapes: dict
    neurons: dict
    readouts: dict
    explanation: Explanation
    outputs: Any


def observe(
    model: keras.layers.Layer, x: Any, sample: int = 0, batch_size: int = 32
) -> Observation:
    """Runs a model on data and notes what its layers do. All variables stay.

    Args:
        model: Keras model with spiking neurons.
        x: Array of inputs, or a structure of arrays as the model takes it.
        sample: Integer, of which sample rasters and traces are kept.
        batch_size: Integer >= 1.
    """
    check_spiking_model(model)
    parts = list(batches(model, x, batch_size, "x"))
    sizes = [len(keras.tree.flatten(part)[0]) for part in parts]
    samples = sum(sizes)
    if not 0 <= sample < samples:
        raise ValueError(
            f"`sample` must be one of the {samples} samples, 0 to {samples - 1}. "
            f"Received: sample={sample}"
        )
    build(model, parts[0])
    _call(model, parts[0])  # which products are served shows when it runs unwatched
    explanation = backends.explain(model)
    known = all_layers(model)
    found = {
        name: Activity(layer)
        for name, layer in known.items()
        if isinstance(layer, TemporalLayer) or is_spiking(layer)
    }
    counting = _Counting(model, found)
    number, row = divmod(sample, batch_size)
    outputs = [
        counting.count_in(part, row if i == number else None)
        for i, part in enumerate(parts)
    ]
    found = {name: x for name, x in found.items() if x.steps}
    part = parts[number]
    if _batch_size(model) is None:
        part = keras.tree.map_structure(lambda a: a[row : row + 1], part)
        row = 0
    _Recording(model, found, row).run(part)
    neurons = {n: x for n, x in found.items() if is_spiking(x.layer)}
    return Observation(
        model=model,
        samples=samples,
        sample=sample,
        shapes=counting.shapes,
        neurons=neurons,
        readouts={n: x for n, x in found.items() if n not in neurons},
        explanation=explanation,
        outputs=keras.tree.map_structure(lambda *y: np.concatenate(y), *outputs),
    )


def observe_with_labels(
    model: keras.layers.Layer, x: Any, y: Any, sample: int, batch_size: int
) -> tuple[Observation, Accuracy | None]:
    """`observe`, and the accuracy over time if there are labels `y`."""
    found = observe(model, x, sample, batch_size)
    if y is None:
        return found, None
    labels = check_labels(y, found.samples)
    parts = list(batches(model, x, batch_size, "x"))
    return found, accuracy_over_time(model, parts, found.outputs, labels)


def _batch_size(model):
    """The batch size that a model insists on, or `None`."""
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return inputs[0].shape[0] if inputs else None


def _call(model, x):
    # The scope keeps what a call assigns, and it is dropped here.
    with keras.StatelessScope():
        return model(keras.tree.map_structure(ops.convert_to_tensor, x), training=False)


class _Watching:
    """Runs a model and looks at layers over time."""

    def __init__(self, model, found):
        self.model, self.found = model, found
        self.layers = {name: activity.layer for name, activity in found.items()}
        self.seen = set()  # layers that have shown all steps in their present call

    def run(self, x):
        self.batch = len(keras.tree.flatten(x)[0])
        watch = {"call": self.at_call, "run_steps": self.at_run}
        self.capture = Capture(self.model, self.layers, watch)
        with unrolled():
            outputs = self.capture.run(lambda: _call(self.model, x))
        self.finish()
        return keras.tree.map_structure(to_array, outputs)

    def noted(self, name, suffix):
        """What has been noted of a layer, over time: an array for each call."""
        assemblies = self.capture.assemblies.get(name + suffix, [])
        return [to_array(assemble(self.capture.tensors)) for assemble in assemblies]

    def over_time(self, name):
        """Whether a layer is called with its time axis, not in a `SingleStep`."""
        layer = self.layers[name]
        return self.capture.caller(layer) is layer


class _Counting(_Watching):
    """Counts spikes of every neuron, and those of every step."""

    def __init__(self, model, found):
        super().__init__(model, found)
        self.shapes = {}
        self.totals = {name: [0.0, 0.0] for name in found}
        self.row = None

    def count_in(self, x, row):
        """Counts on a batch. The sample that is shown is in a row of it, or `None`."""
        self.row = row

        def shape_of(name):
            def hook(call, *args, **kwargs):
                outputs = call(*args, **kwargs)
                shapes = [tuple(y.shape) for y in keras.tree.flatten(outputs)]
                self.shapes.setdefault(name, [(None, *s[1:]) for s in shapes])
                return outputs

            return hook

        layers = all_layers(self.model).items()
        # Keras calls the layers that it has quantised by another method.
        methods = ("call", "quantized_call")
        around = [
            (layer, method, shape_of(name))
            for name, layer in layers
            for method in methods
            if hasattr(layer, method)
        ]
        with hooks.around(around):
            return self.run(x)

    def at_call(self, capture, name, call, *args, mask=None, **kwargs):
        kwargs = kwargs if mask is None else {**kwargs, "mask": mask}
        self.seen.discard(name)
        outputs = call(*args, **kwargs)
        if name not in self.seen:
            first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
            self.count(name, first, mask)
        return outputs

    def at_run(self, capture, name, run_steps, inputs, states=None, mask=None):
        outputs, states = run_steps(inputs, states, mask)
        self.seen.add(name)
        self.count(name, outputs, mask)
        return outputs, states

    def count(self, name, outputs, mask):
        activity, leading = self.found[name], 1 + self.over_time(name)
        array = np.abs(to_array(outputs).astype("float32"))
        activity.shape = array.shape[leading:]
        activity.finite &= bool(np.isfinite(array).all())
        array = array.reshape(*array.shape[:leading], -1)
        counts = np.ones(array.shape[:leading], "float32")
        if mask is not None:
            counts = np.broadcast_to(
                ops.convert_to_numpy(ops.cast(mask, "float32")), counts.shape
            )
        axes = tuple(range(leading))
        if is_spiking(activity.layer):
            total = array.sum(axes, dtype="float64")
            activity.spikes = _sum(activity.spikes, total)
            if self.row is not None:
                # Containers fold time into the batch, sample by sample.
                own = np.split(array, self.batch)[self.row]
                activity.of_sample = _sum(activity.of_sample, own.sum(axes))
        activity.steps += float(counts.sum())
        self.capture.note(name, ops.convert_to_tensor(array.mean(-1)), "/rates")
        self.capture.note(name, ops.convert_to_tensor(counts), "/counts")

    def finish(self):
        for name, activity in self.found.items():
            totals, calls = self.totals[name], self.noted(name, "/rates")
            activity.calls = max(len(calls), 1)
            for rates, counts in zip(calls, self.noted(name, "/counts")):
                # A single step outside of any loop, or loops in loops.
                rates, counts = (x.reshape(len(x), -1) for x in (rates, counts))
                steps = max(np.size(totals[0]), rates.shape[1])
                for i, values in enumerate((rates, counts)):
                    sums = np.zeros(steps)
                    sums[: np.size(totals[i])] += totals[i]
                    sums[: values.shape[1]] += values.sum(0)
                    totals[i] = sums
            activity.rates = totals[0] / np.maximum(totals[1], 1.0)


def _sum(so_far, more):
    return more if so_far is None else so_far + more


class _Recording(_Watching):
    """Keeps spikes and membrane potentials of some neurons of one sample."""

    def __init__(self, model, found, row):
        super().__init__(model, found)
        self.row = row
        for activity in found.values():
            size = activity.size
            places = np.linspace(0, size - 1, min(size, NEURONS)).round()
            activity.neurons = places.astype("int64")
            activity.traced = _worth_tracing(activity)

    def pick(self, name, tensor, neurons):
        """Values of `neurons`, with the leading axes that the tensor has."""
        leading = 1 + self.over_time(name)
        array = to_array(tensor)
        array = array.reshape(*array.shape[:leading], -1)[..., neurons]
        return ops.convert_to_tensor(array)

    def at_call(self, capture, name, call, *args, **kwargs):
        layer = self.layers[name]
        self.seen.discard(name)
        if not self.over_time(name):  # a SingleStep
            states, mask = states_before_step(layer, args[0]), kwargs.get("mask")
            mask = None if mask is None else ops.expand_dims(mask, 1)
            self.trace(name, ops.expand_dims(args[0], 1), states, mask)
        outputs = call(*args, **kwargs)
        if name not in self.seen:
            first = outputs[0] if isinstance(outputs, (list, tuple)) else outputs
            self.keep(name, first)
        return outputs

    def at_run(self, capture, name, run_steps, inputs, states=None, mask=None):
        layer = self.layers[name]
        before = layer.states_before(inputs) if states is None else states
        self.trace(name, inputs, before, mask)
        outputs, states = run_steps(inputs, states, mask)
        self.seen.add(name)
        self.keep(name, outputs)
        return outputs, states

    def keep(self, name, outputs):
        activity = self.found[name]
        for suffix, neurons in (
            ("/raster", activity.neurons),
            ("/spikes", activity.traced),
        ):
            self.capture.note(name, self.pick(name, outputs, neurons), suffix)

    def trace(self, name, inputs, states, mask):
        activity, layer = self.found[name], self.layers[name]
        if not getattr(layer, "state_names", ()):
            return
        over_time, noted = states_over_time(
            layer, inputs, states, mask, ("reset", "fire")
        )
        activity.before_reset = "reset" in noted
        potential = noted.get("reset", over_time[0])
        kept = {"/potential": potential}
        if activity.before_reset and "fire" in noted:
            if tuple(noted["fire"].shape) == tuple(potential.shape):
                kept["/raised"] = potential - noted["fire"]
        for suffix, tensor in kept.items():
            array = to_array(tensor)
            array = array.reshape(*array.shape[:2], -1)
            if array.shape[-1] != activity.size:  # not a potential of each neuron
                return
            array = array[..., activity.traced]
            array = array if self.over_time(name) else array[:, 0]
            self.capture.note(name, ops.convert_to_tensor(array), suffix)

    def finish(self):
        layers = max(len(self.found), 1)
        window = min(STEPS, max(ALL_STEPS // layers, 20))
        for name, activity in self.found.items():
            rasters = self.noted(name, "/raster")
            if not rasters or rasters[0].ndim != 3:
                continue
            activity.sample_steps = rasters[0].shape[1]
            activity.raster = rasters[0][self.row, :window]
            spikes = self.noted(name, "/spikes")[0][self.row, :window]
            potentials = self.noted(name, "/potential")
            if not potentials:
                continue
            raised = self.noted(name, "/raised")
            for i, neuron in enumerate(activity.traced):
                v, s = potentials[0][self.row, :window, i], spikes[:, i]
                shift = raised[0][self.row, :window, i] if raised else 0.0
                threshold = _threshold(activity, neuron, v, shift, s)
                activity.traces.append(Trace(int(neuron), v, threshold, s))


def _worth_tracing(activity):
    """In the sample, the most active neuron, one in the middle, the least active and a
    silent one."""
    if activity.spikes is None:
        return activity.neurons[:TRACES]
    order = np.lexsort((-activity.spikes, -activity.of_sample))
    active = order[activity.of_sample[order] > 0]
    chosen = [*active[:1], *active[len(active) // 2 :][:1], *active[-1:]]
    chosen += [*order[len(active) :][:TRACES], *active[:TRACES]]
    return np.array(list(dict.fromkeys(chosen))[:TRACES], "int64")


def _threshold(activity, neuron, potential, raised, spikes):
    """The threshold of a neuron over time, adapted if that explains its spikes."""
    if "v_threshold" not in getattr(activity.layer, "declared", ()):
        return None
    value = current_value(activity.layer, "v_threshold")
    value = np.broadcast_to(np.asarray(value, "float32"), activity.shape)
    constant = np.full(len(potential), value.reshape(-1)[neuron])
    adapted = constant + raised
    explains = (potential >= adapted) == (spikes != 0)
    explains |= np.isclose(potential, adapted, rtol=1e-5, atol=1e-6)  # rounding
    return adapted if activity.before_reset and explains.all() else constant
