"""A `fit` is affected only by the callbacks that it is given."""

import gc
import threading
import weakref

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import callbacks
from keras_spiking import layers
from keras_spiking.inspection import hooks

X = (np.random.default_rng(0).random((6, 5, 4)) < 0.5).astype("float32")
Y = np.random.default_rng(1).random((6, 3)).astype("float32")


class Interruption(keras.callbacks.Callback):
    def __init__(self, error=KeyboardInterrupt, batch=1):
        super().__init__()
        self.error, self.batch = error, batch

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self.batch:
            raise self.error


def network(**kwargs):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((5, 4)),
            keras.layers.Dense(3, name="synapse"),
            layers.LIFLayer(name="neuron", v_threshold=0.3),
            layers.FiringRate(),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse", **kwargs)
    return model


def stdp(learning_rate=0.1):
    return callbacks.STDP(
        "synapse", "neuron", 3.0, 2.0, lambda w: w, lambda w: 1.0 - w, learning_rate
    )


def fit(model, *given, **kwargs):
    history = model.fit(
        X, Y, 2, shuffle=False, verbose=0, callbacks=list(given), **kwargs
    )
    return history.history, [to_numpy(w.value) for w in model.weights]


def interrupt(model, *given, **kwargs):
    before = model.get_weights()
    error = kwargs.pop("error", KeyboardInterrupt)
    with pytest.raises(error):
        fit(model, *given, Interruption(error), **kwargs)
    model.set_weights(before)
    model.optimizer.iterations.assign(0)


def given(learning_rate):
    return [stdp(learning_rate), callbacks.FiringRateLogger()]


@pytest.mark.trains
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("learning_rate", [0.1, None])
@pytest.mark.parametrize("jit_compile", [False, "auto"])
def test_interrupted_fit_leaves_nothing(error, learning_rate, jit_compile):
    expected = fit(network(jit_compile=jit_compile))
    model = network(jit_compile=jit_compile)
    interrupt(model, *given(learning_rate), error=error)
    assert all("call" not in vars(layer) for layer in model.layers)
    history, weights = fit(model)
    assert history.keys() == expected[0].keys()
    for found, value in zip(weights, expected[1], strict=True):
        np.testing.assert_allclose(found, value, atol=1e-6)
    assert "make_train_function" not in vars(model)


@pytest.mark.trains
@pytest.mark.parametrize("learning_rate", [0.1, None])
def test_callbacks_can_be_used_again(learning_rate):
    expected = fit(network(), *given(learning_rate))
    model, again = network(), given(learning_rate)
    interrupt(model, *again)
    history, weights = fit(model, *again)
    assert history.keys() == expected[0].keys()
    for found, value in zip(weights, expected[1], strict=True):
        np.testing.assert_allclose(found, value, atol=1e-6)
    other = network()
    for found, value in zip(fit(other, *again)[1], expected[1], strict=True):
        np.testing.assert_allclose(found, value, atol=1e-6)


@pytest.mark.trains
@pytest.mark.parametrize("method", ["train_on_batch", "evaluate", "predict", "call"])
def test_other_methods_after_an_interruption(method):
    model, plain = network(), network()
    interrupt(model, *given(None))
    results = []
    for m in (model, plain):
        if method == "train_on_batch":
            m.train_on_batch(X, Y)
            results.append(m.get_weights())
        elif method == "evaluate":
            results.append([m.evaluate(X, Y, verbose=0)])
        else:
            results.append([m.predict(X, verbose=0) if method == "predict" else m(X)])
    for found, value in zip(*results, strict=True):
        np.testing.assert_allclose(to_numpy(found), to_numpy(value), atol=1e-6)


@pytest.mark.trains
def test_layers_that_another_model_shares():
    model = network()
    interrupt(model, *given(None))
    other = keras.Sequential([keras.Input((5, 4)), *model.layers])
    other.compile(keras.optimizers.SGD(0.01), "mse")
    expected = fit(network())
    for found, value in zip(fit(other)[1], expected[1], strict=True):
        np.testing.assert_allclose(found, value, atol=1e-6)


@pytest.mark.trains
def test_loop_of_train_on_batch_calls_callbacks():
    expected = fit(network(), stdp())[1]
    model = network()
    every = keras.callbacks.CallbackList([stdp()], model=model)
    every.on_train_begin()
    every.on_epoch_begin(0)
    for i in range(3):
        every.on_train_batch_begin(i)
        model.train_on_batch(X[2 * i : 2 * i + 2], Y[2 * i : 2 * i + 2])
        every.on_train_batch_end(i)
    every.on_epoch_end(0)
    every.on_train_end()
    for found, value in zip(model.weights, expected, strict=True):
        np.testing.assert_allclose(to_numpy(found.value), value, atol=1e-6)


@pytest.mark.trains
def test_another_callback_may_compile_the_training_anew():
    class Anew(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.make_train_function(force=True)

    expected = fit(network(), stdp(), epochs=2)[1]
    for found, value in zip(fit(network(), stdp(), Anew(), epochs=2)[1], expected):
        np.testing.assert_allclose(found, value, atol=1e-6)


@pytest.mark.trains
def test_two_rules_for_one_synapse():
    both, one = network(), network()
    fit(both, stdp(0.1), stdp(0.2))
    fit(one, stdp(0.3))
    start = network().get_weights()[0]
    first, second = both.get_weights()[0] - start, one.get_weights()[0] - start
    np.testing.assert_allclose(first, second, rtol=0.2, atol=0.02)


@pytest.mark.trains
def test_repeated_fits_compile_once():
    traced = []

    class Traced(keras.layers.Layer):
        def call(self, x):
            traced.append(1)
            return x

    model = network()
    model = keras.Sequential([keras.Input((5, 4)), Traced(), *model.layers])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    rule, logger = stdp(), callbacks.FiringRateLogger()
    fit(model, rule, logger)
    fit(model)
    fit(model, rule, logger)
    objects = len(gc.get_objects())
    count = len(traced)
    for _ in range(10):
        fit(model, rule, logger)
        fit(model, rule, callbacks.FiringRateLogger())
        fit(model)
    if keras.config.backend() != "torch":
        assert len(traced) == count
    gc.collect()
    assert len(gc.get_objects()) - objects < 1000


@pytest.mark.trains
def test_models_are_released():
    model = network()
    fit(model, *given(0.1))
    interrupt(model, *given(0.1))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_hooks_act_in_their_own_thread():
    layer, seen = layers.IFLayer(), []
    inside, done = threading.Event(), threading.Event()

    def hook(call, *args, **kwargs):
        seen.append(threading.get_ident())
        return call(*args, **kwargs)

    def other():
        inside.wait(10)
        layer(X)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with hooks.around([(layer, "call", hook)]):
        inside.set()
        assert done.wait(30)
        layer(X)
    thread.join()
    assert seen == [threading.get_ident()]
    assert "call" not in vars(layer)


def test_hooks_go_when_something_raises():
    layer = layers.IFLayer()

    def hook(call, *args, **kwargs):
        raise RuntimeError

    with pytest.raises(AttributeError):
        with hooks.around([(layer, "call", hook), (layer, "nothing", hook)]):
            pass
    with pytest.raises(RuntimeError):
        with hooks.around([(layer, "call", hook)]):
            layer(X)
    assert "call" not in vars(layer)
    layer(X)
