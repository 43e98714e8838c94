"""Fused kernels inside of what JAX does to functions."""

import os
import subprocess
import sys

import numpy as np
import pytest
from backend import BACKEND

from keras_spiking import layers

pytestmark = [
    pytest.mark.skipif(BACKEND != "jax", reason="needs JAX"),
    pytest.mark.usefixtures("always"),
]


def lif(**kwargs):
    layer = layers.LIFLayer(**kwargs)
    layer.build((None, None, 5))
    return layer


def loss(layer):
    import jax.numpy as jnp

    return lambda x: jnp.sum(layer(x) * x)


X = np.random.default_rng(0).normal(0.5, 1.0, (3, 2, 8, 5)).astype("float32")


def test_vmap_equals_a_loop():
    import jax

    layer = lif(return_state=True)
    for together, alone in zip(jax.vmap(layer)(X), zip(*[layer(x) for x in X])):
        np.testing.assert_array_equal(together, np.stack(alone))
    gradient = jax.grad(loss(lif()))
    together = jax.vmap(gradient)(X)
    np.testing.assert_allclose(together, np.stack([gradient(x) for x in X]), rtol=1e-6)


def test_remat_has_equal_gradients():
    import jax

    layer = lif()
    plain = jax.jit(jax.grad(loss(layer)))(X[0])
    remat = jax.jit(jax.grad(jax.checkpoint(loss(layer))))(X[0])
    np.testing.assert_array_equal(plain, remat)


def test_a_second_derivative_says_what_to_do():
    import jax

    gradient = jax.grad(loss(lif()))
    with pytest.raises(RuntimeError, match=r'set_fused\("never"\)'):
        jax.grad(lambda x: gradient(x).sum())(X[0])


def run(code, **environment):
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


SHARDED = """
import jax, keras, numpy as np, keras_spiking
from jax.sharding import Mesh, NamedSharding, PartitionSpec
mesh = Mesh(np.array(jax.devices()), ("batch",))
assert mesh.size == 2
whole = np.random.default_rng(0).normal(0.5, 1, (4, 7, 6)).astype("float32")
x = jax.device_put(whole, NamedSharding(mesh, PartitionSpec("batch")))
for with_states in (False, True):
    layer = keras_spiking.layers.LIFLayer(learnable="tau", return_state=with_states)
    layer.build((None, None, 6))
    variable = layer.trainable_variables[0]
    def loss(tau, x):
        with keras.StatelessScope([(variable, tau)]):
            outputs = layer(x)
        spikes, v = outputs if with_states else (outputs, x[:, 0])
        return (spikes * x).sum() + (v * v).sum()
    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    text = gradient.lower(variable.value, x).compile().as_text()
    assert "keras_spiking_host" in text
    assert "all-gather" not in text, text
    expected = gradient(variable.value, whole)
    for g, value in zip(gradient(variable.value, x), expected):
        np.testing.assert_allclose(g, value, rtol=1e-5)
"""


def test_batch_is_split_over_devices_without_gathering():
    flags = "--xla_force_host_platform_device_count=2"
    run(SHARDED, XLA_FLAGS=flags, JAX_PLATFORMS="cpu", KERAS_SPIKING_FUSED="always")


CACHED = """
import jax, numpy as np, keras_spiking
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
layer = keras_spiking.layers.LIFLayer()
layer.build((None, None, 6))
print(float(jax.jit(lambda x: layer(x).sum())(np.full((2, 9, 6), 1.7, "float32"))))
print(sum("cache_hits" in event for event in hits))
"""


def test_executable_from_the_persistent_cache_works_in_another_process(tmp_path):
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "KERAS_SPIKING_FUSED": "always",
    }
    first, hits = run(CACHED, **settings).split()[-2:]
    again, more_hits = run(CACHED, **settings).split()[-2:]
    assert again == first and float(first) > 0
    assert int(more_hits) > int(hits)


