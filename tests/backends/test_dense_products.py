"""Dense products of our own against NumPy. They do not depend on the backend."""

import ctypes
import functools
import random

import numpy as np
import pytest
from backend import BACKEND

from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels.library import call
from keras_spiking.backends.products import dense
from keras_spiking.backends.products import events
from keras_spiking.backends.products.geometry import LANES
from keras_spiking.backends.products.geometry import Geometry

pytestmark = [
    pytest.mark.skipif(
        BACKEND != "numpy", reason="the same on every backend: tested once, with NumPy"
    ),
    pytest.mark.skipif(compiler.compiler() is None, reason="needs a C compiler"),
]


@functools.cache
def library(dtype):
    text = events.source(dtype) + dense.SOURCE
    return compiler.load(text, flags=("-ffp-contract=fast",))


def run(name, images, geometry, inputs, output, parts=None):
    """Runs all parts of a product, one after the other."""
    functions = library(output.dtype.name)
    sizes = (images, *geometry)
    part = getattr(functions, f"{name}_part")
    if parts is None:
        count = getattr(functions, f"{name}_parts")
        count.restype = ctypes.c_longlong
        parts = count((ctypes.c_longlong * len(sizes))(*sizes))
        assert parts >= 1
    for i in range(parts):
        call(
            functools.partial(part, ctypes.c_longlong(i), ctypes.c_longlong(parts)),
            sizes,
            [array.ctypes.data for array in inputs],
            [output.ctypes.data],
        )


def pairs(taps, inputs, outputs, stride, pad, dilation, transposed):
    """Which input of an axis meets which output by each tap."""
    for tap in range(taps):
        for i in range(outputs if transposed else inputs):
            for o in range(inputs if transposed else outputs):
                if o * stride + tap * dilation - pad == i:
                    yield (tap, o, i) if transposed else (tap, i, o)


def taps_of(g):
    rows = pairs(
        *(g.kernel_rows, g.in_rows, g.out_rows, g.stride_rows, g.pad_rows),
        *(g.dilation_rows, g.transposed),
    )
    columns = list(
        pairs(
            *(g.kernel_columns, g.in_columns, g.out_columns, g.stride_columns),
            *(g.pad_columns, g.dilation_columns, g.transposed),
        )
    )
    return [(row, column) for row in rows for column in columns]


