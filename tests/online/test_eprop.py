import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking import layers
from keras_spiking import online

pytestmark = pytest.mark.trains
random = np.random.default_rng(0)
X = random.random((5, 9, 4)).astype("float32") * 2.0
Y = random.random((5, 2)).astype("float32")


def moved(model, x, y):
    """What plain gradient descent of step 1 subtracts from each weight."""
    before = [to_numpy(v.value) for v in model.trainable_variables]
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(x, y, len(x), verbose=0)
    after = [to_numpy(v.value) for v in model.trainable_variables]
    return [a - b for a, b in zip(before, after)]


def recurrent(neurons):
    """Neurons with synapses from the input and from each other."""
    return layers.RecurrentGraph(
        nodes={
            "encode": keras.layers.Dense(6),
            "neurons": neurons,
            "feedback": keras.layers.Dense(6, use_bias=False),
        },
        edges=[
            ("input", "encode"),
            ("encode", "neurons"),
            ("neurons", "feedback"),
            ("feedback", "neurons"),
            ("neurons", "output"),
        ],
    )


def bellec(w_in, bias, w_rec, w_out, beta, back=None, tau=3.0, rho=0.8, tau_out=4.0):
    """e-prop 1 as published, with detached resets: gradients of all weights."""
    back = w_out if back is None else back
    alpha, kappa = 1.0 - 1.0 / tau, 1.0 - 1.0 / tau_out
    batch, steps, _ = X.shape
    v, b, z = np.zeros((3, batch, 6))
    y = np.zeros((batch, 2))
    ones = np.ones((batch, 1))
    n_pre = 4 + 1 + 6
    eps_v, eps_b, filtered = np.zeros((3, batch, n_pre, 6))
    z_filtered = np.zeros((batch, 6))
    grad_pre, grad_out = np.zeros((n_pre, 6)), np.zeros((6, 2))
    for t in range(steps):
        pre = np.concatenate([X[:, t], ones, z], axis=1)
        h = alpha * v + X[:, t] @ w_in + bias + z @ w_rec
        distance = h - 1.0 - beta * b
        z = (distance >= 0.0).astype("float64")
        psi = np.maximum(0.0, 1.0 - np.abs(distance))[:, None, :]
        eps_h = alpha * eps_v + pre[:, :, None]
        trace = psi * (eps_h - beta * eps_b)
        eps_v = eps_h * (1.0 - z)[:, None, :] if beta else eps_h
        eps_b = rho * eps_b + (1.0 - rho) * trace
        v = h * (1.0 - z) if beta else h - z
        b = rho * b + (1.0 - rho) * z
        y = kappa * y + z @ w_out
        error = 2.0 / Y.size * (y - Y) / steps
        filtered = kappa * filtered + trace
        z_filtered = kappa * z_filtered + z
        grad_pre += np.einsum("bj,bij->ij", error @ back.T, filtered)
        grad_out += z_filtered.T @ error
    return grad_pre[:4], grad_pre[4], grad_pre[5:], grad_out


@pytest.mark.parametrize("beta,feedback", [(0.0, "symmetric"), (0.7, "random")])
def test_gradient_of_recurrent_neurons_is_the_published_one(beta, feedback):
    arguments = {"tau": 3.0, "decay_input": False, "detach_reset": True}
    arguments["surrogate"] = "piecewise_quadratic"
    if beta:
        neurons = layers.ALIFLayer(beta=beta, rho=0.8, **arguments)
    else:
        neurons = layers.LIFLayer(v_reset=None, **arguments)
    readout = keras.layers.Dense(2, use_bias=False)
    leaky = layers.LILayer(tau=4.0, decay_input=False)
    stack = [recurrent(neurons), readout, leaky]
    model = online.EProp(stack, feedback=feedback, seed=3)
    model.build(X.shape)
    weights = [to_numpy(v.value) for v in model.trainable_variables]
    back = None
    if feedback == "random":
        (back,) = model.feedback_weights().values()
        assert 0.2 < back.std() < 0.8
    expected = bellec(*weights, beta, back)
    for found, gradient in zip(moved(model, X, Y), expected):
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(found, gradient, atol=1e-5)


@pytest.mark.parametrize("leaky", [False, True])
def test_without_recurrence_it_is_backpropagation_through_time(leaky):
    def stack():
        keras.utils.set_random_seed(1)
        layer = [keras.layers.Dense(6), layers.ALIFLayer(tau=3.0)]
        return [*layer, keras.layers.Dense(2), *[layers.LILayer()] * leaky]

    plain = keras.Sequential([keras.Input(X.shape[1:]), *stack()])
    expected = moved(plain, X, np.repeat(Y[:, None], X.shape[1], axis=1))
    model = online.EProp(stack())
    model.build(X.shape)
    for found, gradient in zip(moved(model, X, Y), expected):
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(found, gradient, atol=1e-5)


IMAGES = random.random((3, 5, 5, 4, 2)).astype("float32") * 2.0


