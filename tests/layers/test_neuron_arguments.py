"""What holds for the arguments of every neuron, whichever it is."""

import inspect
import re
import typing

import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops
from numpy.typing import ArrayLike
from registry import ARGUMENTS

from keras_spiking import layers
from keras_spiking.layers.neurons.without_reset import WithoutReset
from keras_spiking.parameter import parameters

NEURONS = {
    name: cls
    for name, cls in vars(layers).items()
    if getattr(cls, "__module__", "").startswith("keras_spiking.layers.neurons.")
    # Tests of their own: they cannot be made from one argument or none.
    and name not in ("CubaLIFLayer", "FewSpikeLayer", "HierarchicallyGatedLayer")
}

# The first argument, which may be positional, and another value than its default.
FIRST = {
    "AdExLayer": ("tau", 5.0),
    "ALIFLayer": ("tau", 5.0),
    "AlphaLayer": ("alpha", 0.95),
    "ComplementaryLIFLayer": ("tau", 5.0),
    "ConductanceLIFLayer": ("tau", 5.0),
    "CSiLIFLayer": ("rate", 0.75),
    "CubaLayer": ("current_decay", 0.75),
    "DSRIFLayer": ("v_threshold", 5.0),
    "DSRLIFLayer": ("tau", 5.0),
    "EIFLayer": ("tau", 5.0),
    "EventPropLayer": ("tau", 7.0),
    "GatedLIFLayer": ("T", 6),
    "GeneralLinearLayer": ("alpha", 0.75),
    "HodgkinHuxleyLayer": ("dt", 0.01),
    "IFLayer": ("v_threshold", 0.75),
    "ILCCubaLayer": ("population", 2),
    "ILCIFLayer": ("population", 2),
    "ILCLIFLayer": ("population", 2),
    "ILIFLayer": ("D", 5),
    "IzhikevichLayer": ("tau", 5.0),
    "KLIFLayer": ("tau", 5.0),
    "LeakyLayer": ("beta", 0.75),
    "LateralInhibitionLayer": ("inhibition", 0.75),
    "LIAFLayer": ("activation", "tanh"),
    "LIFLayer": ("tau", 5.0),
    "LILayer": ("tau", 5.0),
    "LTCLayer": ("tau", 5.0),
    "MaskedPSN": ("k", 3),
    "MembraneBatchNormalizationLIFLayer": ("tau", 5.0),
    "MorrisLecarLayer": ("dt", 0.05),
    "MultiCompartmentLIFLayer": ("compartments", 4),
    "NoisyILCCubaLayer": ("population", 2),
    "MultiSpikeLayer": ("decay", 0.75),
    "NoisyLIFLayer": ("std", 0.75),
    "ParallelLIFLayer": ("tau", 5.0),
    "ParametricLIFLayer": ("init_tau", 5.0),
    "PSN": ("T", 6),
    "QIFLayer": ("tau", 5.0),
    "RefractoryLIFLayer": ("refractory_steps", 3.0),
    "ResonateAndFireLayer": ("period", 6.0),
    "S5RFLayer": ("rate", 0.75),
    "SEAdLIFLayer": ("tau", 5.0),
    "SigmaDeltaLayer": ("threshold", 0.75),
    "SiLIFLayer": ("tau", 7.0),
    "SlidingPSN": ("k", 3),
    "SRMLayer": ("tau", 5.0),
    "STBIFLayer": ("scale", 0.75),
    "TCLIFLayer": ("beta_1", -0.75),
    "TernaryIFLayer": ("v_threshold", 0.75),
    "TernaryLIFLayer": ("tau", 5.0),
    "SynapticLayer": ("alpha", 0.75),
    "WinnerTakeAllLayer": ("k", 2),
}

# Factors of the input where it takes more to fire, or to reach each part of a function.
STRONG = {
    "DSRIFLayer": [1.0, 2.0, 8.0, 16.0],
    "DSRLIFLayer": [1.0, 20.0, 60.0, 90.0],
    "SEAdLIFLayer": 20.0,
    "SiLIFLayer": 5.0,
}

every_neuron = pytest.mark.parametrize("name", sorted(NEURONS))


def arguments_of(cls, *kinds):
    """Names of the arguments of a class that are annotated so."""
    *own, rest = list(inspect.signature(cls.__init__).parameters.values())[1:]
    options = typing.get_args(rest.annotation)[0].__annotations__
    found = {p.name: p.annotation for p in own} | options
    return [name for name, annotation in found.items() if annotation in kinds]


def make(name, **arguments):
    return NEURONS[name](**ARGUMENTS.get(name, {}) | arguments)