def forward(g, x, weights):
    """The product in float64. Weights are `(groups, rows, columns, depth, filters)`."""
    y = np.zeros((len(x), g.out_rows, g.out_columns, g.groups, g.filters // g.groups))
    x = x.astype("f8").reshape(*x.shape[:3], g.groups, g.channels // g.groups)
    for (a, r, p), (b, c, q) in taps_of(g):
        y[:, p, q] += np.einsum("ngc,gcf->ngf", x[:, r, c], weights[:, a, b])
    return y.reshape(*y.shape[:3], g.filters)


def weights_gradient(g, x, gradient):
    """Gradient of the weights for one of the outputs, `(..., groups, filters)`."""
    depth, filters = g.channels // g.groups, g.filters // g.groups
    dw = np.zeros((g.groups, g.kernel_rows, g.kernel_columns, depth, filters))
    x = x.astype("f8").reshape(*x.shape[:3], g.groups, g.channels // g.groups)
    for (a, r, p), (b, c, q) in taps_of(g):
        dw[:, a, b] += np.einsum("ngc,ngf->gcf", x[:, r, c], gradient[:, p, q])
    return dw


def padded(array, dtype):
    """The last axis is made a multiple of a vector."""
    extra = -array.shape[-1] % LANES[dtype]
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, extra)]).astype(dtype)


def fresh(shape, dtype):
    """What is not written shows. Behind the end nothing may be written."""
    memory = np.full(int(np.prod(shape)) + 64, np.nan, dtype)
    return memory, memory[: memory.size - 64].reshape(shape)


def check(memory, output, expected):
    tolerance = 3e-6 if output.dtype == "f4" else 1e-14
    assert np.isnan(memory[output.size :]).all()
    scale = np.sqrt(np.mean(expected**2)) if expected.size else 0.0
    np.testing.assert_allclose(output, expected, 1e-5, 10 * tolerance * scale + 1e-30)
    error = np.sqrt(np.mean((output - expected) ** 2)) if expected.size else 0.0
    assert error <= tolerance * scale


def check_forward(g, images, dtype, parts=None):
    rng = np.random.default_rng(0)
    depth, filters = g.channels // g.groups, g.filters // g.groups
    kernel = (g.groups, g.kernel_rows, g.kernel_columns, depth, filters)
    x = rng.standard_normal((images, g.in_rows, g.in_columns, g.channels)).astype(dtype)
    weights = rng.standard_normal(kernel)
    memory, y = fresh((images, g.out_rows, g.out_columns, g.filters), dtype)
    run("dense_forward", images, g, [x, padded(weights, dtype)], y, parts)
    check(memory, y, forward(g, x, weights.astype(dtype).astype("f8")))


def check_weights(g, images, dtype, parts=None):
    rng = np.random.default_rng(0)
    filters = g.filters // g.groups
    x = rng.standard_normal((images, g.in_rows, g.in_columns, g.channels)).astype(dtype)
    gradient = rng.standard_normal(
        (images, g.out_rows, g.out_columns, g.groups, filters)
    ).astype(dtype)
    expected = weights_gradient(g, x, gradient.astype("f8"))
    width = -filters % LANES[dtype] + filters
    memory, dw = fresh((*expected.shape[:-1], width), dtype)
    run("dense_weights", images, g, [x, padded(gradient, dtype)], dw, parts)
    check(memory, dw, padded(expected, dtype).astype("f8"))


GEOMETRIES = {
    "dense": (33, Geometry(channels=70, filters=50)),
    "narrow": (100, Geometry(channels=130, filters=10)),
    "deep": (9, Geometry(channels=2000, filters=300)),
    "narrow, groups": (3, Geometry(4, 5, 34, 3, 2, 24, stride_rows=2, groups=2)),
    "pointwise": (3, Geometry(5, 4, 20, 5, 4, 33)),
    "pointwise, stride 2": (3, Geometry(5, 4, 20, 3, 2, 33, 1, 1, 2, 2)),
    "3 x 3": (2, Geometry(9, 7, 24, 9, 7, 40, 3, 3, 1, 1, 1, 1)),
    "3 x 3, stride 2": (2, Geometry(9, 7, 24, 5, 4, 40, 3, 3, 2, 2, 1, 1)),
    "5 x 5": (2, Geometry(9, 7, 3, 9, 7, 20, 5, 5, 1, 1, 2, 2)),
    "stem": (2, Geometry(21, 23, 3, 11, 12, 64, 7, 7, 2, 2, 3, 3)),
    "few pixels": (17, Geometry(2, 2, 96, 2, 2, 64, 3, 3, 1, 1, 1, 1)),
    "many weights": (5, Geometry(3, 3, 200, 3, 3, 300, 3, 3, 1, 1, 1, 1)),
    "sequence": (3, Geometry(1, 40, 18, 1, 40, 16, 1, 5, 1, 1, 0, 2)),
    "depthwise": (2, Geometry(9, 7, 70, 9, 7, 70, 3, 3, 1, 1, 1, 1, groups=70)),
    "depthwise, 2 each": (
        2,
        Geometry(9, 7, 20, 5, 4, 40, 3, 3, 2, 2, 1, 1, groups=20),
    ),
    "groups": (2, Geometry(6, 5, 24, 6, 5, 36, 3, 3, 1, 1, 1, 1, groups=3)),
    "transposed": (2, Geometry(5, 4, 24, 5, 4, 40, 3, 3, 1, 1, 1, 1, transposed=1)),
    "transposed, stride 2": (
        2,
        Geometry(5, 4, 24, 9, 8, 40, 3, 3, 2, 2, 1, 1, transposed=1),
    ),
    "larger stride than kernel": (
        2,
        Geometry(3, 3, 8, 9, 9, 8, 2, 1, 3, 3, transposed=1),
    ),
    "large": (2, Geometry(40, 30, 9, 20, 15, 20, 3, 3, 2, 2, 1, 1)),
    "no images": (0, Geometry(5, 4, 24, 5, 4, 40, 3, 3, 1, 1, 1, 1)),
    "no outputs": (2, Geometry(2, 2, 8, 0, 0, 8, 3, 3)),
}


def any_geometry(seed):
    """A geometry with everything drawn at random."""
    draw = random.Random(seed)
    groups = draw.choice([1, 1, 1, 2, 3, 5])
    channels = groups * draw.choice([1, 1, 2, 3, 7, 16, 33])
    filters = groups * draw.choice([1, 2, 5, 16, 17, 40, 70])
    transposed = draw.choice([0, 0, 1])
    axes = []
    for _ in range(2):
        kernel, stride, dilation = (draw.randint(1, n) for n in (5, 3, 3))
        pad, size = draw.randint(0, 4), draw.randint(1, 9)
        width = (kernel - 1) * dilation + 1
        if transposed:
            outputs = (size - 1) * stride + width - 2 * pad + draw.randint(0, 2)
        else:
            outputs = (size + 2 * pad - width) // stride + 1 + draw.randint(0, 1)
        axes.append((size, max(outputs, 1), kernel, stride, pad, dilation))
    size, outputs, *options = zip(*axes)
    options = [value for option in options for value in option]
    geometry = Geometry(
        *size, channels, *outputs, filters, *options, groups, transposed
    )
    return draw.choice([1, 2, 3, 9, 11]), geometry


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_forward(name, dtype):
    images, geometry = GEOMETRIES[name]
    check_forward(geometry, images, dtype)


@pytest.mark.parametrize("seed", range(60))
def test_forward_of_any_geometry(seed):
    images, geometry = any_geometry(seed)
    check_forward(geometry, images, "float32", parts=seed % 5 + 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_weights(name, dtype):
    images, geometry = GEOMETRIES[name]
    check_weights(geometry, images, dtype)


@pytest.mark.parametrize("seed", range(60))
def test_weights_of_any_geometry(seed):
    images, geometry = any_geometry(seed)
    check_weights(geometry, images, "float32", parts=seed % 5 + 1)
