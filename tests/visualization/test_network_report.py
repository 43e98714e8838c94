import inspect
import json
import re
import sys

import keras
import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

from keras_spiking import callbacks
from keras_spiking import layers
from keras_spiking import report as command
from keras_spiking import visualization
from keras_spiking.visualization import observation
from keras_spiking.visualization import report_tables
from keras_spiking.visualization.accuracy import accuracy_over_time
from keras_spiking.visualization.observation import observe

rng = np.random.default_rng(0)
X = rng.uniform(0.0, 3.0, (7, 5, 3)).astype("float32")
Y = rng.integers(0, 2, 7)

# Each length of an input is compiled anew.
on_fast_compilers = pytest.mark.skipif(BACKEND == "jax", reason="run elsewhere")


def network(name="network"):
    """A layer that adapts, one that is stuck, one that is dead, and a readout."""
    return keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.SeqToBatch(
                keras.layers.Dense(4, "relu", name="first"), name="block"
            ),
            layers.ALIFLayer(beta=0.5, v_threshold=0.4, name="adaptive"),
            layers.IFLayer(v_threshold=0.0, name="stuck"),
            layers.LIFLayer(v_threshold=50.0, name="dead"),
            keras.layers.Dense(2, bias_initializer="normal", name="scores"),
            layers.LILayer(reduce="mean", name="readout"),
        ],
        name=name,
    )


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return network()


@pytest.fixture(scope="module")
def found(model):
    return observe(model, X, sample=4, batch_size=3)


def test_spikes_are_those_that_monitors_record(model, found):
    spikes = callbacks.OutputMonitor().record(model, X)
    assert list(found.neurons) == list(spikes) == ["adaptive", "stuck", "dead"]
    assert list(found.readouts) == ["readout"]
    for name, activity in found.neurons.items():
        np.testing.assert_allclose(activity.spikes, spikes[name].sum((0, 1)))
        np.testing.assert_allclose(activity.rates, spikes[name].mean((0, 2)), atol=1e-6)
        np.testing.assert_array_equal(activity.raster, spikes[name][4])
        assert activity.steps == 7 * 5


def test_potentials_are_those_before_the_reset_with_their_threshold(model, found):
    potentials = callbacks.StateMonitor(before_reset=True).record(model, X)
    for name in ("adaptive", "dead", "readout"):
        for trace in {**found.neurons, **found.readouts}[name].traces:
            expected = potentials[name][4, :, trace.neuron]
            np.testing.assert_allclose(trace.potential, expected, atol=1e-5)
    for trace in found.neurons["adaptive"].traces:
        crosses = trace.potential >= trace.threshold
        np.testing.assert_array_equal(crosses, trace.spikes)
        if trace.spikes[:-1].any():
            assert trace.threshold[-1] > 0.4
    (first, *_) = found.neurons["dead"].traces
    np.testing.assert_array_equal(first.threshold, np.full(5, 50.0, "float32"))
    assert found.readouts["readout"].traces[0].threshold is None


def test_silent_and_saturated_neurons_are_named(found):
    rows = {row[0]: row for row in report_tables.neurons(found).rows}
    assert rows["dead"][3:] == ["4 (100%)", "0 (0%)", "silent", "all silent"]
    assert rows["stuck"][3:] == ["0 (0%)", "4 (100%)", "saturated", "all saturated"]
    numbers = np.array([0, 1, 2, 5, 8, 9])
    assert report_tables.ranges(numbers) == "0–2, 5, 8–9"
    many = report_tables.ranges(np.arange(0, 300, 2))
    assert many.endswith("118, and 90 more")


@on_fast_compilers
def test_masked_steps_do_not_count():
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.Masking(), layers.IFLayer(name="n")]
    )
    x = np.ones((2, 5, 3), "float32")
    x[0, 2:] = 0.0
    activity = observe(model, x).neurons["n"]
    assert activity.steps == 7 and activity.rate == 1.0
    np.testing.assert_allclose(activity.rates, 1.0)
    assert len(activity.saturated) == 3


def test_architecture_shows_shapes_weights_and_implementation(model, found):
    rows = {row[0].strip(): row[1:] for row in report_tables.architecture(found).rows}
    assert rows["first"][:3] == ["Dense", "(None, 4)", "16"]
    assert rows["block"][:3] == ["SeqToBatch", "(None, 5, 4)", ""]
    assert rows["readout"][1] == "(None, 2)"
    counted = [int(row[2].replace(",", "") or 0) for row in rows.values()]
    assert sum(counted) == model.count_params()
    explained = {row["layer"]: row for row in found.explanation}
    assert rows["adaptive"][3] == explained["adaptive"]["implementation"] != ""


