import keras
import numpy as np
import pytest
from backend import to_numpy
from keras import ops

from keras_spiking import layers


def draw(*shape):
    return np.random.default_rng(0).uniform(0.0, 2.0, shape).astype("float32")


@pytest.mark.parametrize("v_reset", [0.0, None])
def test_arrays_broadcast_over_the_features(v_reset):
    """A neuron with parameters of its own does what it does alone."""
    x = draw(2, 12, 3, 4)
    tau = np.linspace(1.0, 5.0, 12).reshape(3, 4)
    v_threshold = np.array([0.25, 0.5, 1.0, 0.0])
    layer = layers.LIFLayer(tau=tau, v_threshold=v_threshold, v_reset=v_reset)
    spikes = to_numpy(layer(x))
    for i in range(3):
        for j in range(4):
            alone = layers.LIFLayer(
                tau=tau[i, j], v_threshold=v_threshold[j], v_reset=v_reset
            )
            one = x[:, :, i : i + 1, j : j + 1]
            expected = to_numpy(alone(one))[:, :, 0, 0]
            np.testing.assert_array_equal(spikes[:, :, i, j], expected)


def test_array_of_resets():
    x = draw(2, 12, 3)
    resets = [-0.5, 0.0, 0.25]
    spikes = to_numpy(layers.LIFLayer(v_reset=resets)(x))
    for i, v_reset in enumerate(resets):
        alone = layers.LIFLayer(v_reset=v_reset)(x[:, :, i : i + 1])
        np.testing.assert_array_equal(spikes[:, :, i : i + 1], to_numpy(alone))


@pytest.mark.parametrize(
    "sharing, data_format, shape",
    [
        ("layer", "channels_last", ()),
        ("channel", "channels_last", (4,)),
        ("channel", "channels_first", (2, 1, 1)),
        ("neuron", "channels_last", (2, 3, 4)),
    ],
)
@pytest.mark.parametrize("name", ["tau", "v_threshold"])
def test_sharing_sets_the_shape_of_the_weight(name, sharing, data_format, shape):
    layer = layers.LIFLayer(learnable={name: sharing}, data_format=data_format)
    layer.build((None, 5, 2, 3, 4))
    assert [tuple(w.shape) for w in layer.trainable_weights] == [shape]
    expected = {"tau": 2.0, "v_threshold": 1.0}[name]
    assert (to_numpy(layer.trainable_weights[0].value) == expected).all()


def test_without_sharing_a_weight_has_the_shape_of_the_value():
    layer = layers.LIFLayer(tau=[2.0, 3.0], learnable=["tau", "v_threshold"])
    layer.build((None, 5, 2))
    assert sorted(tuple(w.shape) for w in layer.trainable_weights) == [(), (2,)]


def test_learnable_values_start_as_given():
    x = draw(2, 12, 4)
    tau = [2.0, 3.0, 4.0, 5.0]
    fixed = layers.LIFLayer(tau=tau, v_threshold=0.5)(x)
    learnable = layers.LIFLayer(
        tau=tau,
        v_threshold=0.5,
        learnable={"tau": "neuron", "v_threshold": "channel"},
    )
    np.testing.assert_array_equal(to_numpy(learnable(x)), to_numpy(fixed))


@pytest.mark.trains
@pytest.mark.parametrize("sharing", ["layer", "channel", "neuron"])
def test_fit_learns_tau_and_threshold(sharing):
    """The time constant and threshold that made the spikes are found again."""
    x = draw(64, 16, 4)
    target = layers.LIFLayer(tau=4.0, v_threshold=0.6)(x)
    layer = layers.LIFLayer(
        surrogate="atan", learnable={"tau": sharing, "v_threshold": sharing}
    )
    model = keras.Sequential([layer, layers.FiringRate()])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    rate = ops.mean(target, 1)
    history = model.fit(x, to_numpy(rate), epochs=12, batch_size=16, verbose=0)
    loss = history.history["loss"]
    assert loss[-1] < 0.75 * loss[0]
    for weight in layer.trainable_weights:
        start = 2.0 if weight.name == "tau" else 1.0
        assert (to_numpy(weight.value) != start).all()


