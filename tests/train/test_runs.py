"""What a training by command line leaves in its folder."""

import csv
import json
import os

import keras
import numpy as np
import pytest
from backend import to_numpy
from small_network import main
from small_network import write_images

from keras_spiking import datasets
from keras_spiking.train import __main__ as command
from keras_spiking.train.progress import MoreLogs
from keras_spiking.train.recipe import Recipe
from keras_spiking.train.recipe import from_command_line

pytestmark = pytest.mark.trains


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images("images.npz")


def read(name):
    with open(f"run/{name}") as file:
        return json.load(file) if name.endswith(".json") else [*csv.DictReader(file)]


def test_moving_averages_are_evaluated_and_saved(capsys):
    """And so are all files written, the curve and the report."""
    options = "--model small_network --data images.npz --output run --epochs 2"
    options += " --ema 0.5 --optimizer sgd --learning-rate 0.5 --batch-size 8"
    assert main([*options.split(), "--model-options", "units=5"]) == 0
    printed = capsys.readouterr().out
    assert "after 2 epochs" not in printed and "images.npz" in printed
    history, found = read("history.csv"), read("report.json")
    assert [row["epoch"] for row in history] == ["1", "2"]
    assert 0.0 < float(history[0]["firing_rate/spikes_1"]) < 1.0
    # The last line is of the averages, as is the report, and the model that is saved.
    assert float(history[1]["val_loss"]) == pytest.approx(found["loss"], rel=1e-5)
    assert found["best_accuracy"] == max(float(row["val_accuracy"]) for row in history)
    names = {row["name"] for row in found["report"]["neurons"]}
    assert {"spikes_1", "spikes_2"} <= names
    recipe = read("recipe.json")
    assert recipe["model_options"] == {"units": 5} and recipe["seed"] == 0
    model = keras.models.load_model("run/model.keras")
    with np.load("images.npz") as data:
        x, y = data["x"][36:, ..., None] / 255.0, data["y"][36:]
    assert model.output_shape == (None, 3)
    # The last samples of each class are not those for validation: only the scale.
    loss = keras.losses.sparse_categorical_crossentropy(
        y, model.predict(x, verbose=0), from_logits=True
    )
    assert np.mean(to_numpy(loss)) == pytest.approx(found["loss"], abs=0.3)


def write_recordings(folder):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for label, name in enumerate(("left", "right")):
            os.makedirs(f"{folder}/{part}/{name}")
            for i in range(3):
                t, p = np.arange(20) * 100, np.full(20, label)
                x, y = rng.integers(0, 9, 20), rng.integers(0, 7, 20)
                events = datasets.make_events(t, x, y, p)
                datasets.write_events(f"{folder}/{part}/{name}/{i}.npz", events)


def test_recordings_in_a_folder_with_scores_at_every_step(capsys):
    write_recordings("events")
    options = "--model small_network --data events --sensor-shape 7 9 2 --output run"
    options += " --loss tet --epochs 1 --batch-size 2 --no-firing-rates --timesteps 3"
    options += " --augmentation flip drop=0.1 mixup=0.2 --label-smoothing 0.1"
    assert main(options.split()) == 0
    assert "measured on 6:" in capsys.readouterr().out  # those of the test
    model = keras.models.load_model("run/model.keras")
    assert model.input_shape == (None, 3, 7, 9, 2)
    assert model.output_shape == (None, 2)


def test_interrupted_trainings_say_how_to_go_on(capsys, monkeypatch):
    def interrupt(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(MoreLogs, "on_epoch_begin", interrupt)
    options = "--model small_network --data images.npz --output run --no-firing-rates"
    assert main(options.split()) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("go on with --output run --resume")


def test_options_come_before_those_of_a_recipe():
    settings = {"epochs": 7, "model_options": {"units": 3, "width": 2}, "loss": "tet"}
    with open("recipe.json", "w") as file:
        json.dump(settings, file)
    with open("recipe.yaml", "w") as file:
        file.write("epochs: 7\nmodel_options: {units: 3, width: 2}\nloss: tet\n")
    for name in ("recipe.json", "recipe.yaml"):
        arguments = [name, "--epochs", "2", "--model-options", "units=4", "width=null"]
        recipe = from_command_line(arguments)
        assert recipe == Recipe(epochs=2, model_options={"units": 4}, loss="tet")


def test_help_is_no_error(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--help"])
    assert exit.value.code == 0
    assert "python -m keras_spiking.train recipes/" in capsys.readouterr().out


def test_another_backend_is_another_process(monkeypatch):
    other = "jax" if keras.config.backend() == "torch" else "torch"
    started = []
    monkeypatch.setattr(command.os, "execve", lambda *call: started.append(call))
    command._use_backend(keras.config.backend(), [])
    assert not started
    command._use_backend(other, ["--epochs", "3"])
    ((_, arguments, environment),) = started
    assert arguments[1:] == ["-m", "keras_spiking.train", "--epochs", "3"]
    assert environment["KERAS_BACKEND"] == other
