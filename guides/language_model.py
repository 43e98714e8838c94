"""
Title: A small language model of spikes
Description: Spiking neurons write in the style of Python's manual, letter by letter.

Usage:

    KERAS_BACKEND=jax python guides/language_model.py
"""

"""
## The text

Python ships the part of its reference that `help("if")` shows, as a dictionary of about
half a million characters (PSF licence). The last tenth of it is kept for the test. The
model reads 128 characters and says after each of them what the next one will be.
"""

import bz2
import os
import string
import time
from pydoc_data.topics import topics

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
import numpy as np

from keras_spiking.layers import LIFLayer
from keras_spiking.layers import LILayer

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"
SEED = 0
LENGTH, BATCH_SIZE = 128, 32
WIDTH, BLOCKS, EPOCHS = (16, 1, 1) if SHORT else (128, 2, 10)

text = "\n\n".join(topics[name].strip() for name in sorted(topics))
text = "".join(letter for letter in text if letter in string.printable)
LETTERS = sorted(set(text))
tokens = np.array([LETTERS.index(letter) for letter in text], "int32")
test_start = len(text) * 9 // 10
train_tokens, test_tokens = tokens[:test_start], tokens[test_start:]
if SHORT:
    train_tokens, test_tokens = train_tokens[:10_000], test_tokens[:3_000]


def sequences(tokens, offset=0):
    """Sequences of characters, and of those that follow."""
    number = (len(tokens) - 1 - offset) // LENGTH
    x = tokens[offset:][: number * LENGTH].reshape(number, LENGTH)
    y = tokens[offset + 1 :][: number * LENGTH].reshape(number, LENGTH)
    return x, y


"""
## The network

A stream of real numbers per character goes through blocks that add to it, as in a
transformer. What blocks compute with are spikes:

- Neurons turn the normalised stream into spikes.
- **Mixing over time.** Slow neurons hear them through synapses and remember: their time
  constants start between 1 and 64 characters, and are learned. Fast ones are a gate:
  where both fire, a spike passes. Nothing attends to all that was before, so that a
  character costs the same at the end of a long text as at its beginning. That is the
  idea of RWKV and SpikeGPT.
- **Mixing over channels**, in one layer of four times the width.

Synapses only see zeros and ones. The exception is the last `Dense`, which reads the
stream.

The twin without spikes has as many weights: ReLU in place of the fast neurons, a
sigmoid as the gate, and in place of the slow neurons leaky integrators, which return
their potential.
"""

gradient = {"surrogate": "atan", "detach_reset": True}
TIME_CONSTANTS = np.geomspace(1.0, 64.0, 2 * WIDTH).astype("float32")


class Spiking:
    name = "spikes"

    def __init__(self, **state):
        self.state = state

    def fast(self):
        return LIFLayer(2.0, decay_input=False, **gradient, **self.state)

    gate = fast

    def slow(self):
        return LIFLayer(
            TIME_CONSTANTS,
            decay_input=False,
            v_reset=None,
            learnable={"tau": "channel"},
            **gradient,
            **self.state,
        )


class Real:
    name = "real numbers"

    def __init__(self, **state):
        self.state = state

    def fast(self):
        return keras.layers.ReLU()

    def gate(self):
        return keras.layers.Activation("sigmoid")

    def slow(self):
        return LILayer(TIME_CONSTANTS, learnable={"tau": "channel"}, **self.state)


def language_model(kind, shape=(None, LENGTH)):
    def dense(x, units):
        return keras.layers.Dense(units, use_bias=False)(x)

    def current(x, units):
        return keras.layers.LayerNormalization()(dense(x, units))

    inputs = keras.Input(batch_shape=shape, dtype="int32")
    x = keras.layers.Embedding(len(LETTERS), WIDTH)(inputs)
    for _ in range(BLOCKS):
        heard = kind.fast()(keras.layers.LayerNormalization()(x))
        memory = kind.slow()(current(heard, 2 * WIDTH))
        gate = kind.gate()(current(heard, 2 * WIDTH))
        x = x + dense(memory * gate, WIDTH)
        heard = kind.fast()(keras.layers.LayerNormalization()(x))
        x = x + dense(kind.fast()(current(heard, 4 * WIDTH)), WIDTH)
    x = keras.layers.LayerNormalization()(x)
    return keras.Model(inputs, keras.layers.Dense(len(LETTERS))(x))


"""
## Training
"""


