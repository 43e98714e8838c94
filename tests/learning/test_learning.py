import pathlib

import keras
import numpy as np
import pytest
from backend import to_numpy
from keras import ops

from keras_spiking import learning

pytestmark = pytest.mark.trains  # `correlate` is a gradient
DATA = pathlib.Path(__file__).parents[1] / "data"
random = np.random.default_rng(0)


def clip(w):
    return ops.clip(w, -1.0, 1.0)


def spikes(*shape):
    return (random.random(shape) < 0.4).astype("float32")


def built(layer, *features):
    layer.build((None, *features))
    return layer


def assert_equal(actual, expected):
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(to_numpy(actual) / scale, expected / scale, atol=1e-5)


def traces(x, tau, kept=None):
    kept = 1.0 - 1.0 / tau if kept is None else kept
    trace, result = np.zeros_like(x[:, 0]), []
    for t in range(x.shape[1]):
        trace = kept * trace + x[:, t]
        result.append(trace)
    return np.stack(result, axis=1)


def eligibility_before(pre, post, w, tau_pre, tau_post, f_pre, f_post):
    """What the spikes of the step before each step are worth, spike by spike."""
    tr_pre = traces(pre, None, np.exp(-1.0 / tau_pre))
    tr_post = traces(post, None, np.exp(-1.0 / tau_post))
    steps = f_post(w) * np.einsum("bti,btj->btij", tr_pre, post)
    steps = steps - f_pre(w) * np.einsum("bti,btj->btij", pre, tr_post)
    return np.concatenate([0.0 * steps[:, :1], steps[:, :-1]], axis=1)


def test_dense_golden():
    golden = np.load(DATA / "learning__stdp_dense.npz")
    dense = built(keras.layers.Dense(4), 6)
    dense.kernel.assign(golden["kernel"].T)
    rule = learning.STDP(dense, 5.0, 7.0, clip, clip)
    assert_equal(rule(golden["x"], golden["spikes"]), golden["delta_w"].T)


def test_convolution_golden():
    golden = np.load(DATA / "learning__stdp_conv2d_channels_first.npz")
    conv = built(keras.layers.Conv2D(3, 3, padding="same"), 6, 6, 2)
    conv.kernel.assign(np.transpose(golden["kernel"], (2, 3, 1, 0)))
    rule = learning.STDP(conv, 5.0, 7.0, clip, clip)
    x, post = (np.moveaxis(golden[name], 2, -1) for name in ("x", "spikes"))
    expected = np.transpose(golden["delta_w"], (2, 3, 1, 0))
    assert_equal(rule(x, post), expected)
    folded = x.reshape(-1, *x.shape[2:])
    assert_equal(rule(folded, post), expected)


def unfold_1d(x, kernel, strides):
    """Windows of `(batch, time, length, channels)`: `(..., out, kernel, channels)`."""
    starts = range(0, x.shape[2] - kernel + 1, strides)
    return np.stack([x[:, :, s : s + kernel] for s in starts], axis=2)


