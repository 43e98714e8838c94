"""The kernel generator: from the equations of one time step to C and CUDA.

1. `trace` calls a layer's `step` with symbols and turns what it did into
   expressions (`expression`).
2. `gradient` differentiates the expressions in reverse.
3. `program` decides what the way back needs from every step.
4. `passes` puts both ways into lines of C, `host` and `cuda` into functions:
   loops over time with the states in registers.
5. `compiler` makes a library of the C text and keeps it on disk.
6. `entry` lets a framework call a kernel by its number.
"""
