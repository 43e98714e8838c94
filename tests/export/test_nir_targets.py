"""Graphs in the dialects of the frameworks that read them.

`NIR_FRAMEWORKS` names a Python whose environment has the frameworks, see
`tests/nir_frameworks/README.md`: then they read what is written here.
"""

import json
import os
import pathlib
import subprocess
import types

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

from keras_spiking import export
from keras_spiking import layers
from keras_spiking import models
from keras_spiking.layers import SeqToBatch

nir = pytest.importorskip("nir")

# What is written does not depend on the backend, which takes time to compile.
pytestmark = pytest.mark.skipif(BACKEND != "numpy", reason="run once")

READ = pathlib.Path(__file__).parents[1] / "nir_frameworks" / "read.py"
Dense, Conv2D = keras.layers.Dense, keras.layers.Conv2D


def neurons(target):
    """IF and LIF with the reset that the target's neurons have."""
    reset = {"v_reset": None} if target in ("sinabs", "spyx") else {}

    def fire(**options):
        late = [layers.Delay(1)] if target == "spyx" else []
        return [layers.IFLayer(**reset, **options), *late]

    def leak(**options):
        return [layers.LIFLayer(**reset, **options)]

    return types.SimpleNamespace(fire=fire, leak=leak)


def sequential(shape, *stack):
    return keras.Sequential([keras.Input((None, *shape)), *stack])


def dense(kind):
    stack = [Dense(6), *kind.fire(), Dense(6, use_bias=False)]
    stack += [*kind.leak(v_threshold=0.5), Dense(6)]
    return sequential((8,), *stack, *kind.leak(tau=4.0, decay_input=False))


def without_leak(kind):
    return sequential(
        (8,), Dense(6), *kind.fire(), Dense(5, use_bias=False), *kind.fire()
    )


def reset_free(kind):
    neuron = [layers.LILayer(tau=2.0), layers.LIFLayer(tau=1.0)]
    return sequential((8,), Dense(6), *neuron, Dense(5), *neuron)


def convolutional(kind):
    return sequential(
        (8, 8, 2),
        SeqToBatch(Conv2D(4, 3, padding="same")),
        *kind.fire(),
        SeqToBatch(keras.layers.AveragePooling2D(2)),
        SeqToBatch(Conv2D(4, (1, 3), groups=2)),
        *kind.fire(v_threshold=2.0),
        SeqToBatch(keras.layers.Flatten()),
        Dense(5),
        *kind.fire(),
    )


def leaky_convolutional(kind):
    return sequential(
        (8, 8, 2),
        SeqToBatch(Conv2D(4, 3)),
        *kind.leak(),
        SeqToBatch([keras.layers.GlobalAveragePooling2D(), Dense(5)]),
        *kind.leak(decay_input=False),
    )


def maximum(kind):
    return sequential(
        (8, 8, 2),
        SeqToBatch(Conv2D(4, 3, padding="same")),
        *kind.fire(v_threshold=4.0),
        SeqToBatch([keras.layers.MaxPooling2D(2), Conv2D(4, 3)]),
        *kind.fire(v_threshold=2.0),
        SeqToBatch([keras.layers.Flatten(), Dense(5)]),
        *kind.fire(),
    )


def centered_maximum(kind):
    return sequential(
        (8, 8, 2),
        SeqToBatch(Conv2D(4, 3, padding="same")),
        *kind.fire(v_threshold=4.0),
        SeqToBatch([layers.CenteredMaxPooling2D(), keras.layers.Flatten(), Dense(5)]),
        *kind.fire(),
    )


def sequences(kind):
    return sequential(
        (9, 2),
        SeqToBatch(keras.layers.Conv1D(4, 3, strides=2)),
        *kind.fire(),
        SeqToBatch(keras.layers.Flatten()),
        Dense(5),
        *kind.fire(),
    )


def residual(kind):
    inputs = keras.Input((None, 8))
    x = kind.fire()[0](Dense(6)(inputs))
    y = kind.leak()[0](Dense(6)(x))
    z = keras.layers.Add()([x, y])
    w = kind.fire()[0](Dense(6)(z))
    return keras.Model(inputs, keras.layers.Add()([z, w]))


