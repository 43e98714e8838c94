"""The C that the documentation prints is the C that is compiled."""

import pathlib
import re

import keras_spiking
from keras_spiking.backends.kernels import host
from keras_spiking.backends.kernels.program import Program
from keras_spiking.backends.kernels.trace import Step

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "kernels.md"


def functions_of_lif():
    layer = keras_spiking.layers.LIFLayer(tau=2.0, surrogate="atan")
    layer.build((None, None, 100))
    source = host.source(Program(Step(layer, (100,)), fresh=True), "float32")
    return re.findall(r"^int \w+_part.*?^}$", source, re.M | re.S)


def test_page_prints_the_kernels_of_lif():
    printed = re.findall(r"^```c\n(.*?)\n```$", PAGE.read_text(), re.M | re.S)
    assert printed == functions_of_lif()
