"""Products that walk over the non-zeros of their input, against the dense ones."""

import itertools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import KERAS_VERSION
from backend import gpu
from backend import gradients
from backend import to_numpy
from keras import layers
from keras import ops

import keras_spiking
from keras_spiking.backends import active
from keras_spiking.backends import explain
from keras_spiking.backends.products import choice
from keras_spiking.backends.products import product
from keras_spiking.backends.products import serving
from keras_spiking.layers import SeqToBatch

pytestmark = pytest.mark.skipif(gpu(), reason="these products run on a CPU")
RANDOM = np.random.default_rng(0)


def sparse(*shape, share=0.2, dtype="float32"):
    x = RANDOM.standard_normal(shape)
    return np.where(RANDOM.random(shape) < share, x, 0.0).astype(dtype)


def in_mode(mode, function):
    keras_spiking.config.set_event_driven(mode)
    try:
        return function()
    finally:
        keras_spiking.config.set_event_driven("auto")


def compare(layer, x, tolerance=1e-5, mode="always"):
    """Outputs and gradients of a walk equal those of the dense product."""
    container = SeqToBatch(layer)
    container.build(x.shape)
    shape = container.compute_output_shape(x.shape)
    direction = RANDOM.standard_normal(shape).astype("float32")

    def run():
        outputs = to_numpy(container(x))
        if BACKEND == "numpy":
            return [outputs]

        def loss(x):
            return ops.sum(
                ops.cast(container(x), "float32") * ops.convert_to_tensor(direction)
            )

        return [outputs, *gradients(loss, [x], container.trainable_variables)]

    keras_spiking.config.set_fused("never")
    dense = run()
    keras_spiking.config.set_fused("auto")
    walked = in_mode(mode, run)
    for expected, value in zip(dense, walked, strict=True):
        assert value.shape == expected.shape
        scale = max(np.abs(expected.astype("float64")).max(initial=0.0), 1.0)
        np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("channels, units", [(1, 1), (17, 10), (100, 65), (300, 530)])
def test_dense(channels, units):
    compare(layers.Dense(units), sparse(3, 5, channels))


@pytest.mark.parametrize(
    "strides, padding", list(itertools.product((1, 2, 3), ("same", "valid")))
)
@pytest.mark.parametrize("kernel", [1, (3, 2), 5])
def test_conv2d(kernel, strides, padding):
    layer = layers.Conv2D(19, kernel, strides, padding)
    compare(layer, sparse(2, 3, 9, 8, 5))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("filters", [4, 34])
def test_dilation_and_groups(filters, padding):
    layer = layers.Conv2D(filters, 3, padding=padding, dilation_rate=2, groups=1)
    compare(layer, sparse(2, 1, 9, 7, 6))
    if BACKEND != "tensorflow":  # no gradient of grouped convolutions on a CPU
        layer = layers.Conv2D(filters, 3, padding=padding, groups=2)
        compare(layer, sparse(2, 2, 9, 7, 6))


@pytest.mark.parametrize("strides", [1, 2])
def test_depthwise(strides):
    layer = layers.DepthwiseConv2D(3, strides, "same", depth_multiplier=2)
    compare(layer, sparse(2, 2, 7, 6, 5))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_transposed(kernel, strides, padding):
    if BACKEND == "torch" and padding == "same" and KERAS_VERSION < (3, 15):
        pytest.skip("Keras pads at other sides, or refuses to")
    layer = layers.Conv2DTranspose(18, kernel, strides, padding)
    compare(layer, sparse(2, 2, 5, 4, 3))
    compare(layers.Conv1DTranspose(3, kernel, strides, padding), sparse(2, 2, 7, 3))


@pytest.mark.skipif(BACKEND != "torch", reason="on PyTorch")
def test_transposed_products_that_older_keras_pads_at_other_sides(monkeypatch):
    monkeypatch.setattr(product, "KERAS_VERSION", (3, 14))
    network = SeqToBatch(layers.Conv2DTranspose(3, 2, 2, "same"))
    x = sparse(2, 2, 5, 4, 3)
    network(x)
    assert not [row for row in explain(network) if row["implementation"] != "dense"]
    with pytest.raises(RuntimeError, match="pads it in another way"):
        in_mode("always", lambda: network(x))


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
def test_conv1d(padding):
    compare(layers.Conv1D(20, 3, padding=padding, strides=2), sparse(2, 3, 11, 4))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="no channels first on a CPU")
