"""The passes over time that a kernel makes, for one neuron, in lines of C.

The same lines run on the host and on the GPU, in loops that `host` and `cuda` put
around them: `i` counts neurons of a block on the host, steps of a chunk on the GPU.
"""

import functools
from collections import ChainMap
from collections import namedtuple

from keras_spiking.backends.kernels.expression import in_order
from keras_spiking.backends.kernels.operations import OPERATIONS

# An array that a kernel reads or writes. `kind`: "sequence" (batch, time,
# features), "neuron" (batch, features), "mask" (batch, time), "scalars" (numbers), or
# "scratch", a sequence that nobody reads afterwards.
Array = namedtuple("Array", ["name", "kind"])

# `name`: "forward" or "backward"; `constants`: a `Constants`; lists of `Array`s and
# of `Pass`es.
Kernel = namedtuple(
    "Kernel", ["name", "inputs", "outputs", "scratch", "constants", "passes"]
)


class Constants:
    """What does not change over time: numbers, parameters, and what follows from them.

    Attributes:
        numbers: Lines of C that define values that are the same for all neurons.
        names: Names of values of a neuron that live in a register over all passes.
        setup: Lines of C that compute them.
        known: Dictionary from expressions to their C.
    """

    def __init__(self, step):
        self.numbers, self.names, self.setup, self.known = [], [], [], {}
        for i, _ in enumerate(step.scalars):
            self.define(step.graph.input(f"scalar{i}"), f"k{i}", f"scalars[{i}]")
        for i, _ in enumerate(step.parameters):
            self.add(step.graph.input(f"parameter{i}"), f"p{i}", f"parameter{i}[here]")

    def define(self, node, name, code):
        """A value that is the same for all neurons."""
        self.numbers.append(f"const REAL {name} = {code};")
        self.known[node] = name

    def add(self, node, name, code):
        """A value that each neuron has of its own."""
        self.names.append(name)
        self.setup.append(f"AT({name}) = {code};")
        self.known[node] = f"AT({name})"

    def place(self, node):
        """Where an expression belongs that needs no states and no inputs, or `None`."""
        used = node.inputs
        if not used or node.is_bool:
            return None
        if all(name.startswith("scalar") for name in used):
            return functools.partial(self.define, node, f"n{len(self.numbers)}")
        if all(name.startswith(("scalar", "parameter")) for name in used):
            return functools.partial(self.add, node, f"c{len(self.names)}")
        return None


class Pass:
    """One loop over time, for one neuron.

    Attributes:
        back: Whether time runs backwards.
        sequences: `Array`s that a step reads or writes.
        states: Names of values that live in a register over the whole loop.
        sums: Those of them that only add up what the steps give.
        setup, body, finish: Lines of C: before the loop, in it, after it.
    """

    def __init__(self, constants, sequences, back=False):
        self.back = back
        self.sequences = sequences
        self.states, self.sums = [], []
        self.setup, self.body, self.finish = [], [], []
        self._constants = constants
        self._names = ChainMap({}, constants.known)

    def state(self, name, initial):
        """A value that lives in a register over the whole loop."""
        self.states.append(name)
        self.setup.append(f"AT({name}) = {initial};")

    def compute(self, expressions):
        """Prints expressions into the body; returns their names."""
        known = list(self._names)
        for node in in_order(expressions, known):
            if node.op == "input" or node.is_constant():
                continue
            keep = self._constants.place(node)
            if keep is not None:
                keep(self._code(node))  # it is computed once, before the loops
            else:
                self._print(node)
        return [self._name_of(e) for e in expressions]

    def know(self, node, name):
        """Says that the body has the value of an expression under a name."""
        self._names[node] = name

    def _name_of(self, node):
        if node.is_constant():
            return _literal(node.value)
        if node in self._names:
            return self._names[node]
        return node.value

    def _print(self, node):
        kind = "int" if node.is_bool else "REAL"
        name = f"a{len(self._names)}"
        self.body.append(f"const {kind} {name} = {self._code(node)};")
        self._names[node] = name

    def _code(self, node):
        return OPERATIONS[node.op].code.format(*map(self._name_of, node.args))


def _literal(value):
    if value != value:
        return "NOT_A_NUMBER"
    if value in (float("inf"), float("-inf")):
        return "INFINITE" if value > 0 else "(-INFINITE)"
    text = f"R({value!r})"
    return f"({text})" if value < 0 else text


