import pytest

import keras_spiking


@pytest.fixture
def always():
    """A layer without a fused kernel raises."""
    keras_spiking.config.set_fused("always")
    yield
    keras_spiking.config.set_fused("auto")
