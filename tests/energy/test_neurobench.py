"""NeuroBench's metrics are those of loops by its definitions, and of its own code."""

import keras
import numpy as np
import pytest
from backend import to_numpy
from energy_network import data
from energy_network import fill
from energy_network import network

from keras_spiking import callbacks
from keras_spiking import layers
from keras_spiking import neurobench

K = keras.layers


def convolutional():
    steps = layers.SeqToBatch
    return fill(
        keras.Sequential(
            [keras.Input((4, 6, 7, 2)), steps(K.Conv2D(3, 3, 2, padding="same"))]
            + [layers.LIFLayer(name="a"), steps(K.DepthwiseConv2D(2, padding="same"))]
            + [
                steps(K.ReLU()),
                layers.IFLayer(name="b"),
                steps([K.Flatten(), K.Dense(3)]),
            ]
        )
    )


def test_metrics_of_a_dense_network_by_loops():
    model, x = network(), data()
    found = neurobench.run(model, x, batch_size=2, harness="never")
    monitor = callbacks.OutputMonitor()
    spikes = monitor.record(model, x)
    potentials = callbacks.StateMonitor().record(model, x)
    kernels = [
        to_numpy(layer.kernel.value) for layer in (model.layers[0], model.layers[2])
    ]

    def operations(inputs, kernel):
        total = 0
        for row in inputs.reshape(-1, len(kernel)):
            for value, weights in zip(row, kernel):
                total += (value != 0) * np.sum(weights != 0)
        return total / len(x)

    updates = 0
    for potential in potentials.values():
        for sample in potential:
            updates += sample.shape[1]
            for before, after in zip(sample, sample[1:]):
                updates += np.sum(before != after)
    zeros = sum(np.sum(k == 0) for k in kernels)
    outputs = np.concatenate([s.ravel() for s in spikes.values()])
    assert found["ParameterCount"] == 5 * 7 + 7 + 7 * 4
    assert found["Footprint"] == 4 * (5 * 7 + 7 + 7 * 4)
    assert found["ConnectionSparsity"] == round(zeros / (5 * 7 + 7 * 4), 4)
    np.testing.assert_allclose(found["ActivationSparsity"], np.mean(outputs == 0))
    np.testing.assert_allclose(found["MembraneUpdates"], updates / len(x))
    synaptic = found["SynapticOperations"]
    np.testing.assert_allclose(synaptic["Effective_MACs"], operations(x, kernels[0]))
    acs = operations(spikes["first"], kernels[1])
    np.testing.assert_allclose(synaptic["Effective_ACs"], acs)
    assert synaptic["Dense"] == 9 * (5 * 7 + 7 * 4)


# Printed by `run_harness.py`: of a network of snnTorch 1.0.0 with equal spikes, by
# neurobench 2.3.0. Through `harness="always"` it says the same.
HARNESS = {
    "ParameterCount": 70,
    "Footprint": 280,
    "ConnectionSparsity": 0.3651,
    "ActivationSparsity": 0.5858585858585859,
    "SynapticOperations": {
        "Effective_MACs": 159.2,
        "Effective_ACs": 51.0,
        "Dense": 567.0,
    },
    "MembraneUpdates": 71.8,
}


@pytest.mark.parametrize("batch_size", [2, 5])
def test_metrics_are_those_of_the_harness(batch_size):
    found = neurobench.run(network(), data(), batch_size=batch_size, harness="never")
    assert found.pop("harness") is False
    for key, expected in HARNESS["SynapticOperations"].items():
        np.testing.assert_allclose(found["SynapticOperations"][key], expected)
    for key in HARNESS.keys() - {"SynapticOperations"}:
        np.testing.assert_allclose(found[key], HARNESS[key])


def test_convolutions_know_their_borders():
    model = convolutional()
    x = np.ones((2, *model.input_shape[1:]), "float32")
    dense = neurobench.run(model, x, harness="never")["SynapticOperations"]["Dense"]
    # 3 x 4 outputs of 6 x 7 inputs. In rows one tap of nine meets the padding, in
    # columns two of twelve. Depthwise, a tap in two is missing at one end.
    first = (9 - 1) * (12 - 2) * 2 * 3
    second = (6 - 1) * (8 - 1) * 3
    assert dense == 4 * (first + second + 3 * 4 * 3 * 3)


def test_batches_and_containers_do_not_matter():
    model, x = network(), data()
    stepped = keras.Sequential([keras.Input((9, 5)), layers.StepByStep(model.layers)])
    expected = neurobench.run(model, x[:4], harness="never")
    found = neurobench.run(stepped, x[:4], batch_size=2, harness="never")
    for key in ("ActivationSparsity", "MembraneUpdates", "ConnectionSparsity"):
        np.testing.assert_allclose(found[key], expected[key])
    for key, value in expected["SynapticOperations"].items():
        np.testing.assert_allclose(found["SynapticOperations"][key], value)


def test_bad_input():
    model = network()
    with pytest.raises(ValueError, match="`harness` must be one of"):
        neurobench.run(model, data(), harness="maybe")
    with pytest.raises(ValueError, match="has no spiking neurons"):
        neurobench.run(keras.Sequential([K.Dense(2)]), np.ones((1, 3)))
    with pytest.raises(ValueError, match="must fit the model.s input"):
        neurobench.run(model, np.ones((1, 9, 4)))
    if keras.config.backend() != "torch":
        with pytest.raises(ValueError, match="runs on PyTorch. Keras runs on"):
            neurobench.run(model, data(), harness="always")
