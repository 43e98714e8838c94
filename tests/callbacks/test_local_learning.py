import keras
import numpy as np
import pytest
from backend import to_numpy
from keras import ops

from keras_spiking import callbacks
from keras_spiking import layers
from keras_spiking import learning
from keras_spiking import online
from keras_spiking.inspection.selection import select_layer

pytestmark = pytest.mark.trains
X = (np.random.default_rng(0).random((6, 5, 4)) < 0.5).astype("float32")
Y = np.zeros((6, 5, 3), "float32")


def network(batch_size=None, **kwargs):
    neuron = layers.IFLayer(name="neuron", **kwargs)
    dense = keras.layers.Dense(3, use_bias=False, name="synapse")
    model = keras.Sequential(
        [
            keras.Input((5, 4), batch_size=batch_size),
            layers.SeqToBatch(dense),
            keras.Sequential([neuron]),
        ]
    )
    dense.kernel.assign(np.linspace(0.1, 1.0, 12).reshape(4, 3))
    return model, dense, neuron


def stdp(**kwargs):
    return callbacks.STDP(
        "synapse", "neuron", 3.0, 2.0, lambda w: w, lambda w: 1.0 - w, **kwargs
    )


def change(model, dense, x=X):
    rule = learning.STDP(dense, 3.0, 2.0, lambda w: w, lambda w: 1.0 - w)
    return to_numpy(rule(x, model(x)))


@pytest.mark.parametrize("jit_compile", [False, "auto"])
@pytest.mark.parametrize("loss", [None, "mse"])
def test_weights_move_after_each_batch(loss, jit_compile):
    model, dense, _ = network()
    model.compile(keras.optimizers.SGD(0.0), loss, jit_compile=jit_compile)
    expected, other, _ = network()
    for i in (0, 3):
        x = X[i : i + 3]
        moved = to_numpy(other.kernel) + 0.01 * change(expected, other, x)
        other.kernel.assign(moved)
    learn = stdp(learning_rate=0.01)
    model.fit(X, Y, 3, shuffle=False, verbose=0, callbacks=[learn])
    np.testing.assert_allclose(to_numpy(dense.kernel), moved, atol=1e-5)


def test_optimizer_applies_the_rule_with_the_loss():
    kernels = []
    for callback in (None, stdp()):
        model, dense, _ = network()
        model.compile(keras.optimizers.SGD(0.5), "mse")
        delta = change(model, dense)
        model.fit(X, Y, 6, verbose=0, callbacks=callback)
        kernels.append(to_numpy(dense.kernel))
    np.testing.assert_allclose(kernels[1] - kernels[0], 0.5 * delta, atol=1e-5)


def test_weights_stay_within_bounds():
    model, dense, _ = network()
    model.compile("sgd")
    learn = stdp(learning_rate=10.0, bounds=(0.0, 0.5))
    model.fit(X, verbose=0, callbacks=[learn])
    kernel = to_numpy(dense.kernel)
    assert kernel.min() >= 0.0 and kernel.max() == 0.5


def test_traces_of_a_stateful_neuron_go_on_and_are_saved(tmp_path):
    model, dense, neuron = network(batch_size=6, stateful=True)
    model.compile("sgd")
    learn = stdp(learning_rate=0.0)
    model.fit(X, None, 6, epochs=2, shuffle=False, verbose=0, callbacks=[learn])
    saved = tmp_path / "model.weights.h5"
    model.save_weights(saved)
    rule = learning.STDP(dense, 3.0, 2.0, ops.sin, ops.cos)
    neuron.reset_state()
    assert not to_numpy(neuron.probe.named["synapse_trace_pre"]).any()
    post = np.concatenate([to_numpy(model(X)) for _ in range(2)], axis=1)
    twice = np.concatenate([X, X], axis=1)
    _, (pre_trace, _) = rule(twice, post, return_traces=True)
    other, _, neuron = network(batch_size=6, stateful=True)
    other.load_weights(saved)
    other.compile("sgd")
    again = stdp(learning_rate=0.0)
    other.fit(X, None, 6, shuffle=False, verbose=0, callbacks=[again])
    state = (pre_trace, post[:, 0])
    _, (later, _) = rule(X, post[:, :5], traces=state, return_traces=True)
    trace = neuron.probe.named["synapse_trace_pre"]
    np.testing.assert_allclose(to_numpy(trace), to_numpy(later), atol=1e-5)


def test_rewards_come_from_targets_and_outputs():
    def reward(y_true, y_pred):
        return y_true[:, 0, 0]

    def one(w):
        return ops.ones_like(w)

    model, dense, _ = network()
    model.compile(keras.optimizers.SGD(0.0))
    before = to_numpy(dense.kernel)
    y = np.arange(90, dtype="float32").reshape(6, 5, 3) / 90
    rule = learning.MSTDP(dense, 3.0, 2.0, one, one)
    expected = to_numpy(rule(X, model(X), reward=y[:, 0, 0]))
    learn = callbacks.MSTDP(
        "synapse", "neuron", 3.0, 2.0, one, one, reward, learning_rate=0.1
    )
    model.fit(X, y, 6, shuffle=False, verbose=0, callbacks=[learn])
    moved = to_numpy(dense.kernel) - before
    np.testing.assert_allclose(moved, 0.1 * expected, atol=1e-5)


