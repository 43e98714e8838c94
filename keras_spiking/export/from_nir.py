"""NIR graphs as Keras models."""

import json
import math
import os
import types
from typing import Any

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.export import from_nir_neurons
from keras_spiking.export import from_nir_synapses
from keras_spiking.export import nir_graph
from keras_spiking.export import walk
from keras_spiking.export.files import MAX_BYTES
from keras_spiking.export.files import check_bytes
from keras_spiking.export.files import naming_file
from keras_spiking.export.from_nir_synapses import channels_last
from keras_spiking.export.to_nir_neurons import NOTED
from keras_spiking.layers.containers.contained import has_time_axis
from keras_spiking.layers.containers.recurrent_graph import _break_cycles
from keras_spiking.surrogates import Surrogate
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number

_MAXIMUM_DELAY = 10_000


def from_nir(
    path_or_graph: str | os.PathLike | Any,
    dt: float = 1e-4,
    *,
    discretization: str = "euler",
    reset: str = "hard",
    at_threshold: bool = False,
    max_bytes: int = MAX_BYTES,
) -> keras.Model:
    """Makes a Keras model of a NIR graph.

    NIR describes neurons in continuous time; the reader chooses how a step of `dt` is
    computed. Frameworks that write NIR mean different things:

    | Written by   | `dt`                 | `discretization` | `at_threshold`       |
    |--------------|----------------------|------------------|----------------------|
    | this package | as exported          | `"euler"`        | as exported, `False` |
    | snnTorch     | `1e-4`               | `"euler"`        | `False`              |
    | SpikingJelly | as exported, `1e-4`  | `"euler"`        | `True`               |
    | Norse        | `1e-6`, see below    | `"euler"`        | `False`              |
    | sinabs       | `1.0`                | `"exponential"`  | `True`               |
    | Spyx         | as exported, `1.0`   | `"unit_gain"`    | `False`              |

    For `tau dv/dt = (v_leak - v) + r x` these are

        euler:        v += (v_leak - v + r x) dt / tau
        exponential:  v += (v_leak - v + r x) (1 - exp(-dt / tau))
        unit_gain:    v += (v_leak - v) dt / tau + x            (`r` is not used)

    Norse (1.1) writes time constants that are multiplied by its time step, so that `dt`
    is the square of that: `1e-6` for the default of 1 ms. sinabs' neurons have a soft
    reset, which NIR cannot express: read them with `reset="soft"`.

    A NIR neuron fires where `v > v_threshold`, a neuron of this package where `v >=
    v_threshold`. Unless `at_threshold=True`, the model's thresholds are therefore the
    next larger floats, which gives exactly NIR's spikes. Current-based neurons use the
    synaptic current of the same step. Edges that close a cycle are delayed by one
    step, see `keras_spiking.layers.RecurrentGraph`.

    Args:
        path_or_graph: Path of a NIR file, or a `nir.NIRGraph`.
        dt: Float > 0, the duration of a time step in the graph's unit of time.
            Defaults to `1e-4`.
        discretization: `"euler"`, `"exponential"` or `"unit_gain"`. Defaults to
            `"euler"`.
        reset: `"hard"`, or `"soft"` for graphs of frameworks that subtract the
            threshold, which NIR cannot express. Defaults to `"hard"`.
        at_threshold: Boolean, whether the neurons of the graph fire at their threshold,
            too, as those of some frameworks do. Defaults to `False`, NIR's definition.
        max_bytes: Integer, a limit on the memory that the arrays of the file, the
            kernels and one time step of the features of a layer may take. Defaults to
            `2**30`.

    Returns:
        A `keras.Model` over `(batch, time, ...)`, images with channels last.

    Raises:
        ValueError: if the graph is damaged, or a node cannot be expressed, naming it,
            or a time constant is shorter than `dt`.
        TypeError: if an argument has the wrong type.
        FileNotFoundError: if there is no such file.
        ImportError: if the package `nir` is missing.

    References:
        - [Pedersen et al., 2024](https://doi.org/10.1038/s41467-024-52259-9)
    """
    options = types.SimpleNamespace(
        dt=check_number("dt", dt, above=0.0),
        discretization=check_choice(
            "discretization", discretization, from_nir_neurons.DISCRETIZATIONS
        ),
        reset=check_choice("reset", reset, ("hard", "soft")),
        at_threshold=check_bool("at_threshold", at_threshold),
        max_bytes=check_integer("max_bytes", max_bytes, minimum=1),
    )
    with naming_file(path_or_graph):
        return _model(nir_graph.read(path_or_graph, max_bytes), options)