def test_channels_first():
    layer = layers.Conv2D(18, 3, padding="same", data_format="channels_first")
    compare(layer, sparse(2, 2, 5, 8, 9))


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((2, 3, 8, 8, 4), "float32"),
        np.ones((2, 3, 8, 8, 4), "float32"),
        np.full((2, 3, 8, 8, 4), -0.25, "float32"),
    ],
    ids=["zeros", "ones", "fractions"],
)
def test_any_values(x):
    compare(layers.Conv2D(16, 3), x)
    compare(layers.Dense(33), x)


def test_more_than_a_block_and_a_chunk():
    compare(layers.Conv2D(300, 3, padding="same"), sparse(3, 7, 20, 18, 33, share=0.05))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_precision(dtype):
    tolerance = {"float16": 2e-3, "bfloat16": 2e-2, "float64": 1e-6}[dtype]
    policy = dtype if dtype == "float64" else f"mixed_{dtype}"
    if dtype == "bfloat16" and BACKEND == "numpy":
        pytest.skip("NumPy has no products in bfloat16")
    compare(layers.Conv2D(16, 3, dtype=policy), sparse(2, 2, 6, 6, 8), tolerance)


@pytest.mark.skipif(BACKEND not in ("jax", "numpy"), reason="none of ours serve")
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_dense_kernels_and_those_that_choose(monkeypatch, share):
    """With a share of 0.2, the first limit lets the dense kernels serve."""
    own = choice.Choice(share, share, (True, True, True))
    monkeypatch.setattr(choice, "of", lambda *arguments: own)
    for layer in (
        layers.Dense(20),
        layers.Conv2D(19, 3, 2, "same"),
        layers.Conv2D(6, 3, groups=3),
        layers.Conv2DTranspose(5, 3, 2, "same"),
        layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
        layers.Conv2D(18, 3, data_format="channels_first"),
    ):
        compare(layer, sparse(2, 3, 9, 8, 9), mode="auto")


def test_kernels_that_do_not_compile_leave_the_dense_product(monkeypatch):
    def fails(*arguments):
        raise RuntimeError("cc could not compile a kernel")

    monkeypatch.setattr(serving.library, "get", fails)
    serving._failure.cache_clear()
    layer = SeqToBatch(layers.Dense(4))
    assert to_numpy(layer(sparse(2, 3, 5))).shape == (2, 3, 4)
    with pytest.raises(RuntimeError, match="could not compile"):
        in_mode("always", lambda: layer(sparse(2, 3, 5)))
    serving._failure.cache_clear()


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode"):
        keras_spiking.config.set_event_driven("sometimes")


