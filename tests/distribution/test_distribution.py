import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
import scenarios
from backend import BACKEND
from backend import since_keras

from keras_spiking import backends
from keras_spiking import callbacks
from keras_spiking import distribution
from keras_spiking import layers
from keras_spiking import models
from keras_spiking import online

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
NAMES = {
    "torch": ["convolutional", "normalized", "stdp", "stdp_in_gradients", "fptt"],
    "jax": ["convolutional", "stdp"],
    "tensorflow": ["convolutional"],
}


def start(arguments, folder, flags="", **environment):
    """Starts a process that imports the package from here."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env={
            **os.environ,
            "GLOO_SOCKET_IFNAME": "lo",
            "KERAS_SPIKING_EVENT_DRIVEN": "always",
            "KERAS_SPIKING_FUSED": "always",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "XLA_FLAGS": f"{flags} --xla_dump_to={folder}/hlo "
            "--xla_dump_hlo_module_re=jit_(_unnamed_function|train_step).*",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(processes):
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.terminate()
    assert not any(p.returncode for p in processes), "\n".join(outputs)


def compiled_steps(folder):
    """The compiled programs of training steps, as text."""
    files = pathlib.Path(folder, "hlo").glob("*after_optimizations.txt")
    texts = [file.read_text() for file in files]
    return [text for text in texts if "keras_spiking_host" in text]


def gathered(text):
    """The instructions of a program that put parts of a tensor together."""
    return re.findall(r"= .* (?:all-gather|all-to-all|collective-permute)\S*\(", text)


@pytest.mark.trains
@pytest.mark.usefixtures("weights_of_other_processes")
def test_two_processes_or_devices_learn_what_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    program = [HERE / "scenarios.py", ",".join(NAMES[BACKEND]), tmp_path]
    ranks = "0" if BACKEND == "tensorflow" else "01"
    finish([start(program, tmp_path, **common, RANK=rank) for rank in ranks])

    keras.utils.clear_session()  # or names depend on earlier tests
    for name in NAMES[BACKEND]:
        expected = scenarios.run(name)
        for rank in ranks:
            found = dict(np.load(tmp_path / f"{name}_{rank}.npz"))
            if len(ranks) > 1:
                assert "process 1: another random seed" in str(found.pop("errors"))
            assert set(found) == set(expected)
            for key, values in expected.items():
                np.testing.assert_allclose(
                    found[key], values, rtol=1e-5, atol=1e-5, err_msg=f"{name} {key}"
                )
    if BACKEND == "jax":
        steps = compiled_steps(tmp_path)
        assert steps and "all-reduce" in steps[0]
        assert not any(map(gathered, steps))


@pytest.mark.skipif(BACKEND != "torch", reason="torchrun is of PyTorch")
def test_a_worker_that_is_killed(tmp_path):
    """The engine starts all again, and the training goes on from its last epoch."""
    import dying

    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--max-restarts=1"]
    launcher += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    launcher += ["--local-addr=127.0.0.1", "--monitor-interval=0.1"]
    program = [*launcher, HERE / "dying.py", tmp_path]
    # Else the new processes look for each other where the old ones were.
    fresh = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    finish([start(program, tmp_path, **fresh)])
    model = dying.build()
    dying.fit(model)
    for process in range(2):
        found = np.load(tmp_path / f"weights_{process}.npz")
        for ours, one in zip(found.values(), model.get_weights()):
            np.testing.assert_allclose(ours, one, rtol=1e-5, atol=1e-5)


MODEL_PARALLEL = """
import sys
import keras
import numpy as np
import keras_spiking

mesh = keras.distribution.DeviceMesh(
    (1, 2), ("batch", "model"), keras.distribution.list_devices("cpu")
)
layouts = keras_spiking.distribution.layout_map(mesh)
parallel = keras.distribution.ModelParallel(layout_map=layouts)
x = np.random.default_rng(0).random((8, 8, 8, 1)).astype("float32")

