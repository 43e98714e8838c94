import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers
from keras_spiking import online

pytestmark = pytest.mark.trains
random = np.random.default_rng(0)
X = random.random((5, 7, 4)).astype("float32") * 3.0
Y = random.random((5, 3)).astype("float32")
IMAGES = random.random((5, 6, 4, 3, 2)).astype("float32") * 3.0


def weight_gradient(model, x, y):
    """What plain gradient descent of step 1 subtracts from the first kernel."""
    model(x)  # builds it
    kernel = model.trainable_variables[0]
    before = to_numpy(kernel.value)
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(x, y, len(x), verbose=0)
    return before - to_numpy(kernel.value)


def reference(kernel, x, y, tau, trace_tau):
    """Dense -> LIF with the gradient at each step, by hand."""
    v, gradient = np.zeros((5, 3)), 0.0
    trace = np.zeros((5, 4))
    for t in range(x.shape[1]):
        h = v + (x[:, t] @ kernel - v) / tau
        spikes = (h >= 1.0).astype("float64")
        v = h * (1.0 - spikes)
        s = 1.0 / (1.0 + np.exp(-4.0 * (h - 1.0)))
        at_input = 2.0 / y.size * (spikes - y) * 4.0 * s * (1.0 - s) / tau
        trace = trace * (1.0 - 1.0 / trace_tau) + x[:, t]
        gradient = gradient + trace.T @ at_input / x.shape[1]
    return gradient


@pytest.mark.parametrize("method", [online.SLTT, online.OTTT])
def test_gradient_is_the_published_one(method):
    dense = keras.layers.Dense(3, use_bias=False)
    model = method([dense, layers.LIFLayer(tau=3.0)])
    model.build(X.shape)
    kernel = to_numpy(dense.kernel)
    expected = reference(kernel, X, Y, 3.0, 1.0 if method is online.SLTT else 3.0)
    found = weight_gradient(model, X, Y)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("tau", [1.5, 4.0])
@pytest.mark.parametrize("neuron", ["LIF", "PLIF", "learned LIF"])
def test_traces_decay_as_the_neurons_do(neuron, tau):
    make = {
        "LIF": lambda: layers.LIFLayer(tau=tau),
        "PLIF": lambda: layers.ParametricLIFLayer(init_tau=tau, trainable=False),
        "learned LIF": lambda: layers.LIFLayer(tau, learnable="tau"),
    }
    dense = keras.layers.Dense(3, use_bias=False)
    model = online.OTTT([dense, make[neuron]()])
    model.build(X.shape)
    expected = reference(to_numpy(dense.kernel), X, Y, tau, tau)
    np.testing.assert_allclose(weight_gradient(model, X, Y), expected, atol=1e-6)


def test_traces_of_neurons_without_leak_do_not_decay():
    for stack in ([layers.IFLayer()], [layers.LIFLayer(tau=3.0)]):
        (neuron,) = stack
        dense = keras.layers.Dense(3, use_bias=False)
        model = online.OTTT([dense, neuron, keras.layers.Dense(3)])
        model.build(X.shape)
        (hook,) = model.hooks()[:1]
        decay = 1.0 if isinstance(neuron, layers.IFLayer) else 1.0 - 1.0 / 3.0
        assert abs(hook[1].args[1] - decay) < 1e-6
        assert len(model.hooks()) == 1  # the readout holds nothing


def test_each_synapse_takes_the_neurons_that_it_feeds():
    inputs = keras.Input((9, 4))
    skip = keras.layers.Dense(3, name="skip")(inputs)
    x = keras.layers.Dense(3, name="first")(inputs)
    x = layers.LIFLayer(tau=4.0)(x)
    x = keras.layers.Dense(3, name="second")(x) + skip
    model = online.OTTT(keras.Model(inputs, layers.IFLayer()(x)))
    model.build((2, 9, 4))
    decays = {layer.name: hook.args[1] for layer, hook in model.hooks()}
    assert decays == {"skip": 1.0, "first": 0.75, "second": 1.0}


@pytest.mark.parametrize("method", [online.SLTT, online.OTTT])
def test_one_step_is_backpropagation(method):
    def stack(wrapper):
        keras.utils.set_random_seed(1)
        convolution = layers.WeightStandardizedConv2D(4, 2, use_gain=True)
        neurons = layers.LIFLayer(v_threshold=0.2)
        rest = [keras.layers.Flatten(), keras.layers.Dense(3)]
        return [wrapper(convolution), neurons, *map(wrapper, rest)]

    x, moved = IMAGES[:, :1], []
    reshape = keras.layers.Reshape((3,))
    plain = [keras.Input(x.shape[1:]), *stack(layers.SeqToBatch), reshape]
    for model in (method(stack(lambda layer: layer)), keras.Sequential(plain)):
        model(x)  # builds it
        before = [to_numpy(v.value) for v in model.trainable_variables]
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.fit(x, Y, len(x), verbose=0)
        after = [to_numpy(v.value) for v in model.trainable_variables]
        moved.append([b - a for b, a in zip(before, after)])
    for found, expected in zip(*moved):
        assert np.abs(expected).max() > 1e-4
        np.testing.assert_allclose(found, expected, atol=1e-6)


