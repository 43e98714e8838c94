"""How long a training step takes: this package, its peers, and ReLU instead.

    KERAS_BACKEND=torch python benchmarks/training.py

(a) Dense(10)-LIF on (64, 100, 784): the neurons' share is large.
(b) Conv32-BN-LIF-pool, twice, Dense256-LIF-Dense10-LIF on (32, T, 28, 28): the
    convolutions' share is large.

All learn to classify by the spikes' mean over time, with cross-entropy and Adam.
This package's step is the one that `fit` runs, called by `train_on_batch`. The peers
get the same layers over all time steps at once, only their neurons run over time;
their data has the time first, on PyTorch the channels before the image. All data lies
on the device, a GPU where PyTorch or JAX finds one. Everything takes turns in one
process.
"""

import argparse
import functools

import keras
import numpy as np
import peers
import timing
from keras import layers

import keras_spiking
from keras_spiking.layers import SeqToBatch

BACKEND = keras.config.backend()
CLASSES = 10


def batch_of(shape):
    random = np.random.default_rng(0)
    x = (random.random(shape) < 0.3).astype("float32")
    return x, random.integers(0, CLASSES, len(x)).astype("int32")


def channels_first():
    return keras.config.image_data_format() == "channels_first"


def channels_axis():
    return 1 if channels_first() else -1


def image_shape(size, channels):
    return (channels, size, size) if channels_first() else (size, size, channels)


def add_data_format(parser):
    parser.add_argument(
        "--data-format",
        choices=["channels_first", "channels_last"],
        default=keras.config.image_data_format(),
        help="of this package's networks; PyTorch's have channels first",
    )


def keras_dense(neuron, timesteps):
    return [keras.Input((timesteps, 784)), SeqToBatch(layers.Dense(CLASSES)), neuron()]


def keras_convolutional(neuron, timesteps):
    def convolution():
        return [
            SeqToBatch(
                [
                    layers.Conv2D(32, 3, padding="same", use_bias=False),
                    layers.BatchNormalization(axis=channels_axis()),
                ]
            ),
            neuron(),
            SeqToBatch(layers.MaxPooling2D()),
        ]

    return [
        keras.Input((timesteps, *image_shape(28, 1))),
        *convolution(),
        *convolution(),
        SeqToBatch([layers.Flatten(), layers.Dense(256)]),
        neuron(),
        SeqToBatch(layers.Dense(CLASSES)),
        neuron(),
    ]


def keras_step(make, neuron, mode, timesteps, batch, inference):
    x, y = batch
    keras_spiking.config.set_fused(mode)
    model = keras.Sequential(
        make(neuron, timesteps) + [layers.GlobalAveragePooling1D("channels_last")]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)

    def step():
        keras_spiking.config.set_fused(mode)
        model.predict_on_batch(x) if inference else model.train_on_batch(x, y)

    step()
    return timing.Run(step)


def lif():
    return keras_spiking.layers.LIFLayer(tau=2.0, surrogate="atan")


def torch_step(make, neuron, batch, inference):
    import torch

    x, y = batch
    model = make(neuron).to(x.device)
    optimizer = torch.optim.Adam(model.parameters())
    if x.ndim == 5 and not channels_first():
        x = x.movedim(-1, 2)
    x = x.swapaxes(0, 1).contiguous()
    y = torch.tensor(y, dtype=torch.long, device=x.device)

    @torch.no_grad()
    def predict():
        return model(x).mean(0).cpu()

    if inference:
        model.eval()
        return timing.Run(predict)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x).mean(0), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return timing.Run(step)


def torch_dense(neuron):
    from torch import nn

    return nn.Sequential(nn.Linear(784, CLASSES), neuron())


def torch_convolutional(neuron):
    from torch import nn

    def convolution(channels):
        convolution = nn.Conv2d(channels, 32, 3, padding=1, bias=False)
        normalization = nn.BatchNorm2d(32)
        pool = peers.folded(nn.MaxPool2d(2))
        return peers.folded(convolution, normalization), neuron(), pool

    return nn.Sequential(
        *convolution(1),
        *convolution(32),
        peers.folded(nn.Flatten(), nn.Linear(32 * 7 * 7, 256)),
        neuron(),
        nn.Linear(256, CLASSES),
        neuron(),
    )