def kernels(program):
    """The two kernels of a program."""
    return [_forward(program), _backward(program)]


def _neurons(prefix, items):
    return [Array(f"{prefix}{i}", "neuron") for i, _ in enumerate(items)]


def _states(prefix, program):
    return [] if program.fresh else _neurons(prefix, program.step.states)


def _inputs(program):
    inputs = [Array("x", "sequence"), *_states("initial", program)]
    inputs += _neurons("parameter", program.step.parameters)
    inputs += [Array("mask", "mask")] * program.masked
    return inputs + [Array("scalars", "scalars")] * bool(program.step.scalars)


def _forward(program):
    final = _states("final", program)
    outputs = [Array("output", "sequence"), *final]
    constants = Constants(program.step)
    loop = Pass(constants, [Array("x", "sequence"), outputs[0]])
    (output,) = _advance(loop, program, [program.output])
    loop.body.append(f"STORE(output_row[i], {output});")
    loop.finish += [f"{a.name}[here] = AT(s{i});" for i, a in enumerate(final)]
    return Kernel("forward", _inputs(program), outputs, [], constants, [loop])


def _advance(loop, program, wanted):
    """Prints one step; returns the names of the wanted expressions."""
    step = program.step
    for i, state in enumerate(step.states):
        if program.fresh:
            (initial,) = loop.compute([step.initial_states[i]])
            loop.state(f"s{i}", initial)
        else:
            loop.state(f"s{i}", f"initial{i}[here]")
        loop.body.append(f"const REAL {state.value} = AT(s{i});")
    loop.body.append("const REAL x = LOAD(x_row[i]);")
    names = loop.compute([*program.new_states, *wanted])
    count = len(step.states)
    loop.body += [f"AT(s{i}) = {value};" for i, value in enumerate(names[:count])]
    return names[count:]


def _backward(program):
    inputs = _inputs(program)
    inputs += [Array("grad_output", "sequence"), *_states("grad_final", program)]
    outputs = [Array("grad_x", "sequence"), *_states("grad_initial", program)]
    outputs += _neurons("grad_parameter", program.step.parameters)
    saved = [Array(f"saved{i}", "scratch") for i, _ in enumerate(program.saved)]
    constants = Constants(program.step)
    passes = [_replay(program, constants, saved)] if saved else []
    passes.append(_way_back(program, constants, saved))
    return Kernel("backward", inputs, outputs, saved, constants, passes)


def _replay(program, constants, saved):
    # Going forward again is cheaper than to write what the gradients need into
    # the memory and to read it back: here it stays in the cache of a processor or
    # in the registers of a GPU.
    loop = Pass(constants, [Array("x", "sequence"), *saved])
    values = _advance(loop, program, program.saved)
    loop.body += [f"{a.name}_row[i] = {value};" for a, value in zip(saved, values)]
    return loop


def _way_back(program, constants, saved):
    step = program.step
    names = ["x", "grad_output", "grad_x"]
    loop = Pass(constants, [*(Array(n, "sequence") for n in names), *saved], back=True)
    for i, _ in enumerate(step.states):
        if program.fresh:
            loop.state(f"g{i}", "ZERO")
        else:
            loop.state(f"g{i}", f"grad_final{i}[here]")
            loop.finish.append(f"grad_initial{i}[here] = AT(g{i});")
        loop.body.append(f"const REAL grad_state{i} = AT(g{i});")
    for i, _ in enumerate(step.parameters):
        loop.state(f"w{i}", "ZERO")
        loop.sums.append(f"w{i}")
        loop.finish.append(f"grad_parameter{i}[here] = AT(w{i});")
    loop.body.append("const REAL grad_output = LOAD(grad_output_row[i]);")
    loop.body.append("const REAL x = LOAD(x_row[i]);")
    for node, array in zip(program.saved, saved):
        loop.body.append(f"const REAL {array.name} = {array.name}_row[i];")
        loop.know(node, array.name)
    grads = [program.grad_x, *program.grad_states, *program.grad_parameters]
    grad_x, *rest = loop.compute(grads)
    loop.body.append(f"STORE(grad_x_row[i], {grad_x});")
    count = len(step.states)
    loop.body += [f"AT(g{i}) = {value};" for i, value in enumerate(rest[:count])]
    loop.body += [f"AT(w{i}) += {value};" for i, value in enumerate(rest[count:])]
    return loop