def neurons_everywhere():
    """A model of all containers, with neurons called like them."""

    def lif(name, **options):
        return layers.LIFLayer(v_threshold=0.2, name=name, **options)

    def dense():
        return keras.layers.Dense(4)

    def step_of(neurons):
        x = keras.Input((4,))
        return keras.Model(x, layers.SingleStep(neurons)(x))

    inputs = keras.Input((2, 3))
    x = layers.SeqToBatch([dense(), layers.SingleStep(lif("SeqToBatch"))])(inputs)
    x = layers.StepByStep([dense(), keras.Sequential([lif("StepByStep")])])(x)
    x = layers.StepByStep(step_of(lif("SingleStep")))(x)
    x = layers.ElementwiseRecurrent(lif("ElementwiseRecurrent"))(x)
    x = layers.LinearRecurrent(lif("LinearRecurrent"))(x)
    nodes = {"neurons": [dense(), lif("RecurrentGraph")], "back": dense()}
    edges = [
        *(("input", "neurons"), ("neurons", "back"), ("back", "neurons")),
        ("neurons", "output"),
    ]
    x = layers.RecurrentGraph(nodes, edges)(x)
    x = layers.Rematerialize([dense(), lif("Rematerialize")])(x)
    x, _ = layers.WithStates(lif("WithStates"))(x)
    x = keras.layers.TimeDistributed(step_of(lif("TimeDistributed")))(x)
    inner = keras.Input((2, 4))
    x = keras.Model(inner, lif("Model")(layers.Quantized(dense())(inner)))(x)
    x = lif("last", return_sequences=False)(x)
    return keras.Model(inputs, x)


def containers():
    for name, item in vars(layers).items():
        if inspect.isclass(item) and ".layers.containers." in item.__module__:
            if issubclass(item, keras.layers.Layer):
                yield name


def test_neurons_inside_of_all_containers_are_seen():
    model, x = neurons_everywhere(), X[:3, :2]
    names = {*containers(), "TimeDistributed", "Model", "last"} - {"Quantized"}
    spikes = callbacks.OutputMonitor().record(model, x)
    assert set(spikes) == names
    found = observe(model, x).neurons
    assert set(found) == names
    for name, activity in found.items():
        recorded = spikes[name]
        if name == "last":
            assert recorded.shape == (3, 4)
            np.testing.assert_array_equal(activity.raster[-1], recorded[0])
            continue
        assert recorded.shape == (3, 2, 4)
        np.testing.assert_allclose(activity.spikes, recorded.sum((0, 1)))
        np.testing.assert_array_equal(activity.raster, recorded[0])
        assert activity.before_reset and len(activity.traces) == 4


def predictions_after(model, x, steps):
    """Of the same layers, run on the first steps only."""
    x = x[:, :steps]
    for layer in model.layers:
        x = layer(x)
    return to_numpy(x)


@on_fast_compilers
def test_accuracy_after_each_step_is_that_of_shorter_inputs(model, found):
    curve = accuracy_over_time(model, [X[:3], X[3:]], found.outputs, Y)
    np.testing.assert_array_equal(curve.steps, [1, 2, 3, 4, 5])
    for steps, value in zip(curve.steps, curve.values, strict=True):
        expected = np.mean(predictions_after(model, X, steps).argmax(-1) == Y)
        assert value == pytest.approx(expected)
    assert curve.values[-1] == pytest.approx(curve.value)


def test_accuracy_of_other_readouts(model):
    dense, x = keras.layers.Dense(2), X[:, :, :2]

    def curve_of(*behind):
        model = keras.Sequential([keras.Input((5, 2)), *behind])
        return accuracy_over_time(model, [x], to_numpy(model(x)), Y)

    def expected(scores):
        return (scores.argmax(-1) == Y[:, None]).mean(0)

    mean = x.cumsum(1) / np.arange(1, 6)[:, None]
    stepped = layers.StepByStep(keras.layers.ReLU(), reduce="mean")
    np.testing.assert_allclose(curve_of(stepped).values, expected(mean))
    np.testing.assert_allclose(curve_of(keras.layers.ReLU()).values, expected(mean))
    after_head = curve_of(layers.FiringRate(), dense).values
    np.testing.assert_allclose(after_head, expected(to_numpy(dense(mean))))
    inputs = keras.Input((5, 2))
    functional = keras.Model(inputs, dense(layers.FiringRate()(inputs)))
    curve = accuracy_over_time(functional, [x], to_numpy(functional(x)), Y)
    np.testing.assert_allclose(curve.values, after_head)
    # What joins inputs and readout is no function of the readout alone.
    inputs = keras.Input((5, 2))
    joined = layers.FiringRate()(inputs) + inputs[:, 0]
    both = keras.Model(inputs, joined)
    curve = accuracy_over_time(both, [x], to_numpy(both(x)), Y)
    assert len(curve.steps) == 0 and "not shown" in curve.how


