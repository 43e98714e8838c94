"""Surrogate gradients: a Heaviside spike whose derivative is smooth.

A neuron fires `S = heaviside(H - v_threshold)`, whose derivative is zero
almost everywhere. A surrogate keeps the step in the forward pass and puts a
chosen derivative `g'(x)` in its place in the backward pass. Where a closed form
exists, `primitive` is the smooth function `g` whose derivative is `g'`.
"""

from keras_spiking.surrogates.from_derivative import FromDerivative
from keras_spiking.surrogates.functions import S2NN
from keras_spiking.surrogates.functions import ATan
from keras_spiking.surrogates.functions import Erf
from keras_spiking.surrogates.functions import FakeNumericalGradient
from keras_spiking.surrogates.functions import LeakyKReLU
from keras_spiking.surrogates.functions import LogTailedReLU
from keras_spiking.surrogates.functions import NonzeroSignLogAbs
from keras_spiking.surrogates.functions import PiecewiseExp
from keras_spiking.surrogates.functions import PiecewiseLeakyReLU
from keras_spiking.surrogates.functions import PiecewiseQuadratic
from keras_spiking.surrogates.functions import QPseudoSpike
from keras_spiking.surrogates.functions import Rect
from keras_spiking.surrogates.functions import Sigmoid
from keras_spiking.surrogates.functions import SoftSign
from keras_spiking.surrogates.functions import SquarewaveFourierSeries
from keras_spiking.surrogates.functions import StraightThrough
from keras_spiking.surrogates.functions import SuperSpike
from keras_spiking.surrogates.registry import get
from keras_spiking.surrogates.registry import names
from keras_spiking.surrogates.registry import serialize
from keras_spiking.surrogates.surrogate import Number
from keras_spiking.surrogates.surrogate import Spike
from keras_spiking.surrogates.surrogate import Surrogate
from keras_spiking.surrogates.surrogate import heaviside

__all__ = [
    "S2NN",
    "ATan",
    "Erf",
    "FakeNumericalGradient",
    "FromDerivative",
    "LeakyKReLU",
    "LogTailedReLU",
    "NonzeroSignLogAbs",
    "Number",
    "PiecewiseExp",
    "PiecewiseLeakyReLU",
    "PiecewiseQuadratic",
    "QPseudoSpike",
    "Rect",
    "Sigmoid",
    "SoftSign",
    "Spike",
    "SquarewaveFourierSeries",
    "StraightThrough",
    "SuperSpike",
    "Surrogate",
    "get",
    "heaviside",
    "names",
    "serialize",
]
