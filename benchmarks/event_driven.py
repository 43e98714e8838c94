"""What event-driven products are worth: in trained networks, and over firing rates.

    KERAS_BACKEND=torch python benchmarks/event_driven.py --data mnist.npz

(a) Dense 784-512-512-10 with LIF between, T = 32. (b) Conv64-BN-LIF-pool,
Conv128-BN-LIF-pool, Dense10 on 28 x 28, T = 8. Both get spikes of a Poisson encoder and
learn digits, with a penalty on firing rates above `--maximum-rate`: MNIST from a file
with `x_train`, `y_train`, `x_test` and `y_test`, or else the 8 x 8 digits of
scikit-learn, enlarged. The weights are kept in `--folder`, for all backends.

Then inference and a training step (cross-entropy, Adam with learning rate 0, so that
all keep their weights) are timed in turns: with `set_event_driven("auto")` and
`"never"`, with ReLU in the neurons' place, and in the peers with the same weights.

The curve has products of random spikes at given rates: Dense 1024 x 1024 x 1024, and 16
images of 32 x 32 with a convolution 3 x 3 from 64 to 128 channels.
"""

import argparse
import functools
import pathlib

import keras
import numpy as np
import peers
import timing
from keras import layers
from keras import ops

import keras_spiking
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import PoissonEncoder
from keras_spiking.layers import SeqToBatch
from keras_spiking.ops import products

BACKEND = keras.config.backend()
RATES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
MODES = ("auto", "always", "never")


class RateRegularizer(keras.regularizers.Regularizer):
    """Penalises rates above a maximum, as a mean over neurons: layers of any size."""

    def __init__(self, maximum):
        self.maximum = maximum

    def __call__(self, spikes):
        above = ops.relu(ops.mean(spikes, axis=(0, 1)) - self.maximum)
        return 20.0 * ops.mean(ops.square(above)) * ops.shape(spikes)[0]


def lif(**options):
    return LIFLayer(tau=2.0, surrogate="atan", **options)


class Dense:
    title, timesteps, batch, steps = "Dense 784-512-512-10", 32, 64, 500

    def keras(self, neuron):
        return [
            keras.Input((self.timesteps, 784)),
            SeqToBatch(layers.Dense(512)),
            neuron(),
            SeqToBatch(layers.Dense(512)),
            neuron(),
            SeqToBatch(layers.Dense(10)),
        ]

    def shaped(self, spikes):
        return ops.reshape(spikes, (-1, self.timesteps, 784))

    def torch(self, neuron, weights):
        from torch import nn

        sizes = (784, 512, 512, 10)
        linear = [nn.Linear(*pair) for pair in zip(sizes, sizes[1:])]
        for layer, kernel, bias in zip(linear, weights[::2], weights[1::2]):
            set_torch(layer, kernel.T, bias)
        return nn.Sequential(linear[0], neuron(), linear[1], neuron(), linear[2])

    def spyx(self, weights, rngs):
        from flax import nnx

        linear = [nnx.Linear(*w.shape, rngs=rngs) for w in weights[::2]]
        for layer, kernel, bias in zip(linear, weights[::2], weights[1::2]):
            layer.kernel.value, layer.bias.value = kernel, bias
        neurons = [spyx_neuron(512), spyx_neuron(512)]
        return nnx.Sequential(linear[0], neurons[0], linear[1], neurons[1], linear[2])


