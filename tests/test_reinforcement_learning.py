"""What the guides on reinforcement learning compute, by hand."""

import importlib
import pathlib
import sys

import numpy as np
import pytest
from backend import BACKEND
from backend import to_numpy

GUIDES = str(pathlib.Path(__file__).parents[1] / "guides")


@pytest.fixture
def guide(monkeypatch):
    if BACKEND == "numpy":
        pytest.skip("the guides train")
    monkeypatch.syspath_prepend(GUIDES)
    yield importlib.import_module("reinforcement_learning")
    sys.modules.pop("reinforcement_learning", None)


def test_advantages_are_sums_of_discounted_surprises(guide):
    random = np.random.default_rng(0)
    reward, value, following = random.normal(size=(3, 6, 2))
    done = random.random((6, 2)) < 0.3
    discount, trace = 0.9, 0.8
    expected = np.zeros((6, 2))
    for env in range(2):
        for t in range(6):
            factor = 1.0
            for later in range(t, 6):
                surprise = reward[later, env] - value[later, env]
                surprise += discount * following[later, env]
                expected[t, env] += factor * surprise
                if done[later, env]:
                    break
                factor *= discount * trace
    actual = guide.advantages(reward, value, following, done, discount, trace)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_probabilities_and_entropy_of_preferences(guide):
    logits = np.array([[1.0, -1.0], [0.5, 2.0]], "float32")
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    action = np.array([1, 0])
    log_p = to_numpy(guide.log_probability(logits, action))
    np.testing.assert_allclose(log_p, np.log(p[[0, 1], action]), rtol=1e-5)
    entropy = to_numpy(guide.entropy(logits))
    np.testing.assert_allclose(entropy, -np.sum(p * np.log(p), -1), rtol=1e-5)
