"""How well recurrent, timing-based and event-based layers learn digits.

Usage: python benchmarks/zoo_learning.py mnist10k.npz [name ...]

The file holds `x_train`, `y_train`, `x_test`, `y_test`: 8,000 and 2,000 digits of
MNIST's published test part. Results: `benchmarks/results/zoo.md`.
"""

import sys
import time

import keras
import numpy as np
from keras import layers

import keras_spiking
from keras_spiking.layers import LILayer


def rows(x):
    """Rows as time steps: 28 steps of 28 pixels."""
    return x


def latency(x, timesteps=20):
    """One spike a pixel brighter than 0.1, the earlier the brighter."""
    x = x.reshape(len(x), -1)
    time = np.round((1.0 - x) * (timesteps - 1)).astype(int)
    spikes = np.eye(timesteps, dtype="float32")[time] * (x > 0.1)[..., None]
    return spikes.transpose(0, 2, 1)


def spiking_lstm():
    # Gates that are seldom near their threshold learn better.
    normal = keras.initializers.RandomNormal(stddev=1.0)
    cell = keras_spiking.layers.SpikingLSTMCell(256, kernel_initializer=normal)
    network = [layers.Bidirectional(layers.RNN(cell, return_sequences=True))]
    network += [layers.Dense(10), layers.GlobalAveragePooling1D()]
    return network, rows, "logits"


def recurrent_lif():
    neurons = keras_spiking.layers.LIFLayer(
        tau=4.0, decay_input=False, v_reset=None, surrogate="atan", detach_reset=True
    )
    recurrent = [layers.Dense(128), neurons]
    return (
        [
            layers.Dense(128),
            keras_spiking.layers.ElementwiseRecurrent(recurrent),
            layers.Dense(10),
            LILayer(tau=20.0, reduce="mean"),
        ],
        rows,
        "logits",
    )


def tempotron():
    network = [keras_spiking.layers.Tempotron(10, tau=8.0, tau_s=2.0, output="v_max")]
    return network, latency, "tempotron"


def hidden(layer):
    # The mean is above 0 so that most neurons fire: silent ones get no gradient
    # from EventProp.
    initial = keras.initializers.RandomNormal(0.01, 0.03)
    return (
        [
            layers.Dense(128, use_bias=False, kernel_initializer=initial),
            layer,
            layers.Dense(10, use_bias=False),
            LILayer(tau=5.0, decay_input=False, reduce="mean"),
        ],
        latency,
        "logits",
    )


def event_prop():
    # In units of `tau V`, as in `CubaLayer`, the threshold is 1.
    neurons = keras_spiking.layers.EventPropLayer(10.0, tau_s=5.0, v_threshold=0.1)
    return hidden(neurons)


def surrogate_gradients():
    # The same neuron, with the derivative of a surrogate.
    return hidden(
        keras_spiking.layers.CubaLayer(
            current_decay=1 - np.exp(-1 / 5.0),
            voltage_decay=1 - np.exp(-1 / 10.0),
            v_threshold=1.0,
            surrogate="atan",
        )
    )


# Where 10 epochs at a learning rate of 0.002 do not suit.
SCHEDULES = {
    "spiking_lstm": (12, 1e-2),
    "recurrent_lif": (20, 5e-3),
    "event_prop": (4, 5e-3),
    "surrogate_gradients": (4, 5e-3),
}


def measure(make, data):
    keras.utils.set_random_seed(0)
    network, encode, kind = make()
    x, y, x_test, y_test = data
    x, x_test = encode(x), encode(x_test)
    model = keras.Sequential([layers.Input(x.shape[1:]), *network])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if kind == "tempotron":
        loss = keras_spiking.losses.TempotronLoss()
    epochs, rate = SCHEDULES.get(make.__name__, (10, 2e-3))
    steps = epochs * len(x) // 64
    rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, loss, metrics=["accuracy"])
    start = time.time()
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    seconds = time.time() - start
    accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
    train = model.evaluate(x[:2000], y[:2000], verbose=0)[1]
    return accuracy, train, seconds


NETWORKS = {
    f.__name__: f
    for f in (spiking_lstm, recurrent_lif, tempotron, event_prop, surrogate_gradients)
}


def main(path, *names):
    with np.load(path) as file:
        data = [file[n] for n in ("x_train", "y_train", "x_test", "y_test")]
    data = [d / np.float32(255) if d.ndim == 3 else d.astype("int32") for d in data]
    for name in names or NETWORKS:
        accuracy, train, seconds = measure(NETWORKS[name], data)
        print(
            f"{name}: test {accuracy:.1%}, train {train:.1%}, {seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
