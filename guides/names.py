"""
Title: Which language is this surname?
Description: A spiking LSTM reads names letter by letter, and so does an LSTM.

Usage:

    pip install faker
    KERAS_BACKEND=jax python guides/names.py [name ...]
"""

"""
## Names

They come from the package `faker`, which makes up people for tests, and for that has
lists of surnames from many countries (MIT licence). It needs no network.
"""

import os
import sys
import time
import unicodedata

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import matplotlib
import numpy as np

import keras_spiking

matplotlib.use("Agg")
import matplotlib.pyplot as plt

try:
    from faker import Faker
except ImportError:
    sys.exit(
        "The names of this guide come from the package faker: `pip install faker`."
    )

SHORT = os.environ.get("KERAS_SPIKING_SHORT") == "1"
SEED = 0
UNITS, EPOCHS, BATCH_SIZE = (16, 1, 64) if SHORT else (128, 15, 64)

LOCALES = {
    "Croatian": "hr_HR",
    "Dutch": "nl_NL",
    "English": "en_GB",
    "Finnish": "fi_FI",
    "French": "fr_FR",
    "German": "de_DE",
    "Irish": "ga_IE",
    "Italian": "it_IT",
    "Polish": "pl_PL",
    "Spanish": "es_ES",
    "Swedish": "sv_SE",
    "Zulu": "zu_ZA",
}
LANGUAGES = list(LOCALES)
NAMES_PER_LANGUAGE = 10 if SHORT else 400
LETTERS = "abcdefghijklmnopqrstuvwxyz '-"
LENGTH = 8 if SHORT else 16

"""
Accents would give the answer away, so they are removed. `faker` draws names at random,
frequent ones more often: of a few thousand draws we keep each name once, and none that
two languages share. At most 400 names a language leave all languages about equally
frequent: guessing is right once in twelve.
"""


def plain(name):
    name = unicodedata.normalize("NFKD", name.lower())
    name = name.translate(str.maketrans("łøđ", "lod"))
    return "".join(letter for letter in name if letter in LETTERS)[:LENGTH]


def surnames(locale, draws=50 if SHORT else 6000):
    faker = Faker(locale)
    faker.seed_instance(SEED)
    return {plain(faker.last_name()) for _ in range(draws)}


def one_hot(names):
    """One letter a time step: `(names, LENGTH, letters)`, zeros after the end."""
    x = np.zeros((len(names), LENGTH, len(LETTERS)), "float32")
    for row, name in zip(x, names):
        row[range(len(name)), [LETTERS.index(letter) for letter in name]] = 1.0
    return x


rng = np.random.default_rng(SEED)
every = [surnames(locale) for locale in LOCALES.values()]
pairs = []
for label, names in enumerate(every):
    own = sorted(names.difference(*(others for others in every if others is not names)))
    pairs += [(name, label) for name in rng.permutation(own)[:NAMES_PER_LANGUAGE]]
pairs = [pairs[i] for i in rng.permutation(len(pairs))]
names, labels = [name for name, _ in pairs], np.array([label for _, label in pairs])
x = one_hot(names)
test = len(x) // 5
print(
    f"{len(x)} names, {test} of them for the test. The first: {', '.join(names[:6])}."
)

"""
## A spiking LSTM

`SpikingLSTMCell` is an LSTM whose four gates fire or do not, and whose cell state is 0
or 1: what it passes on is a spike or none. `keras.layers.RNN` runs it over time, as any
cell. `Masking` makes it stop after the last letter.

A gate is a step at 0, and its gradient is that of a surrogate, which sees only what is
near 0. With Keras's small initial weights all gates are near, and every update turns
many of them. Initial weights with a standard deviation of 1 spread them out.
"""


def spiking_lstm():
    return keras.layers.RNN(
        keras_spiking.layers.SpikingLSTMCell(
            UNITS, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0)
        )
    )


def lstm():
    return keras.layers.LSTM(UNITS)


