import os

import numpy as np
from numpy.typing import ArrayLike

from keras_spiking.validation import check_integer
from keras_spiking.validation import check_number
from keras_spiking.visualization.figure import integer_ticks
from keras_spiking.visualization.figure import new_figure
from keras_spiking.visualization.figure import to_array


def _colored(frames):
    """Frames `(time, height, width, polarities)` as red, green and blue.

    "On" is orange and "off" blue, on white: the more events, the darker.
    """
    frames = to_array("frames", frames, 4, "(time, height, width, polarities)")
    if frames.shape[-1] not in (1, 2):
        raise ValueError(
            "`frames` must have 1 or 2 polarities as their last axis. Received: an "
            f"array of shape {frames.shape}"
        )
    if frames.shape[-1] == 1:  # signed, as in a voxel grid, or merged
        frames = np.concatenate([np.maximum(-frames, 0), np.maximum(frames, 0)], -1)
    # A few pixels that fire all the time must not leave the others pale.
    seen = frames[frames > 0]
    scale = np.percentile(seen, 95) if seen.size else 1.0
    off, on = np.moveaxis(np.clip(frames / scale, 0, 1), -1, 0)[..., None]
    # What white lacks of the orange #D55E00 and of the blue #0072B2.
    orange, blue = np.array([0.17, 0.63, 1.0]), np.array([1.0, 0.55, 0.30])
    return np.clip(1.0 - on * orange - off * blue, 0.0, 1.0)


def plot_frames(
    frames: ArrayLike,
    count: int = 8,
    title: str = "Event frames",
    figsize: tuple[float, float] = (10, 2),
):
    """Some of the frames of a recording, side by side.

    Args:
        frames: Array `(time, height, width, polarities)`.
        count: Integer, how many frames at most, evenly over time. Defaults to `8`.
        title: String. Defaults to `"Event frames"`.
        figsize: Width and height in inches. Defaults to `(10, 2)`.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    images = _colored(frames)
    count = min(check_integer("count", count, minimum=1), len(images))
    figure = new_figure(figsize)
    for axes, step in zip(
        figure.subplots(1, count, squeeze=False, sharey=True)[0],
        np.linspace(0, len(images) - 1, count).round().astype(int),
    ):
        axes.imshow(images[step])
        axes.set_title(f"Step {step}", fontsize=9)
        axes.set_xlabel("x (pixels)", fontsize=8)
        axes.tick_params(labelsize=7)
        integer_ticks(axes.xaxis)
        integer_ticks(axes.yaxis)
    figure.axes[0].set_ylabel("y (pixels)", fontsize=8)
    figure.suptitle(f"{title} (on: orange, off: blue)")
    return figure


def animate_frames(
    frames: ArrayLike,
    path: str | os.PathLike | None = None,
    frames_per_second: float = 10,
    title: str = "Event frames",
    figsize: tuple[float, float] = (4, 4.4),
):
    """A recording's frames one after the other.

    Args:
        frames: Array `(time, height, width, polarities)`.
        path: Path of a GIF to write. Defaults to `None`.
        frames_per_second: Float > 0. Defaults to `10`.
        title: String. Defaults to `"Event frames"`.
        figsize: Width and height in inches. Defaults to `(4, 4.4)`.

    Returns:
        A `matplotlib.figure.Figure`, which shows the first frame.
    """
    check_number("frames_per_second", frames_per_second, above=0.0)
    images = _colored(frames)
    figure = new_figure(figsize)
    axes = figure.subplots()
    image = axes.imshow(images[0])
    axes.set(xlabel="x (pixels)", ylabel="y (pixels)")
    integer_ticks(axes.xaxis)
    integer_ticks(axes.yaxis)

    def show(step):
        image.set_data(images[step])
        axes.set_title(f"{title}, step {step}\n(on: orange, off: blue)", fontsize=10)

    show(0)
    if path is not None:
        _write_gif(path, figure, show, len(images), frames_per_second)
        show(0)
    return figure


def _write_gif(path, figure, show, count, frames_per_second):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image  # comes with matplotlib

    from keras_spiking.datasets.files import replacing

    canvas = FigureCanvasAgg(figure)
    pictures = []
    for step in range(count):
        show(step)
        canvas.draw()
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    with replacing(path) as file:
        pictures[0].save(
            file,
            format="gif",
            save_all=True,
            append_images=pictures[1:],
            duration=1000 / frames_per_second,
            loop=0,
        )
