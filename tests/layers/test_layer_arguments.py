"""Arguments of containers, encoders, readouts, synapses, attention and cells."""

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

from keras_spiking import layers

dense = keras.layers.Dense

INTEGERS = {
    "Delay": lambda n: layers.Delay(n),
    "LearnableDelay": lambda n: layers.LearnableDelay(n),
    "Voting": lambda n: layers.Voting(n),
    "ChannelPooling": lambda n: layers.ChannelPooling(n),
    "AXAT": lambda n: layers.AXAT(n),
    "DCT": lambda n: layers.DCT(n),
    "SpikeCountToBinary": lambda n: layers.SpikeCountToBinary(n),
    "Tempotron": lambda n: layers.Tempotron(n),
    "SpikingSelfAttention": lambda n: layers.SpikingSelfAttention(n),
    "TemporalAttention T": lambda n: layers.TemporalAttention(n),
    "TemporalAttention": lambda n: layers.TemporalAttention(reduction=n),
    "ChannelAttention": lambda n: layers.ChannelAttention(n),
    "SpatialAttention": lambda n: layers.SpatialAttention(n),
    "MultiDimensionalAttention": lambda n: layers.MultiDimensionalAttention(C=n),
    "SpikingRNNCell": lambda n: layers.SpikingRNNCell(n),
    "SpikingLSTMCell": lambda n: layers.SpikingLSTMCell(n),
    "SpikingGRUCell": lambda n: layers.SpikingGRUCell(n),
    "DropConnectDense": lambda n: layers.DropConnectDense(n),
    "DropConnectDense samples": lambda n: layers.DropConnectDense(3, samples_num=n),
    "noise_shape": lambda n: layers.Dropout(0.5, noise_shape=(None, n)),
    "PopulationEncoder": lambda n: layers.PopulationEncoder(5, neurons=n),
    "WeightedPhaseEncoder": lambda n: layers.WeightedPhaseEncoder(5, bits=n),
    "BatchNormalizationThroughTime": lambda n: layers.BatchNormalizationThroughTime(n),
    "TemporalEffective": lambda n: layers.TemporalEffectiveBatchNormalization(n),
    "StepByStep": lambda n: layers.StepByStep(dense(3), n),
    "DirectEncoder": lambda n: layers.DirectEncoder(n),
    "seed of Dropout": lambda n: layers.Dropout(0.5, seed=n),
    "seed of PoissonEncoder": lambda n: layers.PoissonEncoder(5, seed=n),
    "seed of DropConnectDense": lambda n: layers.DropConnectDense(5, seed=n),
}


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [2.5, 2.0, True, "2", float("nan"), [2]])
def test_what_is_no_integer_is_refused(name, value):
    with pytest.raises(TypeError, match="must be an integer.*Received"):
        INTEGERS[name](value)


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_of_numpy_are_taken(name):
    odd_or_three = np.int32(3)
    assert INTEGERS[name](odd_or_three) is not None


BOOLS = {
    "DropConnectDense": lambda b: layers.DropConnectDense(3, invariant=b),
    "NeuNorm": lambda b: layers.NeuNorm(shared_across_channels=b),
    "SpikingRNNCell": lambda b: layers.SpikingRNNCell(3, use_bias=b),
    "clip": lambda b: layers.LatencyEncoder(3, clip=b),
    "straight_through": lambda b: layers.PoissonEncoder(3, straight_through=b),
}


@pytest.mark.parametrize("name", BOOLS)
@pytest.mark.parametrize("value", [1, "yes", None, 0.5])
def test_what_is_no_bool_is_refused(name, value):
    with pytest.raises(TypeError, match="must be True or False"):
        BOOLS[name](value)


