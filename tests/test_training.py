"""Whole models: training, precision, unknown sizes, devices and export."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import since_keras
from backend import to_numpy
from keras import ops

from keras_spiking import layers
from keras_spiking import losses

ROOT = Path(__file__).parent.parent


def build(timesteps=6, batch=None, policy=None):
    inputs = keras.Input(batch_shape=(batch, timesteps, 5))
    x = layers.SeqToBatch(
        [
            keras.layers.Dense(8, bias_initializer="ones", dtype=policy),
            keras.layers.BatchNormalization(beta_initializer="ones", dtype=policy),
        ],
        dtype=policy,
    )(inputs)
    x = layers.LIFLayer(surrogate="atan", learnable=["tau"], dtype=policy)(x)
    x = layers.SeqToBatch(keras.layers.Dense(3, dtype=policy), dtype=policy)(x)
    x = layers.ParametricLIFLayer(surrogate="atan", dtype=policy)(x)
    return keras.Model(inputs, layers.FiringRate(dtype=policy)(x))


def data(samples=32, timesteps=6):
    generator = np.random.default_rng(0)
    x = generator.uniform(0, 1, (samples, timesteps, 5)).astype("float32")
    return x, np.eye(3, dtype="float32")[x.mean(1)[:, :3].argmax(-1)]


def train(model, jit_compile, timesteps=6, epochs=3):
    x, y = data(timesteps=timesteps)
    optimizer = keras.optimizers.Adam(0.01)
    model.compile(optimizer, "mse", metrics=["accuracy"], jit_compile=jit_compile)
    before = to_numpy([w.value for w in model.trainable_weights])
    history = model.fit(x, y, epochs=epochs, batch_size=16, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for old, weight in zip(before, model.trainable_weights):
        new = to_numpy(weight.value)
        assert np.isfinite(new).all() and (new != old).any(), weight.path
    assert model.predict(x, verbose=0).shape == (32, 3)
    assert np.isfinite(model.evaluate(x, y, verbose=0)).all()


def runs(first, *others):
    """Both ways to run for a number of steps, for others the one that starts fast."""
    fast = BACKEND == "jax"  # without a compiler it runs one operation after another
    pairs = [(first, fast), *((timesteps, fast) for timesteps in others)]
    if BACKEND != "torch":  # TorchInductor has a test of its own below
        pairs.append((first, not fast))
    return pytest.mark.parametrize("timesteps, jit_compile", pairs)


@pytest.mark.trains
@runs(None, 6, 20)
def test_fit_evaluate_and_predict(timesteps, jit_compile):
    train(build(timesteps), jit_compile, timesteps or 20)


@pytest.mark.trains
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@runs(6, 20)
def test_mixed_precision(policy, timesteps, jit_compile):
    train(build(timesteps, policy=policy), jit_compile, timesteps)


@pytest.mark.trains
@runs(None, 6, 20)
def test_masks_in_training(timesteps, jit_compile):
    inputs = keras.Input((timesteps, 5))
    x = keras.layers.Masking()(inputs)
    x = layers.SeqToBatch(keras.layers.Dense(3, bias_initializer="ones"))(x)
    x = layers.StepByStep([layers.LIFLayer(surrogate="atan")], reduce="mean")(x)
    model = keras.Model(inputs, x)
    x, y = data(timesteps=timesteps or 20)
    x[::2, -3:] = 0.0
    model.compile("adam", "mse", jit_compile=jit_compile)
    history = model.fit(x, y, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    # Masked steps at the end are as good as no steps.
    if timesteps is not None:
        return
    short = model(x[::2, :-3])
    np.testing.assert_allclose(
        to_numpy(model(x[::2])), to_numpy(short), rtol=1e-4, atol=1e-5
    )


@pytest.mark.trains
@runs(4, 20)
def test_step_by_step_trains(timesteps, jit_compile):
    network = layers.StepByStep(
        [
            keras.layers.Dense(8, bias_initializer="ones"),
            keras.layers.BatchNormalization(beta_initializer="ones"),
            layers.LIFLayer(surrogate="atan", learnable="v_threshold"),
            layers.Dropout(0.1),
            keras.layers.Dense(3),
            layers.IFLayer(surrogate="atan"),
        ],
        timesteps=timesteps,
        reduce="mean",
    )
    model = keras.Sequential([keras.Input((5,)), network])
    x, y = data()
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=jit_compile)
    history = model.fit(x.mean(1), y, epochs=12, batch_size=16, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.predict(x.mean(1), verbose=0).shape == (32, 3)


@pytest.mark.trains
@pytest.mark.parametrize("step_by_step", [False, True])
def test_compiled_and_eager_give_the_same(step_by_step):
    layer = layers.LIFLayer(tau=3.0)
    if step_by_step:
        layer = layers.StepByStep(layer)
    x = 4 * data(8)[0]
    expected = to_numpy(layer(x))
    model = keras.Sequential([keras.Input((6, 5)), layer])
    model.compile(loss="mse", jit_compile=True)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


@pytest.mark.skipif(BACKEND != "torch", reason="the others compile in all tests above")
def test_torch_compiles_a_training_step():
    model = keras.Sequential(
        [
            keras.Input((2, 5)),
            keras.layers.Dense(3),
            layers.IFLayer(surrogate="atan"),
            layers.FiringRate(),
        ]
    )
    x, _ = data(4, 2)
    model.compile("sgd", "mse", jit_compile=True)
    history = model.fit(x, np.ones((4, 3)), epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.trains
@pytest.mark.parametrize(
    "loss", [losses.TemporalEfficientTraining(), losses.FiringRateMSE()]
)
def test_losses_over_time_train(loss):
    model = build()
    model = keras.Model(model.inputs, model.layers[-2].output)  # every step's spikes
    x, y = data()
    model.compile(keras.optimizers.Adam(0.05), loss)
    history = model.fit(x, y.argmax(-1), batch_size=4, epochs=8, verbose=0)
    assert history.history["loss"][-1] < 0.98 * history.history["loss"][0]


@pytest.mark.trains
def test_training_is_reproducible():
    def run():
        keras.utils.set_random_seed(3)
        network = keras.Sequential(
            [
                keras.Input((5,)),
                layers.PoissonEncoder(6),
                layers.SeqToBatch(keras.layers.Dense(3, bias_initializer="ones")),
                layers.LIFLayer(),
                layers.FiringRate(),
            ]
        )
        network.compile("adam", "mse")
        x, y = data()
        history = network.fit(x.mean(1), y, epochs=2, verbose=0)
        return history.history["loss"]

    assert run() == run()


def test_summary_shows_shapes_and_parameters(capsys):
    build().summary(line_length=120)
    text = capsys.readouterr().out
    assert "(None, 6, 8)" in text and "(None, 6, 3)" in text
    # Two kernels with biases, batch normalisation, one tau, one w.
    assert f"{5 * 8 + 8 + 4 * 8 + 8 * 3 + 3 + 2}" in text


DATA_PARALLEL = """
import sys
sys.path.insert(0, "tests")
import keras
devices = keras.distribution.list_devices("cpu")
assert len(devices) == 2, devices
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
import test_training
test_training.train(test_training.build(20), True, 20)
"""


@pytest.mark.skipif(BACKEND != "jax", reason="DataParallel is for JAX")
def test_data_parallel_on_two_devices():
    subprocess.run(
        [sys.executable, "-c", DATA_PARALLEL],
        env={
            **os.environ,
            "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
            "PYTHONPATH": str(ROOT),
        },
        cwd=ROOT,
        check=True,
    )


MEMORY = """
import resource, sys
import keras
import numpy as np
from keras_spiking import layers
network = layers.StepByStep(
    [keras.layers.Dense(2048), layers.LIFLayer()], timesteps=int(sys.argv[1]),
    reduce="mean")
