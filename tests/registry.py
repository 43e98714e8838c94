"""Every layer of `keras_spiking.layers`, so that a new one is tested at once."""

import inspect

import keras

from keras_spiking import layers

ABSTRACT = {"Encoder", "TemporalLayer", "SpikingLayer"}

# These do not take `(batch, time, features)`, or hold something that has to be
# made for them: they have tests of their own.
TESTED_ELSEWHERE = {
    "AXAT",
    "AdaptiveAveragePooling2D",
    "CenteredMaxPooling2D",
    "ChannelAttention",
    "DCT",
    "LinearAttention",
    "MultiDimensionalAttention",
    "NeuNorm",
    "QKAttention",
    "Quantized",
    "RecurrentGraph",
    "SingleStep",
    "SpatialAttention",
    "SpikeCountToBinary",
    "SpikeDrivenSelfAttention",
    "SpikingGRUCell",
    "SpikingLSTMCell",
    "SpikingRNNCell",
    "SpikingSelfAttention",
    "StackedRNN",
    "TemporalAttention",
    "Tempotron",
    "Voting",
    "WeightStandardizedConv2D",
    "WeightStandardizedDense",
    "WithStates",
}

TABLE = ("theta", "h", "d")

# Arguments of the layers that cannot be made without.
ARGUMENTS = {
    "CountToSpikes": {"slots": 2, "always_convert": True},
    "Delay": {"delay_steps": 2},
    "DelayedDense": {"units": 4, "max_delay": 3},
    "DendriticBranches": {"branches": 2},
    "DropConnectDense": {"units": 4},
    "MaskedPSN": {"k": 2, "T": 6},
    "SlidingPSN": {"k": 2},
    "ILCCubaLayer": {"population": 2},
    "ILCIFLayer": {"population": 2},
    "ILCLIFLayer": {"population": 2},
    "NoisyILCCubaLayer": {"population": 2},
    "FewSpikeLayer": {name: [3.2, 1.6, 0.8, 0.4, 0.2, 0.1] for name in TABLE},
    "HierarchicallyGatedLayer": {
        **{name: [[0.5, 0.4, 0.3, 0.2, 0.1, 0.05]] * 2 for name in TABLE},
        "gate_thresholds": [2.0],
    },
    "Dropout": {"rate": 0.5, "seed": 1},
    "LearnableDelay": {"max_delay": 3},
    "ElementwiseRecurrent": {"layer": "dense"},
    "LinearRecurrent": {"layer": "dense"},
    "Rematerialize": {"layer": "dense"},
    "SeqToBatch": {"layer": "dense"},
    "StepByStep": {"layer": "dense"},
    "TemporalBinSum": {"slots": 2, "always_convert": True},
}


def layer_names():
    return sorted(
        name
        for name, cls in vars(layers).items()
        if inspect.isclass(cls)
        and issubclass(cls, keras.layers.Layer)
        and name not in ABSTRACT | TESTED_ELSEWHERE
    )


def make(name, **kwargs):
    """The layer of that name, with the arguments that it needs."""
    cls = getattr(layers, name)
    arguments = dict(ARGUMENTS.get(name, {}))
    if arguments.get("layer") == "dense":
        arguments["layer"] = keras.layers.Dense(4, dtype=kwargs.get("dtype"))
    if issubclass(cls, layers.Encoder):
        arguments["timesteps"] = 5
    if "seed" in inspect.signature(cls).parameters:
        arguments["seed"] = 1
    return cls(**arguments, **kwargs)


def input_shape(layer):
    """`(time, features)`, or what the time axis is added to."""
    encodes = isinstance(layer, layers.Encoder)
    return (3, 4) if encodes else (6, 4)
