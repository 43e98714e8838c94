"""The kernel generator: from the equations of one time step to C and CUDA.

1. `trace` calls a layer's `step` with symbols and turns what it did into
   expressions (`expression`).
2. `gradient` differentiates the expressions in reverse.
3. `program` decides what the forward pass saves for the backward pass.
4. `printer` writes both passes as C or CUDA: one loop over time, one pass over
   memory, states in registers.
5. `compiler` makes a library of the C text and keeps it on disk.
"""