@pytest.fixture(scope="module")
def page(model, tmp_path_factory):
    pytest.importorskip("plotly")
    path = tmp_path_factory.mktemp("report") / "page.html"
    assert visualization.report(model, X, path, y=Y) == str(path)
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]
    return path.read_text("utf-8")


def figures_of(page):
    (text,) = re.findall(r'<script id="figures"[^>]*>(.*?)</script>', page, re.S)
    return json.loads(text)


def test_page_has_all_parts_and_needs_no_network(page):
    head, body = page.split("<body>")
    for title in ("Architecture", "Accuracy over time", "Firing rates", "Energy"):
        assert f"<h2>{title}</h2>" in body
    assert head.count("plotly.js v") == 1 and "default-src 'none'" in head
    assert not re.search(r"<(script|img|link|iframe)[^>]*(src|href)=", body)
    assert "stuck: saturated" in body and "dead: silent" in body
    assert len(page) < 6e6
    figures = figures_of(page)
    assert set(figures["page"]) == {"rates", "over_time", "operations", "accuracy"}
    assert list(figures["layers"]) == ["adaptive", "stuck", "dead", "readout"]
    # No empty panels: a text says why there is nothing to be drawn.
    assert "no spikes" in figures["layers"]["dead"]["raster"]
    assert "does not spike" in figures["layers"]["readout"]["raster"]
    assert figures["layers"]["adaptive"]["raster"]["layout"]["xaxis"]["dtick"] == 1
    names = [t["name"] for t in figures["layers"]["adaptive"]["traces"]["data"]]
    assert names[:2] == ["Membrane potential H[t]", "Threshold"]


@pytest.mark.once
def test_names_cannot_inject():
    pytest.importorskip("plotly")
    model = keras.Sequential(
        [keras.Input((5, 3)), layers.IFLayer(name="<script>alert(1)")], name="<b>"
    )
    found = observe(model, X)
    from keras_spiking import energy
    from keras_spiking.visualization.report_page import page

    text = page(found, energy.report(model, X), None).split("<body>")[1]
    assert "<script>alert" not in text and "<b>:" not in text
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.once
def test_large_and_long_recordings_are_cut_and_it_is_said(tmp_path):
    pytest.importorskip("plotly")
    model = keras.Sequential(
        [keras.Input((1300, 10, 20)), layers.LIFLayer(v_threshold=0.5, name="lif")]
    )
    x = rng.uniform(size=(2, 1300, 10, 20)).astype("float32")
    path = tmp_path / "page.html"
    visualization.report(model, x, path, sample=1)
    text = path.read_text("utf-8")
    assert len(text) < 6e6
    inside = figures_of(text)["layers"]["lif"]
    assert "(10 × 20)" in inside["notes"]
    assert "Spikes of 64 neurons" in inside["notes"]
    assert "first 1,000 of 1,300 steps" in inside["notes"]
    assert "mean of up to 2 steps" in text
    assert observation.NEURONS == 64


def test_bad_input_leaves_no_file(tmp_path, model):
    pytest.importorskip("plotly")
    path = tmp_path / "report.html"

    def refuses(error, match, model=model, x=X, path=path, **options):
        with pytest.raises(error, match=match):
            visualization.report(model, x, path, **options)
        assert not list(tmp_path.iterdir())

    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    refuses(ValueError, "no spiking neurons.*convert.*LIFLayer", plain, X[:, 0])
    refuses(TypeError, "must be a Keras model", "model.keras")
    refuses(ValueError, "`x` must fit the model's input", x=X[..., :2])
    refuses(ValueError, "folder that exists", path=tmp_path / "none" / "report.html")
    refuses(ValueError, "one of the 7 samples", sample=7)
    refuses(TypeError, "sample", sample="first")
    refuses(ValueError, "at least 1", batch_size=0)
    refuses(ValueError, "a class for each of the 7", y=Y[:3])
    refuses(ValueError, "a class for each of the 7", y=rng.normal(size=(7, 2)))
    refuses(ValueError, "classes from 0 to 1", y=np.full(7, 2))