NUMBERS = {
    "momentum": lambda x: layers.ThresholdDependentBatchNormalization(momentum=x),
    "epsilon": lambda x: layers.ThresholdDependentBatchNormalization(epsilon=x),
    "alpha": lambda x: layers.ThresholdDependentBatchNormalization(x),
    "v_th": lambda x: layers.ThresholdDependentBatchNormalization(v_th=x),
    "momentum of BNTT": lambda x: layers.BatchNormalizationThroughTime(momentum=x),
    "epsilon of BNTT": lambda x: layers.BatchNormalizationThroughTime(epsilon=x),
    "momentum of TEBN": lambda x: layers.TemporalEffectiveBatchNormalization(
        momentum=x
    ),
    "k": lambda x: layers.NeuNorm(x),
    "rate": lambda x: layers.Dropout(x),
    "rate of DropConnectDense": lambda x: layers.DropConnectDense(3, rate=x),
    "scale": lambda x: layers.SpikingSelfAttention(scale=x),
    "tau": lambda x: layers.SynapseFilter(x),
    "tau of AlphaSynapse": lambda x: layers.AlphaSynapse(x),
    "tau of DualExponentialSynapse": lambda x: layers.DualExponentialSynapse(x),
    "tau_s": lambda x: layers.Tempotron(3, tau_s=x),
    "std": lambda x: layers.PopulationEncoder(3, std=x),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_finite_and_in_range(name):
    for value in float("nan"), float("inf"), -1.0:
        with pytest.raises(ValueError, match="must be .*Received"):
            NUMBERS[name](value)
    for value in "3", True, {}:
        with pytest.raises(TypeError, match="must be a number"):
            NUMBERS[name](value)


@pytest.mark.parametrize("data_format", [0, False, "", "channels_middle"])
@pytest.mark.parametrize(
    "cls",
    [
        layers.BatchNormalizationThroughTime,
        layers.ThresholdDependentBatchNormalization,
        layers.ChannelPooling,
        layers.ChannelAttention,
        layers.SpatialAttention,
        layers.TemporalAttention,
        layers.MultiDimensionalAttention,
    ],
)
def test_data_formats(cls, data_format):
    with pytest.raises(ValueError, match="'channels_last', 'channels_first'"):
        cls(data_format=data_format)


REQUIRED = {
    "DirectEncoder": 3,
    "PoissonEncoder": 3,
    "LatencyEncoder": 3,
    "WeightedPhaseEncoder": 3,
    "PeriodicEncoder": 3,
    "PopulationEncoder": 3,
    "Delay": 3,
    "LearnableDelay": 3,
    "Dropout": 0.5,
    "DropConnectDense": 3,
    "Voting": 3,
    "ChannelPooling": 3,
    "AXAT": 3,
    "DCT": 3,
    "SpikeCountToBinary": 3,
    "Tempotron": 3,
    "SpikingRNNCell": 3,
    "SpikingSelfAttention": 3,
    "QKAttention": "tokens",
    "TemporalAttention": 3,
    "MultiDimensionalAttention": 3,
    "BatchNormalizationThroughTime": 3,
    "TemporalEffectiveBatchNormalization": 3,
    "ThresholdDependentBatchNormalization": 1.0,
    "NeuNorm": 0.5,
    "SynapseFilter": 3.0,
    "AlphaSynapse": 3.0,
    "DualExponentialSynapse": 30.0,
    "SeqToBatch": dense(3),
    "StepByStep": dense(3),
    "ElementwiseRecurrent": dense(3),
    "Rematerialize": dense(3),
    "SingleStep": layers.LIFLayer(),
}


@pytest.mark.parametrize("name", REQUIRED)
def test_misspelt_arguments_are_refused(name):
    with pytest.raises(TypeError, match="no argument `nane`.*Did you mean `name`"):
        getattr(layers, name)(REQUIRED[name], nane="x")
    assert getattr(layers, name)(REQUIRED[name], name="x").name == "x"


@pytest.mark.parametrize(
    "cls, misspelt, meant",
    [
        (layers.ThresholdDependentBatchNormalization, "momentun", "momentum"),
        (layers.TemporalEffectiveBatchNormalization, "centre", "center"),
        (layers.SynapseFilter, "return_sequence", "return_sequences"),
        (layers.SpikingRNNCell, "kernel_initialiser", "kernel_initializer"),
        (layers.DropConnectDense, "activatoin", "activation"),
    ],
)
def test_the_nearest_name_is_told(cls, misspelt, meant):
    argument = [3] if cls is not layers.ThresholdDependentBatchNormalization else []
    with pytest.raises(TypeError, match=f"Did you mean `{meant}`"):
        cls(*argument, **{misspelt: 1})


def test_all_but_the_first_arguments_are_keywords():
    with pytest.raises(TypeError, match="positional"):
        layers.LatencyEncoder(8, "log")
    with pytest.raises(TypeError, match="positional"):
        layers.Dropout(0.5, 3)


def test_several_layers_are_given_as_a_list_or_one_by_one():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    first, last = dense(3), keras.layers.Flatten()
    expected = to_numpy(layers.SeqToBatch([first, last])(x))
    found = layers.SeqToBatch(first, last)
    np.testing.assert_array_equal(to_numpy(found(x)), expected)
    again = layers.SeqToBatch.from_config(found.get_config())
    assert len(again.layers) == 2
    assert len(layers.Rematerialize(first, last).layers) == 2
    with pytest.raises(TypeError, match="several layers as a list"):
        layers.StepByStep(first, last)
    with pytest.raises(TypeError, match="takes a Keras layer"):
        layers.SeqToBatch(first, "relu")


@pytest.mark.parametrize("layer", [dense(3), 3, None, "LIFLayer"])
def test_single_steps_are_those_of_temporal_layers(layer):
    with pytest.raises(TypeError, match="single step.*Received: layer="):
        layers.SingleStep(layer)


@pytest.mark.parametrize("function", ["layers", "no_such", "__name__", 3, None, "a.b"])
def test_functions_of_elementwise_recurrent(function):
    with pytest.raises((TypeError, ValueError), match="`function` must be"):
        layers.ElementwiseRecurrent(dense(3), function)


@pytest.mark.parametrize("mask", [np.ones((2, 4), bool), np.ones((3, 5)), np.ones(2)])
@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.SeqToBatch(dense(3)),
        lambda: layers.ThresholdDependentBatchNormalization(),
        lambda: layers.BatchNormalizationThroughTime(),
        lambda: layers.ElementwiseRecurrent(dense(3)),
    ],
)
def test_masks_of_another_shape(make, mask):
    with pytest.raises(ValueError, match=r"`mask`.*\(2, 5\).*Received"):
        make()(np.ones((2, 5, 3), "float32"), mask=mask)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.SeqToBatch(dense(3)),
        lambda: layers.StepByStep(dense(3)),
        lambda: layers.Delay(2),
        lambda: layers.Dropout(0.5),
        lambda: layers.DropConnectDense(3),
        lambda: layers.FiringRate(),
        lambda: layers.Tempotron(3),
        lambda: layers.BatchNormalizationThroughTime(),
        lambda: layers.ThresholdDependentBatchNormalization(),
    ],
)
def test_inputs_without_steps(make):
    with pytest.raises(ValueError, match=r"at least one time.*\(2, 0, 3\)"):
        make()(np.zeros((2, 0, 3), "float32"))


@pytest.mark.skipif(BACKEND == "numpy", reason="no different, and h5py is slow")
@pytest.mark.parametrize("function", ["add", "multiply", "maximum"])
def test_files_of_hdf5(function, tmp_path):
    pytest.importorskip("h5py")
    recurrent = layers.ElementwiseRecurrent([dense(3), layers.LIFLayer()], function)
    model = keras.Sequential([keras.Input((6, 3)), recurrent])
    x = np.random.default_rng(0).uniform(0, 2, (2, 6, 3)).astype("float32")
    expected = to_numpy(model(x))
    for name in "model.h5", "model.keras":
        model.save(tmp_path / name)
        again = keras.saving.load_model(tmp_path / name)
        np.testing.assert_array_equal(to_numpy(again(x)), expected)
    config = {**recurrent.get_config(), "function": function}  # as 0.1 wrote it
    again = layers.ElementwiseRecurrent.from_config(config)
    assert again.function is recurrent.function
