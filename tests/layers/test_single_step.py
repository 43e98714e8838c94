import keras
import numpy as np
from backend import to_numpy

from keras_spiking.layers import LIFLayer
from keras_spiking.layers import SingleStep
from keras_spiking.layers import StepByStep


def test_single_steps_in_a_loop_are_the_layer_over_time():
    x = np.random.default_rng(0).uniform(0, 2, (2, 12, 5)).astype("float32")
    inputs = keras.Input((5,))
    step = keras.Model(inputs, SingleStep(LIFLayer(tau=3.0))(inputs))
    np.testing.assert_array_equal(
        to_numpy(StepByStep(step)(x)), to_numpy(LIFLayer(tau=3.0)(x))
    )


def test_step_by_step_takes_models_of_several_inputs():
    a, b = keras.Input((5,)), keras.Input((5,))
    step = keras.Model([a, b], [SingleStep(LIFLayer())(a + b), a - b])
    x = np.random.default_rng(0).uniform(0, 2, (2, 2, 7, 5)).astype("float32")
    spikes, difference = StepByStep(step)([x[0], x[1]])
    np.testing.assert_array_equal(to_numpy(spikes), to_numpy(LIFLayer()(x[0] + x[1])))
    np.testing.assert_allclose(to_numpy(difference), x[0] - x[1], atol=1e-6)
    constant = [x[0][:, 0], x[1][:, 0]]
    spikes, _ = StepByStep(step, timesteps=4, reduce="sum")(constant)
    repeated = np.repeat((constant[0] + constant[1])[:, None], 4, axis=1)
    np.testing.assert_array_equal(
        to_numpy(spikes), to_numpy(LIFLayer()(repeated)).sum(axis=1)
    )


def test_round_trip():
    inputs = keras.Input((5,))
    model = keras.Model(inputs, SingleStep(LIFLayer(v_threshold=0.3))(inputs))
    copy = keras.Model.from_config(model.get_config())
    x = np.ones((2, 5), "float32")
    np.testing.assert_array_equal(to_numpy(copy(x)), to_numpy(model(x)))