def test_variables_stay_as_they_are(tmp_path):
    pytest.importorskip("plotly")
    model = keras.Sequential(
        [
            keras.Input((3,), batch_size=2),
            layers.PoissonEncoder(4, seed=1),
            keras.layers.Dense(3),
            layers.LIFLayer(stateful=True),
            layers.LILayer(reduce="mean"),
        ]
    )
    x, y = X[:4, 0] / 3.0, [0, 1, 2, 0]
    model(x[:2])
    before = [to_numpy(v.value) for v in model.variables]
    path = tmp_path / "report.html"
    visualization.report(model, x, path, y=y, batch_size=2, sample=3)
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, to_numpy(variable.value))


def test_one_hot_labels_are_classes():
    from keras_spiking.visualization.accuracy import check_labels

    np.testing.assert_array_equal(check_labels(np.eye(2)[Y], 7), Y)
    np.testing.assert_array_equal(check_labels(Y[:, None].astype("float32"), 7), Y)


def test_without_plotly_the_package_is_named(monkeypatch, tmp_path, model):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ImportError, match="pip install plotly"):
        visualization.report(model, X, tmp_path / "report.html")


@pytest.mark.once
def test_command_line(tmp_path, model, capsys):
    pytest.importorskip("plotly")
    saved, data, out = (str(tmp_path / n) for n in ("m.keras", "d.npz", "r.html"))
    model.save(saved)
    np.savez(data, x=X, y=Y)
    assert command.main([saved, data, "--output", out, "--sample", "2"]) == 0
    assert capsys.readouterr().out.strip() == out
    with open(out, encoding="utf-8") as file:
        assert "Spikes of sample 2" in file.read()

    def refuses(match, *arguments):
        assert command.main(list(arguments)) == 2
        message = capsys.readouterr().err
        assert re.search(match, message), message
        assert message.count("\n") == 1

    refuses("no file 'nothing.keras'", "nothing.keras", data)
    refuses("no saved network.*model.save", data, data)
    refuses("no file 'nothing.npz'", saved, "nothing.npz")
    (tmp_path / "text.npz").write_text("text")
    refuses("holds no arrays.*array `x`", saved, str(tmp_path / "text.npz"))
    np.savez(tmp_path / "other.npz", inputs=X)
    refuses("has the arrays inputs.*takes `x`", saved, str(tmp_path / "other.npz"))
    refuses("folder that exists", saved, data, "--output", str(tmp_path / "a" / "b"))
    refuses("one of the 7 samples", saved, data, "--sample", "9")
    (tmp_path / "broken.keras").write_bytes(open(data, "rb").read())
    refuses("cannot be loaded", str(tmp_path / "broken.keras"), data)


@pytest.mark.once
def test_command_line_takes_several_inputs_by_name(tmp_path, capsys):
    a, b = keras.Input((5, 3), name="a"), keras.Input((5, 3), name="b")
    model = keras.Model([a, b], layers.IFLayer()(a + b))
    np.savez(tmp_path / "data.npz", a=X, b=2 * X)
    x, y = command._load_data(str(tmp_path / "data.npz"), model)
    np.testing.assert_array_equal(x[1], 2 * X)
    assert y is None
    np.savez(tmp_path / "half.npz", a=X)
    with pytest.raises(ValueError, match="takes `a`, `b`"):
        command._load_data(str(tmp_path / "half.npz"), model)


def test_tensorboard_gets_the_same(tmp_path, model):
    pytest.importorskip("matplotlib")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing import event_accumulator

    callback = visualization.TensorBoardReport(tmp_path, X, y=Y, every=2)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(0)
    callback.on_epoch_end(1)
    callback.on_train_end()
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    tags = events.Tags()
    (rate,) = events.Scalars("report/firing_rate/stuck")
    assert rate.step == 1 and rate.value == 1.0
    assert events.Scalars("report/silent/dead")[0].value == 1.0
    assert {"report/accuracy", "report/microjoules/45nm"} <= set(tags["scalars"])
    assert "report/firing_rates/adaptive" in tags["histograms"]
    images = {f"report/{x}/adaptive" for x in ("spikes", "potential")}
    assert {*images, "report/activity"} <= set(tags["images"])
    text = events.Tensors("report/architecture")[0].tensor_proto.string_val[0]
    assert "| adaptive | ALIFLayer | (None, 5, 4) |" in text.decode("utf-8")
    text = events.Tensors("report/neurons")[0].tensor_proto.string_val[0]
    assert text.decode("utf-8").endswith("\n- dead: all silent")
    plugin = events.SummaryMetadata("report/architecture").plugin_data.plugin_name
    assert plugin == "text"