def test_convolutions_learn_as_by_backpropagation_through_time():
    def stack():
        keras.utils.set_random_seed(1)
        arguments = {"strides": 2, "padding": "same", "use_gain": True}
        synapse = layers.WeightStandardizedConv2D(3, (3, 2), **arguments)
        neurons = layers.ALIFLayer(tau=3.0, v_threshold=0.1)
        rest = [keras.layers.Flatten(), keras.layers.Dense(2)]
        return [layers.SeqToBatch(synapse), neurons, layers.SeqToBatch(rest)]

    x = IMAGES
    plain = keras.Sequential([keras.Input(x.shape[1:]), *stack()])
    expected = moved(plain, x, np.repeat(Y[:3, None], x.shape[1], axis=1))
    model = online.EProp(stack())
    model.build(x.shape)
    for found, gradient in zip(moved(model, x, Y[:3]), expected):
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(found, gradient, atol=1e-5)


def convolution_by_hand(kernel, bias, w_hidden, bias_hidden, w_out, back):
    """Gradient of a kernel of 2 x 2, with a trace for each weight at each place."""
    batch, steps, rows, columns, _ = IMAGES.shape
    places = [(i, j) for i in range(rows - 1) for j in range(columns - 1)]
    v = np.zeros((batch, len(places), kernel.shape[-1]))
    v_hidden = np.zeros((batch, len(bias_hidden)))
    eps = np.zeros((batch, len(places), 2, 2, 2))
    gradient = np.zeros_like(kernel)
    for t in range(steps):
        x = [IMAGES[:, t, i : i + 2, j : j + 2] for i, j in places]
        x = np.stack(x, axis=1)
        h = 0.5 * v + np.einsum("bpijc,ijcf->bpf", x, kernel) + bias
        z = (h >= 1.0).astype("float64")
        v = h - z
        v_hidden = 0.5 * v_hidden + z.reshape(batch, -1) @ w_hidden + bias_hidden
        z_hidden = (v_hidden >= 1.0).astype("float64")
        v_hidden -= z_hidden
        eps = 0.5 * eps + x
        error = 2.0 / (batch * 2) * (z_hidden @ w_out - Y[:batch]) / steps
        signal = np.reshape(error @ back.T, z.shape)
        signal = signal * np.maximum(0.0, 1.0 - np.abs(h - 1.0))
        gradient += np.einsum("bpf,bpijc->ijcf", signal, eps)
    return gradient


def test_random_feedback_reaches_convolutions_past_other_layers():
    arguments = {"decay_input": False, "v_reset": None, "detach_reset": True}
    arguments["surrogate"] = "piecewise_quadratic"
    first = [keras.layers.Conv2D(3, 2), layers.LIFLayer(**arguments)]
    second = [keras.layers.Dense(5), layers.LIFLayer(**arguments)]
    readout = keras.layers.Dense(2, use_bias=False)
    stack = [*first, keras.layers.Flatten(), *second, readout]
    model = online.EProp(stack, feedback="random")
    model.build(IMAGES.shape)
    back, back_hidden = model.feedback_weights().values()
    assert back.shape == (4 * 3 * 3, 2) and back_hidden.shape == (5, 2)
    weights = [to_numpy(v.value) for v in model.trainable_variables]
    found, *_ = moved(model, IMAGES, Y[:3])
    expected = convolution_by_hand(*weights, back)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-5)
    again = online.EProp.from_config(model.get_config())
    again.build(IMAGES.shape)
    for one, other in zip(again.feedback_weights().values(), (back, back_hidden)):
        np.testing.assert_array_equal(one, other)


def test_unsupported_models_are_refused_before_training():
    def refuses(stack, match, readout=()):
        model = online.EProp([*stack, keras.layers.Dense(2), *readout])
        model.build(X.shape)
        with pytest.raises(ValueError, match=match):
            moved(model, X, Y)

    dense, lif = keras.layers.Dense, layers.LIFLayer
    refuses([dense(6, "relu"), lif()], "activation='relu'")
    refuses([dense(6), keras.layers.Dropout(0.5), lif()], "nothing else in between")
    refuses([dense(6), keras.layers.BatchNormalization(), lif()], "gamma")
    refuses([dense(6), lif(learnable="tau")], "Conv3D only.*tau")
    dropped = layers.DropConnectDense(6, rate=0.9, activation=None)
    refuses([dropped, lif()], "multiply by their kernel")
    refuses([dense(6), layers.LateralInhibitionLayer()], "synapses only")
    refuses([dense(6)], "needs neurons")
    refuses([dense(6), layers.SingleStep(lif(name="hidden"))], "'hidden'")
    with pytest.raises(ValueError, match="feedback.*symmetric"):
        online.EProp([dense(6), lif()], feedback="broadcast")
    leaky = layers.LILayer(tau=[2.0, 3.0])
    refuses([dense(6), lif()], "same `tau` for all outputs", [leaky])