class Convolutional:
    title, timesteps, batch, steps = "Conv 64-128, 3 x 3, 28 x 28", 8, 16, 200

    def keras(self, neuron):
        def convolution(filters):
            axis = 1 if channels_first() else -1
            return [
                SeqToBatch(layers.Conv2D(filters, 3, padding="same", use_bias=False)),
                SeqToBatch(layers.BatchNormalization(axis=axis, momentum=0.9)),
                neuron(),
                SeqToBatch(layers.MaxPooling2D()),
            ]

        shape = (1, 28, 28) if channels_first() else (28, 28, 1)
        return [
            keras.Input((self.timesteps, *shape)),
            *convolution(64),
            *convolution(128),
            SeqToBatch([layers.Flatten(), layers.Dense(10)]),
        ]

    def shaped(self, spikes):
        return spikes[:, :, None] if channels_first() else spikes[..., None]

    def torch(self, neuron, weights):
        from torch import nn

        modules = []
        for kernel, *normalization in (weights[:5], weights[5:10]):
            filters, channels = kernel.shape[:1:-1]
            convolution = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
            set_torch(convolution, kernel.transpose(3, 2, 0, 1))
            norm = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.1)
            set_torch(norm, *normalization[:2])
            norm.running_mean[:], norm.running_var[:] = map(tensor, normalization[2:])
            modules += [peers.folded(convolution, norm), neuron()]
            modules.append(peers.folded(nn.MaxPool2d(2)))
        kernel, bias = weights[10:]
        linear = nn.Linear(*kernel.shape)
        # Flatten of Keras keeps the channels last.
        kernel = kernel.reshape(7, 7, 128, 10).transpose(3, 2, 0, 1).reshape(10, -1)
        set_torch(linear, kernel, bias)
        return nn.Sequential(*modules, peers.folded(nn.Flatten(), linear))

    def spyx(self, weights, rngs):
        from flax import nnx

        def folded(x, *functions):
            y = x.reshape(-1, *x.shape[2:])
            for function in functions:
                y = function(y)
            return y.reshape(*x.shape[:2], *y.shape[1:])

        class Network(nnx.Module):
            def __init__(self):
                kernels = weights[0], weights[5]
                self.convolutions = nnx.List(
                    nnx.Conv(*k.shape[2:], (3, 3), use_bias=False, rngs=rngs)
                    for k in kernels
                )
                self.norms = nnx.List(
                    nnx.BatchNorm(k.shape[3], epsilon=1e-3, momentum=0.9, rngs=rngs)
                    for k in kernels
                )
                self.linear = nnx.Linear(*weights[10].shape, rngs=rngs)
                for i, kernel in enumerate(kernels):
                    self.convolutions[i].kernel.value = kernel
                    values = weights[5 * i + 1 : 5 * i + 5]
                    for name, value in zip(("scale", "bias", "mean", "var"), values):
                        getattr(self.norms[i], name).value = value
                self.linear.kernel.value, self.linear.bias.value = weights[10:]

            def __call__(self, x):
                for i, size in enumerate((28, 14)):
                    channels = self.norms[i].num_features
                    x = folded(x, self.convolutions[i], self.norms[i])
                    x = spyx_neuron(size, size, channels)(x)
                    x = folded(x, lambda y: nnx.max_pool(y, (2, 2), (2, 2)))
                return self.linear(x.reshape(*x.shape[:2], -1))

        return Network()


def channels_first():
    return keras.config.image_data_format() == "channels_first"


def tensor(array):
    import torch

    return torch.tensor(np.ascontiguousarray(array))


def set_torch(layer, weight, bias=None):
    layer.weight.data = tensor(weight)
    if bias is not None:
        layer.bias.data = tensor(bias)


def spyx_neuron(*features):
    import spyx.nn

    neuron = peers.spyx(features)
    return lambda x: spyx.nn.run(neuron, x)[0]


def digits(path):
    """Images of 28 x 28 between 0 and 1 and labels, to train and to test with."""
    if path is not None:
        with np.load(path) as data:
            images, labels = (
                [data[f"{name}_{part}"] for part in ("train", "test")] for name in "xy"
            )
        images = [x.reshape(-1, 28, 28).astype("float32") / 255 for x in images]
        return images, [y.astype("int32") for y in labels]
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).repeat(4, 1).repeat(4, 2)[:, 2:-2, 2:-2] / 16
    images, labels = images.astype("float32"), labels.astype("int32")
    return [images[300:], images[:300]], [labels[300:], labels[:300]]