def fork(kind):
    inputs = keras.Input((None, 8))
    x = kind.fire()[0](Dense(6)(inputs))
    y, z = kind.leak()[0](Dense(6)(x)), kind.fire()[0](Dense(6)(x))
    return keras.Model(inputs, kind.fire()[0](Dense(4)(keras.layers.Add()([z, y]))))


def current_based(kind):
    return sequential(
        (8,),
        Dense(6),
        layers.LILayer(tau=2.0, decay_input=False),
        *kind.leak(tau=4.0, decay_input=False),
        Dense(5),
        layers.LILayer(tau=2.0),
        *kind.leak(v_threshold=0.5),
    )


def feedback(kind):
    inner = [Dense(6), *kind.leak(v_threshold=0.5)]
    return sequential((8,), Dense(6), layers.ElementwiseRecurrent(inner), Dense(4))


def recurrent(kind, bias=False):
    edges = [("input", "n"), ("n", "f"), ("f", "n"), ("n", "output")]
    nodes = {"n": kind.leak(v_threshold=0.5), "f": Dense(6, use_bias=bias)}
    return sequential((8,), Dense(6), layers.RecurrentGraph(nodes, edges), Dense(4))


PLAIN = (dense, without_leak, convolutional, maximum)
TAKEN = {
    "spikingjelly": (
        *PLAIN,
        leaky_convolutional,
        centered_maximum,
        sequences,
        residual,
        fork,
        current_based,
        feedback,
        recurrent,
    ),
    "snntorch": (
        *PLAIN,
        leaky_convolutional,
        centered_maximum,
        sequences,
        residual,
        fork,
        current_based,
    ),
    "norse": (*PLAIN, leaky_convolutional, residual, current_based),
    "sinabs": (dense, without_leak, convolutional, residual, current_based),
    "snn-mlir": (*PLAIN, leaky_convolutional, sequences),
    "spyx": (without_leak, convolutional, reset_free),
}
DT = {"snntorch": 1e-4, "sinabs": 1.0, "spyx": 1.0}


