"""Loihi's registers: the integers that they hold, and what these mean in a model.

Weights, biases and thresholds of 1.0 are the integer 64, decays and states of 1.0 are
4096. The numbers are those of Lava's CUBA neurons in fixed point.

References:
    - [Davies et al., 2018](https://doi.org/10.1109/MM.2018.112130359)
    - [Lava](https://lava-nc.org)
"""

INPUT_SCALE = 64
DECAY_SCALE = STATE_SCALE = 4096
STATE_SHIFT = 6  # from inputs to states
DECAY_SHIFT = 12  # from products with decays to states

WEIGHT_MINIMUM, WEIGHT_MAXIMUM, WEIGHT_STEP = -256, 254, 2
THRESHOLD_MAXIMUM = 131071
BIAS_MAXIMUM = 4095
DELAY_MAXIMUM = 62
STATE_LIMIT = 2**23  # currents wrap around here, potentials saturate below
