import keras
import numpy as np
import pytest

from keras_spiking.pruning import apply_masks
from keras_spiking.pruning import masks_of
from keras_spiking.pruning import report


def model():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="first"),
            keras.layers.Dense(2, name="second"),
        ]
    )


def test_masks_are_applied_read_and_counted():
    network = model()
    first, second = masks_of(network)
    mask = np.zeros((4, 3), int)
    mask[1, 2] = 1
    apply_masks(network, {first: mask})
    found = masks_of(network)
    np.testing.assert_array_equal(found[first], mask)
    assert found[second].all()
    rows = report(network)
    assert [row["connections"] for row in rows] == [1, 6]
    assert (rows.weights, rows.connections) == (18, 7)
    assert rows.sparsity == pytest.approx(11 / 18)
    assert "38.89" not in str(rows) and "61.11 %" in str(rows)


def test_bad_masks_prune_nothing():
    network = model()
    first, second = masks_of(network)
    good = np.zeros((4, 3), bool)
    for masks, error, message in (
        ({"third/kernel": good}, ValueError, "no kernel 'third/kernel'"),
        ({first: good, second: good}, ValueError, r"shape of the kernel, \(3, 2\)"),
        ({first: good, second: np.full((3, 2), 0.5)}, ValueError, "0 and 1"),
        ([good], TypeError, "dictionary"),
    ):
        with pytest.raises(error, match=message):
            apply_masks(network, masks)
    assert report(network).sparsity == 0.0


def test_what_has_no_kernels():
    with pytest.raises(TypeError, match="Keras model"):
        report(3)
    with pytest.raises(ValueError, match="no kernels"):
        report(keras.layers.Dense(3))