def exact(model):
    """The model with weights of few bits."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("kernel", "bias"):
            weight.assign(random.integers(-4, 7, weight.shape) / 8)
    return model


def data(model):
    shape = (3, 12, *model.input_shape[2:])
    return (np.random.default_rng(0).uniform(size=shape) < 0.4).astype("float32")


def cases():
    return [(target, make) for target, makers in TAKEN.items() for make in makers]


@pytest.mark.parametrize("target, make", cases())
def test_what_is_written_for_a_target_is_what_it_reads(target, make, tmp_path):
    model = exact(make(neurons(target)))
    graph = export.to_nir(model, tmp_path / "network.nir", target=target)
    assert len(nir.read(tmp_path / "network.nir").nodes) == len(graph.nodes)
    if target == "spyx":  # its neurons are NIR's, but a step late
        return
    options = {"at_threshold": target in ("spikingjelly", "sinabs")}
    if target in DT:
        options["dt"] = DT[target]
    if target not in ("spikingjelly", "norse"):
        options["discretization"] = "unit_gain"
    for node in graph.nodes.values():
        if target == "sinabs" and hasattr(node, "tau"):  # its decay is exponential
            node.tau = 1 / -np.expm1(-1 / node.tau)
        if target == "norse" and isinstance(node, nir.IF):  # its gain is 1
            node.r = node.r / 1e-4
    if target == "sinabs":
        options["reset"] = "soft"
    x = data(model)
    expected = to_numpy(model(x))
    assert np.ptp(expected) > 0
    actual = to_numpy(export.from_nir(graph, **options)(x))
    np.testing.assert_allclose(actual, expected, atol=1e-6)


@pytest.mark.skipif("NIR_FRAMEWORKS" not in os.environ, reason="no frameworks")
@pytest.mark.parametrize("target", TAKEN)
def test_targets_give_the_spikes(target, tmp_path):
    for make in TAKEN[target]:
        model = exact(make(neurons(target)))
        write(model, target, data(model), tmp_path / make.__name__)
    if target == "spikingjelly":
        write_residual_network(tmp_path)
    command = [os.environ["NIR_FRAMEWORKS"], READ, target, tmp_path]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert len(counts) >= len(TAKEN[target])
    assert not any(counts.values()), counts


def write(model, target, x, path, outputs=None, **options):
    outputs = to_numpy(model(x)) if outputs is None else outputs
    export.to_nir(model, path.with_suffix(".nir"), target=target, **options)
    x = np.moveaxis(x, -1, 2)
    if outputs.ndim > 3 and target != "spyx":
        outputs = np.moveaxis(outputs, -1, 2)
    np.savez(path.with_suffix(".npz"), x=x, outputs=outputs)


def write_residual_network(folder):
    for stem, size in (("cifar", 8), ("imagenet", 32)):
        keras.utils.set_random_seed(0)
        options = {"filters": 4, "stem": stem, "include_top": False}
        model = models.SEWResNet18((size, size, 2), **options)
        random = np.random.default_rng(0)
        for weight in model.weights:
            if "moving_variance" in weight.name:
                weight.assign(random.uniform(0.1, 0.4, weight.shape))
        x = random.uniform(size=(2, size, size, 2)).astype("float32")
        outputs = to_numpy(model(x))
        assert 0.05 < np.mean(outputs) < 4
        x = np.repeat(x[:, None], outputs.shape[1], axis=1)
        path = folder / f"sew_resnet18_{stem}"
        write(model, "spikingjelly", x, path, outputs, strip="io")


IF, LIF = layers.IFLayer, layers.LIFLayer


@pytest.mark.parametrize(
    "target, stack, message",
    [
        ("spikingjelly", [LIF(tau=[2.0, 3.0, 4.0, 5.0])], "different values of tau"),
        ("spikingjelly", [Dense(4), layers.Delay(2)], "take a Delay. It reads Affine"),
        ("spikingjelly", [LIF(tau=1.0)], "take a Threshold"),
        ("snntorch", [IF(v_threshold=[1.0, 2.0, 3.0, 4.0])], "values of v_threshold"),
        ("snntorch", [LIF(v_reset=-0.5)], "at rest other than 0"),
        ("norse", [IF(v_reset=-0.5)], "drops. Use v_reset=0"),
        ("sinabs", [IF()], "subtract their threshold. Use `v_reset=None`"),
        ("snn-mlir", [layers.LILayer()], "take a LI"),
        ("spyx", [IF(v_reset=None)], r"place a Delay\(1\) after"),
        ("spyx", [LIF(v_reset=None)], "take a LIF"),
        ("spyx", [layers.LILayer()], "that no Threshold comes after"),
    ],
)
def test_what_a_target_would_drop_is_refused(target, stack, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.to_nir(sequential((4,), *stack), tmp_path / "a.nir", target=target)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["norse", "sinabs", "snn-mlir"])
@pytest.mark.parametrize(
    "make, message", [(fork, "joined"), (feedback, "feedback|Use `v_reset")]
)
def test_targets_that_misread_graphs(target, make, message):
    with pytest.raises(ValueError, match=message):
        export.to_nir(exact(make(neurons(target))), target=target)


def test_neurons_that_subtract_have_no_maximum():
    model = maximum(neurons("sinabs"))
    with pytest.raises(ValueError, match="maximum pooling. Use average pooling"):
        export.to_nir(model, target="sinabs")


def test_spikingjelly_delays_another_edge():
    model = exact(recurrent(neurons("spikingjelly"), bias=True))
    with pytest.raises(ValueError, match="feedback.*without a bias"):
        export.to_nir(model, target="spikingjelly")


def test_what_a_target_assumes_is_not_contradicted():
    model = sequential((4,), IF())
    with pytest.raises(ValueError, match="snnTorch assumes dt=0.0001"):
        export.to_nir(model, dt=1.0, target="snntorch")
    with pytest.raises(ValueError, match="SpikingJelly assumes at_threshold=True"):
        export.to_nir(model, at_threshold=False, target="spikingjelly")
    with pytest.raises(ValueError, match="`target` must be one of"):
        export.to_nir(model, target="nest")