def train(kind):
    keras.utils.set_random_seed(SEED)
    model = language_model(kind)
    x, y = sequences(train_tokens)
    steps = EPOCHS * -(-len(x) // BATCH_SIZE)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(3e-3, steps), clipnorm=1.0
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    started = time.perf_counter()
    history = model.fit(
        x, y, BATCH_SIZE, EPOCHS, validation_data=sequences(test_tokens), verbose=0
    )
    seconds = time.perf_counter() - started
    curve = np.array(history.history["val_loss"]) / np.log(2)
    trained = model.evaluate(x[:500], y[:500], verbose=0) / np.log(2)
    print(
        f"| {kind.name} | {model.count_params():,} | {curve[-1]:.2f} | {trained:.2f} "
        f"| {seconds:.0f} s |",
        flush=True,
    )
    return model, curve


"""
A yardstick that needs no training: in so many bits per character `bz2` stores the rest
of the text after what was for training.

Measured on two cores of a CPU with JAX, seed 0:

| model | parameters | test | training | time |
|---|---|---|---|---|
| bz2 | | 1.42 | | |
| spikes | 488,798 | 2.08 | 1.98 | 337 s |
| real numbers | 488,798 | 1.83 | 1.58 | 256 s |

Neither has learned the text as well as `bz2` knows it: they are small, and the text
repeats itself over long distances.
"""

test_text = "".join(LETTERS[token] for token in test_tokens)
everything = (
    "".join(LETTERS[token] for token in tokens[: len(train_tokens)]) + test_text
)
packed = [
    len(bz2.compress(part.encode()))
    for part in (everything[: len(train_tokens)], everything)
]
yardstick = 8 * (packed[1] - packed[0]) / len(test_text)
print(f"{len(text):,} characters, {len(LETTERS)} different ones.")
print(f"{keras.config.backend()}, seed {SEED}, {EPOCHS} epochs. Bits per character:")
print("| model | parameters | test | training | time |\n|---|---|---|---|---|")
print(f"| bz2 | | {yardstick:.2f} | | |")
model, curve = train(Spiking())
_, curve_of_twin = train(Real())

"""
## Writing

A model with the same layers and weights reads one character at a time. Its neurons are
`stateful`: they keep their potentials from call to call, and that is all that the model
knows of what it has read. So it writes texts of any length.
"""

writer = language_model(Spiking(stateful=True), shape=(1, 1))
for weight, trained in zip(writer.trainable_weights, model.trainable_weights):
    weight.assign(keras.ops.convert_to_numpy(trained))


def write(prompt, number, temperature=0.7):
    for layer in writer.layers:
        if isinstance(layer, LIFLayer):
            layer.reset_state()
    rng = np.random.default_rng(SEED)
    written = [LETTERS.index(letter) for letter in prompt]
    for i in range(len(prompt) + number - 1):
        scores = writer.predict_on_batch(np.array([[written[i]]], "int32"))[0, 0]
        if i >= len(prompt) - 1:
            chances = np.exp((scores - scores.max()) / temperature)
            written.append(rng.choice(len(LETTERS), p=chances / chances.sum()))
    return "".join(LETTERS[token] for token in written)


# What the writer says one by one is what the model says of the whole sequence.
x, _ = sequences(test_tokens)
at_once = model.predict(x[:1], verbose=0)[0]
one_by_one = [writer.predict_on_batch(x[:1, t : t + 1])[0, 0] for t in range(LENGTH)]
same = np.mean(np.argmax(one_by_one, axis=-1) == at_once.argmax(axis=-1))
print(f"\nStep by step it expects the same character in {same:.1%} of the steps.")
print("\n" + write("The ", 20 if SHORT else 400) + "\n")

"""
## A picture of it
"""

neurons = [layer for layer in model.layers if isinstance(layer, LIFLayer)]
inside = keras.Model(model.inputs, [layer.output for layer in neurons])
spikes = inside.predict(x[:20], verbose=0)
rates = [float(layer_spikes.mean()) for layer_spikes in spikes]
print(f"Firing rates: {', '.join(f'{rate:.2f}' for rate in rates)} spikes per step.")

figure = plt.figure(figsize=(12, 7), layout="constrained")
axes = figure.subplot_mosaic("AA;BC", height_ratios=[1.3, 1])
shown = 64
slow = spikes[1][0, :shown]
axes["A"].eventplot([np.flatnonzero(n) for n in slow.T], colors="black")
letters = [LETTERS[token] for token in x[0, :shown]]
labels = [
    "␣" if letter == " " else "¶" if letter == "\n" else letter for letter in letters
]
axes["A"].set_xticks(range(shown), labels, family="monospace")
axes["A"].set(title="Spikes of the slow neurons of the first block, fast to slow")
axes["A"].set(ylabel="neuron", xlim=(-0.5, shown - 0.5))
epochs = range(1, EPOCHS + 1)
axes["B"].plot(epochs, curve, "o-", label=Spiking.name)
axes["B"].plot(epochs, curve_of_twin, "o--", label=Real.name)
axes["B"].axhline(yardstick, color="silver", linestyle=":", label="bz2")
axes["B"].set(title="Learning", xlabel="epoch", ylabel="bits per character, test")
axes["B"].locator_params("x", integer=True)
axes["B"].legend()
axes["C"].bar([layer.name for layer in neurons], rates, color="tab:orange")
axes["C"].set(title="Firing rates of the layers", ylabel="spikes per neuron and step")
axes["C"].set_xticks(range(len(neurons)), range(1, len(neurons) + 1))
axes["C"].set_xlabel("layer of neurons")
figure.savefig("language_model.png", dpi=110)
print("Picture: language_model.png")
