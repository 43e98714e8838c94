"""From a trained ANN to a spiking network."""

import functools
from typing import Any

import keras
import numpy as np

from keras_spiking.conversion import calibration
from keras_spiking.conversion import rules
from keras_spiking.conversion.assemble import build
from keras_spiking.conversion.assemble import split
from keras_spiking.conversion.correction import correct
from keras_spiking.conversion.dissolve import dissolve
from keras_spiking.conversion.encode import insert_neurons
from keras_spiking.conversion.folding import prepare
from keras_spiking.conversion.graph import is_graph
from keras_spiking.conversion.graph import trace
from keras_spiking.conversion.neurons import RateIFLayer
from keras_spiking.conversion.neurons import SignedIFLayer
from keras_spiking.conversion.poisson import PoissonInput
from keras_spiking.conversion.rules import Rectifier
from keras_spiking.conversion.spiking_model import SpikingModel
from keras_spiking.progress import check_verbose
from keras_spiking.validation import check_bool
from keras_spiking.validation import check_choice
from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number
from keras_spiking.validation import check_timesteps


def convert(
    ann: keras.Model,
    calibration_data: Any,
    timesteps: int,
    *,
    method: str = "percentile",
    percentile: float = 99.9,
    scale: float = 1.0,
    channel_wise: bool = False,
    neuron: str | None = None,
    encoding: str = "constant",
    delay: int = 0,
    correction: str | None = None,
    batch_size: int = 32,
    seed: int | None = None,
    verbose: int = 0,
) -> SpikingModel:
    """Converts a trained ANN to a spiking network.

    Neurons replace ReLU, and follow on other functions. The mean output of a neuron
    over time approximates the activation, with an error that falls like
    `1 / timesteps`; all that is in between preserves means. The network has three
    parts: the layers before the first neurons are computed once, since an analog
    input stays the same; then the
    spiking part is simulated, in a loop whose memory does not grow with the number of
    steps; the activation of an output, such as softmax, is applied to the mean over
    time.

    - Weights: normalisations (`BatchNormalization`, `Normalization`, `Rescaling`)
      are folded into the weights of the layer before or after them.
    - Neurons: ReLU becomes `RateIFLayer` (soft reset, membrane potential
      initialised at half the threshold), also with `max_value`. LeakyReLU and
      PReLU become `SignedIFLayer`. `QCFS` becomes `SignedIFLayer(burst=True)`,
      which is lossless if `timesteps` is the number of levels.
    - Maxima: `CumulativeMaximum`, exact after every number of steps.
    - Other functions, such as `LayerNormalization`, softmax, GELU and the products
      of `MultiHeadAttention`: `Differences`, exact for the mean of its inputs. Its
      outputs are no spikes; where weights or products follow, `SignedIFLayer`
      turns them into spikes. So transformers are converted, without training.
    - Layers of one's own: their `call` is taken apart if it consists of Keras
      layers and functions of `keras.ops`.
    - Dropout and its like are left out.

    Args:
        ann: Sequential or Functional model. It is not changed.
        calibration_data: Array of inputs, or a structure of arrays as `ann` takes
            it, from which the thresholds are determined: a few hundred samples of
            the training data, preprocessed.
        timesteps: Integer >= 1, the number of time steps to simulate.
        method: How thresholds follow from the activations, one of
            `"percentile"`; `"max"`, their maximum; `"scale"`, the maximum times
            `scale`; `"ltb"`, local threshold balancing: the threshold at which
            clipping and quantisation together cause the least squared error
            after `timesteps` steps. Defaults to `"percentile"`.
        percentile: Float in (0, 100]. Defaults to `99.9`.
        scale: Float > 0. Defaults to `1.0`.
        channel_wise: Boolean, whether each channel has a threshold of its own.
            Defaults to `False`.
        neuron: The neurons that replace every rectifier: `"if"`; `"signed"`, which
            can take spikes back, so that spikes that come too early do no harm;
            `"burst"`, which can also fire several spikes in one step. Defaults to
            `None`, the choice above.
        encoding: `"constant"` to present the analog input in every step, or
            `"poisson"` for random spikes with the input as rate. Defaults to
            `"constant"`.
        delay: Integer >= 0 and less than `timesteps`, the number of steps at the
            start that the outputs leave out. Defaults to `0`.
        correction: How to calibrate the network after conversion, layer by layer,
            so that the mean rate of every channel on `calibration_data` is the
            ANN's mean activation: `"bias"`, a constant current; `"potential"`, the
            initial membrane potential; or `None`. It takes a simulation for
            every layer of neurons. Defaults to `None`.
        batch_size: Integer >= 1, of calibration. Defaults to `32`.
        seed: Integer or `None`, of the Poisson encoding. Defaults to `None`.
        verbose: 0, or 1 or 2 to show the progress of calibration and correction, as in
            `fit`. Defaults to `0`.

    Returns:
        A `SpikingModel`: a Functional model with the inputs and outputs of `ann`.

    Raises:
        TypeError: if `ann` is not a Keras model, or an argument has the wrong type.
        ValueError: if the model is subclassed or not built, naming all layers
            that cannot be converted, or if an argument is out of its range.

    Example:

    >>> ann = keras.Sequential([
    ...     keras.Input((4,)),
    ...     keras.layers.Dense(8, activation="relu"),
    ...     keras.layers.Dense(3, activation="softmax"),
    ... ])
    >>> x = keras.random.uniform((16, 4))
    >>> snn = keras_spiking.conversion.convert(ann, x, timesteps=32)
    >>> snn.predict(x, verbose=0).shape
    (16, 3)
    >>> snn.timesteps = 64

    References:
        - [Diehl et al., 2015](https://doi.org/10.1109/IJCNN.2015.7280696)
        - [Rueckauer et al., 2017](https://doi.org/10.3389/fnins.2017.00682)
        - [Bu et al., 2022](https://arxiv.org/abs/2303.04347), QCFS
        - [Bu et al., 2024](https://arxiv.org/abs/2409.03368), local threshold
          balancing and delayed readout
        - [Li et al., 2021](https://arxiv.org/abs/2106.06984), correction
        - [You et al., 2024](https://arxiv.org/abs/2406.03470), transformers
        - [Jiang et al., 2024](https://openreview.net/forum?id=XrunSYwoLr),
          transformers without training
    """
    timesteps = check_timesteps(timesteps)
    check_choice("method", method, calibration.METHODS)
    check_choice("neuron", neuron, (None, "if", "signed", "burst"))
    check_choice("encoding", encoding, ("constant", "poisson"))
    check_choice("correction", correction, (None, "bias", "potential"))
    check_number("scale", scale, above=0.0)
    check_number("percentile", percentile, above=0.0, maximum=100.0)
    check_bool("channel_wise", channel_wise)
    check_integer("batch_size", batch_size, minimum=1)
    verbose = check_verbose(verbose)
    if seed is not None:
        check_integer("seed", seed)
    if check_integer("delay", delay, minimum=0) >= timesteps:
        raise ValueError(
            "`delay` must leave at least one step to read out: 0 <= delay < "
            f"timesteps. Received: delay={delay}, timesteps={timesteps}"
        )
    graph = analog_graph(ann)
    if encoding == "poisson":
        _check_takes_spikes(graph)
    data = calibration.check_data(graph, calibration_data)
    thresholds = calibration.thresholds(
        graph,
        data,
        timesteps,
        method,
        percentile,
        scale,
        channel_wise,
        batch_size,
        verbose,
    )
    neurons = {
        c.name: _neurons(c.operation, thresholds[c.name], neuron)
        for c in graph.calls
        if isinstance(c.operation, Rectifier)
    }
    encoders = None
    if encoding == "poisson":
        encoders = [
            PoissonInput(
                peak=float(np.max(np.abs(x))) or 1.0,
                seed=None if seed is None else seed + i,
            )
            for i, x in enumerate(data)
        ]
    assemble = functools.partial(
        build, graph, neurons, encoders, timesteps, delay, ann.name
    )
    if correction is not None:
        correct(graph, neurons, assemble, data, correction, batch_size, verbose)
    return assemble()