def run():
    keras.utils.set_random_seed(3)
    model = keras_spiking.models.SpikeDrivenTransformer(
        (8, 8, 1), width=16, depth=1, heads=2, classes=4, timesteps=2,
        pooling=(True, True, False, False),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    model.fit(x, np.arange(8) % 4, batch_size=4, epochs=2, verbose=0, shuffle=False)
    return model

with parallel.scope():
    model = run()
split = [v.path for v in model.weights if "model" in str(v.value.sharding.spec)]
assert len(split) == 23, split
for ours, one in zip(model.get_weights(), run().get_weights()):
    np.testing.assert_allclose(ours, one, rtol=1e-5, atol=1e-5)
"""


@pytest.mark.skipif(BACKEND != "jax", reason="ModelParallel is for JAX")
def test_a_transformer_is_split_without_gathering(tmp_path):
    flags = "--xla_force_host_platform_device_count=2"
    auto = {"KERAS_SPIKING_EVENT_DRIVEN": "auto"}
    finish([start(["-c", MODEL_PARALLEL], tmp_path, flags, **auto)])
    steps = [text for text in compiled_steps(tmp_path) if "num_partitions=2" in text]
    assert steps and "all-reduce" in steps[0]
    assert not any(map(gathered, steps))


@pytest.mark.once
@pytest.mark.parametrize(
    "network, size, options, parts",
    [
        ("Spikformer", 8, {"width": 16, "depth": 1, "heads": 2, "patch_size": 4}, 6),
        ("QKFormer", 16, {"width": 32, "depths": (1,) * 3, "heads": (1, 2, 4)}, 21),
        ("MaxFormer", 16, {"width": 32, "depths": (1,) * 3, "heads": 2}, 21),
        ("MetaSpikeformer", 16, {"filters": (8, 16, 16, 16), "depths": (1, 1)}, 122),
    ],
)
def test_layouts_of_weights(network, size, options, parts):
    weights = getattr(models, network)((size, size, 1), **options).weights
    mesh = keras.distribution.DeviceMesh(
        (2, 2), ("batch", "model"), [f"cpu:{i}" for i in range(4)]
    )
    layouts = distribution.layout_map(mesh)
    found = {w.path: layouts[w.path] for w in weights}
    split = {path: layout.axes for path, layout in found.items() if layout}
    assert len(split) == parts
    for weight in weights:
        axes = split.get(weight.path, ())
        assert not axes or len(axes) == len(weight.shape)


@pytest.mark.once
def test_a_mesh_without_the_axis():
    mesh = keras.distribution.DeviceMesh((1,), ("batch",), ["cpu:0"])
    with pytest.raises(ValueError, match="'batch'"):
        distribution.layout_map(mesh)


def build():
    network = [keras.Input((5, 3)), keras.layers.Dense(4, name="d"), layers.LIFLayer()]
    return keras.Sequential(network)


class Peers:
    """Another process, whose report is this one's with a change."""

    def __init__(self, monkeypatch, **changes):
        self.changes = changes
        monkeypatch.setattr(backends.active(), "gather", self.gather)

    def gather(self, text):
        report = json.loads(text)
        for kind, change in self.changes.items():
            report[kind].update(change)
        return [text, json.dumps(report)]


@pytest.mark.once
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"packages": {"Keras": "3.0.0"}}, "Keras 3.0.0 in place of"),
        ({"settings": {"dtype policy": "float16"}}, "dtype policy float16 in place"),
        ({"layers": {"d": "Dense 0"}}, "layer 'd' is another one"),
        ({"layers": {"e": "Dense 0"}}, "layer 'e' is one more"),
        ({"optimizer": {"optimizer": "SGD 0"}}, "the 'optimizer' is another one"),
        ({"data": {"samples": 7}}, "samples 7 in place of 8"),
        ({"data": {"samples": 0}}, "no data in process 1 of 2"),
    ],
)
def test_differences_are_named(changes, words, monkeypatch):
    model = build()
    model.compile("adam", "mse")
    Peers(monkeypatch)
    distribution.check(model, np.ones((8, 5, 3)))
    Peers(monkeypatch, **changes)
    with pytest.raises(ValueError, match=words):
        distribution.check(model, np.ones((8, 5, 3)))


