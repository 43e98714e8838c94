"""Computing again what was not kept changes nothing."""

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import layers
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import Rematerialize
from keras_spiking.layers import SeqToBatch
from keras_spiking.layers import StepByStep

X = np.random.default_rng(0).normal(size=(3, 6, 8, 8, 2)).astype("float32")


def block(rate=0.0):
    convolution = keras.layers.Conv2D(
        4, 3, data_format="channels_last", activity_regularizer="l2"
    )
    return [
        SeqToBatch([convolution, keras.layers.BatchNormalization()]),
        LIFLayer(surrogate="atan", decay_input=False, learnable="tau"),
        keras.layers.Dropout(rate, seed=1),
    ]


def networks(rate=0.0):
    plain = keras.Sequential([keras.Input(X.shape[1:]), *block(rate)])
    compact = keras.Sequential([keras.Input(X.shape[1:]), Rematerialize(block(rate))])
    return plain, alike(compact, plain)


def alike(network, plain):
    for variable, value in zip(network.variables, plain.variables):  # seeds, too
        variable.assign(to_numpy(value))
    return network


def test_outputs_and_weights_are_those_of_the_layers_inside():
    plain, compact = networks()
    np.testing.assert_array_equal(to_numpy(compact(X)), to_numpy(plain(X)))
    again = keras.Sequential.from_config(compact.get_config())
    again.set_weights(compact.get_weights())
    np.testing.assert_array_equal(to_numpy(again(X)), to_numpy(plain(X)))


@pytest.mark.trains
def test_gradients_are_equal():
    weight = ops.convert_to_tensor(
        np.random.default_rng(1).normal(size=(3, 6, 6, 6, 4)).astype("float32")
    )
    found = []
    for network in networks(rate=0.3):

        def loss(x, network=network):
            y = network(x, training=True)
            return ops.sum(y * weight) + sum(network.losses)

        found.append(gradients(loss, [X], network.trainable_variables))
    for plain, compact in zip(*found):
        assert np.abs(plain).max() > 0
        np.testing.assert_allclose(compact, plain, rtol=1e-4, atol=1e-5)


def in_a_remat_scope():
    """As `networks`, the second one with layers over time made in a scope."""
    plain = keras.Sequential([keras.Input(X.shape[1:]), *block()])
    normalized, neurons, dropout = block()
    with keras.RematScope(mode="full"):
        normalized = SeqToBatch(normalized.layers)
        neurons = LIFLayer.from_config(neurons.get_config())
    layers = [keras.Input(X.shape[1:]), normalized, neurons, dropout]
    return plain, alike(keras.Sequential(layers), plain)


@pytest.mark.trains
@pytest.mark.parametrize("networks", [networks, in_a_remat_scope])
def test_fit_learns_the_same_and_moves_averages_once(networks):
    weights, losses = [], []
    y = np.random.default_rng(2).normal(size=(3, 6, 6, 6, 4)).astype("float32")
    for network in networks():
        network.compile(keras.optimizers.SGD(0.1), "mse")
        history = network.fit(X, y, epochs=2, batch_size=3, verbose=0)
        losses.append(history.history["loss"])
        weights.append([w for w in network.get_weights() if w.dtype == "float32"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for plain, compact in zip(*weights):
        np.testing.assert_allclose(compact, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(BACKEND != "torch", reason="counts what torch saves")
def test_less_is_kept_for_the_backward_pass():
    import torch

    kept = []
    for network in networks():
        storages = {}

        def pack(tensor, storages=storages):
            storages[tensor.untyped_storage().data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            y = network(X, training=True)
            kept.append(sum(storages.values()))
            del y
    assert kept[1] < 0.5 * kept[0]


@pytest.mark.trains
def test_a_training_inside_of_a_step_by_step_is_refused():
    layer = StepByStep(Rematerialize(LIFLayer()))
    with pytest.raises(ValueError, match="put the StepByStep into"):
        layer(X, training=True)


IN_A_SCOPE = {
    "PoissonEncoder": lambda: layers.PoissonEncoder(6, seed=1, straight_through=True),
    "PopulationEncoder": lambda: layers.PopulationEncoder(6, spikes="poisson", seed=1),
    "LatencyEncoder": lambda: layers.LatencyEncoder(6),
    "Dropout": lambda: layers.Dropout(0.3, seed=1),
    "DropConnectDense": lambda: layers.DropConnectDense(5, seed=1),
    "LearnableDelay": lambda: layers.LearnableDelay(3),
    "NoisyLIFLayer": lambda: layers.NoisyLIFLayer(seed=1),
    "BatchNormalizationThroughTime": lambda: layers.BatchNormalizationThroughTime(),
    "TEBN": lambda: layers.TemporalEffectiveBatchNormalization(),
    "SeqToBatch": lambda dense: layers.SeqToBatch(dense),
    "StepByStep": lambda dense: layers.StepByStep(
        [dense, layers.Dropout(0.3, seed=1), layers.LIFLayer()]
    ),
    "StepByStep of encoders": lambda dense: layers.StepByStep(
        [layers.PoissonEncoder(1, seed=1), dense, layers.LIFLayer()], timesteps=6
    ),
    "ElementwiseRecurrent": lambda dense: layers.ElementwiseRecurrent(
        [dense, layers.LIFLayer()]
    ),
}


@pytest.mark.trains
@pytest.mark.parametrize("name", IN_A_SCOPE)
def test_layers_in_a_remat_scope_train_as_without(name):
    encodes = "ncoder" in name
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(8, 5) if encodes else (8, 6, 5)).astype("float32")
    y = rng.normal(size=(8, 2)).astype("float32")
    results = []
    for mode in (None, "full"):
        keras.utils.set_random_seed(0)
        make = IN_A_SCOPE[name]
        dense = [keras.layers.Dense(5)] * make.__code__.co_argcount
        with keras.RematScope(mode=mode):
            layer = make(*dense)
        model = keras.Sequential(
            [
                keras.Input(x.shape[1:]),
                layer,
                layers.FiringRate(),
                keras.layers.Dense(2),
            ]
        )
        model.compile(keras.optimizers.SGD(0.1), "mse")
        history = model.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
        results.append([history.history["loss"], *model.get_weights()])
        assert to_numpy(layer(x)).shape[:2] == (8, 6)
    for plain, compact in zip(*results):
        np.testing.assert_allclose(compact, plain, rtol=1e-4, atol=1e-5)
