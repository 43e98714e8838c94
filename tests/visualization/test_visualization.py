import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_spiking import layers
from keras_spiking import visualization

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure  # noqa: E402

SPIKES = np.random.default_rng(0).random((20, 6)) < 0.3
FRAMES = np.random.default_rng(0).integers(0, 4, (5, 8, 9, 2))

PICTURES = {
    "spikes": lambda: visualization.plot_spikes(SPIKES),
    "neuron": lambda: visualization.plot_neuron(SPIKES[:, 0] * 0.5, SPIKES[:, 1]),
    "heat map": lambda: visualization.plot_heat_map(SPIKES * 0.5),
    "bars": lambda: visualization.plot_bars(SPIKES[:5]),
    "feature maps": lambda: visualization.plot_feature_maps(FRAMES[0]),
    "frames": lambda: visualization.plot_frames(FRAMES),
    "animation": lambda: visualization.animate_frames(FRAMES),
}


def drawn(figure):
    """The picture's pixels, by the renderer without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("name", PICTURES)
def test_returns_a_figure_with_labels(name):
    figure = PICTURES[name]()
    assert isinstance(figure, Figure)
    assert len(np.unique(drawn(figure).reshape(-1, 4), axis=0)) > 10
    axes = figure.axes
    assert figure.get_suptitle() or any(a.get_title() for a in axes)
    labels = [a.get_xlabel() + a.get_ylabel() for a in axes]
    assert any(labels)


def test_raster_has_one_mark_a_spike_and_rates_beside():
    raster, rates = visualization.plot_spikes(SPIKES).axes
    marks = raster.collections[0].get_offsets()
    np.testing.assert_array_equal(marks, np.argwhere(SPIKES))
    widths = [bar.get_width() for bar in rates.patches]
    np.testing.assert_allclose(widths, SPIKES.mean(0), rtol=1e-6)


def test_neuron_shows_threshold_and_reset():
    above, below = visualization.plot_neuron(
        [0.0, 0.5, 0.2], [0, 0, 1], v_threshold=0.7, v_reset=-0.1
    ).axes
    assert [line.get_ydata()[0] for line in above.lines[1:]] == [0.7, -0.1]
    assert below.collections[0].get_segments()[0][0, 0] == 2
    soft = visualization.plot_neuron([0.0], [0], v_reset=None)
    assert len(soft.axes[0].lines) == 2


def test_neuron_falls_from_the_potential_before_the_reset():
    above, _ = visualization.plot_neuron(
        v=[0.4, 0.0, 0.3], spikes=[0, 1, 0], h=[0.4, 1.2, 0.3], v_threshold=[1, 1, 1.1]
    ).axes
    line, threshold, _ = above.lines
    np.testing.assert_array_equal(line.get_xdata(), [0, 0, 1, 1, 2, 2])
    np.testing.assert_allclose(line.get_ydata(), [0.4, 0.4, 1.2, 0.0, 0.3, 0.3])
    np.testing.assert_allclose(threshold.get_ydata(), [1.0, 1.0, 1.1])


@pytest.mark.once
@pytest.mark.parametrize("width", [2.0, 3.0, 8.0])
def test_labels_of_narrow_rasters_are_inside(width):
    figure = visualization.plot_spikes(SPIKES, figsize=(width, 2.0))
    drawn(figure)
    for axes in figure.axes:
        box = axes.xaxis.label.get_window_extent()
        assert 0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0


def test_heat_map_has_time_on_the_horizontal_axis():
    values = np.arange(12.0).reshape(4, 3)
    axes = visualization.plot_heat_map(values).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), values.T)


def test_tensors_are_taken():
    spikes = keras.ops.convert_to_tensor(SPIKES.astype("float32"))
    assert len(visualization.plot_spikes(spikes).axes) == 2


def test_polarities_are_told_apart():
    frames = np.zeros((1, 1, 3, 2))
    frames[0, 0, 0, 0] = frames[0, 0, 1, 1] = 1
    off, on, none = visualization.plot_frames(frames).axes[0].images[0].get_array()[0]
    assert off[2] > off[0] and on[0] > on[2]
    np.testing.assert_allclose(none, 1.0)


def test_animation_is_written_as_gif(tmp_path):
    image = pytest.importorskip("PIL.Image")
    visualization.animate_frames(FRAMES, tmp_path / "a.gif", frames_per_second=5)
    with image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 5 and gif.info["duration"] == 200
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_network_activity():
    model = keras.Sequential(
        [
            keras.Input((5, 6)),
            layers.LIFLayer(name="one", v_threshold=0.1),
            layers.SeqToBatch(keras.layers.Dense(3)),
            layers.LIFLayer(name="two", v_threshold=1e6),
        ]
    )
    figure = visualization.plot_network_activity(model, np.ones((2, 5, 6), "float32"))
    over_time, over_neurons = figure.axes
    np.testing.assert_allclose(over_time.lines[0].get_ydata(), 1.0)
    np.testing.assert_allclose(over_time.lines[1].get_ydata(), 0.0)
    labels = [label.get_text() for label in over_neurons.get_yticklabels()]
    assert labels == ["one\n(0% silent)", "two\n(100% silent)"]


def test_network_activity_of_neurons_in_containers():
    block = keras.Sequential([layers.LIFLayer(name="inner", v_threshold=0.1)])
    stepped = [keras.layers.Dense(3), layers.IFLayer(name="stepped")]
    single = layers.SingleStep(layers.IFLayer(name="single"))
    last = layers.LIFLayer(name="last", return_sequences=False)
    stack = [block, layers.StepByStep([*stepped, single]), layers.PSN(name="psn")]
    model = keras.Sequential([keras.Input((5, 6)), *stack, last])
    figure = visualization.plot_network_activity(model, np.ones((2, 5, 6), "float32"))
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    names = ["inner", "stepped", "single", "psn"]
    assert [label.split()[0] for label in labels] == names
    assert all(len(line.get_ydata()) == 5 for line in figure.axes[0].lines)


def test_network_activity_without_neurons():
    with pytest.raises(ValueError, match="no spiking layers"):
        visualization.plot_network_activity(
            keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), SPIKES
        )


@pytest.mark.parametrize(
    "plot, values",
    [
        (visualization.plot_spikes, np.zeros((2, 3, 4))),
        (visualization.plot_spikes, np.zeros((0, 4))),
        (visualization.plot_heat_map, np.zeros(3)),
        (visualization.plot_feature_maps, np.zeros((3, 3))),
        (visualization.plot_frames, np.zeros((2, 3, 3, 5))),
    ],
)
def test_wrong_shapes(plot, values):
    with pytest.raises(ValueError, match="Received: an array of shape"):
        plot(values)


def test_ticks_of_few_neurons_are_whole_numbers():
    for neurons in (1, 2):
        figure = visualization.plot_spikes(SPIKES[:, :neurons])
        drawn(figure)
        low, high = sorted(figure.axes[0].get_ylim())
        ticks = [t for t in figure.axes[0].get_yticks() if low <= t <= high]
        assert ticks == list(range(neurons))


def test_bad_arguments():
    with pytest.raises(TypeError, match="count"):
        visualization.plot_frames(FRAMES, count=2.5)
    with pytest.raises(ValueError, match="columns"):
        visualization.plot_feature_maps(FRAMES[0], columns=0)
    with pytest.raises(ValueError, match="frames_per_second"):
        visualization.animate_frames(FRAMES, frames_per_second=0)
    with pytest.raises(TypeError, match="firing_rate"):
        visualization.plot_spikes(SPIKES, firing_rate="yes")
    with pytest.raises(TypeError, match="figures"):
        visualization.TensorBoardFigures("logs", 5)
    with pytest.raises(TypeError, match="every"):
        visualization.TensorBoardFigures("logs", {}, every=1.5)


def test_neuron_with_other_number_of_spikes():
    with pytest.raises(ValueError, match="same number of time steps"):
        visualization.plot_neuron([0.0, 1.0], [0])
    with pytest.raises(ValueError, match="`v` and `h` must have the same number"):
        visualization.plot_neuron([0.0, 1.0], [0, 1], h=[1.0])


def test_without_matplotlib_the_package_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None; import keras_spiking\n"
        "try: keras_spiking.visualization.plot_spikes([[0, 1]])\n"
        "except ImportError as e: assert 'pip install matplotlib' in str(e)\n"
        "else: raise AssertionError"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_open_no_window():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.get_fignums()
    visualization.plot_spikes(SPIKES)
    assert pyplot.get_fignums() == before


@pytest.mark.trains
def test_figures_in_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing import event_accumulator

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    callback = visualization.TensorBoardFigures(
        tmp_path, {"weights": lambda model: visualization.plot_bars(model.weights[0])}
    )
    x = np.ones((4, 6), "float32")
    model.fit(x, x[:, :1], epochs=2, verbose=0, callbacks=[callback])
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    images = events.Images("weights")
    assert [image.step for image in images] == [0, 1]
    assert images[0].encoded_image_string.startswith(b"\x89PNG")


def test_without_tensorboard_the_package_is_named(monkeypatch, tmp_path):
    module = "tensorboard.summary.writer.event_file_writer"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        visualization.TensorBoardFigures(tmp_path, {}).on_train_begin()
