import keras
import pytest
from small_network import small_network

from keras_spiking.models import options


@pytest.fixture(autouse=True)
def policy_of_keras():
    """A training sets it for the process."""
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(autouse=True)
def listed(monkeypatch):
    """The small network can be asked for by its name."""
    monkeypatch.setitem(options.networks, "SmallNetwork", small_network)
