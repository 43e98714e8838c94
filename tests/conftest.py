import contextlib

import keras
import pytest
from backend import BACKEND
from backend import HAS_GRADIENTS
from backend import KERAS_VERSION

if BACKEND == "jax":
    import initial_weights

    initial_weights.install()

# OpenVINO trains nothing, and compiles a graph for every value that a test looks at.
# What runs there unless files are named: layers and networks beside those on NumPy,
# neurons beside those of SpikingJelly, the loop over time.
ON_OPENVINO = (
    "tests/backends/test_openvino.py",
    "tests/layers/test_golden_neurons.py",
    "tests/ops/test_time_loop.py",
)


def pytest_configure(config):
    if BACKEND == "openvino" and config.args_source is config.ArgsSource.TESTPATHS:
        config.args = [str(config.rootpath / path) for path in ON_OPENVINO]
    config.addinivalue_line("markers", "trains: needs a backend with gradients")
    config.addinivalue_line("markers", "once: never asks a backend; run on NumPy")
    config.addinivalue_line("markers", "masks: needs masks that outputs of layers have")


def pytest_collection_modifyitems(items):
    reasons = {}
    if not HAS_GRADIENTS:
        reasons["trains"] = f"the backend '{BACKEND}' has no gradients"
    if BACKEND == "numpy" and KERAS_VERSION < (3, 14):
        reasons["masks"] = "Keras has no such masks on NumPy before version 3.14"
    if BACKEND != "numpy":
        reasons["once"] = "does not depend on the backend, and runs on NumPy"
    for item in items:
        for mark in reasons.keys() & item.keywords.keys():
            item.add_marker(pytest.mark.skip(reason=reasons[mark]))


def pytest_collectstart():
    """Layers that a module makes when it is imported are the same in every run, too."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def weights_of_other_processes():
    """Initial weights are those that a process draws that is no test."""
    with initial_weights.of_jax() if BACKEND == "jax" else contextlib.nullcontext():
        yield


@pytest.fixture(params=["channels_last", "channels_first"])
def image_data_format(request):
    """Keras's default format of images, for the time of a test."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(request.param)
    yield request.param
    keras.config.set_image_data_format(before)
