"""Operations over time, in `keras.ops`: the reference of all that is faster."""

from keras_spiking.ops.reduce import reduce_time
from keras_spiking.ops.sequence import run_steps
from keras_spiking.ops.straight_through import straight_through
from keras_spiking.ops.time_loop import time_loop
