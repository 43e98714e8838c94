"""
Title: A spiking network balances a pole: proximal policy optimisation
Description: Reinforcement learning with `fit`, spiking neurons beside ReLU.

Usage, with `pip install gymnasium`:

    KERAS_BACKEND=jax python guides/reinforcement_learning.py --seeds 0 1 2
"""

"""
## Introduction

A cart carries a pole, and is pushed to the left or to the right. For each step that the
pole stays up there is a reward of 1, for 500 steps at most. The task counts as solved
with a mean of 475 over 100 episodes.

The network sees four numbers (place and velocity of the cart, angle and angular
velocity of the pole), and nobody tells it what is right. It acts, and learns from the
rewards, by proximal policy optimisation (PPO, [Schulman et al.,
2017](https://arxiv.org/abs/1707.06347)). No part of it needs more of Keras than
losses, `fit` and `predict_on_batch`, so it runs on JAX, TensorFlow and PyTorch.

Two guides build on this one: `a2c_cartpole.py` and `population_actor_pendulum.py`.
"""

import argparse
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import gymnasium
import keras
import matplotlib
import numpy as np
from keras import ops

from keras_spiking import layers

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"
SOLVED = 475

"""
## The networks

An observation is presented for four time steps. Two layers of leaky
integrate-and-fire neurons follow, and what their firing rates say in the end is not
spikes but numbers: preferences of the actions (the actor), or how much reward is
still to come (the critic). With ReLU in place of the neurons, the network does the same
in a single step.
"""


def network(outputs, spiking, scale, timesteps=4, units=64):
    """A model with two hidden layers for each of the `outputs`, names and sizes."""
    observation = keras.Input((len(scale),))
    scaled = keras.layers.Rescaling([1.0 / s for s in scale])(observation)

    def hidden(x):
        if not spiking:
            return keras.layers.Dense(
                units, activation="relu", kernel_initializer="he_normal"
            )(x)
        dense = keras.layers.Dense(units, kernel_initializer="he_normal")
        x = layers.SeqToBatch(dense)(x)
        return layers.LIFLayer(
            tau=2.0, decay_input=False, surrogate="atan", detach_reset=True
        )(x)

    def part(name, size):
        x = layers.DirectEncoder(timesteps)(scaled) if spiking else scaled
        x = hidden(hidden(x))
        x = layers.FiringRate()(x) if spiking else x
        return keras.layers.Dense(size, name=name)(x)

    return keras.Model(
        observation, {name: part(name, size) for name, size in outputs.items()}
    )


"""
## The environments

Eight carts run side by side, and the network decides for all of them at once. That
is what makes acting fast: the time of a step is the overhead of the call, whether
there is one observation or a hundred. `predict_on_batch` runs compiled on JAX and
TensorFlow. On two CPU cores it takes 0.1 ms on JAX, where calling the model, operation
by operation, would take 3 ms.
"""

CARTPOLE_SCALE = (0.5, 0.5, 0.05, 0.5)  # typical values while the pole is up


def make_environments(name, number):
    # Episodes that end start anew in the same step, and keep their last observation.
    mode = gymnasium.vector.AutoresetMode.SAME_STEP
    return gymnasium.make_vec(
        name, number, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}
    )


def evaluate(policy, name, seed, episodes=100):
    """Mean return of the first `episodes` episodes under the policy."""
    environments = make_environments(name, episodes)
    observation, _ = environments.reset(seed=seed)
    total = np.zeros(episodes)
    running = np.ones(episodes, bool)
    while running.any():
        step = environments.step(policy(observation))
        observation, reward, terminated, truncated, _ = step
        total += reward * running
        running &= ~(terminated | truncated)
    return np.mean(total)


def greedy(model):
    return lambda observation: np.argmax(
        model.predict_on_batch(observation)["actor"], axis=-1
    )


def log_softmax(logits):
    logits = logits - np.max(logits, axis=-1, keepdims=True)
    return logits - np.log(np.sum(np.exp(logits), axis=-1, keepdims=True))


def sample(logits, random):
    # The largest of log-probabilities with Gumbel noise is a sample of them.
    return np.argmax(logits + random.gumbel(size=logits.shape), axis=-1)


