"""What one thread computes, others do not disturb."""

import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

import keras_spiking
from keras_spiking import layers

THREADS = 8
# JAX and TensorFlow compile or trace loops in each eager call.
CALLS = {"jax": 4, "tensorflow": 10}.get(BACKEND, 30)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.0, 2.0, shape).astype("float32")


def sequential(*stack):
    return keras.Sequential([keras.Input((6, 4)), *stack])


def single_step():
    inputs = keras.Input((4,))
    neurons = layers.SingleStep(layers.LIFLayer(v_threshold=0.3))
    return keras.Model(inputs, neurons(keras.layers.Dense(4)(inputs)))


def network(name):
    """A model of that name, and inputs for it."""
    dense, neurons = keras.layers.Dense(4), layers.LIFLayer(v_threshold=0.3)
    if name == "converted":
        ann = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(3)]
        )
        x = draw(16, 4)
        return keras_spiking.conversion.convert(ann, x, timesteps=6), x
    graph = layers.RecurrentGraph(
        {"in": dense, "neurons": neurons, "back": keras.layers.Dense(4)},
        [
            ("input", "in"),
            ("in", "neurons"),
            ("neurons", "back"),
            ("back", "neurons"),
            ("neurons", "output"),
        ],
    )
    model = {
        "LIFLayer": [dense, neurons],
        "StepByStep": [layers.StepByStep([dense, neurons])],
        "ElementwiseRecurrent": [layers.ElementwiseRecurrent([dense, neurons])],
        "RecurrentGraph": [graph],
        "SingleStep": [layers.StepByStep(single_step())],
        "SeqToBatch": [layers.SeqToBatch([dense]), layers.Delay(2), neurons],
        "per step": [
            layers.StepByStep(
                [layers.TemporalEffectiveBatchNormalization(T=6), neurons]
            )
        ],
    }[name]
    return sequential(*model), draw(16, 6, 4)


NAMES = [
    "LIFLayer",
    "StepByStep",
    "ElementwiseRecurrent",
    "RecurrentGraph",
    "SingleStep",
    "SeqToBatch",
    "per step",
    "converted",
]


def in_threads(function, arguments, threads=THREADS):
    """Results of a function of each argument, by threads that start together."""
    barrier = threading.Barrier(threads)

    def run(argument):
        barrier.wait(60)
        return function(argument)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, arguments))


def test_calls_of_all_kinds_of_networks_at_once_are_those_of_one_thread():
    networks = [network(name) for name in NAMES]
    assert len(networks) == THREADS
    expected = [to_numpy(model(x)) for model, x in networks]

    def call(start):
        """Each thread calls all networks, beginning with another one."""
        wrong = []
        for i in range(CALLS):
            index = (start + i) % len(networks)
            model, x = networks[index]
            if i % 2 and BACKEND != "jax":  # Keras's own `predict` on JAX is not safe
                found = model.predict(x, verbose=0)
            else:
                found = to_numpy(model(x))
            if not np.allclose(found, expected[index], atol=1e-6):
                wrong.append(NAMES[index])
        return wrong

    assert in_threads(call, range(THREADS)) == [[]] * THREADS


@pytest.mark.parametrize("name", ["StepByStep", "RecurrentGraph", "converted"])
def test_one_network_in_many_threads(name):
    model, x = network(name)
    expected = to_numpy(model(x))

    def call(_):
        return [to_numpy(model(x)) for _ in range(CALLS)]

    for results in in_threads(call, range(THREADS)):
        for found in results:
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_masked_and_unmasked_calls_of_one_layer():
    x, mask = draw(4, 6, 5), draw(4, 6, seed=1) > 1.0
    container = layers.StepByStep([layers.LIFLayer(v_threshold=0.3)])
    expected = to_numpy([container(x), container(x, mask=mask)])

    def call(i):
        mask_or_none = mask if i % 2 else None
        return [to_numpy(container(x, mask=mask_or_none)) for _ in range(CALLS)]

    for i, results in enumerate(in_threads(call, range(THREADS))):
        for found in results:
            np.testing.assert_array_equal(found, expected[i % 2])


def test_networks_are_built_in_many_threads():
    expected = {name: network(name)[0].output_shape for name in NAMES}

    def build(i):
        return {name: network(name)[0].output_shape for name in NAMES}

    assert in_threads(build, range(6), threads=6) == [expected] * 6


@pytest.mark.trains
def test_networks_are_fitted_in_many_threads():
    """Each thread trains networks of its own, with the result of one thread."""
    names = ["LIFLayer", "StepByStep", "RecurrentGraph", "ElementwiseRecurrent"]
    made = [[network(name)[0] for name in names] for _ in range(7)]
    for networks in made[1:]:
        for model, first in zip(networks, made[0]):
            model.set_weights(first.get_weights())
    x, y = draw(8, 6, 4), draw(8, 6, 4, seed=1)

    def fit(i):
        for model in made[i]:
            model.compile(keras.optimizers.SGD(0.1), "mse")
            model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return [model.get_weights() for model in made[i]]

    expected = fit(6)
    for weights in in_threads(fit, range(6), threads=6):
        for found, right in zip(weights, expected):
            for a, b in zip(found, right):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.trains
def test_a_data_set_whose_items_come_from_neurons():
    encoder = layers.StepByStep([layers.LIFLayer(v_threshold=0.3)])
    encoder.build((None, 6, 4))
    expected = [to_numpy(encoder(draw(4, 6, 4, seed=i))) for i in range(8)]
    wrong = []

    class Dataset(keras.utils.PyDataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            x = to_numpy(encoder(draw(4, 6, 4, seed=index)))
            wrong.extend([index] if (x != expected[index]).any() else [])
            return x, np.ones((4, 6, 4), "float32")

    model, _ = network("StepByStep")
    model.compile("sgd", "mse")
    model.fit(Dataset(workers=2, max_queue_size=4), epochs=2, verbose=0)
    assert wrong == []