def analog_graph(ann):
    """The ANN in the form that is converted, a copy: see `folding.prepare`."""
    if not isinstance(ann, keras.Model):
        raise TypeError(
            f"`ann` must be a Keras model. Received: {ann!r} (of type "
            f"{type(ann).__name__})"
        )
    if not ann.built or (isinstance(ann, keras.Sequential) and not ann.inputs):
        raise ValueError(
            f"The model '{ann.name}' was never built: give it an `Input` as first "
            "layer, or call it once on data. Received: ann.built=False"
        )
    if not is_graph(ann):
        raise ValueError(
            "Only Sequential and Functional models can be converted: the calls "
            f"inside of a subclassed model are not known. Received: '{ann.name}' of "
            f"type {type(ann).__name__}. Rewrite it with `keras.Model(inputs, "
            "outputs)`."
        )
    graph = trace(ann)
    dissolve(graph)
    prepare(graph)
    insert_neurons(graph)
    _check(graph)
    return graph


def _check(graph):
    before, *_ = split(graph)
    failed = [
        rules.explain(call)
        for call in _others(graph)
        if call not in before or not rules.is_allowed_before_neurons(call)
    ]
    if failed:
        raise ValueError("These layers cannot be converted:\n- " + "\n- ".join(failed))
    if not any(isinstance(call.operation, Rectifier) for call in graph.calls):
        raise ValueError(
            "The model has no activations that neurons could replace, such as ReLU: "
            "there is nothing to convert."
        )


def _check_takes_spikes(graph):
    if failed := [f"'{call.place}'" for call in _others(graph)]:
        raise ValueError(
            "These are computed once, on inputs that stay the same, and cannot take "
            f"random spikes: {', '.join(failed)}. Received: encoding='poisson'. Use "
            "encoding='constant'."
        )


def _others(graph):
    """The calls that cannot run in every step."""
    return [
        call
        for call in graph.calls
        if not isinstance(call.operation, Rectifier)
        and not rules.is_affine(call)
        and not rules.is_maximum(call)
        and not rules.is_function(call)
        and not rules.is_head(graph, call)
    ]


def _neurons(rectifier, threshold, neuron):
    leaky = np.any(rectifier.negative_slope)
    if neuron is None:
        neuron = "signed" if leaky else "burst" if rectifier.levels else "if"
    if leaky and neuron == "if":
        raise ValueError(
            "LeakyReLU, and functions such as LayerNormalization, softmax and GELU, "
            "need neurons with negative spikes. Received: neuron='if'. Use "
            "neuron=None or neuron='signed'."
        )
    arguments = {"v_threshold": threshold, "v_init": 0.5 * np.asarray(threshold)}
    if neuron == "if":
        return RateIFLayer(**arguments)
    slope = rectifier.negative_slope
    return SignedIFLayer(negative_slope=slope, burst=neuron == "burst", **arguments)
