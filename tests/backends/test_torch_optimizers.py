import keras
import numpy as np
import pytest
from backend import BACKEND

import keras_spiking
from keras_spiking import config
from keras_spiking.backends import active

pytestmark = pytest.mark.skipif(
    BACKEND != "torch", reason="only PyTorch has fused updates"
)

SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.7)
OPTIMIZERS = [
    ("Adam", {}),
    ("Adam", {"learning_rate": SCHEDULE}),
    ("Adam", {"epsilon": 1e-2, "beta_1": 0.0}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"weight_decay": 0.1, "clipnorm": 0.5}),
    ("Adam", {"use_ema": True, "ema_overwrite_frequency": 3}),
    ("Adam", {"gradient_accumulation_steps": 3, "global_clipnorm": 1.0}),
    ("Adam", {"loss_scale_factor": 16.0, "clipvalue": 0.1}),
    ("AdamW", {"weight_decay": 0.1}),
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "learning_rate": SCHEDULE}),
]


@pytest.fixture(autouse=True)
def switched_back():
    active().prepare()
    yield
    config.set_fused_optimizers(True)


def weights(dtype="float32"):
    random = np.random.default_rng(0)
    return [
        keras.Variable(random.normal(size=shape), dtype=dtype, name=f"w{i}")
        for i, shape in enumerate([(3, 3, 5, 7), (7,), (0, 2), (), (11, 3)])
    ]


def train(optimizer, variables, steps, fused):
    """Gradients that change with the weights, one of them missing at times."""
    config.set_fused_optimizers(fused)
    for step in range(steps):
        gradients = [keras.ops.sin(3.0 * v.value.detach()) for v in variables]
        if step % 4 == 1:
            gradients[-1] = None
        optimizer.apply(gradients, variables)


def values(variables):
    return [keras.ops.convert_to_numpy(v) for v in variables]


def pair(name, options, dtype="float32", steps=20):
    """Weights and variables of the optimizer, of Keras's updates and of fused ones."""
    results = []
    for fused in (False, True):
        variables = weights(dtype)
        optimizer = getattr(keras.optimizers, name)(**options)
        optimizer.exclude_from_weight_decay(var_list=variables[:1])
        optimizer.build(variables)
        train(optimizer, variables, steps, fused)
        results.append(values([*variables, *optimizer.variables]))
    return results


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_weights_and_state_are_those_of_keras(name, options):
    for expected, found in zip(*pair(name, options)):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_other_precisions(dtype):
    tolerance = 1e-12 if dtype == "float64" else 0.0  # the latter is left to Keras
    for expected, found in zip(*pair("Adam", {}, dtype)):
        expected, found = (np.asarray(v, "float64") for v in (expected, found))
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "options"),
    [("Adam", {}), ("AdamW", {}), ("SGD", {"momentum": 0.9})],
)
def test_updates_are_fused(name, options, monkeypatch):
    import torch

    names = {"SGD": "_fused_sgd_"}
    kernel = names.get(name, "_fused_adam_")
    calls, original = [], getattr(torch, kernel)

    def count(*args, **kwargs):
        calls.append(kernel)
        return original(*args, **kwargs)

    variables = weights()
    optimizer = getattr(keras.optimizers, name)(**options)
    optimizer.build(variables)
    train(optimizer, variables, 1, fused=True)  # the first compares with Keras's
    monkeypatch.setattr(torch, kernel, count)
    train(optimizer, variables, 3, fused=True)
    assert len(calls) == 3
    train(optimizer, variables, 3, fused=False)
    assert len(calls) == 3


def network():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            keras.layers.Dense(6),
            keras_spiking.layers.LIFLayer(),
            keras_spiking.layers.SeqToBatch(keras.layers.Dense(3)),
            keras.layers.GlobalAveragePooling1D(),
        ]
    )


def test_a_saved_model_goes_on_either_way(tmp_path):
    random = np.random.default_rng(2)
    x = random.normal(size=(8, 5, 4)).astype("float32")
    y = random.normal(size=(8, 3)).astype("float32")
    ends = []
    for first, second in ((False, True), (True, False), (False, False)):
        model = network()
        model.compile("adam", "mse")
        config.set_fused_optimizers(first)
        model.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0)
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
        config.set_fused_optimizers(second)
        model.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0)
        ends.append(values([*model.weights, *model.optimizer.variables]))
    for found in ends[:2]:
        for a, b in zip(found, ends[2]):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_weights_in_any_order_of_axes():
    """As `value.stride()` says, not as the shape does."""
    results = []
    for fused in (False, True):
        variables = weights()
        for v in variables:
            if len(v.shape) == 4:
                v.value.data = v.value.data.permute(3, 2, 0, 1).contiguous()
                v.value.data = v.value.data.permute(2, 3, 1, 0)
        optimizer = keras.optimizers.Adam()
        optimizer.build(variables)
        train(optimizer, variables, 3, fused)
        results.append(values(variables + optimizer.variables))
    for expected, found in zip(*results):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_keras_that_computes_updates_in_another_way_is_left_alone(monkeypatch):
    from keras_spiking.backends import torch_optimizers

    cls = type(keras.optimizers.Adam())
    own = vars(cls)["_parallel_update_step"]
    monkeypatch.setattr(cls, "_parallel_update_step", lambda self, grads: None)
    reason = torch_optimizers._put("Adam", torch_optimizers._adam, {})
    assert "in another way" in reason
    monkeypatch.setattr(cls, "_parallel_update_step", own)
    assert torch_optimizers._put("Adam", lambda *args: False, {}) is None
    variables, optimizer = weights(), keras.optimizers.Adam()
    optimizer.build(variables)
    train(optimizer, variables, 1, fused=True)
    try:
        assert "differ" in torch_optimizers.report()
    finally:
        torch_optimizers._reasons["Adam"] = None


def test_report_names_them():
    assert "Adam fused" in active().optimizer_report()
    config.set_fused_optimizers(False)
    assert "switched off" in active().optimizer_report()
