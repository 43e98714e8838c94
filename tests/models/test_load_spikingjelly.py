"""Weights of PyTorch's networks in ours."""

import keras
import numpy as np
import pytest
from backend import to_numpy
from keras import ops

from keras_spiking import layers
from keras_spiking import models


def random_state(**shapes):
    random = np.random.default_rng(0)
    return {
        name.replace("__", "."): random.normal(size=s) for name, s in shapes.items()
    }


def convolution(x, kernel):
    """Of PyTorch, with channels first, stride 1 and no padding."""
    height, width = (n - k + 1 for n, k in zip(x.shape[2:], kernel.shape[2:]))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], (2, 3))
    assert windows.shape[2:4] == (height, width)
    return np.einsum("bchwij,ocij->bohw", windows, kernel)


def test_a_network_of_ones_own_is_matched_in_order(image_data_format):
    first = image_data_format == "channels_first"
    stack = [
        keras.Input((2, 6, 7) if first else (6, 7, 2)),
        keras.layers.Conv2D(3, 3),
        keras.layers.BatchNormalization(axis=1 if first else -1, epsilon=1e-5),
        keras.layers.Flatten(),
        keras.layers.Dense(4),
    ]
    model = keras.Sequential(stack)
    state = random_state(
        net__0__weight=(3, 2, 3, 3),
        net__0__bias=(3,),
        net__1__weight=(3,),
        net__1__bias=(3,),
        net__1__running_mean=(3,),
        net__1__running_var=(3,),
        net__1__num_batches_tracked=(),
        net__4__weight=(4, 60),
        net__4__bias=(4,),
    )
    state["net.1.running_var"] = np.abs(state["net.1.running_var"])
    report = models.load_spikingjelly(model, state)
    assert report.by == "order" and len(report.matched) == 8
    assert "net.4.weight" in str(report)

    def of(name):
        return state[f"net.{name}"].reshape(-1, 1, 1)

    x = np.random.default_rng(1).normal(size=(2, 2, 6, 7))
    y = convolution(x, state["net.0.weight"]) + of("0.bias")
    y = (y - of("1.running_mean")) / np.sqrt(of("1.running_var") + 1e-5)
    y = y * of("1.weight") + of("1.bias")
    y = y.reshape(2, -1) @ state["net.4.weight"].T + state["net.4.bias"]
    x = x if first else x.transpose(0, 2, 3, 1)
    ours = to_numpy(model(x.astype("float32"), training=False))
    np.testing.assert_allclose(ours, y, rtol=1e-3, atol=1e-4)


KERNELS = {
    "transposed": (keras.layers.Conv2DTranspose(3, 2), (2, 3, 2, 2)),
    "depthwise": (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (4, 1, 3, 3)),
    "grouped": (keras.layers.Conv2D(4, 3, groups=2), (4, 1, 3, 3)),
    "pointwise": (keras.layers.Conv2D(4, 1), (4, 2)),
    "sequence": (keras.layers.Dense(4), (4, 2, 1)),
}


@pytest.mark.parametrize("kind", KERNELS)
def test_kernels_of_all_kinds(kind):
    layer, shape = KERNELS[kind]
    layer = type(layer).from_config(layer.get_config())
    model = keras.Sequential([keras.Input((4, 4, 2)), layer])
    state = {"0.weight": np.arange(np.prod(shape)).reshape(shape), "0.bias": None}
    state["0.bias"] = np.zeros(layer.bias.shape)
    models.load_spikingjelly(model, state)
    kernel, theirs = to_numpy(layer.kernel), state["0.weight"]
    if kind == "transposed":
        assert kernel[1, 0, 2, 1] == theirs[1, 2, 1, 0]
    elif kind == "depthwise":
        assert kernel[2, 1, 1, 0] == theirs[2, 0, 2, 1]
    elif kind == "grouped":
        assert kernel[2, 1, 0, 3] == theirs[3, 0, 2, 1]
    elif kind == "pointwise":
        assert kernel[0, 0, 1, 3] == theirs[3, 1]
    else:
        assert kernel[1, 3] == theirs[3, 1, 0]


