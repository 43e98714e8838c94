import io
import os
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_spiking import energy
from keras_spiking.validation import check_integer
from keras_spiking.visualization import report_tables as tables
from keras_spiking.visualization.activity import plot_rates
from keras_spiking.visualization.observation import observe_with_labels
from keras_spiking.visualization.spikes import plot_neuron
from keras_spiking.visualization.spikes import plot_spikes


class _Summaries(keras.callbacks.Callback):
    """Writes summaries of a model for TensorBoard at the end of epochs."""

    def __init__(self, log_dir, every):
        super().__init__()
        self.log_dir = os.fspath(log_dir)
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
        for value in self.values(self.model):
            self.writer.add_event(_event(value, epoch))
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.close()

    def values(self, model):
        """The values of a summary, one after the other."""
        raise NotImplementedError


class TensorBoardFigures(_Summaries):
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
        super().__init__(log_dir, every)
        if not isinstance(figures, dict) or not all(map(callable, figures.values())):
            raise TypeError(
                "`figures` must be a dictionary from names to functions of the model. "
                f"Received: figures={figures!r}"
            )
        self.figures = dict(figures)

    def values(self, model):
        for name, plot in self.figures.items():
            yield _image(name, plot(model))


class TensorBoardReport(_Summaries):
    """Shows in TensorBoard what `report` shows on its page, while a model trains.

    All of it is under `"report"`, in the parts of TensorBoard that are there without
    plugins:

    - scalars: firing rates, the share of silent and saturated neurons of each layer,
      microjoules per sample, and the accuracy if there are labels,
    - histograms: the firing rates of the neurons of each layer,
    - images: activity of the network, spikes and a membrane potential of each layer,
    - text: the architecture with what runs each layer, neurons, energies, and what does
      not look right.

    Args:
        log_dir: Folder for TensorBoard, as that of `keras.callbacks.TensorBoard`.
        x: Inputs of the model, a structure of arrays.
        y: Classes of the samples, integers or one-hot. Defaults to `None`.
        sample: Integer, whose spikes and potentials are shown. Defaults to `0`.
        every: Integer >= 1, epochs from one report to the next. Defaults to `1`.
        batch_size: Integer >= 1. Defaults to `32`.

    Raises:
        ImportError: if the package tensorboard is not installed.
        ValueError: while training, if the model has no spiking neurons, or the data
            does not fit it.

    Example:

    ```python
    callback = keras_spiking.visualization.TensorBoardReport("logs", x_val, y=y_val)
    model.fit(x, y, epochs=10, callbacks=[callback])
    ```
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        x: Any,
        *,
        y: Any = None,
        sample: int = 0,
        every: int = 1,
        batch_size: int = 32,
    ):
        super().__init__(log_dir, every)
        self.x, self.y = x, y
        self.sample = check_integer("sample", sample, minimum=0)
        self.batch_size = check_integer("batch_size", batch_size, minimum=1)

    def values(self, model):
        found, accuracy = observe_with_labels(
            model, self.x, self.y, self.sample, self.batch_size
        )
        counted = energy.report(model, self.x, batch_size=self.batch_size)
        for cost in counted.costs:
            energy_of = counted.snn_energy(cost) * 1e6
            yield _scalar(f"report/microjoules/{cost.name}", energy_of)
        if accuracy is not None:
            yield _scalar("report/accuracy", accuracy.value)
            yield _text("report/accuracy", tables.on_accuracy(accuracy))
        for name, x in found.neurons.items():
            yield _scalar(f"report/firing_rate/{name}", x.rate)
            yield _scalar(f"report/silent/{name}", len(x.silent) / x.size)
            yield _scalar(f"report/saturated/{name}", len(x.saturated) / x.size)
            yield _histogram(f"report/firing_rates/{name}", x.neuron_rates)
            yield from self._images(name, x)
        figure = plot_rates(
            {name: x.rates for name, x in found.neurons.items()},
            {name: x.neuron_rates for name, x in found.neurons.items()},
            "Network activity",
            (9, max(4.5, 0.45 * len(found.neurons))),
        )
        yield _image("report/activity", figure)
        lines = tables.findings(found, counted) or ["Nothing."]
        yield _text("report/to_look_at", "\n".join(f"- {line}" for line in lines))
        for name, table in (
            ("architecture", tables.architecture(found)),
            ("operations", tables.synapses(counted)),
            ("energy", tables.costs(counted)),
        ):
            yield _text(f"report/{name}", tables.to_markdown(table))
        table = tables.neurons(found)
        # Under the table: a column of long texts would leave no room for the others.
        which = [f"- {row[0]}: {row[-1]}" for row in table.rows if row[-1]]
        rows = [row[:-1] for row in table.rows]
        table = tables.Table(table.caption, table.columns[:-1], rows)
        lines = [tables.to_markdown(table), "", *which]
        yield _text("report/neurons", "\n".join(lines))

    def _images(self, name, x):
        if x.raster is not None:
            title = f"{name}: sample {self.sample}"
            if len(x.neurons) < x.size:
                title += f", {len(x.neurons)} of {x.size:,} neurons"
            yield _image(f"report/spikes/{name}", plot_spikes(x.raster, title=title))
        for trace in x.traces[:1]:
            threshold = trace.threshold
            figure = plot_neuron(
                trace.potential,
                trace.spikes,
                v_threshold=threshold,
                v_reset=None,
                title=f"{name}: neuron {trace.neuron}"
                + (", before the reset" if x.before_reset else ""),
            )
            yield _image(f"report/potential/{name}", figure)


def _event(value, epoch):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    summary = Summary(value=[value])
    return Event(wall_time=time.time(), step=epoch, summary=summary)


def _value(name, **content):
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary.Value(tag=name, **content)


def _scalar(name, number):
    return _value(name, simple_value=float(number))


def _image(name, figure):
    from tensorboard.compat.proto.summary_pb2 import Summary

    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    image = Summary.Image(encoded_image_string=png.getvalue(), colorspace=3)
    width, height = figure.get_size_inches()
    image.width, image.height = int(width * 100), int(height * 100)
    return _value(name, image=image)


def _histogram(name, numbers):
    from tensorboard.compat.proto.summary_pb2 import HistogramProto

    numbers = np.asarray(numbers, "float64")
    counts, edges = np.histogram(numbers, bins=30)
    histogram = HistogramProto(
        min=numbers.min(),
        max=numbers.max(),
        num=numbers.size,
        sum=numbers.sum(),
        sum_squares=np.square(numbers).sum(),
        bucket_limit=edges[1:],
        bucket=counts,
    )
    return _value(name, histo=histogram)


def _text(name, markdown):
    from tensorboard.compat.proto import summary_pb2
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    metadata = summary_pb2.SummaryMetadata(plugin_data=plugin)
    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode("utf-8")])
    return _value(name, metadata=metadata, tensor=tensor)
