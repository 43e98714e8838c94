"""A compiled network as a callable."""

import ctypes
import os
from typing import Any

import keras
import numpy as np

from keras_spiking.backends.kernels import compiler
from keras_spiking.inference.graph import Graph
from keras_spiking.inference.plan import aligned
from keras_spiking.inference.report import Report
from keras_spiking.inference.source import Text
from keras_spiking.inference.summary import summary
from keras_spiking.inference.walk import graph_of
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer

CACHE = 2**18  # bytes of a block of samples: a part of a core's second-level cache
MOST_SAMPLES = 16  # of a block
_BEFORE = 4  # where the sizes of a call have the steps before it


def compile(
    model: keras.Model,
    weights: str = "float32",
    *,
    data: Any = None,
    threads: int | None = None,
) -> "Network":
    """Compiles a spiking network for inference on a CPU.

    The network becomes one C program. Spikes are bits between its layers; products
    walk over the non-zeros of their input and add rows of weights, and neurons follow
    while the sums are still in registers. All samples go through all layers one time
    step after the other, so memory does not grow with the number of steps. What does
    not change over time, such as the product of an image that is presented at every
    step, is computed once. Batch normalisation becomes a part of the weights before.

    The weights are those at the time of the call. The framework takes no part
    afterwards: arrays come in and go out as NumPy's.

    Args:
        model: Sequential or Functional model, built, of any backend. See
            `docs/inference.md` for the layers that can be compiled.
        weights: `"float32"`, with which spikes are those of `model.predict` but where
            a membrane potential lies within rounding of the threshold; or `"int8"`,
            with a scale for each output. Weights of `keras_spiking.layers.Quantized`
            that are multiples, -128 to 127, of one step stay exactly what they are;
            others are rounded, and `report` says how far. Defaults to `"float32"`.
        data: Array, or what the model takes. With `weights="int8"`, `report` compares
            the outputs for it with those of float32 weights. Defaults to `None`.
        threads: Integer >= 1, how many threads share the samples of a call.
            Defaults to `None`, as many as there are processors.

    Returns:
        A `Network`.

    Raises:
        TypeError: if `model` is not a Keras model.
        ValueError: if it has a layer that cannot be compiled. The message says what
            to do instead.
        RuntimeError: if there is no C compiler.

    Example:

    >>> model = keras.Sequential(
    ...     [
    ...         keras.Input((None, 20)),
    ...         keras.layers.Dense(30),
    ...         keras_spiking.layers.LIFLayer(),
    ...         keras.layers.Dense(3),
    ...         keras_spiking.layers.LILayer(reduce="mean"),
    ...     ]
    ... )
    >>> net = keras_spiking.inference.compile(model, threads=1)
    >>> x = keras.ops.convert_to_numpy(keras.random.normal((8, 5, 20)))
    >>> net(x).shape
    (8, 3)
    >>> for t in range(5):
    ...     y = net.step(x[:, t])
    >>> bool((y == net(x)).all())
    True
    """
    check_choice("weights", weights, ("float32", "int8"))
    given = _processors() if threads is None else threads
    count = check_integer("threads", given, minimum=1)
    text = Text(graph_of(model), weights)
    network = Network(model.name, text, count)
    if weights == "int8":
        outputs = None
        if data is not None:
            exact = Network(model.name, Text(graph_of(model), "float32"), count)
            outputs = exact(data), network(data)
        network.report = Report(text, outputs)
    return network


def _processors():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS does not have it
        return os.cpu_count() or 1


