import math

import keras
import numpy as np
import pytest
from backend import to_numpy

from keras_spiking.pruning import DeepR
from keras_spiking.pruning import GradR
from keras_spiking.pruning import KeepZeros
from keras_spiking.pruning import MagnitudePruning
from keras_spiking.pruning import report

RANDOM = np.random.default_rng(0)
SHAPE = (7, 5)


def kernel(values=None):
    """A kernel as a layer has it, and a bias."""
    layer = keras.layers.Dense(SHAPE[1], name="dense")
    layer.build((None, SHAPE[0]))
    if values is not None:
        layer.kernel.assign(values)
    return layer.kernel, layer.bias


def gradients(steps):
    return RANDOM.normal(size=(steps, *SHAPE)).astype("float32")


def run(optimizer, variable, grads):
    """Steps as training on this backend takes them; the weights after each."""
    optimizer.build([variable])
    weights = []
    for gradient in grads:
        gradient = keras.ops.convert_to_tensor(gradient)
        optimizer.apply([gradient], [variable])
        weights.append(to_numpy(variable).copy())
    return weights


@pytest.mark.parametrize("sparsity, penalty", [(0.95, 0.5), (0.3, 4.0), (0.95, 20.0)])
def test_grad_r_follows_the_equations(sparsity, penalty):
    rate = 0.1
    start = RANDOM.normal(size=SHAPE).astype("float32")
    variable, _ = kernel(start)
    grads = gradients(30)
    optimizer = GradR(keras.optimizers.SGD(rate), sparsity=sparsity, penalty=penalty)
    found = run(optimizer, variable, grads)

    sign, theta = np.sign(start).astype("float64"), np.abs(start).astype("float64")
    if sparsity >= 0.5:
        mean = math.log(2 - 2 * sparsity) / penalty
    else:
        mean = -math.log(2 * sparsity) / penalty
    assert optimizer.mean == pytest.approx(mean)
    regrown, before = 0, theta > 0
    for gradient, weights in zip(grads, found):
        theta = theta - rate * (sign * gradient + penalty * np.sign(theta - mean))
        np.testing.assert_allclose(weights, sign * np.maximum(theta, 0), atol=2e-5)
        regrown += np.sum(~before & (theta > 0))
        before = theta > 0
    assert regrown


def test_grad_r_moves_weights_that_the_user_has_set():
    variable, _ = kernel(np.ones(SHAPE, "float32"))
    optimizer = GradR(keras.optimizers.SGD(1.0), penalty=0.0)
    run(optimizer, variable, [2.0 * np.ones(SHAPE, "float32")])
    np.testing.assert_array_equal(to_numpy(variable), 0.0)  # strengths are -1 now
    variable.assign(-3.0 * np.ones(SHAPE, "float32"))
    run(optimizer, variable, [np.ones(SHAPE, "float32")])
    np.testing.assert_allclose(to_numpy(variable), -4.0)


def test_a_weight_without_a_sign_takes_that_of_its_first_step():
    variable, _ = kernel(np.zeros(SHAPE, "float32"))
    (grads,) = gradients(1)
    (found,) = run(GradR(keras.optimizers.SGD(0.5), penalty=0.0), variable, [grads])
    np.testing.assert_allclose(found, -0.5 * grads, rtol=1e-6)


def test_without_a_penalty_connected_weights_are_those_of_the_inner_optimizer():
    start = 10.0 + RANDOM.random(SHAPE).astype("float32")
    grads = gradients(4)
    wrapped, _ = kernel(start)
    plain, _ = kernel(start)
    found = run(GradR(keras.optimizers.Adam(0.1), penalty=0.0), wrapped, grads)
    expected = run(keras.optimizers.Adam(0.1), plain, grads)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_penalty_is_taken_once_for_accumulated_gradients():
    variable, _ = kernel(np.ones(SHAPE, "float32"))
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    found = run(
        GradR(optimizer, penalty=1.0), variable, np.zeros((4, *SHAPE), "float32")
    )
    sizes = [float(w.max()) for w in found]
    np.testing.assert_allclose(sizes, [1.0, 0.9, 0.9, 0.8], rtol=1e-6)


def test_magnitude_pruning_keeps_the_schedule_and_the_largest():
    start = RANDOM.normal(size=SHAPE).astype("float32")
    variable, _ = kernel(start)
    optimizer = MagnitudePruning(
        keras.optimizers.SGD(0.0),
        sparsity=0.8,
        initial_sparsity=0.2,
        begin_step=1,
        end_step=8,
        frequency=3,
    )
    found = run(optimizer, variable, gradients(11))
    expected = 0
    for step, weights in enumerate(found):
        if step in (1, 4, 7, 8):
            left = (1 - (step - 1) / 7) ** 3
            expected = round((0.8 + (0.2 - 0.8) * left) * start.size)
        assert np.sum(weights == 0.0) == expected
        smallest = np.sort(np.abs(start).ravel())[:expected]
        kept = np.abs(start)[weights != 0.0]
        assert expected == 0 or kept.min() > smallest.max()


@pytest.mark.parametrize("make", ["KeepZeros", "MagnitudePruning"])
def test_what_is_pruned_stays_pruned_whatever_momentum_does(make):
    start = RANDOM.normal(size=SHAPE).astype("float32")
    inner = keras.optimizers.SGD(0.1, momentum=0.9)
    if make == "KeepZeros":
        start[::2] = 0.0
        optimizer = KeepZeros(inner)
    else:
        optimizer = MagnitudePruning(inner, sparsity=0.6, end_step=3, frequency=1)
    variable, _ = kernel(start)
    found = run(optimizer, variable, gradients(8))
    pruned = found[3] == 0.0
    assert 0 < pruned.sum() < pruned.size
    assert all(
        (w[pruned] == 0.0).all() and (w[~pruned] != 0.0).all() for w in found[4:]
    )


