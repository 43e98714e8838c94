"""Operations of a model on data, counted in what reaches its weights."""

import collections
import math
import operator

import keras
import numpy as np
from keras import ops

from keras_spiking.energy.fan_out import fan_out
from keras_spiking.energy.fan_out import feature_rank
from keras_spiking.energy.observation import observe
from keras_spiking.inspection.selection import all_layers
from keras_spiking.inspection.selection import check_spiking_model
from keras_spiking.inspection.selection import is_spiking
from keras_spiking.layers.temporal_layer import TemporalLayer
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_samples


class Inputs:
    """What reached the weights of a layer: for each input, how often and how strongly.

    Args:
        layer: Keras layer.
        part: Which weights of it, see `fan_out`.
        after_neurons: Boolean, whether neurons have been called before.
    """

    def __init__(self, layer, part, after_neurons):
        self.layer, self.part, self.after_neurons = layer, part, after_neurons
        self.rows = 0  # how many inputs there were, over samples, steps and positions
        self.binary = self.whole = True
        self.active = self.total = self.largest = 0.0
        self.smallest = np.inf

    def add(self, x):
        self.features = x.shape[x.ndim - feature_rank(self.layer, self.part) :]
        x = np.abs(x.reshape(-1, *self.features).astype("float64"))
        nonzero = x != 0.0
        self.rows += len(x)
        self.binary &= bool(np.all(x[nonzero] == 1.0))
        self.whole &= bool(np.all(x[nonzero] % 1.0 == 0.0))
        self.active = self.active + nonzero.sum(axis=0)
        self.total = self.total + x.sum(axis=0)
        self.largest = np.maximum(self.largest, x.max(axis=0))
        smallest = np.where(nonzero, x, np.inf).min(axis=0)
        self.smallest = np.minimum(self.smallest, smallest)

    @property
    def kind(self):
        """What is counted: `"spikes"`, `"counts"` of spikes, or `"analog"` values."""
        if self.binary:
            return "spikes"
        if self.after_neurons and self.whole:
            return "counts"
        # Scaled spikes, as converted networks have them: the weights absorb the scale.
        # A value that is there all the time is not told apart from a current.
        one_size = np.all((self.active == 0) | (self.largest == self.smallest))
        come_and_go = np.any((self.active > 0) & (self.active < self.rows))
        return "spikes" if self.after_neurons and one_size and come_and_go else "analog"

    @property
    def events(self):
        """How often each input caused operations."""
        # A number of spikes is as many spikes that arrive at once.
        return self.total if self.kind == "counts" else self.active

    def operations(self, events):
        """Effective operations, those with an input and a weight that are not 0."""
        synapses = fan_out(self.layer, self.features, part=self.part)
        return float(np.sum(synapses * events))

    def dense(self):
        """Operations of a dense product for one input."""
        every = fan_out(self.layer, self.features, part=self.part, pruned=False)
        return int(np.sum(every))

    @property
    def share(self):
        """The share of inputs that are not 0."""
        return float(np.sum(self.active)) / (self.rows * math.prod(self.features))


class Outputs:
    """What left neurons, or other layers over time.

    Args:
        layer: Keras layer.
    """

    def __init__(self, layer):
        self.layer = layer
        self.rows = 0
        self.active = 0

    def add(self, outputs, has_time):
        leading = 2 if has_time else 1
        self.neurons = math.prod(outputs.shape[leading:])
        self.rows += math.prod(outputs.shape[:leading])
        self.active += int(np.count_nonzero(outputs))

    @property
    def has_state(self):
        return isinstance(self.layer, TemporalLayer) or is_spiking(self.layer)


class Counts:
    """Counts of a model on data.

    Args:
        model: Keras model.

    Attributes:
        samples: Integer.
        inputs: Dictionary from names of layers, or `"{name}/{part}"`, to `Inputs`.
        outputs: Dictionary from names of neurons and activations to `Outputs`.
    """

    def __init__(self, model):
        self.model = model
        self.samples = 0
        self.inputs = {}
        self.outputs = {}
        self._neurons = False

    def add(self, x):
        """Runs the model on a batch and adds to the counts. Returns its outputs."""
        self._neurons = False
        self.samples += len(keras.tree.flatten(x)[0])
        return observe(self.model, x, self._at_synapses, self._at_neurons)

    def _at_synapses(self, name, layer, part, x):
        key = name if part == "kernel" else f"{name}/{part.removesuffix('_kernel')}"
        if key not in self.inputs:
            self.inputs[key] = Inputs(layer, part, self._neurons)
        self.inputs[key].add(x)

    def _at_neurons(self, name, layer, outputs, has_time):
        self._neurons = self._neurons or is_spiking(layer)
        if name not in self.outputs:
            self.outputs[name] = Outputs(layer)
        self.outputs[name].add(outputs, has_time)

    @property
    def neurons(self):
        """The `outputs` of layers of spiking neurons."""
        return {n: x for n, x in self.outputs.items() if is_spiking(x.layer)}

    @property
    def timesteps(self):
        """How many steps a sample takes: those of most layers of neurons."""
        steps = [x.rows // self.samples for x in self.neurons.values()]
        return collections.Counter(steps).most_common(1)[0][0]

    @property
    def uncounted(self):
        """Names of the layers with matrices of weights whose operations are unknown."""
        counted = {id(w) for x in self.inputs.values() for w in x.layer.weights}
        # Layers hold those of others, too.
        return [
            name
            for name, layer in all_layers(self.model).items()
            for own in [{id(w) for w in layer.weights if len(w.shape) > 1}]
            if own - counted - {id(w) for x in _inside(layer) for w in x.weights}
        ]


def _inside(layer):
    return [x for x in all_layers(layer).values() if x is not layer]


def count(model: keras.layers.Layer, data, batch_size: int = 32) -> Counts:
    """Counts on all of the data, in batches.

    Args:
        model: Keras model with spiking neurons.
        data: Array of inputs, or a structure of arrays as the model takes it.
        batch_size: Integer >= 1.
    """
    check_spiking_model(model)
    counts = Counts(model)
    for batch in batches(model, data, batch_size):
        build(model, batch)
        counts.add(batch)
    return counts


def build(model, batch):
    """Builds a model, if it is not built, for inputs like a batch of them."""
    if not model.built:
        model(keras.tree.map_structure(_symbol, batch))


def batches(model, data, batch_size, name="data"):
    """Batches of data that fit a model's inputs and are finite.

    Args:
        model: Keras model.
        data: Array of inputs, or a structure of arrays as the model takes it.
        batch_size: Integer >= 1.
        name: String, what the caller's argument is called.
    """
    check_integer("batch_size", batch_size, minimum=1)
    data = keras.tree.map_structure(_to_array, data)
    arrays = keras.tree.flatten(data)
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    check_samples(name, arrays, inputs)
    for start in range(0, len(arrays[0]), batch_size):
        part = slice(start, start + batch_size)
        yield keras.tree.map_structure(operator.itemgetter(part), data)


def _to_array(x):
    return x if isinstance(x, np.ndarray) else ops.convert_to_numpy(x)


def _symbol(array):
    dtype = keras.backend.standardize_dtype(array.dtype)
    return keras.KerasTensor((None, *array.shape[1:]), dtype)