def _model(graph, options):
    nodes, edges, shape = nir_graph.nodes_and_edges(graph)
    converted = {}
    for name, node in nodes.items():
        with nir_graph.naming(name), np.errstate(over="raise", invalid="raise"):
            converted[name] = _layers(node, options)
    shape = channels_last(shape)
    _check_sizes(converted, edges, shape, options.max_bytes)
    delayed, order = _break_cycles(edges, set())
    if delayed:
        graph = layers.RecurrentGraph(converted, edges)
        return keras.Sequential([keras.Input((None, *shape)), graph])
    inputs = keras.Input((None, *shape))
    values = {"input": inputs}
    for name in order:
        received = [values[before] for before, after in edges if after == name]
        with nir_graph.naming(name):
            x = received[0] if len(received) == 1 else keras.layers.Add()(received)
            for layer in converted.get(name, []):
                x = _over_time(layer)(x)
        values[name] = x
    return keras.Model(inputs, values["output"])


def _over_time(layer):
    """A layer that does at every time step what a layer does."""
    over_time = isinstance(layer, keras.layers.Dense) or has_time_axis(layer)
    return layer if over_time else layers.SeqToBatch(layer)


def _check_sizes(converted, edges, shape, max_bytes):
    """Raises a `ValueError` if shapes do not fit, or become too large."""
    shapes = {"input": shape}
    waiting = [edge for edge in edges if edge[1] != "output"]
    while waiting:
        name, before = next((b, a) for a, b in waiting if a in shapes)
        with nir_graph.naming(name):
            shape = shapes[before]
            check_bytes("a step of its input", 4 * math.prod(shape), max_bytes)
            for stage in walk.of_layers(converted[name], shape).stages:
                _check_channels(stage)
                shape = stage.output_shape
                steps = getattr(stage.layer, "max_delay", 1)
                steps = getattr(stage.layer, "delay_steps", steps)
                size = 4 * math.prod(shape) * max(steps, 1)
                check_bytes("a step of its output", size, max_bytes)
            shapes[name] = shape
        waiting = [edge for edge in waiting if edge[1] not in shapes]


def _check_channels(stage):
    # A `SeqToBatch` would find out when it is called.
    axes = getattr(stage.layer.input_spec, "axes", None) or {}
    for axis, size in axes.items():
        received = (None, *stage.input_shape)[axis]
        if received not in (None, size):
            raise ValueError(f"it takes {size} features or channels, not {received}.")


def _layers(node, options):
    """The Keras layers that compute a node, a list."""
    kind = type(node).__name__
    if (layer := _noted(node)) is not None:
        return [layer]
    if kind in from_nir_synapses.NODES:
        return from_nir_synapses.NODES[kind](node, options)
    if kind == "Delay":
        return [_delay(node, options.dt)]
    return from_nir_neurons.to_layers(node, options)


def _noted(node):
    """The exact layer that `to_nir(..., approximate=True)` has noted, or `None`."""
    metadata = node.metadata if isinstance(node.metadata, dict) else {}
    if (noted := metadata.get("keras_spiking")) is None:
        return None
    try:
        noted = json.loads(noted.item() if isinstance(noted, np.ndarray) else noted)
        layer = NOTED[noted["class_name"]].from_config(noted["config"])
        if not isinstance(layer.surrogate, Surrogate):
            raise TypeError(f"{layer.surrogate!r} is no surrogate")
        return layer
    except Exception as error:
        raise ValueError(
            "its metadata 'keras_spiking' must be one of the layers "
            f"{', '.join(NOTED)}, in JSON, as `to_nir` writes it ({error!r})"
        ) from error


def _delay(node, dt):
    steps = np.asarray(node.delay) / dt
    whole = np.round(steps)
    of_channels = whole.reshape(len(whole), -1) if whole.ndim else whole.reshape(1, 1)
    if np.any(abs(steps - whole) > 1e-3) or np.ptp(of_channels, axis=1).any():
        raise ValueError(
            f"delays must be multiples of dt={dt:g}, the same for all neurons of a "
            f"channel. They are {np.unique(node.delay)}."
        )
    if not 0 <= whole.min() <= whole.max() <= _MAXIMUM_DELAY:
        raise ValueError(
            f"delays must be from 0 to {_MAXIMUM_DELAY} time steps. They go from "
            f"{whole.min():g} to {whole.max():g}: is dt={dt:g} in the graph's unit of "
            "time?"
        )
    if np.ptp(whole) == 0:
        return layers.Delay(int(whole.flat[0]))
    layer = layers.LearnableDelay(max_delay=int(whole.max()))
    layer.build((None, None, *channels_last(whole.shape)))
    layer.set_weights([of_channels[:, 0]])
    return layer
