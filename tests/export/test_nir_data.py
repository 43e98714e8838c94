"""Sequences and NIR's data say the same."""

import numpy as np
import pytest
from backend import BACKEND

from keras_spiking import export

nir = pytest.importorskip("nir")

pytestmark = pytest.mark.skipif(BACKEND != "numpy", reason="arrays only")


def sequences(*shape, values=2):
    return np.random.default_rng(0).integers(0, values, shape).astype("float32")


@pytest.mark.parametrize("dt", [1e-4, 0.1, 1.0])
@pytest.mark.parametrize("values", [2, 4])
@pytest.mark.parametrize("events", [False, True])
def test_round_trip(events, values, dt, tmp_path):
    x = sequences(3, 31, 5, values=values)
    data = export.to_nir_data(x, dt, events=events)
    kinds = ["EventData", "ValuedEventData"] if events else ["TimeGriddedData"] * 2
    assert type(data).__name__ == kinds[values > 2]
    nodes = {"input": nir.NIRNodeData({"spikes": data})}
    nir.write_data(tmp_path / "data.nir", nir.NIRGraphData(nodes))
    read = nir.read_data(tmp_path / "data.nir").nodes["input"].observables["spikes"]
    given = dt if events else None
    np.testing.assert_array_equal(export.from_nir_data(read, given), x)


def test_events_are_those_of_nirs_own_conversion():
    x = sequences(2, 7, 3)
    ours = export.to_nir_data(x, 0.5, events=True)
    theirs = export.to_nir_data(x, 0.5).to_event(ours.idx.shape[1])
    np.testing.assert_array_equal(ours.idx, theirs.idx)
    np.testing.assert_array_equal(ours.time, theirs.time)
    np.testing.assert_array_equal(ours.to_time_gridded(0.5).data, x)


def test_neurons_of_images_are_numbered_with_channels_first():
    x = sequences(2, 3, 4, 5, 2)
    data = export.to_nir_data(x)
    np.testing.assert_array_equal(
        data.data, np.moveaxis(x, -1, 2).reshape(2, 3, -1).astype(bool)
    )
    np.testing.assert_array_equal(export.from_nir_data(data, shape=(4, 5, 2)), x)


def test_nothing_happens():
    data = export.to_nir_data(np.zeros((2, 3, 4)), events=True)
    assert data.idx.shape == (2, 0)
    assert export.from_nir_data(data, 1e-4).shape == (2, 3, 4)


def event(neuron=0, time=0.0, end=1.0):
    return nir.EventData(np.array([[neuron]]), np.array([[time]]), 2, end)


@pytest.mark.parametrize(
    "data, options, error, message",
    [
        (event(), {}, ValueError, "give the duration `dt`"),
        (event(neuron=2), {"dt": 0.5}, ValueError, "neuron 2.*outside"),
        (event(time=1.0), {"dt": 0.5}, ValueError, "outside"),
        (event(time=np.nan), {"dt": 0.5}, ValueError, "outside"),
        (event(end=1e12), {"dt": 1.0}, ValueError, "max_bytes"),
        (event(), {"dt": 0.5, "shape": (3,)}, ValueError, "must be 2 features"),
        (np.ones(3), {}, TypeError, "must be a nir.TimeGriddedData"),
        (nir.TimeGriddedData(np.ones((1, 2, 3)), 0.1), {"dt": 1.0}, ValueError, "0.1"),
    ],
)
def test_bad_data_is_named(data, options, error, message):
    with pytest.raises(error, match=message):
        export.from_nir_data(data, **options)
    with pytest.raises(ValueError, match="samples, time"):
        export.to_nir_data(np.ones((2, 3)))