def encoded(network, images):
    spikes = PoissonEncoder(network.timesteps, seed=0)(images)
    return ops.convert_to_numpy(network.shaped(spikes))


def built(network, neuron, learning_rate=0.0):
    model = keras.Sequential(
        [*network.keras(neuron), layers.GlobalAveragePooling1D("channels_last")]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    adam = keras.optimizers.Adam(learning_rate)
    model.compile(adam, loss, metrics=["accuracy"] if learning_rate else None)
    return model


def trained(network, data, folder, maximum):
    """The weights of a network that has learned, from the folder if it has them."""
    path = folder / f"{type(network).__name__.lower()}-{maximum:g}.npz"
    if path.exists():
        with np.load(path) as file:
            return [file[f"w{i}"] for i in range(len(file))]
    keras.utils.set_random_seed(0)
    (x, _), (y, _) = data
    regularizer = RateRegularizer(maximum)
    neuron = functools.partial(lif, activity_regularizer=regularizer)
    model = built(network, neuron, learning_rate=1e-3)
    random = np.random.default_rng(0)
    for _ in range(network.steps):
        some = random.choice(len(x), network.batch, replace=False)
        spikes = PoissonEncoder(network.timesteps)(x[some])
        model.train_on_batch(network.shaped(spikes), y[some])
    weights = model.get_weights()
    np.savez(path, **{f"w{i}": w for i, w in enumerate(weights)})
    return weights


def described(network, weights, data):
    """What has been learned, and how often neurons fire."""
    (_, x), (_, y) = data
    x, y = encoded(network, x[:1000]), y[:1000]
    model = built(network, lif)
    model.set_weights(weights)
    everything = keras.Model(model.inputs, [layer.output for layer in model.layers])
    outputs = everything.predict(x, batch_size=network.batch, verbose=0)
    right = np.mean(np.argmax(outputs[-1], -1) == y)
    firing = [
        f"{np.mean(output):.1%}"
        for layer, output in zip(model.layers, outputs)
        if isinstance(layer, LIFLayer)
    ]
    inputs = [
        f"{np.mean(before != 0):.1%}"
        for layer, before in zip(model.layers, [x, *outputs])
        if any(len(weight.shape) > 1 for weight in layer.weights)
    ]
    return (
        f"Accuracy {right:.1%} of {len(y)} test images. Firing rates of the layers: "
        f"{', '.join(firing)}. Non-zeros in inputs of products: {', '.join(inputs)}."
    )


def keras_run(network, neuron, mode, weights, x, y, trains):
    keras_spiking.config.set_event_driven(mode)
    model = built(network, neuron)
    model.set_weights(weights)

    def step():
        keras_spiking.config.set_event_driven(mode)
        model.train_on_batch(x, y) if trains else model.predict_on_batch(x)

    step()
    return timing.Run(step)


def torch_run(network, neuron, weights, x, y, trains):
    import torch

    model = network.torch(neuron, weights)
    optimizer = torch.optim.Adam(model.parameters(), 0.0)
    if not channels_first() and x.ndim == 5:
        x = x.movedim(-1, 2)
    x = x.swapaxes(0, 1).contiguous()
    y = torch.tensor(y, dtype=torch.long)

    def predict():
        with torch.no_grad():
            return model(x).mean(0).numpy()

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x).mean(0), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    if not trains:
        model.eval()
    return timing.Run(step if trains else predict)


