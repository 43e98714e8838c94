"""What an operation costs on some hardware, in joules."""

import dataclasses
from collections.abc import Iterable

from keras_spiking.validation import check_choice
from keras_spiking.validation import check_number

PICO = 1e-12


@dataclasses.dataclass(frozen=True)
class Cost:
    """A model of cost: joules for each kind of operation.

    Attributes:
        name: String.
        ac: Float >= 0, for one accumulation, which a spike at a synapse causes.
        mac: Float >= 0, for one multiply-accumulation, or `None` if the hardware has
            none: an ANN does not run on it.
        update: Float >= 0, for bringing the state of one neuron to the next step.
        weight: Float >= 0, for reading one weight.
        activation: Float >= 0, for reading or writing one analog activation.
        state: Float >= 0, for reading or writing one number of a neuron's state.
        quantized: Boolean, whether it is that of 8-bit weights.
        reference: String, where the numbers are from.

    Example:

    >>> chip = keras_spiking.energy.Cost("my chip", ac=5e-12, update=20e-12)
    """

    name: str
    ac: float
    mac: float | None = None
    update: float = 0.0
    weight: float = 0.0
    activation: float = 0.0
    state: float = 0.0
    quantized: bool = False
    reference: str = ""

    def __post_init__(self):
        for field in ("ac", "mac", "update", "weight", "activation", "state"):
            value = getattr(self, field)
            if not (field == "mac" and value is None):
                check_number(field, value, minimum=0.0)


_HOROWITZ = "Horowitz, 2014, https://doi.org/10.1109/ISSCC.2014.6757323"

_BUFFERS = {8: 10 * PICO, 32: 20 * PICO, 1024: 100 * PICO}
"""Joules for 64 bits from memory on the chip, by its size in kilobytes."""


def with_memory(cost: Cost, kilobytes: int = 32) -> Cost:
    """A cost with accesses to memory on the chip, in 45 nm.

    Weights are of 8 bits if `cost` is quantised, and so are analog activations. All
    else has 32 bits. Half of the bits cost half as much.

    Args:
        cost: `Cost` of operations in 45 nm.
        kilobytes: Size of each memory: 8, 32 or 1024. Defaults to `32`.

    Example:

    >>> cost = keras_spiking.energy.with_memory(
    ...     keras_spiking.energy.COSTS["45nm"], kilobytes=8
    ... )
    >>> cost.weight
    5e-12
    """
    check_choice("kilobytes", kilobytes, tuple(_BUFFERS))
    word = _BUFFERS[kilobytes] / 2
    short = word / 4 if cost.quantized else word
    return dataclasses.replace(
        cost,
        name=f"{cost.name}_memory",
        weight=short,
        activation=short,
        state=word,
    )


_FLOAT32 = Cost(
    "45nm", ac=0.9 * PICO, mac=4.6 * PICO, update=4.6 * PICO, reference=_HOROWITZ
)
# A product of 8 bits (0.2) is added to a sum of 32 (0.1), a state has 32 bits.
_INT8 = Cost(
    "45nm_int8",
    ac=0.1 * PICO,
    mac=0.3 * PICO,
    update=3.2 * PICO,
    quantized=True,
    reference=_HOROWITZ,
)

COSTS = {
    cost.name: cost
    for cost in (
        _FLOAT32,
        _INT8,
        with_memory(_FLOAT32),
        with_memory(_INT8),
        Cost(
            "loihi",
            ac=23.6 * PICO,
            update=81 * PICO,
            reference="Davies et al., 2018, https://doi.org/10.1109/MM.2018.112130359",
        ),
        Cost(
            "truenorth",
            ac=26 * PICO,
            reference="Merolla et al., 2014, https://doi.org/10.1126/science.1254642",
        ),
        Cost(
            "odin",
            ac=12.7 * PICO,
            reference="Frenkel et al., 2019, https://arxiv.org/abs/1804.07858",
        ),
        Cost(
            "spinnaker2",
            ac=10 * PICO,
            reference="Höppner et al., 2021, https://arxiv.org/abs/2103.08392, as "
            "Tang et al., 2023, https://doi.org/10.3389/fnins.2023.1187252 quote it",
        ),
    )
}
"""The costs that have a name. Those of chips are measured, with all that a synaptic
operation needs, such as memory."""


def get_costs(costs: str | Cost | Iterable[str | Cost] | None) -> list[Cost]:
    """The costs that are meant by names or are given; all if `costs` is `None`."""
    if costs is None:
        return list(COSTS.values())
    if isinstance(costs, (str, Cost)):
        costs = [costs]
    found = []
    for cost in costs:
        if not isinstance(cost, (str, Cost)):
            raise TypeError(
                "`costs` must be names or `keras_spiking.energy.Cost`s. Received: "
                f"{cost!r} (of type {type(cost).__name__})"
            )
        if isinstance(cost, str):
            cost = COSTS[check_choice("costs", cost, tuple(COSTS))]
        found.append(cost)
    if not found:
        raise ValueError(f"`costs` must not be empty. There are {', '.join(COSTS)}.")
    return found
