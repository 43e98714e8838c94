import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import callbacks
from keras_spiking import layers

pytestmark = pytest.mark.trains
X = np.random.default_rng(0).random((7, 10, 4)).astype("float32") * 3.0
Y = np.ones((7, 3), "float32")


def compiled(*stack, **kwargs):
    model = keras.Sequential([keras.Input((10, 4)), *stack, keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.0), "mse", **kwargs)
    return model


def network():
    stepped = [keras.layers.Dense(6), layers.IFLayer(name="if")]
    first = layers.LIFLayer(name="lif")
    return first, layers.StepByStep(stepped), layers.FiringRate()


@pytest.mark.parametrize("jit_compile", [False, "auto"])
def test_logs_are_what_a_monitor_sees(jit_compile):
    model = compiled(*network(), jit_compile=jit_compile)
    logger, monitor = callbacks.FiringRateLogger(), callbacks.OutputMonitor(X)
    logs = model.fit(
        X,
        Y,
        3,
        2,
        validation_data=(X[:2], Y[:2]),
        verbose=0,
        callbacks=[logger, monitor],
    ).history
    for name in ("lif", "if"):
        spikes = monitor.records[name][0]
        silent = (spikes.sum(axis=(0, 1)) == 0).mean()
        np.testing.assert_allclose(logs[f"firing_rate/{name}"], spikes.mean(), 1e-5)
        np.testing.assert_allclose(logs[f"silent_fraction/{name}"], silent, 1e-5)


def test_rates_reach_callbacks_in_any_order(tmp_path):
    class Batches(keras.callbacks.Callback):
        seen = set()

        def on_train_batch_end(self, batch, logs=None):
            self.seen.update(logs)

    model = compiled(*network())
    csv, batches = keras.callbacks.CSVLogger(tmp_path / "log.csv"), Batches()
    given = [csv, batches, callbacks.FiringRateLogger()]
    logs = model.fit(X, Y, 3, 2, verbose=0, callbacks=given).history
    names = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    expected = {"firing_rate/lif", "firing_rate/if", "silent_fraction/lif"}
    assert expected <= set(names) and expected <= batches.seen
    assert expected <= set(logs)


def test_parallel_neurons_are_counted():
    model = compiled(layers.PSN(name="psn"), layers.FiringRate())
    logger, monitor = callbacks.FiringRateLogger(), callbacks.OutputMonitor(X)
    logs = model.fit(X, Y, 3, verbose=0, callbacks=[logger, monitor]).history
    rate = monitor.records["psn"][0].mean()
    np.testing.assert_allclose(logs["firing_rate/psn"], rate, 1e-5)


def test_states_that_are_not_finite_are_warned_of_once():
    model = compiled(*network())
    x = X.copy()
    x[0, 3] = np.nan
    logger = callbacks.FiringRateLogger("lif")
    with pytest.warns(
        UserWarning, match="'lif': outputs or states are not finite"
    ) as caught:
        model.fit(x, Y, 3, 2, verbose=0, callbacks=[logger])
    assert sum("not finite" in str(w.message) for w in caught) == 1


def test_masked_steps_do_not_count():
    inputs = keras.Input((10, 4))
    masked = keras.layers.Masking()(inputs)
    spikes = layers.LIFLayer(v_threshold=0.1, name="lif")(masked)
    model = keras.Model(inputs, keras.layers.Dense(4)(layers.FiringRate()(spikes)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.ones((4, 10, 4), "float32")
    x[:, 5:] = 0.0
    logger = callbacks.FiringRateLogger()
    logs = model.fit(x, x[:, 0], verbose=0, callbacks=[logger]).history
    assert logs["firing_rate/lif"] == [1.0]


def test_weights_and_files_stay_as_they_are(tmp_path):
    model = compiled(*network())
    count = len(model.get_weights())
    path = str(tmp_path / "model.keras")
    saving = keras.callbacks.ModelCheckpoint(path)
    logger = callbacks.FiringRateLogger("lif")
    model.fit(X, Y, verbose=0, callbacks=[logger, saving])
    assert len(model.get_weights()) == count
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(to_numpy(loaded(X)), to_numpy(model(X)), atol=1e-6)
    model.fit(X, Y, verbose=0)


def test_bad_input():
    model = compiled(*network())
    with pytest.raises(ValueError, match="'nothing'.*'lif'"):
        logger = callbacks.FiringRateLogger("nothing")
        model.fit(X, Y, verbose=0, callbacks=[logger])
    with pytest.raises(TypeError, match="spiking layers"):
        logger = callbacks.FiringRateLogger(keras.layers.Dense)
        model.fit(X, Y, verbose=0, callbacks=[logger])


def neurons_driven_by(current):
    """Neurons that all get the same current at every step."""
    dense = keras.layers.Dense(6, "linear", kernel_initializer="zeros")
    dense.bias_initializer = keras.initializers.Constant(current)
    return dense, layers.LIFLayer(name="lif"), layers.FiringRate()


@pytest.mark.parametrize(
    "current, what", [(0.0, "'lif': silent"), (5.0, "'lif': saturated")]
)
def test_layers_that_cannot_learn_are_warned_of_once(current, what):
    model = compiled(*neurons_driven_by(current))
    logger = callbacks.FiringRateLogger()
    with pytest.warns(UserWarning, match=what + r".*calibrate\(model, x\)") as caught:
        model.fit(X, Y, 3, 2, verbose=0, callbacks=[logger])
    assert sum("'lif'" in str(w.message) for w in caught) == 1


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(
    "neurons", [lambda: layers.ILIFLayer(D=8, name="lif"), lambda: layers.LIFLayer()]
)
def test_neurons_that_fire_often_are_not_warned_of(neurons):
    dense, _, rate = neurons_driven_by(1.6)
    model = compiled(dense, neurons(), rate)
    model.fit(X, Y, 3, verbose=0, callbacks=[callbacks.FiringRateLogger()])