@pytest.mark.once
def test_other_values_of_weights_are_named(monkeypatch):
    model = build()
    shape = "(3, 4) float32 0"
    path = model.weights[0].path
    Peers(monkeypatch, weights={path: shape})
    with pytest.raises(ValueError, match=f"weight '{path}' has other values"):
        distribution.check(model)


@pytest.mark.once
def test_data_that_do_not_divide(monkeypatch):
    monkeypatch.setattr(backends.active(), "devices_of_batch", lambda: 2)
    model, x = build(), np.ones((12, 5, 3))
    distribution.check(model, x, batch_size=4)
    with pytest.raises(ValueError, match="A batch, of 3 samples"):
        distribution.check(model, x, batch_size=3)
    with pytest.raises(ValueError, match="last batch of an epoch, of 3 samples"):
        distribution.check(model, (x[:11], x[:11]), batch_size=4)
    with pytest.raises(ValueError, match="with a length"):
        distribution.check(model, iter(()))
    with pytest.raises(ValueError, match="not built"):
        distribution.check(keras.Sequential([layers.LIFLayer()]))


@pytest.mark.skipif(BACKEND != "torch", reason="group of processes of PyTorch")
class TestDataParallel:
    @pytest.fixture(autouse=True)
    def group(self, tmp_path):
        import torch

        method = f"file://{tmp_path}/store"
        torch.distributed.init_process_group("gloo", method, rank=0, world_size=1)
        yield
        torch.distributed.destroy_process_group()

    def test_one_process_alone(self):
        model = build()
        model.compile("sgd", "mse")
        distribution.data_parallel(model)
        distribution.data_parallel(model)  # a second call changes nothing
        logger = callbacks.FiringRateLogger()
        x = np.ones((8, 5, 3))
        history = model.fit(x, np.ones((8, 5, 4)), verbose=0, callbacks=[logger])
        assert np.isfinite(history.history["loss"]).all()
        distribution.check(model)

    def test_what_cannot_be_shared(self):
        with pytest.raises(ValueError, match="not built"):
            distribution.data_parallel(online.SLTT([keras.layers.Dense(2)], 3))
        model = build()
        distribution.data_parallel(model)
        model.compile("sgd", "mse", jit_compile=True)
        with pytest.raises(ValueError, match="jit_compile=False"):
            model.train_step((np.ones((8, 5, 3)), np.ones((8, 5, 4))))

    @since_keras(3, 14)
    def test_renormalisation_cannot_be_shared(self):
        model = keras.Sequential(
            [keras.Input((5, 3)), keras.layers.BatchNormalization(renorm=True)]
        )
        with pytest.raises(ValueError, match="renorm=True"):
            distribution.data_parallel(model)

    def test_masked_statistics_are_those_of_keras(self):
        from keras_spiking.backends.torch_processes import BatchNorm

        x = keras.ops.convert_to_tensor(np.random.default_rng(0).random((4, 3, 5)))
        x = keras.ops.cast(x, "float32").requires_grad_()
        mask = np.arange(4).reshape(4, 1) >= np.arange(3)
        layer = keras.layers.BatchNormalization()
        layer.build(x.shape)
        y = layer(x, training=True, mask=keras.ops.convert_to_tensor(mask))
        (y * y * x).sum().backward()
        expected, x.grad = x.grad, None

        weight = keras.ops.convert_to_tensor(mask.astype("float32")).reshape(4, 1, 3)
        z, mean, variance = BatchNorm.apply(
            x.movedim(2, 1), layer.gamma.value, layer.beta.value, 1e-3, weight
        )
        z = z.movedim(1, 2)
        (z * z * x).sum().backward()
        np.testing.assert_allclose(z.detach(), y.detach(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(x.grad, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(0.01 * mean, layer.moving_mean.value, rtol=1e-5)


@pytest.mark.once
def test_other_backends_share_no_steps():
    with pytest.raises(RuntimeError, match="for PyTorch"):
        distribution.data_parallel(build())


@pytest.mark.skipif(BACKEND != "torch", reason="group of processes of PyTorch")
def test_no_group_of_processes():
    with pytest.raises(RuntimeError, match="torchrun"):
        distribution.data_parallel(build())
