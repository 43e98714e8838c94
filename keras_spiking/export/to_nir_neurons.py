"""Neurons and delays as NIR nodes."""

import json

import keras
import numpy as np

from keras_spiking import layers
from keras_spiking.export.nir_package import nir
from keras_spiking.export.to_nir_synapses import per_neuron
from keras_spiking.parameter import current_value
from keras_spiking.parameter import parameters
from keras_spiking.parameter import to_config

# Subclasses may have other equations.
_LEAKY = (layers.LIFLayer, layers.ParametricLIFLayer)


def delay(stage, dt):
    layer = stage.layer
    if isinstance(layer, layers.LearnableDelay):
        steps = np.round(_array(layer.delay))  # as at inference
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


def current_based(synapse, stage, dt):
    """Leaky integrators and the neurons behind them as one node."""
    current, fields = _leaky(synapse, dt), _leaky(stage, dt)
    fields = {
        "tau_syn": current["tau"],
        "w_in": current["r"],
        "tau_mem": fields.pop("tau"),
        **fields,
    }
    if type(stage.layer) is layers.LILayer:
        return nir().CubaLI(**fields)
    return nir().CubaLIF(**fields, **_firing(stage))


def neurons(stage, dt, approximate):
    """A layer of neurons as one node."""
    layer, kind = stage.layer, type(stage.layer)
    if kind is layers.Integrator:
        return nir().I(r=per_neuron(1 / dt, stage.output_shape))
    if kind is layers.LILayer:
        return nir().LI(**_leaky(stage, dt))
    if kind in _LEAKY and _is_memoryless(layer):
        return nir().Threshold(_firing(stage)["v_threshold"])
    if kind is layers.CubaLIFLayer:
        _only_if(approximate, stage, "fixed-point arithmetic")
        fixed = {name: _array(value) for name, value in layer.fixed_point().items()}
        return _cuba(stage, dt, **fixed, v_reset=0.0, metadata=_note(layer))
    if kind not in (layers.IFLayer, layers.CubaLayer, *_LEAKY):
        raise ValueError(
            f"NIR has no {stage}. Use IFLayer, LIFLayer, ParametricLIFLayer, "
            "CubaLayer, LILayer or Integrator."
        )
    metadata = {}
    if layer.v_reset is None:
        _only_if(approximate, stage, "a soft reset (`v_reset=None`)")
        metadata = _note(layer)
    if kind is layers.CubaLayer:
        return _cuba(
            stage,
            dt,
            _array(layer.current_decay),
            _array(layer.voltage_decay),
            v_threshold=layer.v_threshold,
            v_reset=layer.rest,
            metadata=metadata,
        )
    if kind is layers.IFLayer:
        r = per_neuron(1 / dt, stage.output_shape)
        return nir().IF(r=r, **_firing(stage), metadata=metadata)
    return nir().LIF(**_leaky(stage, dt), **_firing(stage), metadata=metadata)


def _leaky(stage, dt):
    layer = stage.layer
    tau = _array(layer.tau)
    fields = {
        "tau": tau * dt,
        "r": 1.0 if layer.decay_input else tau,
        "v_leak": getattr(layer, "rest", 0.0),
    }
    return {name: per_neuron(v, stage.output_shape) for name, v in fields.items()}


def _firing(stage):
    layer = stage.layer
    fields = {"v_threshold": layer.v_threshold, "v_reset": layer.rest}
    return {name: per_neuron(v, stage.output_shape) for name, v in fields.items()}


def _is_memoryless(layer):
    """Whether all of the past leaks away in a step, and the input alone decides."""
    return (
        type(layer) is layers.LIFLayer
        and np.all(_array(layer.tau) == 1)
        and np.all(_array(layer.rest) == 0)
    )


def _cuba(
    stage, dt, current_decay, voltage_decay, v_threshold, v_reset, metadata, bias=0.0
):
    if np.any(current_decay == 0) or np.any(voltage_decay == 0):
        raise ValueError(f"{stage}: NIR's CubaLIF cannot have a decay of 0.")
    fields = {
        "tau_syn": dt / current_decay,
        "tau_mem": dt / voltage_decay,
        "r": 1 / voltage_decay,
        "v_leak": bias / voltage_decay,
        "v_threshold": v_threshold,
        "v_reset": v_reset,
        "w_in": 1 / current_decay,
    }
    fields = {name: per_neuron(v, stage.output_shape) for name, v in fields.items()}
    return nir().CubaLIF(**fields, metadata=metadata)


def _only_if(approximate, stage, what):
    if not approximate:
        raise ValueError(
            f"{stage}: NIR cannot express {what}. `approximate=True` writes the "
            "nearest NIR neuron and notes the exact layer in its metadata."
        )


def _note(layer):
    config = keras.saving.serialize_keras_object(layer)
    inner = config["config"]
    # Learned values are weights, which a configuration does not hold.
    for name, parameter in parameters(type(layer)).items():
        if parameter.weight(layer) is not None:
            argument = name if name in inner else f"init_{name}"
            inner[argument] = to_config(current_value(layer, name))
    config.pop("build_config", None)
    return {"keras_spiking": json.dumps(config)}


def _array(value):
    return keras.ops.convert_to_numpy(value).astype("float64")