def spyx_run(network, weights, x, y, trains):
    import jax
    import optax
    from flax import nnx

    model = network.spyx(weights, nnx.Rngs(0))
    if not trains:
        model.eval()
    structure, parameters, rest = nnx.split(model, nnx.Param, ...)
    optimizer = optax.adam(0.0)
    memory, x = optimizer.init(parameters), x.swapaxes(0, 1)

    def forward(parameters, rest, x):
        model = nnx.merge(structure, parameters, rest, copy=True)
        return model(x).mean(0), nnx.state(model, nnx.Not(nnx.Param))

    def loss_of(parameters, rest, x, y):
        logits, rest = forward(parameters, rest, x)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()
        return loss, rest

    @jax.jit
    def update(parameters, rest, memory, x, y):
        found = jax.value_and_grad(loss_of, has_aux=True)(parameters, rest, x, y)
        (loss, rest), gradient = found
        updates, memory = optimizer.update(gradient, memory)
        return optax.apply_updates(parameters, updates), rest, memory, loss

    predict = jax.jit(forward)
    if trains:
        return timing.Run(
            lambda: jax.block_until_ready(update(parameters, rest, memory, x, y))
        )
    return timing.Run(lambda: np.asarray(predict(parameters, rest, x)[0]))


def compare(network, weights, data, rounds):
    (_, images), (_, labels) = data
    x, y = encoded(network, images[: network.batch]), labels[: network.batch]
    x = ops.convert_to_tensor(x)
    print(
        f"\n### {network.title}, T = {network.timesteps}, batch {len(x)}, {BACKEND}\n"
    )
    print(described(network, weights, data), flush=True)
    rows = {}
    for trains in (False, True):
        batch = weights, x, y, trains
        ours = functools.partial(keras_run, network)
        makers = {
            "auto": functools.partial(ours, lif, "auto", *batch),
            "never": functools.partial(ours, lif, "never", *batch),
            "ReLU, never": functools.partial(ours, layers.ReLU, "never", *batch),
        }
        if BACKEND == "torch":
            for name, neuron in peers.torch().items():
                makers[name] = functools.partial(torch_run, network, neuron, *batch)
        if BACKEND == "jax":
            makers["Spyx"] = functools.partial(spyx_run, network, *batch)
        runs = peers.installed(makers)
        for name, time in timing.take_turns(runs, rounds).items():
            rows.setdefault(name, [name]).append(time)
            rows[name].append(rows["auto"][len(rows[name]) - 1] / time)
    columns = ["implementation"]
    for way in ("inference", "training step"):
        columns += [f"{way} (ms)", "auto / this"]
    print()
    print(timing.table(columns, rows.values()), flush=True)


PRODUCTS = {
    "Dense 1024 x 1024 x 1024": ((1024, 1024), (1024, 1024), products.dense, {}),
    "Conv 3 x 3, 64 -> 128, 16 x 32 x 32": (
        (16, 32, 32, 64),
        (3, 3, 64, 128),
        products.conv,
        {"strides": 1, "padding": "same", "dilation_rate": 1},
    ),
}


def product_runs(function, x, kernel, upstream, mode):
    """A product, and with it the gradient of its weights."""

    def product(kernel, x):
        keras_spiking.config.set_event_driven(mode)
        return function(x, kernel)

    if BACKEND == "torch":
        import torch

        kernel.requires_grad_()

        @torch.no_grad()
        def forward():
            product(kernel, x)

        def both():
            torch.autograd.grad(product(kernel, x), kernel, upstream)

        return forward, both
    if BACKEND == "jax":
        import jax

        @jax.jit
        def gradient(kernel, x, upstream):
            y, pullback = jax.vjp(lambda kernel: product(kernel, x), kernel)
            return y, pullback(upstream)

        jitted = jax.jit(product)
        return (
            lambda: jax.block_until_ready(jitted(kernel, x)),
            lambda: jax.block_until_ready(gradient(kernel, x, upstream)),
        )
    if BACKEND == "tensorflow":
        import tensorflow as tf

        @tf.function
        def forward(kernel, x):
            return product(kernel, x)

        @tf.function
        def gradient(kernel, x, upstream):
            with tf.GradientTape() as tape:
                tape.watch(kernel)
                y = product(kernel, x)
            return y, tape.gradient(y, kernel, upstream)

        return (
            lambda: forward(kernel, x)[0, 0].numpy(),
            lambda: gradient(kernel, x, upstream)[1][0, 0].numpy(),
        )
    return (lambda: product(kernel, x)), None