def test_what_was_measured_is_kept(monkeypatch, tmp_path):
    """A second process, or one that has forgotten, does not measure again."""
    monkeypatch.setenv("KERAS_SPIKING_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "SMALLEST", 1)
    measured = []
    measure = choice._measure

    def counting(*arguments):
        measured.append(measure(*arguments))
        return measured[-1]

    monkeypatch.setattr(choice, "_measure", counting)
    layer = SeqToBatch(layers.Dense(23))
    x = ops.convert_to_tensor(sparse(3, 5, 29))
    layer(x)
    for _ in range(2):
        choice._known.cache_clear()
        layer(x)
    assert len(measured) == 1
    for limit in measured[0][:2]:
        assert -1.0 <= limit <= 1.0


def test_a_broken_record_is_measured_again(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_SPIKING_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "SMALLEST", 1)
    monkeypatch.setattr(choice.cache, "read", lambda key: b"no numbers")
    choice._known.cache_clear()
    layer = SeqToBatch(layers.Dense(21))
    y = to_numpy(layer(ops.convert_to_tensor(sparse(3, 5, 31))))
    assert y.shape == (3, 5, 21)
    choice._known.cache_clear()


def test_second_derivatives_are_refused_with_the_remedy():
    if BACKEND != "jax":
        pytest.skip("other backends have words of their own")
    import jax

    x = ops.convert_to_tensor(sparse(2, 3, 40))
    layer = SeqToBatch(layers.Dense(5, use_bias=False))
    layer.build(x.shape)

    def loss(x):
        return ops.sum(ops.square(layer(x)))

    def second(x):
        return ops.sum(jax.grad(loss)(x) ** 2)

    with pytest.raises(Exception, match="set_fused"):
        in_mode("always", lambda: jax.grad(second)(x))


def test_in_recurrent_containers():
    x = sparse(2, 4, 9, share=0.3)
    inner = [layers.Dense(7), keras_spiking.layers.LIFLayer()]
    container = keras_spiking.layers.StepByStep(inner)
    container.build(x.shape)
    dense = in_mode("never", lambda: to_numpy(container(x)))
    walked = in_mode("always", lambda: to_numpy(container(x)))
    np.testing.assert_array_equal(walked, dense)


@pytest.mark.parametrize("converted", [False, True])
def test_in_models_that_a_container_holds(converted):
    """What a functional model calls by itself in a container is served as well."""
    inputs = keras.Input((6, 6, 2))
    y = layers.Conv2D(3, 3, activation="relu")(inputs)
    y = layers.Dense(4)(layers.Flatten()(y))
    model, x = keras.Model(inputs, y), sparse(2, 3, 6, 6, 2)
    if converted:  # its convolution stands before the container
        x = x[0]
        network = keras_spiking.conversion.convert(model, x, timesteps=3)
    else:
        network = SeqToBatch(model)
        network.build(x.shape)
    dense = in_mode("never", lambda: to_numpy(network(x)))
    walked = in_mode("always", lambda: to_numpy(network(x)))
    np.testing.assert_allclose(walked, dense, rtol=1e-4, atol=1e-5)
    rows = in_mode("always", lambda: explain(network))
    served = [row for row in rows if row["implementation"] == "event-driven"]
    assert len(served) == (1 if converted else 2)
    assert not any("call" in vars(layer) for layer in model.layers)


def test_an_empty_batch():
    layer = SeqToBatch([layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(4)])
    layer.build((None, 2, 5, 5, 1))
    y = in_mode("always", lambda: to_numpy(layer(np.zeros((0, 2, 5, 5, 1), "float32"))))
    assert y.shape == (0, 2, 4)


SHARDED = """
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from keras_spiking.backends import active
from keras_spiking.backends.products import choice

mesh = Mesh(np.array(jax.devices()), ("batch",))
options = dict(padding="same", dilation_rate=(1, 1), data_format="channels_last")
random = np.random.default_rng(0)
x = np.where(random.random((8, 9, 7, 5)) < 0.2, 1.0, 0.0).astype("float32")
kernel = random.standard_normal((3, 3, 5, 20)).astype("float32")


def loss(x, kernel):
    y = active().conv(x, kernel, strides=(2, 2), **options)
    return jax.numpy.sum(jax.numpy.sin(y))


for share in (0.1, 0.5):  # the dense kernels, and the walks
    choice.of = lambda *arguments: choice.Choice(share, share, (True,) * 3)
    step = jax.jit(jax.value_and_grad(lambda *a: loss(*a), argnums=(0, 1)))
    expected = step(x, kernel)
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
    text = step.lower(split, kernel).compile().as_text()
    assert "all-gather" not in text and "all-to-all" not in text
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(step(split, kernel))):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    assert len(step(split, kernel)[1][0].sharding.device_set) == 2
"""


@pytest.mark.skipif(BACKEND != "jax", reason="needs JAX")
def test_a_split_batch_is_not_gathered():
    flags = "--xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SHARDED], env=environment, check=True)


@pytest.mark.skipif(BACKEND != "jax", reason="needs JAX")
def test_vmap():
    import jax

    x = np.stack([sparse(3, 6, 5, 2) for _ in range(4)])
    kernel = sparse(3, 3, 2, 7, share=1.0)
    options = {"padding": "valid", "dilation_rate": (1, 1), "strides": (1, 1)}

    def conv(x):
        options["data_format"] = "channels_last"
        return active().conv(x, kernel, **options)

    one_by_one = in_mode("never", lambda: np.stack([to_numpy(conv(y)) for y in x]))
    together = in_mode("always", lambda: to_numpy(jax.vmap(conv)(x)))
    np.testing.assert_allclose(together, one_by_one, rtol=1e-5, atol=1e-5)