class Network:
    """A compiled network, as `keras_spiking.inference.compile` returns it.

    `net(x)` runs whole sequences, `net.step(x_t)` a time step of a stream. `print(net)`
    shows what it consists of.

    Attributes:
        name: String, the model's name.
        weights: `"float32"` or `"int8"`.
        threads: Integer, how many threads share the samples of a call.
        steps: Integer, the time steps of the stream so far.
        report: With int8 weights a list of dictionaries, which prints as a table, of
            how far the weights of each layer were rounded; else `None`.
        source: String, the C text.
    """

    name: str
    weights: str
    threads: int
    steps: int
    report: Report | None
    source: str

    def __init__(self, name: str, text: Text, threads: int):
        self.name, self.threads, self.weights = name, threads, text.weights
        self.source = text.source
        self.report = None
        self._text = text
        self._function = compiler.load(text.source).run
        self._tables = _addresses(text.tables)
        self._spare = []
        self.reset()

    @property
    def _graph(self) -> Graph:
        return self._text.graph

    def __call__(self, x: Any) -> Any:
        """The outputs for whole sequences, as `model.predict(x)` returns them.

        Args:
            x: Array as the model takes it, with any number of samples, or a list.

        Returns:
            A float32 array, or a list of them if the model has several outputs.
        """
        arrays = self._arrays(x, axes=("batch", "time"))
        times = [a.shape[1] for a, v in zip(arrays, self._graph.inputs) if v.time]
        steps = self._graph.timesteps
        time = times[0] if times else steps
        if len(set(times)) > 1 or 0 in times or steps not in (None, time):
            wanted = f"{steps} time steps" if steps else "one number of time steps >= 1"
            raise ValueError(
                f"The network '{self.name}' takes inputs of {wanted}. Received "
                f"{', '.join(map(str, times))} time steps."
            )
        batch = len(arrays[0])
        capacity = self._capacity(batch)
        threads = min(self.threads, -(-batch // capacity))
        arena = self._take(threads * capacity)
        sizes = self._sizes(batch, time, capacity, threads, keeps=False)
        shapes = [
            (batch, time, *v.shape) if v.time else (batch, *v.shape)
            for v in self._graph.outputs
        ]
        outputs = self._run(arrays, sizes, arena, shapes)
        self._spare = [arena]
        return outputs

    def step(self, x: Any) -> Any:
        """The outputs of the next time step of a stream.

        States go on from one call to the next. Where the network reduces over time,
        the outputs are those of the steps so far.

        Args:
            x: Array `(batch, ...)`, or a list of them, the inputs of this step.

        Returns:
            A float32 array `(batch, ...)`, or a list of them.
        """
        arrays = self._arrays(x, axes=("batch",))
        batch = len(arrays[0])
        if self._graph.timesteps is not None and self.steps >= self._graph.timesteps:
            raise ValueError(
                f"The network '{self.name}' was made for {self._graph.timesteps} time "
                "steps, and the stream has had them all: call `reset()`."
            )
        if self._stream is None:
            self._stream = self._start(batch)
        size, sizes, arena, shapes = self._stream
        if batch != size:
            raise ValueError(
                f"The stream of the network '{self.name}' has {size} samples. "
                f"Received {batch}: call `reset()` before another stream."
            )
        sizes[_BEFORE] = self.steps
        outputs = self._run(arrays, sizes, arena, shapes)
        self.steps += 1
        return outputs

    def _start(self, batch):
        """What does not change from one step of a stream to the next."""
        capacity = self._capacity(batch)
        blocks = -(-batch // capacity)
        threads = min(self.threads, blocks)
        arena = self._take(blocks * capacity)
        sizes = self._sizes(batch, 1, capacity, threads, keeps=True)
        return batch, sizes, arena, [(batch, *v.shape) for v in self._graph.outputs]

    def reset(self) -> None:
        """Forgets the states: the next `step` is the first one of a stream."""
        self.steps, self._stream = 0, None

    def _arrays(self, x, axes):
        inputs = self._graph.inputs
        parts = [x] if len(inputs) == 1 else keras.tree.flatten(x)
        if len(parts) != len(inputs):
            raise ValueError(
                f"The network '{self.name}' takes {len(inputs)} inputs. "
                f"Received: {len(parts)}"
            )
        arrays = []
        for part, value in zip(parts, inputs):
            if not isinstance(part, np.ndarray) and keras.ops.is_tensor(part):
                part = keras.ops.convert_to_numpy(part)
            array = np.ascontiguousarray(part, np.float32)
            lead = axes if value.time else axes[:1]
            if array.shape[len(lead) :] != value.shape or array.ndim < len(lead):
                wanted = ", ".join([*lead, *map(str, value.shape)])
                raise ValueError(
                    f"The network '{self.name}' takes an input of shape ({wanted}). "
                    f"Received an array of shape {array.shape}."
                )
            arrays.append(array)
        if len({len(a) for a in arrays}) > 1:
            raise ValueError(
                f"The inputs of the network '{self.name}' must have as many samples. "
                f"Received: {[len(a) for a in arrays]}"
            )
        return arrays

    def _capacity(self, batch):
        per_thread = -(-batch // self.threads)
        most = min(MOST_SAMPLES, CACHE // self._text.arena.size, per_thread)
        return max(1, most)

    def _take(self, samples):
        """Memory for some samples: that of the last call, if it is large enough."""
        size = samples * self._text.arena.size
        try:
            memory = self._spare.pop()  # another thread may have been faster
        except IndexError:
            memory = None
        if memory is None or len(memory) < size:
            memory = aligned(size)
        return memory

    def _sizes(self, batch, time, capacity, threads, keeps):
        sizes = [batch, time, capacity, threads, 0, keeps]
        for value in self._graph.inputs:
            size = value.memory.size
            sizes += [size * time, size] if value.time else [size, 0]
        return (ctypes.c_longlong * len(sizes))(*sizes)

    def _run(self, arrays, sizes, arena, shapes):
        outputs = [np.empty(shape, np.float32) for shape in shapes]
        if len(arrays[0]):
            self._function(
                sizes,
                _addresses([arena]),
                self._tables,
                *map(_addresses, (arrays, outputs)),
            )
        return _single(outputs)

    def __str__(self):
        return summary(self._text, self.name)

    def __repr__(self):
        return f"<Network {self.name}, {self.weights}>"


def _addresses(arrays):
    addresses = [a.__array_interface__["data"][0] for a in arrays]
    return (ctypes.c_void_p * max(len(arrays), 1))(*addresses)


def _single(items):
    return items[0] if len(items) == 1 else items
