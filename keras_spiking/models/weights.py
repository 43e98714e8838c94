"""Weights of a network from a file, whatever its kind."""

import math
import os

import h5py
import keras
import numpy as np
from keras import ops

from keras_spiking.export.files import check_arrays
from keras_spiking.models.spikingjelly import load_spikingjelly


def load_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Loads weights into a model: all of them, or none.

    Args:
        model: Built Keras model.
        path: Path of a `.weights.h5` or `.keras` file of Keras, or of a checkpoint that
            `load_spikingjelly` reads.

    Raises:
        ValueError: if there is no such file, or the weights do not fit.
    """
    name = os.fsdecode(path)
    if not name.endswith((".weights.h5", ".keras")):
        load_spikingjelly(model, name)
        return
    if not os.path.isfile(name):
        raise ValueError(f"There is no file {name!r}.")
    before = [ops.copy(variable.value) for variable in model.variables]
    try:
        if name.endswith(".h5"):
            with h5py.File(name, "r") as file:
                check_arrays(file, math.inf)
        model.load_weights(name)
        for weight in model.weights:
            if not np.isfinite(ops.convert_to_numpy(weight.value)).all():
                raise ValueError(f"'{weight.path}' has values that are not finite.")
    except Exception as error:
        for variable, value in zip(model.variables, before):
            variable.assign(value)
        raise ValueError(
            f"The weights of {name!r} do not fit model '{model.name}', or the file is "
            f"damaged: {error} Nothing was loaded."
        ) from error