def rollout(model, environments, observation, steps, random, sample=sample):
    """Acts for some steps. Returns arrays `(steps, environments, ...)` by name."""
    records = []
    for _ in range(steps):
        action = sample(model.predict_on_batch(observation)["actor"], random)
        start, reward, terminated, truncated, info = environments.step(action)
        done = terminated | truncated
        following = start.copy()
        for i in np.flatnonzero(done):
            following[i] = info["final_obs"][i]
        records.append(
            {
                "observation": observation,
                "action": action,
                "reward": reward,
                "following": following,
                "terminated": terminated,
                "done": done,
            }
        )
        observation = start
    experience = {key: np.stack([r[key] for r in records]) for key in records[0]}
    return experience, observation


"""
## How good was an action?

Better than expected, if what came of it is more than the critic foresaw. The
generalised advantage ([Schulman et al., 2015](https://arxiv.org/abs/1506.02438)) sums
the critic's surprises, later ones with less weight:

    surprise[t] = reward[t] + discount V(following[t]) - V(observation[t])
    advantage[t] = surprise[t] + discount trace advantage[t + 1]

Where the pole has fallen, nothing follows. Where only the time was up, `V` still says
what would have followed, but the sum ends.
"""


def advantages(reward, value, following_value, done, discount, trace):
    """Advantages, `(steps, environments)` as all arguments that are arrays."""
    surprise = reward + discount * following_value - value
    result = np.zeros_like(surprise)
    later = np.zeros_like(surprise[0])
    for t in reversed(range(len(surprise))):
        later = surprise[t] + discount * trace * ~done[t] * later
        result[t] = later
    return result


def judge(model, experience, discount, trace):
    """The experience's logits, advantages and returns, in one call of the model."""
    shape = experience["reward"].shape

    def critic_and_actor(name):
        x = experience[name].reshape((-1, *experience[name].shape[2:]))
        outputs = model.predict_on_batch(x)
        return outputs["critic"].reshape(shape), outputs["actor"]

    value, logits = critic_and_actor("observation")
    following_value = critic_and_actor("following")[0] * ~experience["terminated"]
    advantage = advantages(
        experience["reward"],
        value,
        following_value,
        experience["done"],
        discount,
        trace,
    )
    return logits, advantage, advantage + value


"""
## The losses

A loss in Keras compares outputs with targets, and targets may be anything: here the
targets of the actor are the action, the logarithm of its probability when it was
taken, and its advantage. PPO makes good actions more probable and bad ones less,

    minimum(ratio advantage, clip(ratio, 1 - 0.2, 1 + 0.2) advantage)

with the ratio of the new to the old probability, but is not rewarded for changing a
probability by more than 20 % before new experience has been made. A bit of entropy
keeps it exploring. The critic learns the return by the squared error.
"""


def log_probability(logits, action):
    logits = ops.log_softmax(logits)
    action = ops.one_hot(ops.cast(action, "int32"), logits.shape[-1], dtype="float32")
    return ops.sum(action * logits, axis=-1)


def entropy(logits):
    return -ops.sum(ops.softmax(logits) * ops.log_softmax(logits), axis=-1)


def ppo_loss(targets, logits, clip=0.2, entropy_weight=0.01):
    action, old_log_probability, advantage = ops.unstack(targets, 3, axis=-1)
    ratio = ops.exp(log_probability(logits, action) - old_log_probability)
    clipped = ops.clip(ratio, 1.0 - clip, 1.0 + clip)
    gain = ops.minimum(ratio * advantage, clipped * advantage)
    return -gain - entropy_weight * entropy(logits)


def compile_actor_critic(model, loss, optimizer):
    model.compile(
        optimizer,
        loss={"actor": loss, "critic": "mean_squared_error"},
        loss_weights={"actor": 1.0, "critic": 0.5},
    )


"""
## Training

Act, judge, learn. `fit` goes through the experience ten times in batches, which it
shuffles. Every ten rounds the most probable actions are tried out in 100 episodes, and
training ends when they solve the task.
"""


class Progress:
    """Evaluates a policy during training, and says when the task is solved."""

    def __init__(self, policy, environment, goal, seed):
        self.policy = policy
        self.environment = environment
        self.goal = goal
        self.seed = 1_000_000 * (seed + 1)
        self.started = time.perf_counter()
        self.records = []

    def solved(self, steps):
        self.seed += 1000  # episodes that have not been used yet
        mean = evaluate(self.policy, self.environment, self.seed)
        self.records.append((steps, time.perf_counter() - self.started, mean))
        return mean >= self.goal


