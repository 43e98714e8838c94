"""What a type checker says of the package's users: read by `test_types.py`.

A line that has to be refused ends in a comment with the reason.
"""

import numpy as np

import keras_spiking
from keras_spiking import layers
from keras_spiking import losses
from keras_spiking import surrogates
from keras_spiking.layers import LIFLayer

LIFLayer(tau=2.0, v_threshold=1.0, v_reset=None, surrogate="atan", name="lif")
LIFLayer(np.ones(3), decay_input=False, learnable={"tau": "channel"}, dtype="float32")
LIFLayer(v_treshold=3)  # refused: No parameter named "v_treshold"
layers.LIFLayer(2.0, 0.5)  # refused: Expected 1 positional argument
layers.LIFLayer(decay_input="yes")  # refused: is not assignable to "bool"
keras_spiking.layers.IFLayer(v_reset=0.0, detach_reset=True)
keras_spiking.layers.IFLayer(detatch_reset=True)  # refused: "detatch_reset"
keras_spiking.layers.LIFFLayer()  # refused: "LIFFLayer" is not a known attribute

neuron = LIFLayer(surrogate=surrogates.ATan(alpha=2.0))
rate: float = surrogates.get("sigmoid").derivative(0.0)
surrogates.ATan(slope=2.0)  # refused: No parameter named "slope"
surrogates.ATan("steep")  # refused: is not assignable to "float"
surrogates.get("atan") + 1  # refused: Operator "+" not supported

losses.VanRossumDistance(tau=5.0, reduction="none", name="distance")
losses.VanRossumDistance(tau="5")  # refused: is not assignable to "float"
losses.VanRossumDistance(taus=5.0)  # refused: No parameter named "taus"
keras_spiking.constraints.Interval(0.0, "1")  # refused: parameter "maximum"
keras_spiking.regularizers.FiringRateRegularizer(minimum=0.1, strength=0.5)
keras_spiking.metrics.AccuracyAtEveryTimeStep(2.5)  # refused: "float"
keras_spiking.utils.redundant_one_hot([0, 1], 10, 2)
keras_spiking.config.set_fused("never")
keras_spiking.config.set_fused(False)  # refused: is not assignable to "str"