def train(name, recurrent):
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Masking(),
            recurrent(),
            keras.layers.Dense(len(LANGUAGES)),
        ]
    )
    steps = EPOCHS * -(-(len(x) - test) // BATCH_SIZE)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    started = time.perf_counter()
    model.fit(x[test:], labels[test:], BATCH_SIZE, epochs=EPOCHS, verbose=0)
    seconds = time.perf_counter() - started
    accuracy = model.evaluate(x[:test], labels[:test], verbose=0)[1]
    trained = model.evaluate(x[test:], labels[test:], verbose=0)[1]
    print(
        f"| {name} | {model.count_params():,} | {accuracy:.1%} | {trained:.1%} "
        f"| {seconds:.0f} s |",
        flush=True,
    )
    return model


"""
## Training

Measured on two cores of a CPU with JAX, seed 0. With 933 names for the test, an
accuracy is known to within about 1.5 points.

| network | parameters | test | training | time |
|---|---|---|---|---|
| spiking LSTM | 82,444 | 64.8% | 75.2% | 14 s |
| spiking LSTM, both directions | 164,876 | 70.2% | 92.7% | 25 s |
| LSTM | 82,444 | 70.3% | 84.5% | 10 s |
| LSTM, both directions | 164,876 | 71.2% | 85.0% | 19 s |

A unit that is a spike or none says less than a real number, which costs five points.
Reading in both directions brings them back: the end of a name, which is the most
telling part of it, is then also what the network starts with.
"""

print(f"\n{keras.config.backend()}, seed {SEED}, {EPOCHS} epochs")
print("| network | parameters | test | training | time |\n|---|---|---|---|---|")
spiking = train("spiking LSTM", spiking_lstm)
train(
    "spiking LSTM, both directions", lambda: keras.layers.Bidirectional(spiking_lstm())
)
train("LSTM", lstm)
train("LSTM, both directions", lambda: keras.layers.Bidirectional(lstm()))

"""
## What it thinks while it reads

The cell of the trained network, in an `RNN` that returns all time steps, shows the
spikes after each letter. The readout makes a guess of each: how the network changes its
mind.
"""

inputs = keras.Input(x.shape[1:])
_, recurrent, readout = spiking.layers
spikes = keras.layers.RNN(recurrent.cell, return_sequences=True)(inputs)
reading = keras.Model(inputs, [spikes, keras.layers.Softmax()(readout(spikes))])

real = x[:test].any(axis=-1)
rate = reading.predict(x[:test], verbose=0)[0][real].mean()
print(f"\nFiring rate of the spiking LSTM: {rate:.2f} spikes per unit and letter.")
predicted = spiking.predict(x[:test], verbose=0).argmax(axis=-1)
asked = [plain(name) for name in sys.argv[1:]] or names[:6]
for name, guesses in zip(asked, reading.predict(one_hot(asked), verbose=0)[1]):
    if name:
        best = guesses[len(name) - 1].argsort()[:-4:-1]
        answers = (f"{LANGUAGES[i]} {guesses[len(name) - 1, i]:.0%}" for i in best)
        print(f"{name:<{LENGTH}} {', '.join(answers)}")

"""
## A picture of it

On the left, what the spiking LSTM takes the names of each language for: most of all,
languages of neighbours are mixed up. On the right, the longest name of the test that it
gets right.
"""

confusion = np.zeros((len(LANGUAGES),) * 2)
np.add.at(confusion, (labels[:test], predicted), 1)
confusion /= np.maximum(confusion.sum(axis=1, keepdims=True), 1)
right = [name for name, *pair in zip(names, labels, predicted) if pair[0] == pair[1]]
name = max(right or names[:test], key=len)
raster, guesses = (array[0] for array in reading.predict(one_hot([name]), verbose=0))

figure = plt.figure(figsize=(13, 6), layout="constrained")
axes = figure.subplot_mosaic("AB;AC", width_ratios=[1.1, 1])
image = axes["A"].imshow(confusion, cmap="Blues", vmin=0, vmax=1)
axes["A"].set(
    title=f"Spiking LSTM: {np.mean(predicted == labels[:test]):.0%} of {test} names",
    xlabel="guessed",
    ylabel="true",
    xticks=range(len(LANGUAGES)),
    yticks=range(len(LANGUAGES)),
    yticklabels=LANGUAGES,
)
axes["A"].set_xticklabels(LANGUAGES, rotation=45, ha="right")
figure.colorbar(image, ax=axes["A"], label="part of the names of a language")

letters = range(len(name))
axes["B"].eventplot([np.flatnonzero(unit) for unit in raster[: len(name)].T], color="k")
axes["B"].set(title="Spikes of the LSTM's outputs", ylabel="unit")
for i in guesses[: len(name)].max(axis=0).argsort()[:-6:-1]:
    axes["C"].plot(letters, guesses[: len(name), i], "o-", label=LANGUAGES[i])
axes["C"].set(title="The guess after each letter", ylabel="probability", ylim=(0, 1.05))
axes["C"].legend()
for axis in (axes["B"], axes["C"]):
    axis.set_xticks(letters, name.replace(" ", "␣"))
    axis.set_xlim(-0.5, len(name) - 0.5)
figure.savefig("names.png", dpi=110)
print("Picture: names.png")