def spyx_step(make, batch):
    import jax
    import optax
    from flax import nnx

    x, y = batch
    structure, weights, rest = nnx.split(make(nnx.Rngs(0)), nnx.Param, ...)
    optimizer = optax.adam(1e-3)
    x = x.swapaxes(0, 1)

    def loss_of(weights, rest, x, y):
        model = nnx.merge(structure, weights, rest, copy=True)
        logits = model(x).mean(0)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return loss, nnx.state(model, nnx.Not(nnx.Param))

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state, x, y):
        weights, rest, memory = state
        (loss, rest), gradient = jax.value_and_grad(loss_of, has_aux=True)(
            weights, rest, x, y
        )
        updates, memory = optimizer.update(gradient, memory)
        return (optax.apply_updates(weights, updates), rest, memory), loss

    state = (weights, rest, optimizer.init(weights))

    def step():
        nonlocal state
        state, loss = update(state, x, y)
        jax.block_until_ready((state, loss))

    return timing.Run(step)


def spyx_neuron(*features):
    import spyx.nn

    neuron = peers.spyx(features)
    return lambda x: spyx.nn.run(neuron, x)[0]


def spyx_dense(rngs):
    from flax import nnx

    return nnx.Sequential(nnx.Linear(784, CLASSES, rngs=rngs), spyx_neuron(CLASSES))


def spyx_convolutional(rngs):
    from flax import nnx

    def folded(*functions):
        def apply(x):
            y = x.reshape(-1, *x.shape[2:])
            for function in functions:
                y = function(y)
            return y.reshape(*x.shape[:2], *y.shape[1:])

        return apply

    def pool(x):
        return nnx.max_pool(x, (2, 2), (2, 2))

    class Network(nnx.Module):
        def __init__(self):
            self.convolutions = nnx.List(
                nnx.Conv(n, 32, (3, 3), use_bias=False, rngs=rngs) for n in (1, 32)
            )
            self.normalizations = nnx.List(
                nnx.BatchNorm(32, rngs=rngs) for _ in range(2)
            )
            self.hidden = nnx.Linear(32 * 7 * 7, 256, rngs=rngs)
            self.output = nnx.Linear(256, CLASSES, rngs=rngs)

        def __call__(self, x):
            for convolution, normalization, size in zip(
                self.convolutions, self.normalizations, (28, 14)
            ):
                x = folded(convolution, normalization)(x)
                x = folded(pool)(spyx_neuron(size, size, 32)(x))
            x = self.hidden(x.reshape(*x.shape[:2], -1))
            return spyx_neuron(CLASSES)(self.output(spyx_neuron(256)(x)))

    return Network()


def compare(title, networks, timesteps, x, y, options):
    """Prints the table of one network, given as its makers for each framework."""
    # One array for all: how long it takes to read one depends on where it lies.
    batch, inference = (keras.ops.convert_to_tensor(x), y), options.inference
    makers = {}
    for name, neuron, mode in (
        ("fused", lif, "always"),
        ("reference", lif, "never"),
        ("ReLU", layers.ReLU, "never"),
    ):
        makers[name] = functools.partial(
            keras_step, networks["keras"], neuron, mode, timesteps, batch, inference
        )
    if BACKEND == "torch":
        for name, neuron in peers.torch().items():
            makers[name] = functools.partial(
                torch_step, networks["torch"], neuron, batch, inference
            )
    if BACKEND == "jax" and "spyx" in networks:
        makers["Spyx"] = functools.partial(spyx_step, networks["spyx"], batch)
    times = timing.take_turns(peers.installed(makers), options.rounds)
    fused = times["fused"]
    rows = [[name, time, fused / time] for name, time in times.items()]
    print(f"\n### {title}, {BACKEND}\n")
    columns = ["implementation", "time (ms)", "fused / this"]
    print(timing.table(columns, rows), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--timesteps", type=int, nargs="*", default=[4, 16])
    parser.add_argument("--batch", type=int, default=None, help="64 and 32 by default")
    add_data_format(parser)
    parser.set_defaults(inference=False)
    options = parser.parse_args()
    keras.config.set_image_data_format(options.data_format)
    print(timing.setting())
    x, y = batch_of((options.batch or 64, 100, 784))
    networks = {"keras": keras_dense, "torch": torch_dense, "spyx": spyx_dense}
    compare("(a) Dense10-LIF, T = 100", networks, 100, x, y, options)
    networks = {
        "keras": keras_convolutional,
        "torch": torch_convolutional,
        "spyx": spyx_convolutional,
    }
    for timesteps in options.timesteps:
        x, y = batch_of((options.batch or 32, timesteps, *image_shape(28, 1)))
        title = f"(b) Convolutional, T = {timesteps}, {options.data_format}"
        compare(title, networks, timesteps, x, y, options)


if __name__ == "__main__":
    main()
