"""What is told of a training: lines on the screen, a table, logs for TensorBoard."""

import csv
import os
import sys
import time

import keras
import numpy as np

from keras_spiking.files import complete_file

COLUMNS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "val_loss": "val loss",
    "val_accuracy": "val accuracy",
    "firing_rate": "firing rate",
    "learning_rate": "learning rate",
}


class MoreLogs(keras.callbacks.Callback):
    """Adds the learning rate and the mean firing rate of all layers to the logs."""

    def on_epoch_end(self, epoch, logs=None):
        rates = [v for name, v in logs.items() if name.startswith("firing_rate/")]
        if rates:
            logs["firing_rate"] = float(np.mean(rates))
        rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        logs["learning_rate"] = float(rate)


class Progress(keras.callbacks.Callback):
    """Prints a line for each epoch, and on terminals how far the present one is.

    Args:
        epochs: Integer, number of all epochs.
        batches: `Batches` that the model is trained on.
    """

    def __init__(self, epochs, batches):
        super().__init__()
        self.epochs = epochs
        self.batches = batches
        self.columns = None
        if sys.stdout.isatty():
            # Only then: Keras dispatches batches faster if nobody listens.
            self.on_train_batch_end = self._show_step

    def on_epoch_begin(self, epoch, logs=None):
        self.started = self.shown = time.monotonic()
        self.epoch = f"{epoch + 1}/{self.epochs}".rjust(9)

    def _show_step(self, batch, logs=None):
        now = time.monotonic()
        if now - self.shown > 0.5:
            self.shown = now
            step = f"step {self.batches.first + batch + 1}/{self.batches.steps}"
            print(self.epoch, f" {step}  loss {logs['loss']:.4f}", end="\r", flush=True)

    def on_epoch_end(self, epoch, logs=None):
        if self.columns is None:
            self.columns = [name for name in COLUMNS if name in logs]
            titles = [f"{COLUMNS[name]:>13}" for name in self.columns]
            print("epoch".rjust(9), *titles, "time".rjust(9), flush=True)
        values = [f"{logs[name]:13.4g}" for name in self.columns]
        seconds = f"{time.monotonic() - self.started:.1f} s".rjust(9)
        print(self.epoch, *values, seconds, flush=True)


def write_table(path, rows):
    """Writes the logs of all epochs as CSV."""
    with complete_file(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


class Scalars(keras.callbacks.Callback):
    """Writes the logs of epochs for TensorBoard, on every backend.

    Args:
        folder: Folder for TensorBoard.

    Raises:
        ImportError: if the package tensorboard is not installed.
    """

    def __init__(self, folder):
        super().__init__()
        try:
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise ImportError(
                "Logs for TensorBoard need the package tensorboard: `pip install "
                "tensorboard`."
            ) from None
        self.writer = EventFileWriter(os.fspath(folder))

    def on_epoch_end(self, epoch, logs=None):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=k, simple_value=v) for k, v in logs.items()]
        event = Event(step=epoch, wall_time=time.time(), summary=Summary(value=values))
        self.writer.add_event(event)
        self.writer.flush()
