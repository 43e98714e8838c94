import keras
import pytest


@pytest.fixture(autouse=True)
def policy_of_keras():
    """A training sets it for the process."""
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)
