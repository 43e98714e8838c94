"""Killed at any moment, a training goes on as if nothing had happened."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from small_network import main
from small_network import write_images

pytestmark = pytest.mark.trains


@pytest.fixture
def command(tmp_path):
    """Everything random, and all that has a state."""
    data = write_images(tmp_path / "images.npz")
    options = (
        f"--model small_network --data {data} --epochs 3 --batch-size 8 --ema 0.9 "
        "--augmentation flip crop=1 mixup=0.3 --optimizer adamw --weight-decay 0.01 "
        "--warmup-epochs 1 --save-steps 2 --precision mixed_float16"
    )

    def command(folder, *more):
        return [*options.split(), "--output", str(tmp_path / folder), *more]

    return command


def state(folder):
    """All arrays of a checkpoint, and what it says."""
    with np.load(folder / "checkpoint.npz") as file:
        arrays = {name: file[name] for name in file}
    return arrays, json.loads(str(arrays.pop("state")))


def run_and_die(arguments, kill_at):
    script = pathlib.Path(__file__).parent / "small_network.py"
    result = subprocess.run(
        [sys.executable, script, *arguments],
        env={**os.environ, "KILL_AT": kill_at, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == -signal.SIGKILL, result.stdout + result.stderr


@pytest.mark.usefixtures("weights_of_other_processes")
def test_a_killed_training_ends_as_an_uninterrupted_one(command, tmp_path):
    assert main(command("whole")) == 0
    # Four steps an epoch: first in the middle of the second epoch, between two
    # checkpoints, then in the middle of writing that of its end.
    run_and_die(command("killed"), "batch 8")
    assert state(tmp_path / "killed")[1]["step"] == 2
    run_and_die(["--resume", "--output", str(tmp_path / "killed")], "save 1")
    assert list((tmp_path / "killed").glob(".part-*"))
    assert main(command("killed", "--resume")) == 0
    assert not list((tmp_path / "killed").glob(".part-*"))

    (expected, told), (arrays, again) = (
        state(tmp_path / f) for f in ("whole", "killed")
    )
    assert arrays.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(arrays[name], expected[name], err_msg=name)
    assert again == told
    curves = [(tmp_path / f / "history.csv").read_text() for f in ("whole", "killed")]
    assert curves[0] == curves[1]
    reports = [(tmp_path / f / "report.json").read_text() for f in ("whole", "killed")]
    assert reports[0] == reports[1]
    models = [
        keras.models.load_model(tmp_path / f / "model.keras")
        for f in ("whole", "killed")
    ]
    for value, again in zip(*(model.get_weights() for model in models)):
        np.testing.assert_array_equal(again, value)
