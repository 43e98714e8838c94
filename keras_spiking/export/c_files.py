"""What stands beside the C text of a network: header, test, README."""

import numpy as np

from keras_spiking.inference.plain import numbers


def header(text):
    """The C header."""
    name, graph = text.name, text.graph
    macro = name.upper()
    sizes = [
        f"#define {macro}_{kind.upper()}{i if len(values) > 1 else ''}_SIZE "
        f"{value.positions.size} /* {_shape(value)} */"
        for kind, values in (("input", graph.inputs), ("output", graph.outputs))
        for i, value in enumerate(values)
    ]
    limit = graph.timesteps
    if limit:
        sizes.append(f"#define {macro}_TIMESTEPS {limit}")
    presented = "" if all(v.time for v in graph.inputs) else _PRESENTED
    failure = _FAILURE.format(name=name) if limit else " Returns 0."
    return _HEADER.format(
        name=name,
        macro=macro,
        weights=text.weights,
        sizes="\n".join(sizes),
        presented=presented,
        failure=failure,
        reduced="" if all(v.time for v in graph.outputs) else _REDUCED,
        step=", ".join(text.parameters()),
        run=", ".join(text.parameters(steps=True)),
    )


def _shape(value):
    axes = [*["time"] * value.time, *map(str, value.shape)]
    return f"of a time step of ({', '.join(axes)})" if value.time else ", ".join(axes)


_PRESENTED = """
   An input without a time axis is the same in all steps until the next reset."""
_FAILURE = """ Returns 0, or 1 if the network has had all its time steps:
   call {name}_reset then."""
_REDUCED = """
   Outputs without a time axis are those of the steps so far."""
_HEADER = """/* {name}: a spiking network with {weights} weights. */
#ifndef {macro}_H
#define {macro}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* Numbers of the inputs and outputs, in the order of NumPy (the last axis next to one
   another). */
{sizes}

/* Forgets the past: the next step is the first one. */
void {name}_reset(void);

/* One time step of a stream.{reduced}{presented}
  {failure} */
int {name}_step({step});

/* A whole sequence from a reset on: steps one after the other in the arrays. */
int {name}_run({run});

#ifdef __cplusplus
}}
#endif

#endif
"""


def test(text, inputs, outputs, timesteps):
    """A C program that compares the outputs for an input with what they must be."""
    graph, arrays, calls, checks, streams = text.graph, [], [], [], []
    step_arguments = []
    for i, (value, array) in enumerate(zip(graph.inputs, inputs)):
        arrays.append(_array(f"input{i}", array))
        step_arguments.append(
            f"input{i} + t * {value.positions.size}" if value.time else f"input{i}"
        )
    calls = [f"input{i}" for i, _ in enumerate(inputs)] + [str(timesteps)]
    for i, (value, array) in enumerate(zip(graph.outputs, outputs)):
        size = array.size
        arrays.append(_array(f"expected{i}", array))
        arrays.append(f"static float output{i}[{size}];")
        calls.append(f"output{i}")
        at = f"output{i} + t * {value.positions.size}" if value.time else f"output{i}"
        step_arguments.append(at)
        checks.append(f"differences += count(expected{i}, output{i}, {size});")
        streams.append(f"for (int i = 0; i < {size}; i++) output{i}[i] = -1.0f;")
    return _TEST.format(
        name=text.name,
        arrays="\n".join(arrays),
        run=", ".join(calls),
        step=", ".join(step_arguments),
        timesteps=timesteps,
        checks="\n    ".join(checks),
        forget="\n    ".join(streams),
    )


def _array(name, array):
    content = numbers(np.asarray(array, "float32"))
    return f"static const float {name}[{array.size}] = {{\n{content}\n}};"


# Functions such as `exp` may differ in their last digit from one library to another.
_TEST = """/* Tests {name}: cc -std=c99 -O2 {name}.c {name}_test.c -lm && ./a.out */
#include "{name}.h"

#include <stdio.h>

{arrays}

static int count(const float *expected, const float *found, int size) {{
    int differences = 0;
    for (int i = 0; i < size; i++) {{
        const float difference = expected[i] - found[i];
        const float most = 1e-5f * (expected[i] < 0.0f ? -expected[i] : expected[i]);
        const int same = difference <= most + 1e-6f && -difference <= most + 1e-6f;
        if (!same && expected[i] != found[i]) differences++;
    }}
    return differences;
}}

int main(void) {{
    int differences = {name}_run({run});
    {checks}
    /* The same as a stream. */
    {forget}
    {name}_reset();
    for (int t = 0; t < {timesteps}; t++) differences += {name}_step({step});
    {checks}
    printf("%d outputs differ\\n", differences);
    return differences != 0;
}}
"""


def readme(text, model):
    """What the folder holds, how to compile it, and what it needs."""
    rows = []
    for kernel in text.kernels:
        weights = sum(text.bytes_of_weights(op) for op in kernel.operations)
        states = sum(4 * len(s) for op in kernel.states for s in op.states)
        rows.append(f"| {kernel.name.replace('|', ' ')} | {weights:,} | {states:,} |")
    return _README.format(
        name=text.name,
        model=model,
        weights=text.weights,
        flash=f"{text.flash:,}",
        ram=f"{text.ram:,}",
        stack=f"{text.stack:,}",
        rows="\n".join(rows),
        step=", ".join(text.parameters()),
        run=", ".join(text.parameters(steps=True)),
    )


_README = """# {name}

The Keras model '{model}' in C99, with {weights} weights. It needs a C99 compiler and
the functions of `math.h`: no `malloc`, no operating system, no other library.

```c
#include "{name}.h"

void {name}_reset(void);
int {name}_step({step});
int {name}_run({run});
```

| memory | bytes |
| --- | --- |
| flash, constants (code comes on top) | {flash} |
| RAM, variables | {ram} |
| stack, largest arrays of a function | {stack} |

| layers | bytes of weights | bytes of states |
| --- | --- | --- |
{rows}

## Compiling

```bash
cc -std=c99 -O2 {name}.c {name}_test.c -lm && ./a.out
```

The test runs an input whose outputs are known, as a sequence and as a stream, and
prints how many outputs differ. Results are the same, bit for bit, at all levels of
optimisation and with all processors that have IEEE floats, since no operation is
contracted or reordered; but for functions such as `expf`, in which the libraries of
systems differ in the last digit. `-ffast-math` is refused.

States are static: there is one network in a program, and it is not to be called from
several threads at once.
"""
