"""Neurons with many states and long equations get their kernels in about a second."""

import time

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import gradients
from backend import to_numpy
from backends.many_states import Coupled
from keras import ops

import keras_spiking
from keras_spiking import layers
from keras_spiking.backends.kernels import compiler
from keras_spiking.backends.kernels.expression import Graph
from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.backends.kernels.gradient import gradients as differentiate
from keras_spiking.backends.kernels.program import Program
from keras_spiking.backends.kernels.program import _cheapest
from keras_spiking.backends.kernels.trace import Step

only_once = pytest.mark.skipif(
    BACKEND != "numpy", reason="the same on every backend: tested once, with NumPy"
)
NEURONS = {f"coupled{n}": lambda n=n: Coupled(n) for n in range(1, 9)}
NEURONS["hodgkin_huxley"] = layers.HodgkinHuxleyLayer


def inputs_of(expressions, known=()):
    """Names of the inputs that expressions depend on.

    Args:
        expressions: List of expressions.
        known: Expressions whose value is known, so that theirs do not count.
    """
    if not known:
        return set().union(*(e.inputs for e in expressions))
    return {e.value for e in in_order(expressions, known) if e.op == "input"}


def program(layer):
    layer.build((None, None, 5))
    return Program(Step(layer, (5,)))


@only_once
@pytest.mark.parametrize("name", NEURONS)
def test_many_states_are_planned_soon(name):
    layer = NEURONS[name]()
    start = time.process_time()
    planned = program(layer)
    assert time.process_time() - start < 2.0
    assert len(planned.saved) <= len(planned.step.states)


@pytest.mark.trains
@pytest.mark.skipif(compiler.compiler() is None, reason="there is no C compiler")
@pytest.mark.parametrize("name", ["coupled1", "coupled3", "coupled8", "hodgkin_huxley"])
def test_gradients_of_many_states_equal_the_reference(name):
    random = np.random.default_rng(0)
    scale = 20.0 if name == "hodgkin_huxley" else 1.0
    x = scale * random.uniform(0.5, 1.0, (2, 30, 5)).astype("float32")
    weight = ops.convert_to_tensor(random.normal(size=x.shape).astype("float32"))
    layer = NEURONS[name]()
    layer.build(x.shape)
    states = to_numpy(layer.get_initial_state(ops.convert_to_tensor(x[:, 0])))
    states = [np.asarray(s) for s in states]
    layer.return_state = True

    def loss(x, *states):
        outputs, *final = layer(x, initial_state=list(states))
        total = ops.sum(outputs * weight)
        return total + sum(ops.sum(s * s) for s in final) / scale

    results = []
    for mode in ("never", "always"):
        keras_spiking.config.set_fused(mode)
        try:
            results.append(gradients(loss, [x, *states]))
        finally:
            keras_spiking.config.set_fused("auto")
    for reference, kernel in zip(*results):
        size = np.abs(reference).max()
        np.testing.assert_allclose(kernel, reference, 1e-4, 1e-4 * size)


# The fewest values that gradients need besides the input, by hand.
FEWEST = {"IFLayer": 1, "LIFLayer": 1, "LILayer": 0, "ParametricLIFLayer": 1}
FEWEST |= {"QIFLayer": 1, "CubaLayer": 1, "SigmaDeltaLayer": 2, "EventPropLayer": 2}
FEWEST |= {"AlphaSynapse": 0, "DualExponentialSynapse": 0, "AdExLayer": 2}


@only_once
@pytest.mark.parametrize("name", FEWEST)
def test_no_more_is_saved_than_needed(name):
    assert len(program(getattr(layers, name)()).saved) == FEWEST[name]


@only_once
def test_what_is_saved_suffices_and_is_the_least():
    # A random graph, against all subsets of at most two.
    import itertools

    for seed in range(30):
        random = np.random.default_rng(seed)
        graph = Graph()
        states = [graph.input(f"state{i}") for i in range(3)]
        nodes = [*states, graph.input("x")]
        for _ in range(8):
            a, b = (nodes[i] for i in random.integers(0, len(nodes), 2))
            nodes.append(a * b if random.random() < 0.5 else a + graph.apply("tanh", b))
        results = nodes[-4:]
        grads = [nodes[i] * nodes[j] for i, j in random.integers(2, 12, (3, 2))]
        saved = _cheapest(grads, states, results)
        memory = {s.value for s in states}
        assert not inputs_of(grads, known=saved) & memory
        candidates = in_order([*results, *states])
        candidates = [c for c in candidates if c.inputs & memory]
        for count in range(min(len(saved), 3)):
            for values in itertools.combinations(candidates, count):
                assert inputs_of(grads, known=values) & memory


@only_once
def test_long_equations():
    graph = Graph()
    state, x = graph.input("state0"), graph.input("x")
    value = state
    for _ in range(5000):
        value = graph.apply("tanh", value * 0.5 + x)
    start = time.process_time()
    assert len(in_order([value])) == 15003
    assert inputs_of([value]) == {"state0", "x"}
    grads = differentiate([value], [graph.input("grad_state0")], [x, state])
    assert _cheapest(grads, [state], [value]) == [state]
    assert time.process_time() - start < 5.0


def test_neurons_with_many_states_can_be_called():
    for make in (lambda: Coupled(3), layers.HodgkinHuxleyLayer):
        y = keras.Sequential([keras.Input((4, 3)), make()])(np.ones((2, 4, 3), "f4"))
        assert y.shape == (2, 4, 3)