def curve(rounds, picture):
    random = np.random.default_rng(0)
    lines = {}
    for title, (shape, kernel_shape, function, options) in PRODUCTS.items():
        convolves = len(shape) == 4
        if convolves:
            options["data_format"] = keras.config.image_data_format()
        if convolves and channels_first():
            shape = (shape[0], shape[3], *shape[1:3])
        kernel = ops.convert_to_tensor(
            0.05 * random.normal(size=kernel_shape), "float32"
        )
        rows = []
        for rate in RATES:
            x = ops.convert_to_tensor(random.random(shape) < rate, "float32")
            upstream = ops.ones_like(function(x, kernel, **options))
            runs = {}
            for mode in MODES:
                product = functools.partial(function, **options)
                ways = product_runs(product, x, kernel, upstream, mode)
                for way, run in zip(("forward", "with gradient"), ways):
                    if run is not None:
                        runs[way, mode] = timing.Run(run)
            times = timing.take_turns(runs, rounds)
            for (way, mode), time in times.items():
                lines.setdefault((title, way), {}).setdefault(mode, []).append(time)
            never = [times[way, "never"] for way, _ in runs]
            rows.append(
                [f"{rate:.0%}"]
                + [cell for t, n in zip(times.values(), never) for cell in (t, t / n)]
            )
        columns = ["non-zeros"]
        for way, mode in runs:
            columns += [f"{way}, {mode} (ms)", "/ never"]
        print(f"\n### {title}, {BACKEND}\n")
        print(timing.table(columns, rows), flush=True)
    if picture is not None:
        draw(lines, picture)


def draw(lines, path):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    ways = sorted({way for _, way in lines})
    size = {"figsize": (5 * len(PRODUCTS), 3.4 * len(ways)), "squeeze": False}
    figure, axes = pyplot.subplots(len(ways), len(PRODUCTS), sharex=True, **size)
    styles = {"auto": "o-", "always": "s--", "never": "k:"}
    for column, title in enumerate(PRODUCTS):
        for row, way in enumerate(ways):
            for mode, times in lines[title, way].items():
                rates = [100 * rate for rate in RATES]
                axes[row, column].plot(rates, times, styles[mode], label=mode)
            of_weights = " and weights' gradient" if way != "forward" else ""
            axes[row, column].set_title(f"{title}\nforward{of_weights}", fontsize=9)
            axes[row, column].set(ylabel="ms", ylim=(0, None))
            axes[row, column].grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("non-zeros (%)")
    axes[0, 0].legend(title="set_event_driven")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", help="MNIST as .npz; digits of scikit-learn if absent"
    )
    parser.add_argument("--folder", default="event_driven", help="for weights")
    parser.add_argument("--data-format", help="of images; by default the fastest")
    parser.add_argument(
        "--maximum-rate", type=float, default=0.02, help="penalised above"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--picture", help="file for the curve, .png")
    parser.add_argument("--only", choices=("dense", "convolutional", "curve", "train"))
    options = parser.parse_args()
    fastest = "channels_first" if BACKEND == "torch" else "channels_last"
    keras.config.set_image_data_format(options.data_format or fastest)
    print(timing.setting())
    data, folder = digits(options.data), pathlib.Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for network in (Dense(), Convolutional()):
        if options.only in (None, "train", type(network).__name__.lower()):
            weights = trained(network, data, folder, options.maximum_rate)
            if options.only == "train":
                print(described(network, weights, data))
            elif BACKEND != "numpy":
                compare(network, weights, data, options.rounds)
    if options.only in (None, "curve"):
        curve(options.rounds, options.picture)


if __name__ == "__main__":
    main()
