"""The rows of `docs/migration.md`, and what their variables stand for in tests."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "migration.md"

VALUES = [
    {"alpha": 0.9, "beta": 0.8, "tau": 10.0, "tau_syn": 5.0, "tau_adapt": 20.0},
    {"alpha": 0.75, "beta": 0.6, "tau": 2.5, "tau_syn": 1.25, "tau_adapt": 4.0},
    {"alpha": 0.98, "beta": 0.95, "tau": 40.0, "tau_syn": 12.0, "tau_adapt": 9.0},
]
for values, threshold, V in zip(VALUES, (0.26, 0.24, 0.2), (-0.5, -1.0, -0.25)):
    values |= {"threshold": threshold, "V": V}

# The edges by which neurons feed back through a layer with weights.
LOOP = [
    ("input", "neurons"),
    ("neurons", "output"),
    ("neurons", "dense"),
    ("dense", "neurons"),
]

_ROW = re.compile(r"\| `((?:snntorch|norse|sinabs)\..*)` \| `(.*)` \|")


def rows():
    """Pairs of what a framework calls a neuron, and what this package does."""
    found = (_ROW.fullmatch(line) for line in PAGE.read_text().splitlines())
    return [match.groups() for match in found if match]
