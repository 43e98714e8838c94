"""Streams: `step` and `reset`."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import numbers
from networks import sequential
from networks import spikes

import keras_spiking
from keras_spiking import layers as sl

compile = keras_spiking.inference.compile


def network(*readout):
    return sequential(
        keras.Input((None, 12, 3)),
        sl.SeqToBatch([layers.Conv1D(20, 3), layers.Flatten()]),
        sl.LIFLayer(v_threshold=0.3),
        layers.Dense(9),
        sl.LIFLayer(v_threshold=0.2),
        *readout,
    )


@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize("batch", [1, 5, 40])
def test_steps_return_the_outputs_of_the_whole(batch, weights):
    net = compile(network(), weights=weights)
    x = spikes(batch, 6, 12, 3)
    steps = [net.step(x[:, t]) for t in range(6)]
    assert net.steps == 6
    assert np.mean(net(x)) > 0.01
    np.testing.assert_array_equal(np.stack(steps, 1), net(x))


@pytest.mark.parametrize(
    "readout", [sl.FiringRate(), sl.LILayer(reduce="max"), sl.LILayer(reduce="last")]
)
def test_readouts_are_those_of_the_steps_so_far(readout):
    net = compile(network(readout))
    x = numbers(3, 4, 12, 3)
    for t in range(4):
        np.testing.assert_array_equal(net.step(x[:, t]), net(x[:, : t + 1]))


def test_whole_sequences_do_not_disturb_a_stream():
    net = compile(network())
    x = spikes(2, 6, 12, 3)
    whole = net(x)
    for t in range(6):
        np.testing.assert_array_equal(net.step(x[:, t]), whole[:, t])
        net(spikes(30, 2, 12, 3))


def test_after_a_reset_a_stream_starts_afresh():
    net = compile(network())
    x = spikes(2, 3, 12, 3)
    first = [net.step(x[:, t]) for t in range(3)]
    net.reset()
    assert net.steps == 0
    again = [net.step(x[:, t]) for t in range(3)]
    np.testing.assert_array_equal(first, again)
    net.reset()
    assert net.step(spikes(7, 12, 3)).shape == (7, 9)


def test_a_stream_has_one_number_of_samples():
    net = compile(network())
    net.step(spikes(2, 12, 3))
    with pytest.raises(ValueError, match=r"has 2 samples.*Received 3.*reset"):
        net.step(spikes(3, 12, 3))


def test_an_input_that_is_presented_over_and_over():
    model = sequential(
        keras.Input((12,)),
        sl.DirectEncoder(4),
        layers.Dense(20),
        sl.LIFLayer(v_threshold=0.2),
        sl.FiringRate(),
    )
    net = compile(model)
    x = numbers(3, 12)
    for _ in range(4):
        y = net.step(x)
    np.testing.assert_array_equal(y, net(x))
    with pytest.raises(ValueError, match=r"4 time steps.*reset"):
        net.step(x)