@pytest.mark.parametrize("groups", [1, 2])
def test_strided_and_grouped_convolution(groups):
    conv = built(keras.layers.Conv1D(4, 3, strides=2, groups=groups), 9, 2)
    pre, post = spikes(2, 5, 9, 2), spikes(2, 5, 4, 4)
    w = to_numpy(conv.kernel)
    rule = learning.STDP(conv, 3.0, 2.0, lambda w: 0.5 * w, lambda w: 1.0 - w)
    potentiation = np.zeros_like(w)
    depression = np.zeros_like(w)
    for out in range(4):
        group = out // (4 // groups)
        channels = slice(group * (2 // groups), (group + 1) * (2 // groups))

        def pair(pre, post, out=out, channels=channels):
            windows = unfold_1d(pre[..., channels], 3, 2)
            return np.einsum("btokc,bto->kc", windows, post[..., out])

        potentiation[:, :, out] = pair(traces(pre, 3.0), post)
        depression[:, :, out] = pair(pre, traces(post, 2.0))
    assert_equal(rule(pre, post), (1.0 - w) * potentiation - 0.5 * w * depression)


def test_depthwise_convolution_is_one_convolution_for_each_channel():
    depthwise = built(keras.layers.DepthwiseConv2D(3, padding="same"), 5, 5, 2)
    single = built(keras.layers.Conv2D(1, 3, padding="same"), 5, 5, 1)
    pre, post = spikes(2, 4, 5, 5, 2), spikes(2, 4, 5, 5, 2)
    change = to_numpy(learning.STDP(depthwise, 3.0, 2.0, clip, clip)(pre, post))
    for channel in range(2):
        single.kernel.assign(to_numpy(depthwise.kernel)[:, :, channel, None])
        rule = learning.STDP(single, 3.0, 2.0, clip, clip)
        one = slice(channel, channel + 1)
        expected = to_numpy(rule(pre[..., one], post[..., one]))[:, :, 0, 0]
        assert_equal(change[:, :, channel, 0], expected)


def places_1d(strides, padding):
    """Pairs of positions (in, out) that weight 0, 1 and 2 connect, of 5 inputs."""
    size = 5 * strides if padding == "same" else 4 * strides + 3
    before = 0 if padding == "valid" else (3 - strides) // 2
    ends = [(i, i * strides + k - before, k) for i in range(5) for k in range(3)]
    return size, [end for end in ends if 0 <= end[1] < size]


@pytest.mark.parametrize("strides,padding", [(2, "valid"), (1, "same")])
def test_transposed_convolution(strides, padding):
    conv = keras.layers.Conv1DTranspose(4, 3, strides=strides, padding=padding)
    conv = built(conv, 5, 2)
    size, ends = places_1d(strides, padding)
    pre, post = spikes(2, 5, 5, 2), spikes(2, 5, size, 4)
    w = to_numpy(conv.kernel)
    potentiation, depression = np.zeros((2, *w.shape))
    tr_pre, tr_post = traces(pre, 3.0), traces(post, 2.0)
    for i, o, k in ends:
        pair = "bti,bto->oi"
        potentiation[k] += np.einsum(pair, tr_pre[:, :, i], post[:, :, o])
        depression[k] += np.einsum(pair, pre[:, :, i], tr_post[:, :, o])
    rule = learning.STDP(conv, 3.0, 2.0, lambda w: 0.5 * w, lambda w: 1.0 - w)
    assert_equal(rule(pre, post), (1.0 - w) * potentiation - 0.5 * w * depression)


def test_transposed_convolution_in_two_dimensions_is_a_convolution_backwards():
    conv = built(keras.layers.Conv2DTranspose(2, 3, strides=2), 2, 3, 4)
    forward = built(keras.layers.Conv2D(4, 3, strides=2), 5, 7, 2)
    forward.kernel.assign(conv.kernel)
    pre, post = spikes(2, 2, 2, 3, 4), spikes(2, 2, 5, 7, 2)
    rule = learning.STDP(conv, 3.0, 2.0, ops.sin, ops.cos)
    backwards = learning.STDP(forward, 2.0, 3.0, ops.cos, ops.sin)
    assert_equal(rule(pre, post), -to_numpy(backwards(post, pre)))


def triplets(pre, post, tau_pre, tau_post, tau_x, tau_y, plus, minus):
    """All pairs and triplets of spike times of two neurons, one by one."""
    pre, post = np.flatnonzero(pre), np.flatnonzero(post)
    change = 0.0
    for now in post:
        slow = sum(np.exp((t - now) / tau_y) for t in post if t < now)
        fast = sum(np.exp((t - now) / tau_pre) for t in pre if t <= now)
        change += fast * (plus[0] + plus[1] * slow)
    for now in pre:
        slow = sum(np.exp((t - now) / tau_x) for t in pre if t < now)
        fast = sum(np.exp((t - now) / tau_post) for t in post if t <= now)
        change -= fast * (minus[0] + minus[1] * slow)
    return change


def test_triplets_of_spikes():
    dense = built(keras.layers.Dense(3), 4)
    pre, post = spikes(2, 9, 4), spikes(2, 9, 3)
    constants = [16.8, 33.7, 101.0, 125.0, (5e-10, 6.2e-3), (7e-3, 2.3e-4)]
    for rule, arguments in (
        (learning.TripletSTDP(dense), constants),
        (learning.TripletSTDP(dense, 3, 2, 5, 7, (1, 2), (3, 4)),)
        + ([3, 2, 5, 7, (1, 2), (3, 4)],),
    ):
        expected = [
            [sum(triplets(*x, *arguments) for x in zip(pre[..., i], post[..., j]))]
            for i in range(4)
            for j in range(3)
        ]
        expected = np.reshape(expected, (4, 3))
        scale = np.abs(expected).max()
        assert_equal(to_numpy(rule(pre, post)) / scale, expected / scale)
        first, state = rule(pre[:, :5], post[:, :5], return_traces=True)
        second = rule(pre[:, 5:], post[:, 5:], traces=state)
        assert_equal(to_numpy(first + second) / scale, expected / scale)


def test_rule_of_a_recurrent_synapse_sees_the_spikes_of_the_step_before():
    dense = built(keras.layers.Dense(3), 3)
    post = spikes(2, 7, 3)
    pre = np.concatenate([0.0 * post[:, :1], post[:, :-1]], axis=1)
    w = to_numpy(dense.kernel)
    potentiation = np.einsum("bti,btj->ij", traces(pre, 3.0), post)
    depression = np.einsum("bti,btj->ij", pre, traces(post, 2.0))
    rule = learning.STDP(dense, 3.0, 2.0, ops.sin, ops.cos)
    assert_equal(rule(pre, post), np.cos(w) * potentiation - np.sin(w) * depression)


def test_traces_carry_over_between_calls():
    dense = built(keras.layers.Dense(3), 4)
    rule = learning.STDP(dense, 3.0, 2.0, clip, clip)
    pre, post = spikes(2, 8, 4), spikes(2, 8, 3)
    first, state = rule(pre[:, :5], post[:, :5], return_traces=True)
    second = rule(pre[:, 5:], post[:, 5:], traces=state)
    assert_equal(first + second, to_numpy(rule(pre, post)))


@pytest.mark.parametrize("layer", ["dense", "convolution"])
@pytest.mark.parametrize("has_trace", [False, True])
def test_eligibility_carries_over_between_calls(layer, has_trace):
    if layer == "dense":
        synapse, features = built(keras.layers.Dense(3), 4), [(4,), (3,)]
    else:
        synapse = built(keras.layers.Conv2D(3, 3, strides=2), 5, 5, 2)
        features = [(5, 5, 2), (2, 2, 3)]
    pre, post = (spikes(2, 10, *shape) for shape in features)
    reward = random.normal(size=(2, 10)).astype("float32")
    rule = learning.MSTDP(synapse, 3.0, 2.0, ops.sin, ops.cos)
    if has_trace:
        rule = learning.MSTDPET(synapse, 3.0, 2.0, 20.0, ops.sin, ops.cos)
    total, state = 0.0, None
    for part in (slice(3), slice(3, 4), slice(4, 10)):
        arguments = pre[:, part], post[:, part], reward[:, part]
        delta, state = rule(*arguments, traces=state, return_traces=True)
        total = total + to_numpy(delta)
    assert tuple(state[2].shape) == (2, *synapse.kernel.shape)
    assert_equal(total, to_numpy(rule(pre, post, reward)))
    last = rule(pre, post, reward, traces=state)
    assert np.abs(to_numpy(last) - to_numpy(rule(pre, post, reward))).max() > 0.1


@pytest.mark.parametrize("shape", [(), (2,), (2, 6)])
def test_reward_modulates_the_change(shape):
    dense = built(keras.layers.Dense(3), 4)
    pre, post, reward = spikes(2, 6, 4), spikes(2, 6, 3), random.normal(size=shape)
    w = to_numpy(dense.kernel)
    steps = eligibility_before(pre, post, w, 3.0, 0.5, np.sin, np.cos)
    rule = learning.MSTDP(dense, 3.0, 0.5, ops.sin, ops.cos)
    full = np.broadcast_to(np.reshape(reward, (*shape, 1, 1)[:2]), (2, 6))
    expected = np.einsum("bt,btij->ij", full, steps)
    assert_equal(rule(pre, post, reward.astype("float32")), expected)


def test_eligibility_trace_credits_what_came_before_the_reward():
    dense = built(keras.layers.Dense(3), 4)
    pre, post, reward = spikes(2, 6, 4), spikes(2, 6, 3), random.normal(size=(2, 6))
    w = to_numpy(dense.kernel)
    steps = eligibility_before(pre, post, w, 3.0, 2.0, np.sin, np.cos)
    eligibility = traces(steps / 4.0, None, np.exp(-1.0 / 4.0))
    rule = learning.MSTDPET(dense, 3.0, 2.0, 4.0, ops.sin, ops.cos)
    expected = np.einsum("bt,btij->ij", reward, eligibility)
    assert_equal(rule(pre, post, reward.astype("float32")), expected)


def test_late_rewards_find_what_earned_them():
    dense = built(keras.layers.Dense(3), 4)
    pre, post, reward = spikes(2, 8, 4), spikes(2, 8, 3), random.normal(size=(2, 8))
    w = to_numpy(dense.kernel)
    rule = learning.DopamineSTDP(dense, 3.0, 2.0, 9.0, 5.0, ops.sin, ops.cos, 0.25)
    eligible = eligibility_before(pre, post, w, 3.0, 2.0, np.sin, np.cos)
    change, z, d = 0.0, 0.0, 0.0
    for t in range(8):
        z = z * np.exp(-1.0 / 9.0) + eligible[:, t]
        d = d * np.exp(-1.0 / 5.0) + reward[:, t, None, None]
        change = change + np.sum((0.25 + d) * z, axis=0)
    reward = reward.astype("float32")
    assert_equal(rule(pre, post, reward), change)
    first, state = rule(pre[:, :3], post[:, :3], reward[:, :3], return_traces=True)
    second = rule(pre[:, 3:], post[:, 3:], reward[:, 3:], traces=state)
    assert_equal(to_numpy(first) + to_numpy(second), change)


class SuccessModulated(learning.ThreeFactor):
    """Spikes that follow others count, if the reward is better than expected."""

    def __init__(self, synapse, expected_rate=0.1, **kwargs):
        super().__init__(synapse, **kwargs)
        self.expected_rate = expected_rate

    def update(self, pre, post, traces, weights):
        return self.correlate(traces[0], post - self.expected_rate)

    def third_factor(self, reward):
        return reward - ops.mean(reward, axis=0)


def test_own_three_factor_rule_is_a_small_subclass():
    conv = built(keras.layers.Conv1D(3, 2), 4, 2)
    pre, post = spikes(2, 6, 4, 2), spikes(2, 6, 3, 3)
    rule = SuccessModulated(conv, 0.2, tau_pre=3.0, tau_eligibility=4.0)
    reward = random.normal(size=(2, 6)).astype("float32")
    windows = np.stack(
        [traces(pre, 0, np.exp(-1 / 3.0))[:, :, s : s + 2] for s in range(3)], 2
    )
    steps = np.einsum("btpki,btpj->btkij", windows, post - 0.2)
    steps = np.concatenate([0.0 * steps[:, :1], steps[:, :-1]], axis=1)
    eligible = traces(steps, 0, np.exp(-1 / 4.0))
    expected = np.einsum("bt,btkij->kij", reward - reward.mean(axis=0), eligible)
    assert_equal(rule(pre, post, reward), expected)


def test_third_factor_of_a_rule_by_inheritance():
    class RewardedTriplets(learning.ThreeFactor, learning.TripletSTDP):
        pass

    dense = built(keras.layers.Dense(3), 4)
    pre, post = spikes(1, 7, 4), spikes(1, 7, 3)
    rule = RewardedTriplets(dense, tau_eligibility=1e9)
    plain = learning.TripletSTDP(dense)
    reward = np.float32([[0, 0, 0, 0, 0, 0, 2.0]])
    expected = 2.0 * to_numpy(plain(pre[:, :-1], post[:, :-1]))
    scale = np.abs(expected).max()
    assert_equal(to_numpy(rule(pre, post, reward)) / scale, expected / scale)


def test_hebbian_change_is_the_product_of_rates():
    dense = built(keras.layers.Dense(3), 4)
    pre, post = spikes(2, 6, 4), spikes(2, 6, 3)
    expected = pre.mean(axis=1).T @ post.mean(axis=1)
    assert_equal(learning.Hebbian(dense)(pre, post), expected)


def test_own_rule_needs_only_an_update():
    class Decay(learning.Learner):
        def update(self, pre, post, traces, weights):
            return -weights

    dense = built(keras.layers.Dense(3), 4)
    change = Decay(dense)(spikes(2, 6, 4), spikes(2, 6, 3))
    assert_equal(change, -6 * to_numpy(dense.kernel))


def test_bad_input():
    dense = built(keras.layers.Dense(3), 4)
    pre, post = spikes(2, 6, 4), spikes(2, 6, 3)
    with pytest.raises(ValueError, match="tau_pre.*at least 1"):
        learning.STDP(dense, 0.5, 2.0, clip, clip)
    with pytest.raises(TypeError, match="f_post"):
        learning.STDP(dense, 2.0, 2.0, clip, 1.0)
    with pytest.raises(ValueError, match="reward.*shape"):
        learning.MSTDP(dense, 2.0, 2.0, clip, clip)(pre, post, np.ones(3, "float32"))
    with pytest.raises(ValueError, match="reward.*finite"):
        learning.MSTDP(dense, 2.0, 2.0, clip, clip)(pre, post, float("nan"))
    with pytest.raises(TypeError, match="synapse=None"):
        learning.Hebbian(None)
    with pytest.raises(TypeError, match="the layer itself"):
        learning.Hebbian("dense")(pre, post)
    with pytest.raises(TypeError, match="return_traces"):
        learning.Hebbian(dense)(pre, post, return_traces=1)
    with pytest.raises(ValueError, match="has 2 traces.*Received 1"):
        learning.STDP(dense, 2.0, 2.0, clip, clip)(pre, post, traces=(pre[:, 0],))
    with pytest.raises(ValueError, match="tau_eligibility.*greater than 0"):
        SuccessModulated(dense, tau_eligibility=0.0)
    with pytest.raises(ValueError, match="tau_dopamine"):
        learning.DopamineSTDP(dense, 2.0, 2.0, 9.0, -1.0, clip, clip)
    with pytest.raises(ValueError, match="`depression` must be a pair"):
        learning.TripletSTDP(dense, depression=(1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="needs a `reward`"):
        SuccessModulated(dense)(pre, post)
    with pytest.raises(ValueError, match="takes no reward"):
        learning.STDP(dense, 2.0, 2.0, clip, clip)(pre, post, reward=1.0)
    with pytest.raises(ValueError, match="kernel"):
        learning.Hebbian(keras.layers.Flatten())(pre, post)
    relu = built(keras.layers.Dense(3, activation="relu"), 4)
    with pytest.raises(ValueError, match="activation"):
        learning.Hebbian(relu)(pre, post)