def test_lowers_for_cuda_devices_where_there_is_one(monkeypatch):
    import jax

    from keras_spiking.backends import jax as backend

    class Device:
        local_hardware_id = 0

    monkeypatch.setattr(backend, "_cuda_devices", lambda: [Device])
    monkeypatch.setattr(backend.Jax, "register", lambda self, library: None)

    class Unknown(layers.LIFLayer):  # of no other test: JAX has traced nothing of it
        def charge(self, x, v):
            return 0.75 * super().charge(x, v)

    layer = Unknown()
    layer.build((None, None, 5))
    traced = jax.jit(jax.grad(loss(layer))).trace(X[0])
    for platform, target in (("cuda", backend.DEVICE), ("cpu", backend.HOST)):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert target in text
        assert text.count(backend.HOST) + text.count(backend.DEVICE) == 2, text


HARNESS = """
static XLA_FFI_Error *create(XLA_FFI_Error_Create_Args *args) {
    return (XLA_FFI_Error *)args->message;
}
static XLA_FFI_Error *stream(XLA_FFI_Stream_Get_Args *args) {
    args->stream = (void *)77;
    return 0;
}
static XLA_FFI_Error *device(XLA_FFI_DeviceOrdinal_Get_Args *args) {
    args->device_ordinal = 1;
    return 0;
}
const char *drive(uint64_t key, int64_t *sizes, int inputs, int outputs, void **data) {
    XLA_FFI_Api api = {0};
    api.XLA_FFI_Error_Create = create;
    api.XLA_FFI_Stream_Get = stream;
    api.XLA_FFI_DeviceOrdinal_Get = device;
    XLA_FFI_Buffer buffers[64] = {0};
    void *pointers[64];
    for (int i = 0; i < inputs + outputs; i++) {
        buffers[i].data = data[i];
        buffers[i].dims = sizes;
        pointers[i] = &buffers[i];
    }
    XLA_FFI_Scalar scalar = {0};
    scalar.value = &key;
    void *attributes[] = {&scalar};
    XLA_FFI_CallFrame frame = {0};
    frame.api = &api;
    frame.args.size = inputs;
    frame.args.args = pointers;
    frame.rets.size = outputs;
    frame.rets.rets = pointers + inputs;
    frame.attrs.size = 1;
    frame.attrs.attrs = attributes;
    return (const char *)keras_spiking_call(&frame);
}
"""


def test_target_for_cuda_devices_launches_what_was_registered():
    import ctypes

    import jax

    from keras_spiking.backends import xla
    from keras_spiking.backends.kernels import compiler

    text = xla.DEVICE_SOURCE + HARNESS
    target = compiler.load(text, (f"-I{jax.ffi.include_dir()}",))
    target.drive.restype = ctypes.c_char_p
    kernel, key = 12345, 1000
    number, pointer = ctypes.c_uint, ctypes.c_void_p
    launches = []

    @ctypes.CFUNCTYPE(
        ctypes.c_int, pointer, *[number] * 7, pointer, ctypes.POINTER(pointer), pointer
    )
    def launch(function, *arguments):
        *grid, stream, parameters, _ = arguments
        values = [ctypes.c_longlong.from_address(parameters[i]).value for i in range(6)]
        launches.append((function, grid, stream, values))
        return len(launches) - 1  # the second launch fails

    target.keras_spiking_launcher(launch)
    arrays = (pointer * 3)(111, 222, 333)
    sizes = (ctypes.c_int64 * 3)(3, 7, 131)

    def drive():
        return target.drive(ctypes.c_uint64(key), sizes, 2, 1, arrays)

    assert drive() == b"this process has not made the kernel"
    target.keras_spiking_register(
        ctypes.c_uint64(key + xla.DEVICE_STRIDE), pointer(kernel)
    )
    assert drive() is None
    expected = [3, 7, 131, 111, 222, 333]
    assert launches == [(kernel, [2, 1, 1, 256, 1, 1, 0], 77, expected)]
    assert drive() == b"the GPU did not take the kernel"
