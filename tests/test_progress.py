import keras
import numpy as np
import pytest

import keras_spiking
from keras_spiking import datasets
from keras_spiking import layers
from keras_spiking.conversion import convert
from keras_spiking.conversion import simulate

X = np.random.default_rng(0).uniform(size=(8, 4)).astype("float32")


def converted(**kwargs):
    ann = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu")])
    return convert(ann, X, 3, batch_size=4, **kwargs)


def simulated(**kwargs):
    return simulate(converted(), X, batch_size=4, **kwargs)


def calibrated(**kwargs):
    model = keras.Sequential(
        [keras.Input((2, 4)), keras.layers.Dense(6), layers.LIFLayer()]
    )
    return keras_spiking.calibrate(model, np.stack([X, X], 1), **kwargs)


def test_progress_of_conversion_and_calibration(capsys):
    for make, last in (
        (lambda **k: converted(correction="bias", **k), "4/4"),
        (simulated, "2/2"),
        (calibrated, "1/1"),
    ):
        make()
        assert not capsys.readouterr().out
        make(verbose=1)
        assert last in capsys.readouterr().out
        with pytest.raises(ValueError, match="verbose.*'yes'"):
            make(verbose="yes")


@pytest.mark.once
def test_progress_of_a_cache(tmp_path, capsys):
    gestures = datasets.SyntheticGestures(5, sensor_shape=(8, 8, 2))
    dataset = datasets.EventDataset(gestures, datasets.Frames(2), cache_dir=tmp_path)
    dataset.prepare(verbose=0)
    assert not capsys.readouterr().out
    dataset.prepare()
    assert "5/5" in capsys.readouterr().out
    with pytest.raises(ValueError, match="verbose"):
        dataset.prepare(verbose=3)
