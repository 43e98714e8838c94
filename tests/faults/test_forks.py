"""What a process and its threads have begun does not hold up its children."""

import pickle
import threading

import children
import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

import keras_spiking
from keras_spiking import datasets
from keras_spiking import layers
from keras_spiking.backends import fused
from keras_spiking.backends.kernels import compiler

pytestmark = [
    pytest.mark.skipif(
        BACKEND in ("jax", "tensorflow"), reason="its own threads stay behind in a fork"
    ),
    pytest.mark.skipif(compiler.compiler() is None, reason="there is no compiler"),
]


def draw(*shape):
    return np.random.default_rng(0).uniform(0.0, 3.0, shape).astype("float32")


def check(function, expected):
    np.testing.assert_array_equal(to_numpy(function()), expected)


@pytest.mark.once
def test_a_compiled_network_runs_in_a_child():
    model = keras.Sequential([keras.Input((5, 40)), layers.LIFLayer()])
    net = keras_spiking.inference.compile(model, threads=2)
    x = draw(64, 5, 40)
    expected = net(x)  # its threads have started
    assert children.run(check, lambda: net(x), expected) == 0
    np.testing.assert_array_equal(net(x), expected)


@pytest.mark.trains
def test_a_layer_runs_in_a_child():
    layer, x = layers.LIFLayer(), draw(32, 16, 128)
    expected = to_numpy(layer(x))
    assert children.run(check, lambda: layer(x), expected) == 0


@pytest.mark.trains
def test_a_child_makes_kernels_though_a_thread_of_its_parent_was_doing_so():
    holding, done = threading.Event(), threading.Event()

    def make():
        with fused._making:
            holding.set()
            done.wait(60)

    thread = threading.Thread(target=make)
    thread.start()
    holding.wait()
    expected = np.ones((1, 3, 2), "float32")

    def spikes():
        return layers.IFLayer(v_threshold=0.5)(np.ones((1, 3, 2), "float32"))

    try:
        assert children.run(check, spikes, expected) == 0
    finally:
        done.set()
        thread.join()


def gestures(cache_dir=None):
    return datasets.EventDataset(
        datasets.SyntheticGestures(8),
        datasets.Frames(number=4),
        batch_size=3,
        shuffle=True,
        cache_dir=cache_dir,
    )


@pytest.mark.once
def test_a_data_set_is_sent_to_another_process(tmp_path):
    dataset = gestures(tmp_path)
    again = pickle.loads(pickle.dumps(dataset))
    for found, expected in zip(again[1], dataset[1]):
        np.testing.assert_array_equal(found, expected)


class Deadly(datasets.Frames):
    def from_chunks(self, chunks, sensor_shape):
        children.die()


@pytest.mark.trains
def test_a_worker_that_dies_is_told_of():
    dataset = datasets.EventDataset(datasets.SyntheticGestures(2), Deadly(number=4))
    with pytest.raises(RuntimeError, match=r"worker \(pid"):
        list(dataset.to_torch(num_workers=1))


@pytest.mark.trains
def test_workers_of_a_loader_fill_one_cache(tmp_path):
    expected = [gestures()[i] for i in range(3)]
    for _ in range(2):
        loader = gestures(tmp_path).to_torch(num_workers=2)
        for (x, y), right in zip(loader, expected, strict=True):
            np.testing.assert_array_equal(x.numpy(), right[0])
            np.testing.assert_array_equal(y.numpy(), right[1])
    assert len(list(tmp_path.rglob("*.npz"))) == 8