@every_neuron
def test_signatures_show_every_argument_and_all_but_the_first_by_name(name):
    cls = NEURONS[name]
    first, *others = inspect.signature(cls).parameters.values()
    assert first.name == FIRST[name][0]
    assert re.search(r"Args:\n        (\w+):", cls.__doc__)[1] == first.name
    assert first.kind is first.POSITIONAL_OR_KEYWORD
    assert {other.kind for other in others} == {first.KEYWORD_ONLY}
    assert {"name", "dtype", "trainable"} <= {other.name for other in others}
    *own, rest = list(inspect.signature(cls.__init__).parameters.values())[1:]
    assert all(p.annotation is not p.empty for p in own)
    assert typing.get_origin(rest.annotation) is typing.Unpack
    if issubclass(cls, layers.SpikingLayer) and not issubclass(cls, WithoutReset):
        documented = inspect.signature(cls).parameters
        assert documented["detach_reset"].default is False


@every_neuron
def test_the_first_argument_may_be_positional_and_others_may_not(name):
    argument, value = FIRST[name]
    layer = NEURONS[name](value)
    config = layer.get_config()
    assert config[argument] == value
    assert repr(layer).startswith(f"{name}({argument}={value!r}")
    restored = NEURONS[name].from_config(config)
    assert restored.get_config() == config and repr(restored) == repr(layer)
    with pytest.raises(TypeError, match="positional"):
        NEURONS[name](value, 1.0)


def test_representations_show_what_matters():
    layer = layers.LIFLayer(surrogate="atan", decay_input=False)
    text = "LIFLayer(tau=2.0, decay_input=False, v_threshold=1.0, surrogate=ATan("
    assert repr(layer).startswith(text)
    assert repr(layers.ParametricLIFLayer(3.0)).startswith(
        "ParametricLIFLayer(init_tau=3.0"
    )
    assert repr(layers.LILayer(reduce="max")) == "LILayer(tau=2.0, reduce='max')"
    assert "activation='tanh'" in repr(layers.SigmaDeltaLayer(activation="tanh"))


@every_neuron
def test_misspelt_arguments_are_refused_with_the_nearest_name(name):
    with pytest.raises(TypeError, match=f"{name} has no .*`nmae`.*`name`"):
        make(name, nmae="neuron")


@every_neuron
@pytest.mark.parametrize("value", ["3", True, [], float("nan"), None])
def test_numbers_must_be_numbers(name, value):
    numeric = arguments_of(NEURONS[name], ArrayLike, float)
    for argument in numeric:
        with pytest.raises((TypeError, ValueError), match=f"`{argument}`"):
            make(name, **{argument: value})


@every_neuron
@pytest.mark.parametrize("value", [2.5, True, "3", 0, -1])
def test_integers_must_be_whole_numbers_above_0(name, value):
    integers = arguments_of(NEURONS[name], int, int | None)
    for argument in set(integers) - {"seed"}:
        with pytest.raises((TypeError, ValueError), match=f"`{argument}`"):
            make(name, **{argument: value})


@every_neuron
@pytest.mark.parametrize("value", [1, "yes", None])
def test_booleans_must_be_booleans(name, value):
    for argument in set(arguments_of(NEURONS[name], bool)) - {"trainable"}:
        with pytest.raises(TypeError, match=f"`{argument}` must be True or False"):
            make(name, **{argument: value})


@pytest.mark.parametrize("value", [2.5, [1, 2.5], True, "2"])
def test_refractory_steps_are_whole(value):
    with pytest.raises(TypeError, match="`refractory_steps`"):
        layers.RefractoryLIFLayer(value)
    layer = layers.RefractoryLIFLayer()
    with pytest.raises(TypeError, match="`refractory_steps`"):
        layer.refractory_steps = value
    assert layer.refractory_steps == 2.0


@pytest.mark.parametrize(
    "cls, argument, value, message",
    [
        (layers.GatedLIFLayer, "v_threshold", 0.7, "`init_v_threshold`"),
        (layers.GatedLIFLayer, "v_reset", None, "`init_v_subreset`"),
        (layers.AlphaLayer, "v_reset", 0.0, "resets all states"),
        (layers.LILayer, "return_sequences", True, "`reduce"),
        (layers.ILIFLayer, "surrogate", "atan", "straight through"),
    ],
)
def test_arguments_of_the_base_that_are_not_taken(cls, argument, value, message):
    with pytest.raises(TypeError, match=f"no argument `{argument}`.*{message}"):
        cls(**{argument: value})
    assert argument not in inspect.signature(cls).parameters


def test_leaky_integrators_reduce_in_place_of_returning_sequences():
    with pytest.raises(TypeError, match="`return_sequences`.*`reduce"):
        layers.LILayer(reduce="mean", return_sequences=True)


@pytest.mark.parametrize("cls", [layers.ILIFLayer, layers.ComplementaryLIFLayer])
def test_soft_resets_only(cls):
    with pytest.raises(ValueError, match="soft: leave out `v_reset`"):
        cls(v_reset=0.0)
    assert cls(v_reset=None).v_reset is None


def test_complementary_neurons_have_the_default_surrogate_of_their_paper():
    assert type(layers.ComplementaryLIFLayer().surrogate).__name__ == "Rect"


