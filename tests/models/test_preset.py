"""Networks with their weights in folders."""

import json
import pathlib
import sys

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from keras_spiking import datasets
from keras_spiking import models

X = np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype("float32")


def small():
    kwargs = {"filters": 4, "stem": "cifar", "classes": 5, "neuron": "plif"}
    return models.SEWResNet18((16, 16, 3), **kwargs)


def test_a_preset_is_what_was_saved(tmp_path):
    model, folder = small(), tmp_path / "mine"
    models.save_to_preset(model, folder, card="# Mine\n\nIt is small.\n")
    files = {"config.json", "model.weights.h5", "metadata.json", "README.md"}
    assert {path.name for path in folder.iterdir()} == files
    assert "Mine" in (folder / "README.md").read_text()
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["parameter_count"] == model.count_params()
    again = models.from_preset(folder)
    expected, actual = (m.predict(X, verbose=0) for m in (model, again))
    np.testing.assert_array_equal(actual, expected)
    random = models.from_preset(str(folder), load_weights=False)
    assert not np.array_equal(random.predict(X, verbose=0), expected)


def test_a_preset_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    model, folder = small(), tmp_path / "mine"

    def full_disk(path):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "save_weights", full_disk)
    with pytest.raises(OSError, match="No space"):
        models.save_to_preset(model, folder)
    assert not list(tmp_path.iterdir())
    folder.mkdir()
    with pytest.raises(ValueError, match="new folder"):
        models.save_to_preset(small(), folder)
    with pytest.raises(ValueError, match="new folder"):
        models.save_to_preset(small(), tmp_path / "no" / "such")
    with pytest.raises(ValueError, match="built"):
        models.save_to_preset(keras.Sequential([keras.layers.Dense(2)]), folder)


def test_what_is_no_preset(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no preset 'resnet'.*hf://"):
        models.from_preset("resnet")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="describes no Keras model"):
        models.from_preset(tmp_path)
    layer = keras.saving.serialize_keras_object(keras.layers.Dense(2))
    (tmp_path / "config.json").write_text(json.dumps(layer))
    with pytest.raises(ValueError, match="describes a Dense"):
        models.from_preset(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        models.from_preset("hf://someone/something")


def test_weights_of_another_network_are_refused(tmp_path):
    models.save_to_preset(small(), tmp_path / "mine")
    other = models.SEWResNet18((16, 16, 3), filters=2, stem="cifar", classes=5)
    other.save_weights(tmp_path / "mine" / "model.weights.h5")
    with pytest.raises(ValueError, match="do not fit"):
        models.from_preset(tmp_path / "mine")
    (tmp_path / "mine" / "model.weights.h5").unlink()
    with pytest.raises(ValueError, match="no file"):
        models.from_preset(tmp_path / "mine")


def test_code_in_a_configuration_does_not_run(tmp_path):
    function = keras.layers.Lambda(lambda x: x * 2)
    model = keras.Sequential([keras.Input((3,)), function])
    models.save_to_preset(model, tmp_path / "mine")
    with pytest.raises(ValueError, match="describes no Keras model.*unsafe"):
        models.from_preset(tmp_path / "mine")


def test_trained_networks_are_as_good_as_their_cards_say():
    shipped = models.presets()
    assert len(shipped) == 3 and all(shipped.values())
    digits = load_digits()
    parts = train_test_split(
        (digits.images / 16.0).astype("float32")[..., None],
        digits.target,
        test_size=0.2,
        random_state=0,
    )
    for name in ("sew_resnet18_digits", "spikformer_digits"):
        predicted = models.from_preset(name).predict(parts[1], verbose=0)
        # Most of these were trained on: what is tested is the loading.
        assert np.mean(np.argmax(predicted, -1) == parts[3]) > 0.97
    gestures = datasets.SyntheticGestures(32, seed=123)
    x, y = datasets.EventDataset(gestures, datasets.Frames(number=8), timesteps=8)[0]
    predicted = models.from_preset("plif_net_gestures").predict(x, verbose=0)
    assert np.mean(np.argmax(predicted, -1) == y) > 0.9


@pytest.mark.once
def test_options_that_older_keras_lacks_are_left_out(tmp_path):
    models.save_to_preset(small(), tmp_path / "mine")
    trained = pathlib.Path(models.__file__).with_name("trained")
    paths = [tmp_path / "mine" / "config.json", *trained.glob("*/config.json")]
    assert len(paths) == 4
    for path in paths:
        text = path.read_text()
        assert '"BatchNormalization"' in text
        assert "renorm" not in text and "quantization" not in text
        assert "input_axes" not in text
