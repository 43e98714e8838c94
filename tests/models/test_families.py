"""What holds for the networks of every family."""

import io
import json

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy
from families import CLASSES
from families import CURRENTS
from families import FAMILIES
from families import FEW
from families import TIMESTEPS
from families import data
from families import enliven
from families import make
from families import shared

from keras_spiking import callbacks
from keras_spiking import inference
from keras_spiking import layers
from keras_spiking import models
from keras_spiking.inspection.selection import all_layers
from keras_spiking.inspection.selection import is_spiking
from keras_spiking.models.options import networks
from keras_spiking.models.ottt_vgg import SCALE

every_family = pytest.mark.parametrize(
    "family", FAMILIES if BACKEND == "numpy" else FEW
)


def copied(source, network):
    """A network with the weights of another one, by the names of their layers."""
    theirs, own = all_layers(source), all_layers(network)
    for name, layer in own.items():
        if layer.weights and name in theirs:
            layer.set_weights(theirs[name].get_weights())
    return network


def predict(network, x):
    return to_numpy(network(x, training=False))


def test_every_network_is_of_a_family_that_is_tested():
    tested = {function.__module__ for function, *_ in FAMILIES.values()}
    for name, function in networks.items():
        assert function.__module__ in tested, f"{name}: add it to families.py"


@every_family
def test_scores_of_images(family):
    network = shared(family)
    y = predict(network, data(network))
    assert y.shape == (2, CLASSES) and np.ptp(y) > 0
    assert sum(isinstance(x, layers.DirectEncoder) for x in network.layers) >= 1
    text = io.StringIO()
    network.summary(print_fn=lambda line: text.write(line))
    assert network.name in text.getvalue()


@every_family
def test_scores_of_sequences(family):
    """A still film is an image that is presented at every step."""
    images, films = shared(family), shared(family, TIMESTEPS)
    copied(images, films)
    x = data(images)
    film = np.repeat(x[:, None], TIMESTEPS, axis=1)
    np.testing.assert_allclose(
        predict(images, x), predict(films, film), rtol=1e-4, atol=1e-5
    )


@every_family
def test_scores_of_every_step(family):
    network, steps = shared(family), make(family, return_sequences=True)
    copied(network, steps)
    x = data(network)
    y = predict(steps, x)
    assert y.shape == (2, TIMESTEPS, CLASSES)
    np.testing.assert_allclose(y.mean(1), predict(network, x), rtol=1e-4, atol=1e-5)


@every_family
def test_step_by_step(family):
    network, steps = shared(family), make(family, None, return_sequences=True)
    copied(network, steps)
    x = data(network)
    stepping = layers.StepByStep(steps, timesteps=TIMESTEPS, reduce="mean")
    found = predict(stepping, keras.ops.convert_to_tensor(x))
    np.testing.assert_allclose(found, predict(network, x), rtol=1e-4, atol=1e-5)


@every_family
def test_features_and_a_single_step(family):
    network = make(family, timesteps=1, include_top=False)
    y = predict(network, data(network))
    assert y.ndim == 5 and y.shape[:2] == (2, 1)
    scale = SCALE if FAMILIES[family][0] is models.OTTTSpikingVGG else 1.0
    if family not in CURRENTS:
        np.testing.assert_allclose(y / scale, np.round(y / scale), atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES if BACKEND == "torch" else FEW)
@pytest.mark.trains
def test_fit(family):
    network = make(family)
    before = [to_numpy(w.value).copy() for w in network.trainable_weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(0.1), loss)
    x, y = data(network, 4), np.arange(4) % CLASSES
    history = network.fit(x, y, batch_size=4, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    pairs = list(zip(before, network.trainable_weights))
    assert any((a != to_numpy(w.value)).any() for a, w in pairs)
    assert all(np.isfinite(to_numpy(w.value)).all() for _, w in pairs)


@every_family
def test_files(family, tmp_path):
    network = shared(family)
    network.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    x = data(network)
    np.testing.assert_array_equal(predict(network, x), predict(again, x))
    network.save_weights(tmp_path / "x.weights.h5")
    same = make(family, weights=str(tmp_path / "x.weights.h5"))
    np.testing.assert_array_equal(predict(network, x), predict(same, x))


@every_family
def test_monitors_see_all_neurons(family):
    network = shared(family)
    neurons = [n for n, x in all_layers(network).items() if is_spiking(x)]
    monitor = callbacks.OutputMonitor(layers=None)
    found = monitor.record(network, data(network))
    assert sorted(found) == sorted(neurons)
    for name, spikes in found.items():
        assert spikes.shape[:2] == (2, TIMESTEPS), name
    states = callbacks.StateMonitor().record(network, data(network))
    assert set(neurons) <= {name.partition(":")[0] for name in states}


@every_family
def test_compiled_inference(family):
    network = shared(family)
    x = data(network)
    net = inference.compile(network)
    np.testing.assert_allclose(net(x), predict(network, x), rtol=1e-4, atol=1e-4)


@every_family
def test_mixed_precision(family):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = enliven(make(family))
    finally:
        keras.config.set_dtype_policy(before)
    y = network(data(network), training=False)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert np.isfinite(to_numpy(keras.ops.cast(y, "float32"))).all()
    assert {w.dtype for w in network.trainable_weights} == {"float32"}


@pytest.mark.skipif(BACKEND != "numpy", reason="run once")
@every_family
def test_channels_first(family):
    network = shared(family)
    x = data(network)
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        first = make(family)
        frames = make(family, None)
    finally:
        keras.config.set_image_data_format(before)
    expected = predict(network, x)
    for same, given in ((first, x), (frames, np.repeat(x[:, None], TIMESTEPS, axis=1))):
        copied(network, same)
        y = predict(same, np.moveaxis(given, -1, -3))
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@every_family
def test_bad_arguments(family):
    function, arguments, size = FAMILIES[family]
    shape = (size, size, 2)
    small = (size - 1, size, 2)
    for wrong, given, message in [
        (small, {}, f"at least {size}"),
        ((None, *small), {}, f"at least {size}"),
        ((size, 2), {}, "three axes"),
        (shape, {"neuron": "lift"}, "'lif'"),
        (shape, {"neuron": 3}, "neuron"),
        (shape, {"classes": 0}, "classes"),
        (shape, {"timesteps": 0}, "timesteps"),
        (shape, {"surrogate": "atam"}, "atan"),
        (shape, {"weights": "nowhere.weights.h5"}, "no file"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            function(wrong, **{**arguments, **given})
    with pytest.raises(TypeError, match="neurons"):
        function(shape, **arguments, neurons="lif")


@every_family
def test_configurations_are_plain(family):
    json.dumps(make(family).get_config())
