"""Keras models as NIR graphs."""

import os
from typing import Any

import keras
import numpy as np

from keras_spiking.export import network
from keras_spiking.export import walk
from keras_spiking.export.nir_package import nir
from keras_spiking.export.nir_targets import TARGETS
from keras_spiking.export.nir_targets import Dialect
from keras_spiking.export.nir_writer import Writer
from keras_spiking.files import complete_file
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_number


def to_nir(
    model: keras.Model,
    path: str | os.PathLike | None = None,
    dt: float | None = None,
    *,
    approximate: bool = False,
    at_threshold: bool | None = None,
    strip: str | None = None,
    target: str | None = None,
) -> Any:
    """Makes a NIR graph of a model.

    Sequential and Functional models can be written, with branches, shared layers and
    models inside of models. Of layers: Dense, Conv1D, Conv2D, DepthwiseConv1D and 2D,
    ZeroPadding1D and 2D before these, BatchNormalization, Rescaling, Flatten, `Voting`,
    `Delay`, `LearnableDelay`, `DelayedDense`, average pooling in one and two
    dimensions, local and global; maximum pooling of spikes, whose maximum is 1 if their
    number is not 0; Add, Subtract, Average and Concatenate; the neurons `IFLayer`,
    `LIFLayer`, `ParametricLIFLayer`, `CubaLayer`, `LILayer` and `Integrator`; and
    around them `SeqToBatch`, `StepByStep`, `Rematerialize`, TimeDistributed,
    `ElementwiseRecurrent` (with `"add"`) and `RecurrentGraph`. Layers that do nothing
    at inference, such as dropout and noise, are left out. Arrays are written with
    channels first, as NIR defines them, and kernels without groups and square, padded
    with zeros.

    An `LILayer` before leaky neurons is their synaptic current: both become CubaLI or
    CubaLIF. An `LIFLayer` with `tau=1` becomes Threshold, and the average of a pooling
    that is rescaled to the sum SumPool2d. A `DelayedDense` becomes a Delay and a Linear
    for each delay of its synapses, side by side.

    A time constant of `tau` steps becomes `tau * dt`. The resistance `r` is 1 for
    `decay_input=True`, `tau` for `False`, and `1 / dt` for `IFLayer`, so that Euler
    steps of `dt` compute what the model does. `dt` is noted in the metadata of the
    graph.

    The neurons of this package fire where `v >= v_threshold`, NIR's where `v >
    v_threshold`: the thresholds that are written are the next smaller floats, so that
    a reader that follows NIR gets the same spikes. `at_threshold=True` writes them as
    they are, for readers whose neurons fire at the threshold, such as SpikingJelly.

    Frameworks read a part of NIR, and some of it in their own way. With `target`, the
    graph is written as the framework takes it (gains folded into weights, sums in the
    place of averages, ...), and what it would drop or misread raises:

    | `target`         | How it is read                                               |
    |------------------|--------------------------------------------------------------|
    | `"spikingjelly"` | `import_from_nir(graph, dt=dt)`                              |
    | `"snntorch"`     | `import_from_nir(graph)`                                     |
    | `"norse"`        | `from_nir(graph, dt=dt)`; chains, and joins that come last   |
    | `"sinabs"`       | `from_nir(graph, batch_size=...)`; neurons with              |
    |                  | `v_reset=None`. Then set `spike_fn = SingleSpike` and        |
    |                  | `min_v_mem = None` of its neurons, which no file can say     |
    | `"snn-mlir"`     | `snn-mlir check`; chains                                     |

    NIR has no soft reset and no fixed-point arithmetic. Such neurons raise, unless
    `approximate=True`: then they are written as the nearest NIR neuron (hard reset to
    0, real numbers), and the exact layer is noted in the metadata of its node, from
    where `from_nir` restores it. Other readers run the approximation.

    Args:
        model: Keras model over `(batch, time, ...)`.
        path: Where to write a NIR file, or `None`. A file that exists is replaced
            once the new one is complete.
        dt: Float > 0, the duration of a time step. Defaults to what the target
            assumes, or `1e-4`.
        approximate: Boolean, whether neurons that NIR cannot express are
            approximated. Defaults to `False`.
        at_threshold: Boolean, whether the neurons of the reader fire at their
            threshold, too. Read such a file with `from_nir(..., at_threshold=True)`.
            Defaults to what the target does, or `False`, NIR's definition.
        strip: `"io"` to leave out what the host does: encoders, with what comes before
            them, and readouts, with activations after them. A `DirectEncoder` needs no
            host, its input is that of every step. Defaults to `None`: the model must
            have no such ends.
        target: Name of the framework that is to read the graph, as in the table, or
            `None` for a graph by NIR's definition. Defaults to `None`.

    Returns:
        The `nir.NIRGraph`.

    Raises:
        ValueError: before anything is written, if a layer cannot be expressed.
        ImportError: if the package `nir` is missing.

    Example:

    >>> inputs = keras.Input((8,))
    >>> x = keras_spiking.layers.DirectEncoder(16)(keras.layers.Dense(4)(inputs))
    >>> spikes = keras_spiking.layers.IFLayer()(x)
    >>> more = keras_spiking.layers.IFLayer()(keras.layers.Dense(4)(spikes))
    >>> rates = keras_spiking.layers.FiringRate()(keras.layers.add([spikes, more]))
    >>> model = keras.Model(inputs, rates)
    >>> graph = keras_spiking.export.to_nir(model, strip="io")
    >>> [type(node).__name__ for node in graph.nodes.values()]
    ['Input', 'Affine', 'IF', 'Affine', 'IF', 'Output']

    References:
        - [Pedersen et al., 2024](https://doi.org/10.1038/s41467-024-52259-9)
    """
    profile = TARGETS.get(check_choice("target", target, (None, *TARGETS)))
    writer = _writer(profile, dt, at_threshold, check_bool("approximate", approximate))
    stages = walk.of_model(model, check_choice("strip", strip, (None, "io")))
    for name, stage in (("input", stages.source), ("output", stages.output)):
        shape = np.array(network.channels_first(stage.output_shape))
        end = nir().Input if name == "input" else nir().Output
        writer.nodes[name] = end({name: shape})
    last = writer.add_network(stages, ["input"])
    writer.edges += [(name, "output") for name in last]
    writer.nodes["output"] = writer.nodes.pop("output")
    writer.check_delays()
    if profile is not None:
        Dialect(writer, profile).rewrite()
    graph = nir().NIRGraph(writer.nodes, writer.edges, metadata={"dt": writer.dt})
    if path is not None:
        with complete_file(path) as temporary:
            nir().write(temporary, graph)
    return graph


def _writer(target, dt, at_threshold, approximate):
    """The `Writer` for a target, or for readers that follow NIR's definition."""
    if dt is not None:
        check_number("dt", dt, above=0.0)
    if at_threshold is not None:
        check_bool("at_threshold", at_threshold)
    if target is None:
        return Writer(dt or 1e-4, approximate, bool(at_threshold))
    for name, given, own in (
        ("dt", dt, target.dt),
        ("at_threshold", at_threshold, target.at_threshold),
    ):
        if None not in (given, own) and given != own:
            raise ValueError(
                f"{target.title} assumes {name}={own}. Leave `{name}` out. Received: "
                f"{name}={given}"
            )
    dt = target.dt or dt or 1e-4
    return Writer(dt, approximate, target.at_threshold, target.soft_reset)
