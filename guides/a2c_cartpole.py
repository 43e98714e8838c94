"""
Title: Advantage actor-critic with spiking neurons
Description: A2C on CartPole, spiking neurons beside ReLU.

Usage, with `pip install gymnasium`:

    KERAS_BACKEND=jax python guides/a2c_cartpole.py --seeds 0 1 2
"""

"""
## Introduction

Proximal policy optimisation learns from the same experience ten times, and has to take
care not to go too far. Advantage actor-critic (A2C, [Mnih et al.,
2016](https://arxiv.org/abs/1602.01783)) uses it once: a few steps of many environments
make one batch, and one step of the optimizer. Network, environments, rollouts and
advantages are those of `reinforcement_learning.py`; read it first.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import ops
from reinforcement_learning import CARTPOLE_SCALE
from reinforcement_learning import SHORT
from reinforcement_learning import SOLVED
from reinforcement_learning import Progress
from reinforcement_learning import compare
from reinforcement_learning import compile_actor_critic
from reinforcement_learning import entropy
from reinforcement_learning import greedy
from reinforcement_learning import judge
from reinforcement_learning import log_probability
from reinforcement_learning import make_environments
from reinforcement_learning import network
from reinforcement_learning import rollout
from reinforcement_learning import seeds_from_command_line

"""
## The loss

The policy gradient: the logarithm of an action's probability grows with its advantage.
"""


def a2c_loss(targets, logits, entropy_weight=0.01):
    action, advantage = ops.unstack(targets, 2, axis=-1)
    gain = log_probability(logits, action) * advantage
    return -gain - entropy_weight * entropy(logits)


"""
## Training

Sixteen environments, eight steps, one batch of 128. With `trace=1.0` the advantage is
the discounted sum of the rewards of these steps, and the critic's value of what follows
them.
"""


def train(seed, spiking, limit, learning_rate=2e-3):
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    model = network({"actor": 2, "critic": 1}, spiking, CARTPOLE_SCALE)
    optimizer = keras.optimizers.Adam(learning_rate, epsilon=1e-5, global_clipnorm=0.5)
    compile_actor_critic(model, a2c_loss, optimizer)
    environments = make_environments("CartPole-v1", 16)
    observation, _ = environments.reset(seed=seed)
    progress = Progress(greedy(model), "CartPole-v1", SOLVED, seed)
    steps, rounds = 0, 0
    while steps < limit:
        experience, observation = rollout(model, environments, observation, 8, random)
        _, advantage, returns = judge(model, experience, discount=0.99, trace=1.0)
        action = experience["action"].reshape(-1)
        model.train_on_batch(
            experience["observation"].reshape(-1, 4),
            {
                "actor": np.stack([action, advantage.reshape(-1)], axis=1),
                "critic": returns.reshape(-1, 1),
            },
        )
        steps += action.size
        rounds += 1
        optimizer.learning_rate = learning_rate * max(0.05, 1.0 - steps / limit)
        if (rounds % 100 == 0 or steps >= limit) and progress.solved(steps):
            break
    return model, progress


if __name__ == "__main__":
    figure, _ = compare(
        train,
        "A2C on CartPole",
        seeds_from_command_line(),
        limit=2048 if SHORT else 600_000,
    )
    figure.savefig("a2c_cartpole.png", dpi=120)