def test_configurations_of_the_first_version_are_read():
    config = layers.ILIFLayer(D=3).get_config()
    config["surrogate"] = {
        "module": "keras_spiking.surrogates",
        "class_name": "Sigmoid",
        "config": {"alpha": 4.0},
        "registered_name": "keras_spiking>Sigmoid",
    }
    assert layers.ILIFLayer.from_config(config).D == 3
    config = layers.ParametricLIFLayer().get_config()
    config["learnable"] = {"w": "channel"}
    with pytest.warns(DeprecationWarning, match="'tau'"):
        layer = layers.ParametricLIFLayer.from_config(config)
    assert layer.learnable == {"tau": "channel"}


def test_old_names_warn_but_read():
    layer = layers.ParametricLIFLayer(init_tau=5.0)
    for build in (lambda: None, lambda: layer.build((2, 5, 3))):
        build()
        with pytest.warns(DeprecationWarning, match="`w`"):
            np.testing.assert_allclose(to_numpy(layer.w), -np.log(4.0), rtol=1e-6)
    with pytest.warns(DeprecationWarning, match="`rest`.*`baseline`"):
        assert layers.LIFLayer(v_reset=-0.5).rest == -0.5
    assert not {"w", "rest"} & set(dir(layer))


@every_neuron
def test_states_have_names(name):
    layer = make(name)
    if not isinstance(layer, layers.TemporalLayer):
        pytest.skip("it has no state")
    states = layer.get_initial_state(ops.zeros((2, 4)))
    assert len(layer.state_names) == len(states)
    assert list(layer.named(states)) == list(layer.state_names)


@pytest.mark.parametrize(
    "cls, name",
    [
        (layers.RefractoryLIFLayer, "refractory_steps"),
        (layers.SigmaDeltaLayer, "threshold"),
        (layers.EventPropLayer, "tau"),
    ],
)
def test_parameters_without_a_gradient_cannot_be_learned(cls, name):
    for learnable in (name, [name], {name: "channel"}):
        with pytest.raises(ValueError, match=f"{cls.__name__} cannot learn `{name}`"):
            cls(learnable=learnable)


@pytest.mark.trains
@every_neuron
def test_parameters_that_can_be_learned_have_a_gradient(name):
    cls = NEURONS[name]
    if not issubclass(cls, layers.TemporalLayer):
        pytest.skip("all its weights are matrices")
    layer = make(name)
    learnable = [
        parameter
        for parameter, declared in parameters(cls).items()
        if declared.differentiable and declared.given(layer) is not None
    ]
    if not learnable:
        return
    # Without adaptation its time constant does not matter.
    adapting = {"a": 0.3, "b": 0.2} if "w_rest" in learnable else {}
    layer = make(name, learnable=learnable, **adapting)
    x = np.random.default_rng(0).uniform(-0.5, 2.5, (2, 30, 4)).astype("float32")
    x = x * np.array(STRONG.get(name, 1.0), "float32")
    weight = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    layer.build(x.shape)
    weights = layer.trainable_weights
    assert len(weights) >= len(learnable)
    found = gradients(lambda x: ops.sum(ops.multiply(layer(x), weight)), [x], weights)
    for variable, gradient in zip(["input", *(w.name for w in weights)], found):
        assert np.all(np.isfinite(gradient)) and np.any(gradient != 0.0), variable


@pytest.mark.parametrize(
    "cls, name, arguments",
    [
        (layers.ILIFLayer, "v_threshold", {}),
        (layers.KLIFLayer, "k", {"scale_reset": True}),
        (layers.KLIFLayer, "k", {"scale_reset": True, "v_reset": None}),
        (layers.EIFLayer, "delta_T", {}),
        (layers.AdExLayer, "delta_T", {"v_reset": None}),
        (layers.LIFLayer, "tau", {}),
        (layers.ParametricLIFLayer, "tau", {"decay_input": False}),
    ],
)
def test_what_divides_stays_above_0(cls, name, arguments):
    """Whatever learning makes of a weight, outputs and gradients are finite."""
    if cls is not layers.ParametricLIFLayer:
        for value in (0.0, -1.0):
            with pytest.raises(ValueError, match=f"`{name}` must be at least"):
                cls(**arguments, **{name: value})
    layer = cls(learnable={name: "neuron"}, **arguments)
    layer.build((2, 5, 4))
    weight = getattr(cls, name).weight(layer)
    value = ops.convert_to_tensor([0.0, -1e3, -90.0, 1e3], "float32")
    weight.assign(weight.constraint(value) if weight.constraint else value)
    x = np.full((2, 5, 4), 1.5, "float32")
    assert np.all(np.isfinite(to_numpy(layer(x))))
    if keras.config.backend() != "numpy":
        found = gradients(lambda x: ops.sum(layer(x)), [x], layer.trainable_weights)
        assert all(np.all(np.isfinite(gradient)) for gradient in found)