def test_neurons_weights_come_along():
    neurons = layers.ParametricLIFLayer()
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.Dense(2), neurons])
    state = random_state(fc__weight=(2, 3), fc__bias=(2,), sn__w=())
    models.load_spikingjelly(model, state)
    tau = float(ops.convert_to_numpy(neurons.tau))
    assert tau == pytest.approx(1 + np.exp(-state["sn.w"]), rel=1e-5)


def small(**kwargs):
    return models.SEWResNet18((32, 32, 3), filters=4, stem="cifar", classes=5, **kwargs)


def state_of(model):
    """What SpikingJelly would call the weights of the model."""
    names = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    state = {}
    for weight in model.weights:
        layer, name = weight.path.split("/")[-2:]
        value = to_numpy(weight.value)
        value = np.moveaxis(value, (-1, -2), (0, 1)) if value.ndim > 1 else value
        state[f"{layer}.{names.get(name, name)}"] = value + 0.1
    return state


def test_networks_are_matched_by_name():
    model, state = small(), state_of(small())
    shuffled = dict(sorted(state.items(), key=lambda item: hash(item[0])))
    report = models.load_spikingjelly(model, shuffled)
    assert report.by == "name" and not report.missing and not report.unused
    again = state_of(model)
    for name, value in state.items():
        np.testing.assert_allclose(again[name], value + 0.1, atol=1e-6)


@pytest.mark.parametrize("fault", ["missing", "shape", "unused", "classes"])
def test_what_does_not_fit_is_named_and_nothing_is_loaded(fault):
    model, state = small(), state_of(small())
    if fault == "missing":
        del state["layer2_0_conv1.weight"]
        expected = "layer2_0_conv1"
    if fault == "shape":
        state["bn1.bias"] = np.zeros(7)
        expected = r"bn1.bias \(\(7,\)\) for .*beta"
    if fault == "unused":
        state["extra.weight"] = np.zeros(3)
        expected = "extra.weight"
    if fault == "classes":
        state["fc.weight"], state["fc.bias"] = np.zeros((1000, 32)), np.zeros(1000)
        expected = r"fc.weight \(\(1000, 32\)\)"
    before = [to_numpy(w.value) for w in model.weights]
    with pytest.raises(ValueError, match=expected):
        models.load_spikingjelly(model, state)
    for value, weight in zip(before, model.weights):
        np.testing.assert_array_equal(value, to_numpy(weight.value))
    report = models.load_spikingjelly(model, state, strict=False)
    assert report.by == "name"
    wrong = {"missing": 1, "shape": 1, "unused": 0, "classes": 2}[fault]
    assert len(report.matched) == len(model.weights) - wrong
    assert bool(report.missing) == (fault == "missing")


def test_weights_of_a_file(tmp_path):
    model, path = small(), tmp_path / "x.weights.h5"
    model.save_weights(path)
    x = np.random.default_rng(0).uniform(size=(1, 32, 32, 3))
    again = small(weights=str(path))
    np.testing.assert_array_equal(*[m.predict(x, verbose=0) for m in (model, again)])
    np.savez(tmp_path / "x.npz", **state_of(model))
    small(weights=str(tmp_path / "x.npz"))
    before = [to_numpy(w.value) for w in model.weights]
    other = models.SEWResNet18((32, 32, 3), filters=2, stem="cifar", classes=5)
    other.save_weights(path)
    with pytest.raises(ValueError, match="do not fit"):
        models.load_weights(model, path)
    for value, weight in zip(before, model.weights):
        np.testing.assert_array_equal(value, to_numpy(weight.value))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="damaged"):
        models.load_weights(model, path)
    with pytest.raises(ValueError, match="no file"):
        small(weights=str(tmp_path / "none.weights.h5"))


def test_bad_arguments():
    with pytest.raises(ValueError, match="is built"):
        models.load_spikingjelly(keras.Sequential([keras.layers.Dense(2)]), {})
    with pytest.raises(ValueError, match="by"):
        models.load_spikingjelly(small(), {}, by="shape")