@pytest.mark.parametrize("container", ["RecurrentGraph", "LinearRecurrent"])
def test_recurrent_weights_learn_from_the_spikes_of_the_step_before(container):
    neuron = layers.LIFLayer(name="neuron", decay_input=False)
    if container == "LinearRecurrent":
        network, name = layers.LinearRecurrent(neuron, units=3), "connection"
    else:
        nodes = {"encode": keras.layers.Dense(3), "neurons": neuron}
        nodes["feedback"] = keras.layers.Dense(3, name="feedback")
        edges = [("input", "encode"), ("encode", "neurons"), ("feedback", "neurons")]
        edges += [("neurons", "feedback"), ("neurons", "output")]
        network, name = layers.RecurrentGraph(nodes, edges), "feedback"
    model = keras.Sequential([keras.Input((5, 4)), network])
    for weight in model.trainable_variables:
        values = np.linspace(-0.6, 0.8, int(np.prod(weight.shape)))
        weight.assign(values.reshape(weight.shape))
    post = to_numpy(model(X))
    pre = np.concatenate([0.0 * post[:, :1], post[:, :-1]], axis=1)
    assert 0.1 < post.mean() < 0.9
    if container == "LinearRecurrent":
        pre = np.concatenate([X, pre], axis=-1)
    synapse = select_layer(model, name)
    before = to_numpy(synapse.kernel)
    rule = learning.TripletSTDP(name, 3.0, 2.0)
    learn = callbacks.LocalLearning(rule, "neuron", 10.0)
    model.compile(keras.optimizers.SGD(0.0))
    expected = to_numpy(learning.TripletSTDP(synapse, 3.0, 2.0)(pre, post))
    model.fit(X, None, 6, verbose=0, callbacks=[learn])
    moved = to_numpy(synapse.kernel) - before
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(moved, 10.0 * expected, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, "auto"])
def test_eligibility_goes_on_from_batch_to_batch(jit_compile):
    def one(w):
        return ops.ones_like(w)

    moved = []
    for parts in (1, 2):
        dense = keras.layers.Dense(3, use_bias=False, name="synapse")
        neuron = layers.IFLayer(name="neuron", stateful=True, v_threshold=0.5)
        model = keras.Sequential([keras.Input((10 // parts, 4), 6), dense, neuron])
        dense.kernel.assign(np.linspace(0.1, 1.0, 12).reshape(4, 3))
        model.compile(keras.optimizers.SGD(0.0), jit_compile=jit_compile)
        learn = callbacks.MSTDP(
            "synapse", "neuron", 3.0, 2.0, one, one, 0.5, 20.0, learning_rate=1e-6
        )
        x = np.concatenate([X, X[::-1]], axis=1)
        x = np.concatenate(np.split(x, parts, axis=1))
        before = to_numpy(dense.kernel)
        model.fit(x, None, 6, shuffle=False, verbose=0, callbacks=[learn])
        moved.append((to_numpy(dense.kernel) - before) * 1e6)
    assert np.abs(moved[0]).max() > 1.0
    np.testing.assert_allclose(moved[1], moved[0], atol=0.5)


def test_bad_arguments():
    def refuses(error, match, **kwargs):
        arguments = {"synapse": "synapse", "neuron": "neuron", "tau_pre": 3.0}
        arguments |= {"tau_post": 2.0, "f_pre": ops.sin, "f_post": ops.cos}
        with pytest.raises(error, match=match):
            callbacks.STDP(**{**arguments, **kwargs})

    refuses(TypeError, "synapse=None", synapse=None)
    refuses(TypeError, "neuron=3", neuron=3)
    refuses(TypeError, "bounds=5", bounds=5)
    refuses(TypeError, "bounds", bounds=(0.0, "1"))
    refuses(ValueError, "bounds", bounds=(0.0, float("nan")))
    refuses(ValueError, "learning_rate=-1", learning_rate=-1)
    refuses(TypeError, "learning_rate", learning_rate=True)
    refuses(ValueError, "tau_pre", tau_pre=0.5)
    refuses(TypeError, "f_pre", f_pre=1.0)
    with pytest.raises(ValueError, match="reward"):
        arguments = ("synapse", "neuron", 3.0, 2.0, ops.sin, ops.cos)
        callbacks.MSTDP(*arguments, reward=float("nan"))


def test_bad_input():
    model, *_ = network()
    model.compile("sgd")

    def fit(callback):
        model.fit(X, verbose=0, callbacks=[callback])

    rule = learning.Hebbian
    with pytest.raises(ValueError, match="SLTT.*learns online"):
        stack = [keras.layers.Dense(3, name="a"), layers.IFLayer(name="b")]
        online_model = online.SLTT(stack)
        online_model.build(X.shape)
        online_model.compile("sgd", "mse")
        learn = callbacks.Hebbian("a", "b")
        online_model.fit(X, Y[:, 0], verbose=0, callbacks=[learn])
    with pytest.raises(ValueError, match="'nothing'.*'synapse'"):
        fit(callbacks.Hebbian("nothing", "neuron"))
    with pytest.raises(ValueError, match="kernel"):
        fit(callbacks.Hebbian("neuron", "neuron"))
    with pytest.raises(ValueError, match="neuron must be a spiking layer"):
        fit(callbacks.Hebbian("synapse", "synapse"))
    with pytest.raises(TypeError, match="learner"):
        callbacks.LocalLearning("stdp", "neuron")
    with pytest.raises(ValueError, match="bounds"):
        callbacks.LocalLearning(rule("synapse"), "neuron", bounds=(1.0, 0.0))
    with pytest.raises(ValueError, match="takes no `reward`"):
        callbacks.LocalLearning(rule("synapse"), "neuron", reward=1.0)


def test_neuron_must_follow_the_synapse():
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            keras.layers.Dense(4, name="first"),
            layers.IFLayer(name="between"),
            keras.layers.Dense(4, name="second"),
            layers.IFLayer(name="last"),
        ]
    )
    model.compile("sgd")
    with pytest.raises(ValueError, match="does not follow"):
        learn = callbacks.Hebbian("first", "last", learning_rate=1.0)
        model.fit(X, verbose=0, callbacks=[learn])