def train(seed, spiking, limit, learning_rate=2.5e-3):
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    model = network({"actor": 2, "critic": 1}, spiking, CARTPOLE_SCALE)
    optimizer = keras.optimizers.Adam(learning_rate, epsilon=1e-5, global_clipnorm=0.5)
    compile_actor_critic(model, ppo_loss, optimizer)
    environments = make_environments("CartPole-v1", 8)
    observation, _ = environments.reset(seed=seed)
    progress = Progress(greedy(model), "CartPole-v1", SOLVED, seed)
    steps, rounds = 0, 0
    while steps < limit:
        experience, observation = rollout(model, environments, observation, 128, random)
        logits, advantage, returns = judge(model, experience, discount=0.99, trace=0.95)
        action = experience["action"].reshape(-1)
        chosen = np.take_along_axis(log_softmax(logits), action[:, None], axis=-1)
        advantage = (advantage - np.mean(advantage)) / np.std(advantage)
        model.fit(
            experience["observation"].reshape(-1, 4),
            {
                "actor": np.stack([action, chosen[:, 0], advantage.reshape(-1)], 1),
                "critic": returns.reshape(-1, 1),
            },
            epochs=10,
            batch_size=256,
            verbose=0,
        )
        steps += action.size
        rounds += 1
        # Smaller steps towards the end.
        optimizer.learning_rate = learning_rate * max(0.05, 1.0 - steps / limit)
        if (rounds % 10 == 0 or steps >= limit) and progress.solved(steps):
            break
    return model, progress


"""
## Beside the same network with ReLU
"""


def compare(train, title, seeds, **options):
    """Trains both networks with all seeds, prints and draws how they learn."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    print("| neurons | seed | steps | seconds | mean return of 100 new episodes |")
    print("|---|---|---|---|---|")
    models = {}
    for spiking, color in ((True, "tab:red"), (False, "tab:blue")):
        name = "spiking" if spiking else "ReLU"
        for seed in seeds:
            model, progress = train(seed, spiking, **options)
            models.setdefault(name, model)
            steps, seconds, returns = zip(*progress.records)
            final = evaluate(progress.policy, progress.environment, seed=12345)
            print(
                f"| {name} | {seed} | {steps[-1]} | {seconds[-1]:.0f} | {final:.1f} |"
            )
            axes.plot(steps, returns, ".-", color=color)
        axes.plot([], color=color, label=name)
    axes.axhline(progress.goal, color="black", linestyle=":", label="solved")
    axes.set(title=title, xlabel="steps of the environment")
    axes.set(ylabel="mean return of 100 episodes")
    axes.legend()
    return figure, models


def seeds_from_command_line():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    return parser.parse_args().seeds


"""
## What the neurons say while the pole is balanced

The first layer of the actor, for the first second of an episode: 50 steps of the
environment with four time steps each.
"""


def draw_spikes(model):
    neurons = next(x for x in model.layers if isinstance(x, layers.LIFLayer))
    inside = keras.Model(model.input, neurons.output)
    environments = make_environments("CartPole-v1", 1)
    observation, _ = environments.reset(seed=7)
    angles, spikes = [], []
    for _ in range(50):
        angles.append(np.degrees(observation[0, 2]))
        spikes.append(inside.predict_on_batch(observation)[0])
        observation = environments.step(greedy(model)(observation))[0]
    spikes = np.concatenate(spikes)
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(8, 6), sharex=True, height_ratios=[1, 3], layout="constrained"
    )
    time = np.arange(len(spikes)) / 4
    top.step(np.arange(50), angles, where="post", color="tab:blue")
    top.set(ylabel="angle of the pole\n(degrees)")
    bottom.eventplot([time[train > 0] for train in spikes.T], colors="black")
    bottom.set(xlabel="step of the environment", ylabel="neuron")
    return figure, np.mean(spikes)


if __name__ == "__main__":
    figure, models = compare(
        train,
        "PPO on CartPole",
        seeds_from_command_line(),
        limit=2048 if SHORT else 300_000,
    )
    figure.savefig("reinforcement_learning.png", dpi=120)
    figure, rate = draw_spikes(models["spiking"])
    figure.savefig("reinforcement_learning_spikes.png", dpi=120)
    print(f"A neuron of the first layer fires {rate:.2f} times in a time step.")

"""
## What to try

- Fewer time steps, `timesteps=1`: the network becomes one of binary neurons.
- `keras_spiking.inference.compile(model)` runs the trained policy without Keras.
- Another algorithm and another task, in the guides named above.
"""
