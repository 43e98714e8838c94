import io
import os
import time
from collections.abc import Callable

import keras

from keras_spiking.validation import check_integer


class TensorBoardFigures(keras.callbacks.Callback):
    """Shows pictures of a model in TensorBoard while it trains.

    Args:
        log_dir: Folder for TensorBoard, as that of `keras.callbacks.TensorBoard`.
        figures: Dictionary from names to callables `model -> figure`.
        every: Integer >= 1, epochs from one picture to the next. Defaults to `1`.

    Raises:
        ImportError: if the package tensorboard is not installed.

    Example:

    ```python
    callback = keras_spiking.visualization.TensorBoardFigures(
        "logs",
        {
            "activity": lambda model: (
                keras_spiking.visualization.plot_network_activity(model, x_val)
            )
        },
    )
    model.fit(x, y, epochs=10, callbacks=[callback])
    ```
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        figures: dict[str, Callable],
        every: int = 1,
    ):
        super().__init__()
        if not isinstance(figures, dict) or not all(map(callable, figures.values())):
            raise TypeError(
                "`figures` must be a dictionary from names to functions of the model. "
                f"Received: figures={figures!r}"
            )
        self.log_dir = os.fspath(log_dir)
        self.figures = dict(figures)
        self.every = check_integer("every", every, minimum=1)
        self.writer = None

    def on_train_begin(self, logs=None):
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise ImportError(
                "Pictures in TensorBoard need the package tensorboard: "
                "`pip install tensorboard`."
            ) from None
        self.writer = EventFileWriter(self.log_dir)

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every:
            return
        for name, plot in self.figures.items():
            self.writer.add_event(_event(name, plot(self.model), epoch))
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.close()


def _event(name, figure, epoch):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    image = Summary.Image(encoded_image_string=png.getvalue(), colorspace=3)
    width, height = figure.get_size_inches()
    image.width, image.height = int(width * 100), int(height * 100)
    summary = Summary(value=[Summary.Value(tag=name, image=image)])
    return Event(wall_time=time.time(), step=epoch, summary=summary)