model = keras.Sequential([keras.Input((8,)), network])
model.predict(np.ones((64, 8), "float32"), batch_size=64, verbose=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_of_inference_does_not_grow_with_time():
    """64 x 2048 x 1000 steps of spikes alone would be 512 MiB."""

    def peak(timesteps):
        result = subprocess.run(
            [sys.executable, "-c", MEMORY, str(timesteps)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(result.stdout.split()[-1])

    assert peak(1000) < 1.5 * peak(10)


@pytest.mark.parametrize("timesteps", [6, 20])
@pytest.mark.skipif(
    BACKEND not in ("jax", "tensorflow"), reason="SavedModel needs JAX or TensorFlow"
)
def test_export_to_saved_model(timesteps, tmp_path):
    if BACKEND == "jax":
        pytest.importorskip("tensorflow")
    import tensorflow as tf

    model = build(timesteps, batch=2)
    model.export(str(tmp_path / "model"), format="tf_saved_model", verbose=False)
    x, _ = data(2, timesteps)
    artifact = tf.saved_model.load(str(tmp_path / "model"))
    outputs = artifact.serve(x)
    np.testing.assert_allclose(outputs.numpy(), to_numpy(model(x)), rtol=1e-4)


@since_keras(3, 15)
@pytest.mark.skipif(BACKEND != "torch", reason="torch's own format")
@pytest.mark.parametrize("timesteps", [6, 20])
def test_export_to_torch(timesteps, tmp_path):
    import torch

    model = build(timesteps, batch=1)  # Keras 3.15 exports for one sample
    path = str(tmp_path / "model.pt2")
    model.export(path, format="torch", verbose=False)
    x, _ = data(1, timesteps)
    outputs = torch.export.load(path).module()(ops.convert_to_tensor(x))
    expected = to_numpy(model(x))
    np.testing.assert_allclose(to_numpy(outputs), expected, rtol=1e-4)
