"""The recipes can be read, and their networks be built."""

import pathlib

import pytest
from backend import BACKEND

from keras_spiking.train import recipe
from keras_spiking.train.run import network

FOLDER = pathlib.Path(__file__).parents[2] / "recipes"
PATHS = sorted(FOLDER.rglob("*.yaml"))
pytestmark = pytest.mark.skipif(BACKEND != "numpy", reason="run once")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_recipe_describes_a_training(path):
    read = recipe.Recipe(**recipe.read(path))
    events = read.model in ("cifar10_dvs_net", "dvs_gesture_net", "plif_net")
    size = 128 if read.model.endswith("_net") and events else 32
    shape = (read.timesteps, size, size, 2) if events else (size, size, 3)
    assert network(read, shape, 10).output_shape[-1] == 10
    if path.parent.name == "papers":
        assert "not reproduced here" in read.about["reports"]
        assert "arXiv" in read.about["paper"]
