import keras
import pytest

BACKEND = keras.config.backend()


def pytest_configure(config):
    config.addinivalue_line("markers", "trains: needs a backend with gradients")


def pytest_collection_modifyitems(items):
    if BACKEND == "numpy":
        skip = pytest.mark.skip(reason="the NumPy backend has no gradients")
        for item in items:
            if "trains" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)