def standardized(kernel, layer):
    """The kernel, and what takes a gradient of it back to the weights."""
    axes, n = (0, 1, 2), layer.fan_in
    factor = n * n / (n - 1) if layer.unbiased else n
    centred = kernel - kernel.mean(axis=axes)
    scale = (factor * np.mean(centred**2, axis=axes) + layer.epsilon) ** -0.5

    def back(gradient):
        overlap = np.sum(gradient * centred, axis=axes)
        gradient = scale * gradient - scale**3 * factor / n * overlap * centred
        return gradient - gradient.mean(axis=axes)

    return centred * scale, back


@pytest.mark.parametrize("method", [online.SLTT, online.OTTT])
def test_gradient_of_standardized_convolutions_is_the_published_one(method):
    arguments = {"use_bias": False, "use_gain": False}
    convolution = layers.WeightStandardizedConv2D(3, 2, **arguments)
    model = method([convolution, layers.LIFLayer(tau=3.0, v_threshold=0.2)])
    model.build(IMAGES.shape)
    raw = to_numpy(convolution.kernel).astype("float64")
    kernel, back = standardized(raw, convolution)
    places = [(i, j) for i in range(3) for j in range(2)]
    y = random.random((5, 6, 3))
    v, trace, gradient = np.zeros((5, 6, 3)), 0.0, 0.0
    for t in range(6):
        x = [IMAGES[:, t, i : i + 2, j : j + 2] for i, j in places]
        x = np.stack(x, axis=1)
        h = v + (np.einsum("bpijc,ijcf->bpf", x, kernel) - v) / 3.0
        z = (h >= 0.2).astype("float64")
        v = h * (1.0 - z)
        s = 1.0 / (1.0 + np.exp(-4.0 * (h - 0.2)))
        at_input = 2.0 / y.size * (z - y) * 4.0 * s * (1.0 - s) / 3.0
        trace = x if method is online.SLTT else 2.0 / 3.0 * trace + x
        gradient += np.einsum("bpijc,bpf->ijcf", trace, at_input) / 6
    found = weight_gradient(model, IMAGES, y.reshape(5, 3, 2, 3).astype("float32"))
    assert np.abs(gradient).max() > 1e-2
    np.testing.assert_allclose(found, back(gradient), atol=1e-5)


def test_inference_and_saving(tmp_path):
    stack = [keras.layers.Dense(6), layers.LIFLayer(), keras.layers.Dense(3)]
    model = online.OTTT(stack, timesteps=20, tau=2.0)
    x = X[:, 0]
    model.compile("adam", "mse")
    model.fit(x, Y, verbose=0)
    expected = layers.StepByStep(stack, timesteps=20, reduce="mean")(x)
    np.testing.assert_allclose(to_numpy(model(x)), to_numpy(expected), atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.tau == 2.0
    np.testing.assert_allclose(to_numpy(loaded(x)), to_numpy(model(x)), atol=1e-6)


def test_moving_averages_are_updated():
    norm = keras.layers.BatchNormalization()
    stack = layers.SeqToBatch([keras.layers.Dense(3), norm])
    model = online.SLTT([stack, layers.LIFLayer()])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert np.abs(to_numpy(norm.moving_mean)).max() > 0.0


@pytest.mark.parametrize("method", [online.OTTT, online.EProp, online.FPTT])
def test_mixed_precision_keeps_that_of_the_weights(method):
    kernels = []
    for policy in ("float32", "mixed_bfloat16"):
        keras.utils.set_random_seed(1)
        dense = keras.layers.Dense(3, dtype=policy)
        model = method([dense, layers.LIFLayer(dtype=policy)], dtype=policy)
        model.compile(keras.optimizers.SGD(1e-4), "mse")
        model.fit(X, Y, verbose=0)
        kernels.append(to_numpy(dense.kernel.value))
    np.testing.assert_allclose(*kernels, atol=1e-5)


def test_bad_input():
    stack = [keras.layers.Dense(3), layers.LIFLayer()]
    with pytest.raises(ValueError, match="tau.*at least 1"):
        online.OTTT(stack, tau=0.5)
    with pytest.raises(ValueError, match="reduce"):
        online.SLTT(stack, reduce=None)

    def refuses(neuron, match, **kwargs):
        with pytest.raises(ValueError, match=match):
            online.OTTT([keras.layers.Dense(3), neuron], **kwargs)

    refuses(layers.LIFLayer(tau=4.0), "has tau=4.*tau=2", tau=2.0)
    refuses(layers.IFLayer(), "no leak.*tau=2", tau=2.0)
    refuses(layers.ParametricLIFLayer(), "learns it.*tau=2", tau=2.0)
    refuses(layers.QIFLayer(), "not decay exponentially.*pass `tau`")
    refuses(layers.CubaLayer(), "another state.*pass `tau`")
    refuses(layers.LIFLayer(tau=[2.0, 3.0, 4.0]), "several time constants")
    online.OTTT([keras.layers.Dense(3), layers.QIFLayer()], tau=3.0)