@pytest.mark.trains
def test_constraints_keep_learned_values_valid():
    layer = layers.LIFLayer(
        tau=1.1, v_threshold=0.1, learnable={"tau": "channel", "v_threshold": "neuron"}
    )
    model = keras.Sequential([layer, layers.FiringRate()])
    model.compile(keras.optimizers.SGD(100.0), "mse")
    model.fit(draw(32, 8, 4), np.ones((32, 4)), epochs=2, verbose=0)
    tau, v_threshold = to_numpy(layer.tau), to_numpy(layer.v_threshold)
    assert (tau >= 1.0).all() and (v_threshold >= 0.0).all()
    assert (tau == 1.0).any() or (v_threshold == 0.0).any()  # the constraint bit


@pytest.mark.trains
def test_parametric_lif_keeps_tau_above_one():
    layer = layers.ParametricLIFLayer(init_tau=1.5)
    model = keras.Sequential([layer, layers.FiringRate()])
    model.compile(keras.optimizers.SGD(10.0), "mse")
    model.fit(draw(32, 8, 4), np.ones((32, 4)), epochs=2, verbose=0)
    tau = float(to_numpy(layer.tau))
    assert tau != 1.5 and tau >= 1.0


@pytest.mark.parametrize("init_tau", [1.5, 2.0, 20.0, [2.0, 3.0, 4.0, 5.0]])
def test_parametric_lif_starts_as_lif(init_tau):
    x = draw(3, 12, 4)
    layer = layers.ParametricLIFLayer(init_tau=init_tau)
    v = to_numpy(layers.LIFLayer(tau=init_tau, v_threshold=1e9, return_state=True)(x))
    w = layers.ParametricLIFLayer(init_tau, v_threshold=1e9, return_state=True)(x)
    np.testing.assert_allclose(to_numpy(w)[1], v[1], rtol=1e-5)
    layer(x)
    np.testing.assert_allclose(to_numpy(layer.tau), init_tau, rtol=1e-6)


@pytest.mark.parametrize("sharing, shape", [("channel", (4,)), ("neuron", (3, 4))])
@pytest.mark.parametrize("name", ["tau", "w"])
@pytest.mark.filterwarnings("ignore:.*'w'.*'tau'")
def test_parametric_lif_shares_as_told(sharing, shape, name):
    layer = layers.ParametricLIFLayer(learnable={name: sharing})
    layer.build((None, 5, 3, 4))
    assert [tuple(w.shape) for w in layer.trainable_weights] == [shape]


def test_arrays_survive_serialization():
    config = {
        "tau": np.array([2.0, 3.0, 4.0]),
        "v_threshold": [[0.5], [1.0]],
        "v_reset": (-0.1, 0.0, 0.1),
        "learnable": {"tau": "neuron"},
    }
    layer = layers.LIFLayer(**{**config, "tau": 2.0})
    restored = layers.LIFLayer.from_config(layer.get_config())
    assert restored.get_config() == layer.get_config()
    layer = layers.LIFLayer(**{**config, "learnable": None})
    text = keras.saving.serialize_keras_object(layer)
    restored = keras.saving.deserialize_keras_object(text)
    x = draw(2, 8, 2, 3)
    np.testing.assert_array_equal(to_numpy(restored(x)), to_numpy(layer(x)))
    assert restored.get_config() == layer.get_config()


@pytest.mark.parametrize(
    "config, message",
    [
        ({"tau": [2.0, 3.0]}, r"`tau` must broadcast over the features"),
        ({"v_threshold": np.ones((2, 1, 1, 4))}, "`v_threshold` must broadcast"),
        (
            {"tau": [2.0, 3.0, 4.0, 5.0], "learnable": {"tau": "layer"}},
            "cannot be shared",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        layers.LIFLayer(**config)(draw(2, 5, 3, 4))


def test_features_of_unknown_size_cannot_have_a_weight_each():
    layer = layers.LIFLayer(learnable={"tau": "neuron"})
    with pytest.raises(ValueError, match="features of a known size"):
        layer(keras.Input((5, None, 3)))


@pytest.mark.parametrize(
    "learnable, message",
    [
        ("taus", "'taus'"),
        ({"tau": "pixel"}, "'layer', 'channel', 'neuron'"),
        ("decay_input", "'tau'"),
    ],
)
def test_unknown_learnable_parameters_are_refused(learnable, message):
    with pytest.raises(ValueError, match=message):
        layers.LIFLayer(learnable=learnable)


def test_a_missing_reset_cannot_be_learned():
    with pytest.raises(ValueError, match="v_reset=None"):
        layers.LIFLayer(v_reset=None, learnable="v_reset")
