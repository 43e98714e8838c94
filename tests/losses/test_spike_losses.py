import keras
import numpy as np
import pytest
from backend import gradients
from backend import to_numpy
from keras import ops

from keras_spiking import losses
from keras_spiking import metrics
from keras_spiking import utils


def spikes(shape=(3, 12, 4), rate=0.3, seed=0):
    uniform = np.random.default_rng(seed).uniform(size=shape)
    return (uniform < rate).astype("float32")


def value(x):
    return float(to_numpy(x))


LOSSES = [
    losses.FirstSpikeTimeLoss(),
    losses.MembraneLoss(on_target=2.0),
    losses.SpikeClusterLoss(T_in=3),
    losses.SpikeCountLoss(true_count=4),
    losses.SpikeSimilarity("gaussian", 2.0, "l1"),
    losses.TempotronLoss(0.5),
    losses.TimeToFirstSpikeCrossentropy(2.0),
    losses.VanRossumDistance(3.0),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda x: type(x).__name__)
def test_a_loss_made_from_its_configuration_has_the_same_configuration(loss):
    again = type(loss).from_config(loss.get_config())
    assert again.get_config() == loss.get_config()


def test_the_first_spike_is_found():
    s = spikes()
    index = to_numpy(losses.first_spike_index(s))
    time = to_numpy(losses.first_spike_time(s))
    fires = s.any(1)
    np.testing.assert_array_equal(index.sum(1), fires)
    np.testing.assert_array_equal(time[fires], s.argmax(1)[fires])
    np.testing.assert_array_equal(time[~fires], 12)


@pytest.mark.trains
def test_a_spike_has_the_gradient_of_coming_earlier():
    s = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]], "float32")
    (g,) = gradients(lambda s: ops.sum(losses.first_spike_time(s)), [s])
    np.testing.assert_array_equal(g[0, :, 0], [0, -1, 0])
    np.testing.assert_array_equal(g[0, :, 1], [-1, -1, -1])


def test_van_rossum_distance_is_the_distance_of_filtered_trains():
    a, b = spikes(seed=1), spikes(seed=2)
    trace = np.zeros((3, 4))
    total = 0.0
    for t in range(12):
        trace = np.exp(-1 / 3.0) * trace + a[:, t] - b[:, t]
        total = total + trace**2 / 3.0
    found = value(losses.VanRossumDistance(3.0)(b, a))
    np.testing.assert_allclose(found, total.mean(), rtol=1e-5)


def test_van_rossum_distance_grows_with_the_shift_of_a_spike():
    train = np.zeros((1, 30, 1), "float32")
    train[0, 5] = 1.0
    loss = losses.VanRossumDistance(5.0)
    distance = [value(loss(train, np.roll(train, n, 1))) for n in (0, 1, 3, 9)]
    assert distance == sorted(distance) and distance[0] == 0.0


def clusters(v, T_in):
    """One neuron's clusters as lists of time steps."""
    found = []
    for t in np.flatnonzero(v >= 1.0):
        if found and t - found[-1][-1] <= T_in:
            found[-1].append(t)
        else:
            found.append([t])
    return found


def test_spike_clusters_are_those_found_one_by_one():
    v = np.random.default_rng(0).uniform(-1, 1.5, (4, 25, 3)).astype("float32")
    count, add, remove = (to_numpy(x) for x in losses.spike_clusters(v, T_in=2))
    for i, j in np.ndindex(4, 3):
        trace = v[i, :, j]
        found = clusters(trace, 2)
        assert count[i, j] == len(found)
        inside = np.zeros(25, bool)
        for c in found:
            inside[c[0] : c[-1] + 1] = True
        outside = np.where(inside, -9, trace)
        assert add[i, :, j].sum() == (~inside).any()
        assert add[i, outside.argmax(), j] == 1
        smallest = min(found, key=len)
        step = remove[i, :, j].argmax()
        assert smallest[0] <= step <= smallest[-1]
        assert trace[step] == trace[smallest[0] : smallest[-1] + 1].max()


def test_similarity_is_that_of_normalized_trains():
    s = spikes((5, 6, 7), 0.5)
    labels = np.array([0, 1, 0, 1, 2])
    x = s.reshape(5, -1)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = np.mean((x @ x.T - (labels[:, None] == labels)) ** 2)
    found = value(losses.SpikeSimilarity()(labels, s))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("kernel", ["polynomial", "sigmoid", "gaussian"])
def test_kernels_equal_their_formula(kernel):
    x, y = spikes((4, 9)), spikes((5, 9), seed=1)
    formula = {
        "polynomial": lambda a, b: (a @ b) ** 2.0,
        "sigmoid": lambda a, b: 1 / (1 + np.exp(-2.0 * (a @ b))),
        "gaussian": lambda a, b: np.exp(-np.sum((a - b) ** 2) / 8.0),
    }[kernel]
    found = to_numpy(losses.kernel_dot_product(x, y, kernel, 2.0))
    expected = [[formula(a, b) for b in y] for a in x]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_metrics_count_spikes_and_silence():
    s = spikes()
    for metric, expected in [
        (metrics.FiringRate(), s.mean()),
        (metrics.SilentFraction(), (s.sum(1) == 0).mean()),
        (metrics.SynapticOperations(7), s.sum() / 3 * 7),
    ]:
        metric.update_state(None, s)
        np.testing.assert_allclose(value(metric.result()), expected, rtol=1e-5)
        again = type(metric).from_config(metric.get_config())
        assert again.get_config() == metric.get_config()


def test_accuracy_at_every_time_step_is_that_of_the_sum_so_far():
    outputs = np.random.default_rng(0).normal(size=(50, 6, 3)).astype("float32")
    labels = np.random.default_rng(1).integers(3, size=50)
    metric = metrics.AccuracyAtEveryTimeStep(6)
    metric.update_state(labels[:20], outputs[:20])
    metric.update_state(keras.ops.one_hot(labels[20:], 3), outputs[20:])
    predicted = np.cumsum(outputs, 1).argmax(-1)
    expected = (predicted == labels[:, None]).mean(0)
    np.testing.assert_allclose(to_numpy(metric.result()), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="6"):
        metric.update_state(labels, outputs[:, :5])


def test_redundant_labels_repeat_each_class():
    found = to_numpy(utils.redundant_one_hot(np.array([0, 1, 1, 0]), 3, 2))
    expected = ["110000", "001100", "001100", "110000"]
    assert ["".join(str(int(h)) for h in row) for row in found] == expected
