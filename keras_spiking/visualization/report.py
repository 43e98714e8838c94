import os
from typing import Any

import keras

from keras_spiking import energy
from keras_spiking.files import complete_file
from keras_spiking.validation import check_integer
from keras_spiking.visualization import report_figures
from keras_spiking.visualization.observation import observe_with_labels
from keras_spiking.visualization.report_page import page


def report(
    model: keras.layers.Layer,
    x: Any,
    path: str | os.PathLike = "report.html",
    *,
    y: Any = None,
    sample: int = 0,
    batch_size: int = 32,
) -> str:
    """Writes what a model does on data to one interactive HTML page.

    The page shows the architecture, with what runs each layer and why; firing rates;
    which neurons are silent or saturated; spikes and membrane potentials, before the
    reset and with the threshold, of a sample; operations and energy; and the accuracy
    after every time step if there are labels. It opens in any browser, and loads
    nothing from elsewhere: it can be sent, kept, and read without a network.

    Of long recordings and large layers a part is shown, and the page says which: it
    stays smaller than about 6 MB, most of which is the library that draws.

    The model runs in inference. All variables stay as they are.

    Args:
        model: Keras model with spiking neurons, trained or converted.
        x: Inputs of the model, a structure of arrays.
        path: Path of the file. Defaults to `"report.html"`.
        y: Classes of the samples, integers or one-hot. Defaults to `None`.
        sample: Integer, whose spikes and potentials are shown. Defaults to `0`.
        batch_size: Integer >= 1. Defaults to `32`.

    Returns:
        The path, as a string.

    Raises:
        ImportError: if the package plotly is not installed.
        TypeError: if `model` is no Keras model.
        ValueError: if the model has no spiking neurons, the data does not fit it or is
            not finite, `y` are no classes, or `path` is in no folder that exists.

    Example:

    ```python
    keras_spiking.visualization.report(model, x_test[:64], "report.html", y=y_test[:64])
    ```
    """
    batch_size = check_integer("batch_size", batch_size, minimum=1)
    sample = check_integer("sample", sample, minimum=0)
    report_figures.plotly()
    with complete_file(path) as temporary:
        found, accuracy = observe_with_labels(model, x, y, sample, batch_size)
        text = page(found, energy.report(model, x, batch_size=batch_size), accuracy)
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
    return os.fspath(path)
