"""Which Keras is installed, since versions differ in what they do."""

import keras

KERAS_VERSION = tuple(int(number) for number in keras.__version__.split(".")[:2])
