"""Casts, truth values and integers in kernels are exact, or there is no kernel."""

import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy
from keras import ops

import keras_spiking
from keras_spiking import layers
from keras_spiking.backends import explain
from keras_spiking.backends.kernels import compiler

pytestmark = [
    pytest.mark.trains,
    pytest.mark.skipif(compiler.compiler() is None, reason="there is no C compiler"),
]


class Charging(layers.SpikingLayer):
    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def charge(self, x, v):
        return v + self.function(x)


def there_and_back(dtype):
    return lambda x: ops.cast(ops.cast(x, dtype), "float32")


EXACT = {
    "float32": there_and_back("float32"),
    "bool": there_and_back("bool"),
    "truth_value": lambda x: ops.cast(ops.cast(x > 0.5, "float16"), "float32"),
    "spike": lambda x: ops.cast(
        ops.cast(keras_spiking.surrogates.get("atan")(x), "bfloat16"), "float32"
    ),
    "integer": lambda x: x * ops.cast(ops.ones_like(x, dtype="int32"), x.dtype),
    "round": lambda x: ops.round(x, 0),
    "clip": lambda x: ops.clip(x, 0, 1),
    "power": lambda x: x**3 + x**2 + x**-1,
}

REFUSED = {
    "float16": (there_and_back("float16"), "float16"),
    "bfloat16": (there_and_back("bfloat16"), "bfloat16"),
    "float64": (there_and_back("float64"), "float64"),
    "int32": (there_and_back("int32"), "int32"),
    "truth_value_to_int8": (
        lambda x: ops.cast(ops.cast(x > 0.5, "int8"), "float32"),
        "int8",
    ),
    "product_in_float16": (
        lambda x: ops.cast(ops.cast(x > 0.5, "float16") * 0.1, "float32"),
        "float16",
    ),
    "integer_of_a_fraction": (
        lambda x: x * ops.cast(ops.full_like(x, 2.7, dtype="int32"), x.dtype),
        "int32",
    ),
    "sum_of_truth_values": (
        lambda x: ops.cast(ops.add(x > 0.5, x > 1.0), "float32"),
        "truth values",
    ),
    "floor_divide": (lambda x: x // 2, "FloorDivide"),
    "mod": (lambda x: x % 2, "Mod"),
    "round_to_decimals": (lambda x: ops.round(x, 2), "decimals"),
}


@pytest.fixture
def x():
    special = [0.1234567, np.nan, np.inf, -np.inf, 1e30, -0.0, 70000.0, 1e-8]
    x = np.random.default_rng(0).normal(1.0, 3.0, (2, 5, 16)).astype("f4")
    x[0, 0, : len(special)] = special
    return x


@pytest.fixture(autouse=True)
def restore_mode():
    yield
    keras_spiking.config.set_fused("auto")


def outcomes(function, x, modes):
    for mode in modes:
        keras_spiking.config.set_fused(mode)
        yield to_numpy(Charging(function, return_state=True)(x))


@pytest.mark.parametrize("name", EXACT)
def test_exact_casts_are_fused(name, x):
    reference, kernel = outcomes(EXACT[name], x, ("never", "always"))
    for a, b in zip(reference, kernel):
        np.testing.assert_allclose(b, a, 1e-6)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.*float64.*:UserWarning")
def test_other_casts_run_on_the_reference(name, x):
    function, reason = REFUSED[name]
    layer = Charging(function)
    layer.build(x.shape)
    (row,) = explain(layer)
    assert row["implementation"] == "reference" and reason in row["reason"]
    if BACKEND == "tensorflow" and name == "sum_of_truth_values":
        return  # TensorFlow has none
    for a, b in zip(*outcomes(function, x, ("never", "auto"))):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no float64 unless told so")
def test_casts_of_float64():
    layer = Charging(there_and_back("float32"), dtype="float64")
    layer.build((None, None, 3))
    assert "float32" in explain(layer)[0]["reason"]
    layer = Charging(lambda x: ops.cast(x, "float64"), dtype="float64")
    layer.build((None, None, 3))
    assert explain(layer)[0]["implementation"] == "fused", explain(layer)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_keeps_its_kernels(policy):
    for name in ("LIFLayer", "ParametricLIFLayer", "ALIFLayer", "KLIFLayer"):
        layer = getattr(layers, name)(dtype=policy)
        layer.build((None, None, 3))
        assert explain(layer)[0]["implementation"] == "fused"


def test_equations_deeper_than_the_recursion_limit():
    def function(x):
        for _ in range(600):
            x = x * 0.5 + 0.1
        return x

    layer = Charging(function)
    layer.build((None, None, 3))
    assert explain(layer)[0]["implementation"] == "fused"
