import keras
import pytest

BACKEND = keras.config.backend()
if BACKEND == "jax":
    import initial_weights

    initial_weights.install()


def pytest_configure(config):
    config.addinivalue_line("markers", "trains: needs a backend with gradients")
    config.addinivalue_line("markers", "once: never asks a backend; run on NumPy")


def pytest_collection_modifyitems(items):
    if BACKEND == "numpy":
        mark, reason = "trains", "the NumPy backend has no gradients"
    else:
        mark, reason = "once", "does not depend on the backend, and runs on NumPy"
    for item in items:
        if mark in item.keywords:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(params=["channels_last", "channels_first"])
def image_data_format(request):
    """Keras's default format of images, for the time of a test."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(request.param)
    yield request.param
    keras.config.set_image_data_format(before)