@pytest.mark.parametrize("temperature", [0.0, 1e-2])
def test_deep_r_has_the_same_number_of_connections_after_every_step(temperature):
    variable, _ = kernel(RANDOM.normal(size=SHAPE).astype("float32"))
    optimizer = DeepR(
        keras.optimizers.SGD(0.3),
        sparsity=0.7,
        penalty=0.5,
        temperature=temperature,
        seed=1,
    )
    found = run(optimizer, variable, gradients(30))
    connections = variable.shape[0] * variable.shape[1] - round(0.7 * 35)
    assert all(np.sum(w != 0.0) == connections for w in found)
    masks = np.array([w != 0.0 for w in found])
    assert masks.any(0).sum() > 2 * connections  # rewired
    for place in np.ndindex(*SHAPE):  # signs are fixed
        signs = {float(np.sign(w[place])) for w in found} - {0.0}
        assert len(signs) <= 1


def test_deep_r_follows_the_equation_of_what_is_connected():
    start = 1.0 + RANDOM.random(SHAPE).astype("float32")
    start *= np.sign(RANDOM.normal(size=SHAPE))
    variable, _ = kernel(start)
    (grads,) = gradients(1)
    optimizer = DeepR(keras.optimizers.SGD(0.1), sparsity=0.4, penalty=0.2, seed=0)
    (found,) = run(optimizer, variable, [grads])
    expected = start - 0.1 * grads - 0.1 * 0.2 * np.sign(start)
    kept = found != 0.0
    np.testing.assert_allclose(found[kept], expected[kept], rtol=1e-5)


def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(9, use_bias=False, name="first"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3, name="second"),
        ]
    )


@pytest.mark.trains
@pytest.mark.parametrize(
    "make",
    [
        lambda: MagnitudePruning("adam", sparsity=0.5, end_step=4, frequency=2),
        lambda: DeepR("adam", sparsity=0.75, temperature=1e-4, seed=0),
        lambda: keras.optimizers.LossScaleOptimizer(GradR("adam", penalty=3.0)),
    ],
    ids=["MagnitudePruning", "DeepR", "GradR"],
)
def test_training_goes_on_from_a_file_as_it_would_have(make, tmp_path):
    x = RANDOM.normal(size=(12, 6)).astype("float32")
    model = network()
    model.compile(make(), "mse")
    model.fit(x, x[:, :3], batch_size=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(model.optimizer.variables, loaded.optimizer.variables):
        np.testing.assert_array_equal(to_numpy(a), to_numpy(b))
    for each in (model, loaded):
        each.fit(x, x[:, :3], batch_size=6, shuffle=False, verbose=0)
    for a, b in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert [r["connections"] for r in report(loaded)] == [
        int(np.sum(to_numpy(w) != 0)) for w in loaded.weights if w.name == "kernel"
    ]


def test_only_kernels_of_chosen_layers_are_pruned():
    model = network()
    optimizer = MagnitudePruning("sgd", sparsity=0.5, end_step=0, layers="second")
    grads = [keras.ops.zeros(v.shape) for v in model.trainable_variables]
    optimizer.build(model.trainable_variables)
    optimizer.apply(grads, model.trainable_variables)
    first, second = report(model)
    assert first["sparsity"] == 0.0
    assert second["connections"] == 27 - 14


def test_the_learning_rate_is_that_of_the_inner_optimizer():
    inner = keras.optimizers.SGD(0.5)
    optimizer = GradR(inner)
    optimizer.learning_rate = 0.25
    assert float(to_numpy(inner.learning_rate)) == 0.25
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config()["penalty"] == 1e-3
    assert float(to_numpy(again.learning_rate)) == 0.25


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan")])
@pytest.mark.parametrize(
    "make", [GradR, DeepR, lambda o, **k: MagnitudePruning(o, end_step=1, **k)]
)
def test_sparsity_out_of_range(make, sparsity):
    with pytest.raises(ValueError, match="sparsity"):
        make("sgd", sparsity=sparsity)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: GradR("sgd", sparsity=0.0), ValueError, "greater than 0"),
        (lambda: GradR("sgd", penalty=-1.0), ValueError, "penalty"),
        (lambda: GradR(None), TypeError, "optimizer"),
        (lambda: GradR(3), ValueError, "Could not interpret"),
        (lambda: GradR("sgd", layers=3), TypeError, "layers"),
        (lambda: GradR("sgd", layers=[]), ValueError, "at least one"),
        (lambda: GradR(GradR("sgd")), ValueError, "one way at a time"),
        (lambda: GradR(keras.optimizers.SGD(use_ema=True)), ValueError, "use_ema"),
        (
            lambda: MagnitudePruning("sgd", end_step=3, begin_step=4),
            ValueError,
            "end_step",
        ),
        (
            lambda: MagnitudePruning(
                "sgd", end_step=3, sparsity=0.2, initial_sparsity=0.3
            ),
            ValueError,
            "initial_sparsity",
        ),
        (lambda: MagnitudePruning("sgd", end_step=1.5), TypeError, "end_step"),
        (lambda: DeepR("sgd", temperature=-1.0), ValueError, "temperature"),
        (lambda: DeepR("sgd", seed=0.5), TypeError, "seed"),
    ],
)
def test_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_unknown_layers_and_models_without_kernels():
    model = network()
    with pytest.raises(ValueError, match="no layer 'third'.*'first', 'second'"):
        GradR("sgd", layers=["third"]).build(model.trainable_variables)
    layer = keras.layers.BatchNormalization()
    layer.build((None, 3))
    with pytest.raises(ValueError, match="no kernels"):
        GradR("sgd").build(layer.trainable_variables)
