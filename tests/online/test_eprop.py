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


def bellec(w_in, bias, w_rec, w_out, beta, tau=3.0, rho=0.8, tau_out=4.0):
    """e-prop 1 as published, with detached resets: gradients of all weights."""
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
        grad_pre += np.einsum("bj,bij->ij", error @ w_out.T, filtered)
        grad_out += z_filtered.T @ error
    return grad_pre[:4], grad_pre[4], grad_pre[5:], grad_out


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_gradient_of_recurrent_neurons_is_the_published_one(beta):
    arguments = {"tau": 3.0, "decay_input": False, "detach_reset": True}
    arguments["surrogate"] = "piecewise_quadratic"
    if beta:
        neurons = layers.ALIFLayer(beta=beta, rho=0.8, **arguments)
    else:
        neurons = layers.LIFLayer(v_reset=None, **arguments)
    readout = keras.layers.Dense(2, use_bias=False)
    leaky = layers.LILayer(tau=4.0, decay_input=False)
    model = online.EProp([recurrent(neurons), readout, leaky])
    model.build(X.shape)
    weights = [to_numpy(v.value) for v in model.trainable_variables]
    expected = bellec(*weights, beta)
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
    refuses([dense(6), lif(learnable="tau")], "Dense only.*tau")
    refuses([dense(6), layers.LateralInhibitionLayer()], "synapses only")
    refuses([dense(6)], "needs neurons")
    refuses([dense(6), layers.SingleStep(lif(name="hidden"))], "'hidden'")
    leaky = layers.LILayer(tau=[2.0, 3.0])
    refuses([dense(6), lif()], "same `tau` for all outputs", [leaky])
