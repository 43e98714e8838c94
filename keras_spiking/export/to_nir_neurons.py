"""Neurons and delays as NIR nodes."""

import json
import types

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.export import network
from keras_spiking.export.firing import above
from keras_spiking.export.firing import below
from keras_spiking.export.firing import check_spikes
from keras_spiking.export.nir_package import nir
from keras_spiking.export.to_nir_synapses import per_neuron
from keras_spiking.parameter import current_value
from keras_spiking.parameter import parameters
from keras_spiking.parameter import to_config

# Subclasses may have other equations.
_LEAKY = (layers.LIFLayer, layers.ParametricLIFLayer)
_NEURONS = (layers.IFLayer, layers.CubaLayer, *_LEAKY)
# Layers that the metadata of a node may hold.
NOTED = {kind.__name__: kind for kind in (*_NEURONS, layers.CubaLIFLayer)}


def delay(stage, dt):
    layer = stage.layer
    if isinstance(layer, layers.LearnableDelay):
        steps = network.delays(stage)
    else:
        steps = layer.delay_steps
    return nir().Delay(per_neuron(steps * dt, stage.output_shape))


def is_synapse(stage, following):
    """Whether a stage is the synaptic current of the neurons that follow."""
    neurons = following[0].layer if following else None
    return type(stage.layer) is layers.LILayer and (
        type(neurons) is layers.LILayer
        or type(neurons) in _LEAKY
        and neurons.v_reset is not None
        and not _is_memoryless(neurons)
    )


def current_based(synapse, stage, options):
    """Leaky integrators and the neurons after them as one node."""
    current, fields = _leaky(synapse, options.dt), _leaky(stage, options.dt)
    fields = {
        "tau_syn": current["tau"],
        "w_in": current["r"],
        "tau_mem": fields.pop("tau"),
        **fields,
    }
    if type(stage.layer) is layers.LILayer:
        return nir().CubaLI(**fields)
    return nir().CubaLIF(**fields, **_firing(stage, options))


def neurons(stage, options):
    """A layer of neurons as one node.

    Args:
        stage: Stage of a model.
        options: `Writer`.
    """
    layer, kind, dt = stage.layer, type(stage.layer), options.dt
    if kind is layers.Integrator:
        return nir().I(r=per_neuron(1 / dt, stage.output_shape))
    if kind is layers.LILayer:
        return nir().LI(**_leaky(stage, dt))
    if kind in _LEAKY and _is_memoryless(layer):
        return nir().Threshold(_firing(stage, options)["v_threshold"])
    if kind not in NOTED.values():
        raise ValueError(
            f"NIR has no {stage}. Use IFLayer, LIFLayer, ParametricLIFLayer, "
            "CubaLayer, LILayer or Integrator."
        )
    metadata = {}
    if kind is layers.CubaLIFLayer:
        _only_if(options.approximate, stage, "fixed-point arithmetic")
        metadata = _note(layer)
    elif options.soft_reset:
        if layer.v_reset is not None:
            raise ValueError(
                f"{stage}: the neurons of the reader subtract their threshold. Use "
                f"`v_reset=None`. Received: v_reset={layer.v_reset}"
            )
    elif layer.v_reset is None:
        _only_if(options.approximate, stage, "a soft reset (`v_reset=None`)")
        metadata = _note(layer)
    if kind in (layers.CubaLIFLayer, layers.CubaLayer):
        return nir().CubaLIF(**_cuba(stage, options), metadata=metadata)
    firing = _firing(stage, options)
    if kind is layers.IFLayer:
        r = per_neuron(1 / dt, stage.output_shape)
        return nir().IF(r=r, **firing, metadata=metadata)
    return nir().LIF(**_leaky(stage, dt), **firing, metadata=metadata)


def spikes(stage):
    """Whether a stage gives zeros and ones."""
    kinds = tuple(NOTED.values())
    return type(stage.layer) in kinds and stage.layer.surrogate.spiking


def _leaky(stage, dt):
    layer = stage.layer
    tau = _array(layer.tau)
    fields = {
        "tau": tau * dt,
        "r": 1.0 if layer.decay_input else tau,
        "v_leak": getattr(layer, "baseline", 0.0),
    }
    return {name: per_neuron(v, stage.output_shape) for name, v in fields.items()}


def _firing(stage, options):
    layer = stage.layer
    check_spikes(stage)
    threshold, fires_at_threshold = layer.v_threshold, True
    if type(layer) is layers.CubaLIFLayer:
        threshold, fires_at_threshold = layer.fixed_point()["v_threshold"], False
    threshold = _array(threshold)
    if fires_at_threshold and not options.at_threshold:
        threshold = below(threshold, layer.state_dtype)
    elif options.at_threshold and not fires_at_threshold:
        threshold = above(threshold, layer.state_dtype)
    fields = {"v_threshold": threshold, "v_reset": layer.baseline}
    return {name: per_neuron(v, stage.output_shape) for name, v in fields.items()}


def _is_memoryless(layer):
    """Whether all of the past leaks away in a step, and the input alone decides."""
    return (
        type(layer) is layers.LIFLayer
        and np.all(_array(layer.tau) == 1)
        and np.all(_array(layer.baseline) == 0)
    )


def _cuba(stage, options):
    layer, dt = stage.layer, options.dt
    fixed = layer
    if type(layer) is layers.CubaLIFLayer:
        fixed = types.SimpleNamespace(**layer.fixed_point())
    current_decay, voltage_decay = map(
        _array, (fixed.current_decay, fixed.voltage_decay)
    )
    if np.any(current_decay == 0) or np.any(voltage_decay == 0):
        raise ValueError(f"{stage}: NIR's CubaLIF cannot have a decay of 0.")
    fields = {
        "tau_syn": dt / current_decay,
        "tau_mem": dt / voltage_decay,
        "r": 1 / voltage_decay,
        "v_leak": _array(getattr(fixed, "bias", 0.0)) / voltage_decay,
        "w_in": 1 / current_decay,
    }
    fields = {name: per_neuron(v, stage.output_shape) for name, v in fields.items()}
    return {**fields, **_firing(stage, options)}


def _only_if(approximate, stage, what):
    if not approximate:
        raise ValueError(
            f"{stage}: NIR cannot express {what}. `approximate=True` writes the "
            "nearest NIR neuron and notes the exact layer in its metadata."
        )


def _note(layer):
    config = keras.saving.serialize_keras_object(layer)
    config.pop("build_config", None)
    inner = config["config"]
    # Learned values are weights, which a configuration does not hold.
    for name, parameter in parameters(type(layer)).items():
        if parameter.weight(layer) is not None:
            argument = name if name in inner else f"init_{name}"
            inner[argument] = to_config(current_value(layer, name))
    return {"keras_spiking": json.dumps(config)}


def _array(value):
    return keras.ops.convert_to_numpy(value).astype("float64")
