"""
Title: Populations of neurons swing a pendulum up
Description: A population-coded spiking actor, with connections in its populations.

Usage, with `pip install gymnasium`:

    KERAS_BACKEND=jax python guides/population_actor_pendulum.py --seeds 0 1 2
"""

"""
## Introduction

To push a cart to the left or to the right, an actor chooses; to swing a pendulum up, it
says a number, the torque. Single spikes are a coarse language for numbers. Populations
do better ([Tang et al., 2020](https://arxiv.org/abs/2010.09635)): each number of the
observation is told by ten neurons, each of which fires most for another value of it,
and the torque is read from the firing rates of ten others. These are connected with
each other ([Chen et al., 2024](https://arxiv.org/abs/2401.05444)), so that they need
not wait for their inputs to agree on a number.

Only the actor spikes, the part that is to run on a chip. The critic, which nobody needs
after training, is an ordinary network. The algorithm is PPO, as in
`reinforcement_learning.py`, which has the environments, the rollouts and the
advantages; read it first.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from keras import ops
from reinforcement_learning import SHORT
from reinforcement_learning import Progress
from reinforcement_learning import compare
from reinforcement_learning import compile_actor_critic
from reinforcement_learning import judge
from reinforcement_learning import make_environments
from reinforcement_learning import rollout
from reinforcement_learning import seeds_from_command_line

from keras_spiking import layers

GOAL = -200  # a pendulum that is swung up at once costs 150
LIMIT = np.array([1.0, 1.0, 8.0])  # cosine and sine of the angle, angular velocity

"""
## The networks

The actor says the mean of a normal distribution, and the logarithm of its width: how
much it likes to try.
"""


def network(spiking, timesteps=5, units=64, population=10):
    observation = keras.Input((3,))
    scaled = keras.layers.Rescaling(1.0 / LIMIT)(observation)

    def real(x):
        for _ in range(2):
            x = keras.layers.Dense(units, "relu", kernel_initializer="he_normal")(x)
        return x

    def spikes(x):
        x = layers.PopulationEncoder(
            timesteps, neurons=population, x_min=-1.0, x_max=1.0
        )(x)
        for _ in range(2):
            dense = keras.layers.Dense(units, kernel_initializer="he_normal")
            x = layers.SeqToBatch(dense)(x)
            x = layers.LIFLayer(
                tau=2.0, decay_input=False, surrogate="atan", detach_reset=True
            )(x)
        x = layers.SeqToBatch(keras.layers.Dense(2 * population))(x)
        x = layers.ILCLIFLayer(population, tau=2.0, surrogate="atan")(x)
        return layers.FiringRate()(x)

    inside = spikes(scaled) if spiking else real(scaled)
    actor = keras.layers.Dense(2, name="actor")(inside)
    critic = keras.layers.Dense(1, name="critic")(real(scaled))
    return keras.Model(observation, {"actor": actor, "critic": critic})


"""
## Actions and their probabilities

The environment takes torques in [-2, 2].
"""


def split(outputs):
    """The mean, and the logarithm of the standard deviation, of the action."""
    return 2.0 * outputs[:, 0], ops.clip(outputs[:, 1] - 0.5, -3.0, 1.0)


def act(outputs, random):
    mean, log_std = (ops.convert_to_numpy(x) for x in split(outputs))
    action = mean + np.exp(log_std) * random.normal(size=mean.shape)
    return action[:, None].astype("float32")


def most_probable(model):
    return lambda observation: np.clip(
        2.0 * model.predict_on_batch(observation)["actor"][:, :1], -2.0, 2.0
    )


def log_probability(outputs, action):
    mean, log_std = split(outputs)
    distance = (action - mean) * ops.exp(-log_std)
    return -0.5 * distance**2 - log_std - 0.5 * np.log(2.0 * np.pi)


def ppo_loss(targets, outputs, clip=0.2):
    action, old_log_probability, advantage = ops.unstack(targets, 3, axis=-1)
    ratio = ops.exp(log_probability(outputs, action) - old_log_probability)
    clipped = ops.clip(ratio, 1.0 - clip, 1.0 + clip)
    return -ops.minimum(ratio * advantage, clipped * advantage)


"""
## Training
"""


def train(seed, spiking, limit, learning_rate=2e-3):
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    model = network(spiking)
    optimizer = keras.optimizers.Adam(learning_rate, epsilon=1e-5, global_clipnorm=0.5)
    compile_actor_critic(model, ppo_loss, optimizer)
    environments = make_environments("Pendulum-v1", 16)
    observation, _ = environments.reset(seed=seed)
    progress = Progress(most_probable(model), "Pendulum-v1", GOAL, seed)
    steps, rounds = 0, 0
    while steps < limit:
        experience, observation = rollout(
            model, environments, observation, 128, random, act
        )
        experience["reward"] = experience["reward"] / 10.0
        outputs, advantage, returns = judge(model, experience, discount=0.9, trace=0.95)
        action = experience["action"].reshape(-1)
        tensors = [ops.convert_to_tensor(x) for x in (outputs, action)]
        chosen = ops.convert_to_numpy(log_probability(*tensors))
        advantage = (advantage - np.mean(advantage)) / np.std(advantage)
        model.fit(
            experience["observation"].reshape(-1, 3),
            {
                "actor": np.stack([action, chosen, advantage.reshape(-1)], 1),
                "critic": returns.reshape(-1, 1),
            },
            epochs=10,
            batch_size=256,
            verbose=0,
        )
        steps += action.size
        rounds += 1
        optimizer.learning_rate = learning_rate * max(0.05, 1.0 - steps / limit)
        if (rounds % 10 == 0 or steps >= limit) and progress.solved(steps):
            break
    return model, progress


if __name__ == "__main__":
    figure, _ = compare(
        train,
        "PPO on Pendulum",
        seeds_from_command_line(),
        limit=2048 if SHORT else 400_000,
    )
    figure.savefig("population_actor_pendulum.png", dpi=120)

"""
## What to try

- `layers.NoisyILCCubaLayer` explores by noise inside of the neurons.
- `layers.LIFLayer` in place of `ILCLIFLayer`: populations without connections.
"""
