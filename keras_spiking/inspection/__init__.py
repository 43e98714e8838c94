"""Looking into models: which layers there are, and what happens inside of them.

- `selection`: walking nested layers, and choosing some by name, class or predicate,
- `hooks`: functions around methods of single objects, for a block of code or a `fit`,
- `capture`: inputs, outputs, states and gradients of layers, over time,
- `states`: the states of a layer after every time step,
- `wiring`: which neurons receive what a synapse sends.
"""

__all__ = ["capture", "hooks", "selection", "states", "wiring"]
