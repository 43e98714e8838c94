import sys
import threading
import time

import keras
import numpy as np
import pytest
from backend import BACKEND

from keras_spiking.datasets import DropEvents
from keras_spiking.datasets import EventDataset
from keras_spiking.datasets import Frames
from keras_spiking.datasets import SyntheticGestures

SHAPE = (8, 8, 2)


def make(count=22, batch_size=4, **kwargs):
    arguments = {
        "batch_size": batch_size,
        "augmentation": DropEvents(0.5),
        "shuffle": True,
        "seed": 3,
    }
    recordings = SyntheticGestures(count, sensor_shape=SHAPE)
    return EventDataset(recordings, Frames(number=3), **(arguments | kwargs))


def check_equal(found, expected):
    assert len(found) == len(expected)
    for batch, other in zip(found, expected):
        for array, same in zip(batch, other):
            np.testing.assert_array_equal(array, same)


def by_index(dataset, epochs):
    """All batches, in the way of Keras: an epoch after the other."""
    found = []
    for epoch in range(epochs):
        dataset.set_epoch(epoch)
        found += [dataset[i] for i in range(len(dataset))]
    return found


@pytest.mark.once
@pytest.mark.parametrize(
    "workers",
    [
        {"workers": 1},
        {"workers": 3},
        {"workers": 3, "max_queue_size": 1},
        {"workers": 2, "use_multiprocessing": True},
    ],
)
def test_batches_from_any_one_on(workers):
    expected = by_index(make(), 3)
    dataset = make(**workers)
    check_equal(list(dataset.batches(epochs=3)), expected)
    check_equal(list(dataset.batches(start=8, epochs=3)), expected[8:])
    endless = dataset.batches(start=17)
    check_equal([next(endless)], expected[17:])
    endless.close()


@pytest.mark.once
def test_workers_make_no_more_than_fits_the_queue():
    made = 0

    class Counted(Frames):
        def __call__(self, *args):
            nonlocal made
            made += 1
            return super().__call__(*args)

    dataset = make(workers=2, max_queue_size=3)
    dataset = EventDataset(
        SyntheticGestures(40, sensor_shape=SHAPE),
        Counted(number=3),
        batch_size=1,
        workers=2,
        max_queue_size=3,
    )
    batches = dataset.batches()
    for taken in range(1, 6):
        next(batches)
        time.sleep(0.02)
        assert made <= taken + 3
    before = threading.active_count()
    batches.close()
    time.sleep(0.1)
    assert threading.active_count() < before


@pytest.mark.once
def test_error_in_a_worker_is_raised():
    def damaged(events, sensor_shape):
        raise ValueError("damaged")

    dataset = EventDataset(SyntheticGestures(9), damaged, batch_size=2, workers=2)
    with pytest.raises(ValueError, match="damaged"):
        next(dataset.batches())


@pytest.mark.once
@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_batches_of_one(count):
    whole = make(batch_size=4 * count, drop_remainder=False)
    shards = [make(shard=(i, count)) for i in range(count)]
    assert {len(shard) for shard in shards} == {len(whole)}
    for number, (x, y) in enumerate(whole.batches(epochs=2)):
        parts = [next(shard.batches(number)) for shard in shards]
        np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), x)
        np.testing.assert_array_equal(np.concatenate([y for _, y in parts]), y)


@pytest.mark.once
def test_processes_share_the_preparation(tmp_path):
    class Counted(Frames):
        made = 0

        def from_chunks(self, *args):
            type(self).made += 1
            return super().from_chunks(*args)

    for i in range(2):
        dataset = make(
            5,
            1,
            augmentation=None,
            shard=(i, 2),
            drop_remainder=True,
            cache_dir=tmp_path,
        )
        dataset.prepare(verbose=0)
        assert len(list(tmp_path.rglob("*.npz"))) == (3, 5)[i]


@pytest.mark.once
def test_processes_without_data():
    with pytest.raises(ValueError, match="fewer than there are processes"):
        make(count=13, shard=(0, 3))
    assert len(make(count=13, shard=(0, 3), drop_remainder=True)) == 1
    with pytest.raises(ValueError, match="no whole batch"):
        make(count=7, shard=(0, 2), drop_remainder=True)


@pytest.mark.once
@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0), 2, (0, 1, 2)])
def test_shard_out_of_range(shard):
    with pytest.raises(ValueError, match="shard"):
        make(shard=shard)


def classifier():
    model = keras.Sequential(
        [
            keras.Input((3, *SHAPE)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, kernel_initializer="zeros"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    return model


@pytest.mark.trains
def test_training_goes_on_in_the_middle_of_an_epoch():
    kwargs = {"count": 24, "data_format": "channels_last", "workers": 2}
    quiet = {"shuffle": False, "verbose": 0}
    model = classifier()
    model.fit(make(**kwargs).batches(), steps_per_epoch=6, epochs=2, **quiet)
    interrupted = classifier()
    interrupted.fit(make(**kwargs).batches(), steps_per_epoch=8, **quiet)
    start = int(interrupted.optimizer.iterations)
    rest = make(**kwargs).batches(start, epochs=2)
    interrupted.fit(rest, steps_per_epoch=4, **quiet)
    for weight, same in zip(interrupted.get_weights(), model.get_weights()):
        np.testing.assert_allclose(weight, same, atol=1e-6)


@pytest.mark.skipif(BACKEND != "torch", reason="needs PyTorch")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_torch_loader_with_workers(num_workers):
    loader = make().to_torch(num_workers)
    found = [(x.numpy(), y.numpy()) for _ in range(2) for x, y in loader]
    check_equal(found, by_index(make(), 2))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="needs TensorFlow")
def test_tf_data_with_workers():
    data = make(workers=3).to_tf_data()
    found = [(x.numpy(), y.numpy()) for _ in range(2) for x, y in data]
    check_equal(found, by_index(make(), 2))
    rest = make(workers=3).to_tf_data(start=5).take(7)
    check_equal([(x.numpy(), y.numpy()) for x, y in rest], by_index(make(), 2)[5:])


@pytest.mark.once
def test_grain():
    pytest.importorskip("grain")
    expected = by_index(make(), 2)
    data = make(workers=2).to_grain(epochs=2)
    iterator = iter(data)
    found = [next(iterator) for _ in range(7)]
    state = iterator.get_state()
    check_equal(found, expected[:7])
    iterator = iter(data)
    iterator.set_state(state)
    check_equal(list(iterator), expected[7:])


@pytest.mark.once
def test_without_grain(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ImportError, match="pip install grain"):
        make().to_grain(epochs=1)
