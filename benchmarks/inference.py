"""How long compiled inference takes, beside `predict` and one step of PyTorch and ONNX.

    KERAS_BACKEND=torch python benchmarks/inference.py --data mnist10k.npz

Two networks are trained on handwritten digits first (weights are kept in a folder, for
further runs on any backend): (a) Dense 784-512-512-10, and (b) Conv64, pool, Conv128,
pool, Dense10 on images of 28 x 28, all with LIF neurons, (b) with batch normalisation.
Inputs are spikes, pixels as rates. `--data` names a file with `x_train`, `y_train`,
`x_test`, `y_test`; without it the digits of scikit-learn serve, enlarged.
"""

import argparse
import pathlib
import tempfile

import keras
import numpy as np
import timing
from keras import layers

import keras_spiking
from keras_spiking.layers import LIFLayer
from keras_spiking.layers import SeqToBatch

BACKEND = keras.config.backend()
CHANNELS_FIRST = BACKEND == "torch"


def digits(path):
    """Images `(n, 28, 28)` in [0, 1] and labels, to train and to test."""
    if path is not None:
        with np.load(path) as data:
            pairs = [(data[f"x_{k}"], data[f"y_{k}"]) for k in ("train", "test")]
        return [(x.astype("float32") / 255, y.astype("int32")) for x, y in pairs]
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).repeat(4, 1).repeat(4, 2)[:, 2:30, 2:30]
    images = (images / 16).astype("float32")
    labels = labels.astype("int32")
    return [(images[:1400], labels[:1400]), (images[1400:], labels[1400:])]


def spikes(images, timesteps):
    """Pixels as rates, `(n, timesteps, 28, 28)`."""
    random = np.random.default_rng(0).random((len(images), timesteps, 28, 28))
    return (random < images[:, None]).astype("float32")


def lif(rate=None):
    """Neurons that learn to fire at most at a rate."""
    penalty = None
    if rate is not None:
        penalty = keras_spiking.regularizers.FiringRateRegularizer(
            maximum=rate, strength=0.1
        )
    return LIFLayer(tau=2.0, surrogate="atan", activity_regularizer=penalty)


def dense_network(timesteps, rate=None):
    hidden = [[layers.Dense(512), lif(rate)] for _ in range(2)]
    return keras.Sequential(
        [
            keras.Input((timesteps, 784)),
            *sum(hidden, []),
            layers.Dense(10),
            lif(),
            keras_spiking.layers.FiringRate(),
        ]
    )


def convolutional_network(timesteps, rate=None):
    first = CHANNELS_FIRST
    axis, image = (1, (1, 28, 28)) if first else (-1, (28, 28, 1))
    form = "channels_first" if first else "channels_last"

    # Inputs that are normalised to 1 seldom reach the threshold, which is 1.
    strong = keras.initializers.Constant(2.0)

    def convolution(filters):
        return [
            SeqToBatch(
                [
                    layers.Conv2D(filters, 3, padding="same", data_format=form),
                    layers.BatchNormalization(
                        axis=axis, momentum=0.9, gamma_initializer=strong
                    ),
                ]
            ),
            lif(rate),
            SeqToBatch(layers.MaxPooling2D(data_format=form)),
        ]

    # Both layouts give the last layer its inputs in one order: weights fit both.
    order = [layers.Permute((2, 3, 1))] if first else []
    return keras.Sequential(
        [
            keras.Input((timesteps, *image)),
            *convolution(64),
            *convolution(128),
            SeqToBatch([*order, layers.Flatten(), layers.Dense(10)]),
            lif(),
            keras_spiking.layers.FiringRate(),
        ]
    )


NETWORKS = {"a": dense_network, "b": convolutional_network}


def inputs_of(name, images, timesteps):
    x = spikes(images, timesteps)
    if name == "a":
        return x.reshape(*x.shape[:2], 784)
    return x[:, :, None] if CHANNELS_FIRST else x[..., None]


def trained(name, timesteps, data, options):
    """A network with trained weights, and its accuracy."""
    (x, y), (x_test, y_test) = data
    model = NETWORKS[name](timesteps)
    path = options.weights / f"{name}-{options.rate}.npz"
    if path.exists():
        with np.load(path) as saved:
            model.set_weights([saved[k] for k in saved])
    else:
        short = NETWORKS[name](options.train_timesteps, options.rate)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        short.compile(keras.optimizers.Adam(1e-3), loss)
        n = len(x) if name == "a" else options.train_images
        x = inputs_of(name, x[:n], options.train_timesteps)
        epochs = options.epochs if name == "a" else 1
        short.fit(x, y[:n], batch_size=64, epochs=epochs, verbose=2)
        model.set_weights(short.get_weights())
        options.weights.mkdir(parents=True, exist_ok=True)
        np.savez(path, *model.get_weights())
    n = min(len(x_test), options.test_images)
    scores = keras_spiking.inference.compile(model)(
        inputs_of(name, x_test[:n], timesteps)
    )
    return model, float(np.mean(scores.argmax(-1) == y_test[:n]))


def firing_rates(model, x):
    """Mean spikes per neuron and step of each layer of neurons."""
    hidden = [layer for layer in model.layers if isinstance(layer, LIFLayer)]
    outputs = keras.Model(model.inputs, [layer.output for layer in hidden])
    return [float(np.mean(y)) for y in outputs.predict(x, verbose=0)], outputs


def compiled(model):
    """Networks by their weights."""
    return {
        weights: keras_spiking.inference.compile(model, weights=weights)
        for weights in ("float32", "int8")
    }


def whole_sequences(name, timesteps, batch, data, options):
    model, accuracy = trained(name, timesteps, data, options)
    x = inputs_of(name, data[1][0][:batch], timesteps)
    rates, spiking = firing_rates(model, x)
    nets = compiled(model)
    expected = spiking.predict(x, verbose=0)
    found = keras_spiking.inference.compile(spiking)(x)
    differ = sum(int(np.sum(a != b)) for a, b in zip(expected, found))
    total = sum(a.size for a in expected)
    runs = {"predict": timing.Run(lambda: model.predict_on_batch(x))}
    runs |= {w: timing.Run(lambda net=net: net(x)) for w, net in nets.items()}
    times = timing.take_turns(runs, options.rounds)
    return [
        f"({name}), {batch} x {timesteps}",
        ", ".join(f"{100 * r:.1f}" for r in [float(x.mean()), *rates]),
        f"{100 * accuracy:.2f}",
        *times.values(),
        times["float32"] / times["predict"],
        times["int8"] / times["predict"],
        f"{differ} of {total:,}",
    ]


def torch_step(model):
    """Network (a) in PyTorch, one step of one sample, written by hand."""
    import torch

    weights = [torch.tensor(w) for w in model.get_weights()]
    pairs = [(w.T.contiguous(), b) for w, b in zip(weights[::2], weights[1::2])]

    def step(x, states):
        new = []
        for (w, b), v in zip(pairs, states):
            h = v + (torch.nn.functional.linear(x, w, b) - v) / 2
            x = (h >= 1).float()
            new.append(h * (1 - x))
        return x, new

    return step, [torch.zeros(1, len(b)) for _, b in pairs]


def torch_latency(model, x):
    import torch

    step, zeros = torch_step(model)
    x = torch.tensor(x)

    def run():
        states = zeros
        with torch.inference_mode():
            for t in range(x.shape[1]):
                y, states = step(x[:, t], states)
        return y

    return run


def onnx_latency(model, x):
    import io

    import onnxruntime
    import torch

    step, zeros = torch_step(model)

    class Step(torch.nn.Module):
        def forward(self, x, a, b, c):
            y, states = step(x, (a, b, c))
            return (y, *states)

    file = io.BytesIO()
    example = (torch.tensor(x[:, 0]), *zeros)
    torch.onnx.export(Step(), example, file, input_names=list("xabc"), dynamo=False)
    session = onnxruntime.InferenceSession(file.getvalue())
    names = [i.name for i in session.get_inputs()]
    zeros = [z.numpy() for z in zeros]

    def run():
        states = zeros
        for t in range(x.shape[1]):
            y, *states = session.run(None, dict(zip(names, (x[:, t], *states))))
        return y

    return run


def compiled_latency(net, x):
    def run():
        net.reset()
        for t in range(x.shape[1]):
            y = net.step(x[:, t])
        return y

    return run


def latencies(data, options):
    """Microseconds of one step of one sample of network (a)."""
    timesteps = 32
    model, _ = trained("a", timesteps, data, options)
    x = inputs_of("a", data[1][0][:1], timesteps)
    runs = {}
    for weights, net in compiled(model).items():
        runs[f"compiled, {weights}"] = compiled_latency(net, x)
    if BACKEND == "torch":
        runs["PyTorch, eager"] = torch_latency(model, x)
        runs["onnxruntime"] = onnx_latency(model, x)
    times = timing.take_turns({n: timing.Run(r) for n, r in runs.items()}, 51)
    return [[name, 1e3 * t / timesteps] for name, t in times.items()]


def layers_by_density():
    """Single layers, over the share of non-zeros in their input."""
    makers = {
        "Dense 512-512, 64 x 16": ((16, 512), layers.Dense(512)),
        "Conv 3 x 3 64-128 on 16 x 16, 8 x 4": (
            (4, 16, 16, 64),
            SeqToBatch(layers.Conv2D(128, 3, padding="same")),
        ),
    }
    rows = []
    for name, (shape, layer) in makers.items():
        model = keras.Sequential([keras.Input(shape), layer, lif()])
        batch = 1024 // shape[0] if len(shape) == 2 else 8
        nets = compiled(model)
        for density in (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0):
            random = np.random.default_rng(0).random((batch, *shape))
            x = (random < density).astype("float32")
            calls = {"predict": model.predict_on_batch, **nets}
            runs = {n: timing.Run(c, lambda x=x: (x,)) for n, c in calls.items()}
            times = timing.take_turns(runs, 9)
            rows.append([name, f"{100 * density:.0f}", *times.values()])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path)
    folder = pathlib.Path(tempfile.gettempdir(), "keras_spiking-inference")
    parser.add_argument("--weights", type=pathlib.Path, default=folder)
    parser.add_argument("--networks", nargs="+", default=["a", "b"])
    parser.add_argument("--rate", type=float, help="that neurons learn to stay below")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train-timesteps", type=int, default=4)
    parser.add_argument("--train-images", type=int, default=3200)
    parser.add_argument("--test-images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--densities", action="store_true", help="of single layers")
    options = parser.parse_args()
    print(timing.setting() + f"\n- Backend: {BACKEND}\n")
    if options.densities:
        columns = ["layer", "non-zeros, %", "predict, ms", "float32, ms", "int8, ms"]
        print(timing.table(columns, layers_by_density()))
        return
    data = digits(options.data)
    timesteps = {"a": 32, "b": 8}
    rows = [
        whole_sequences(n, timesteps[n], options.batch, data, options)
        for n in options.networks
    ]
    columns = ["network", "rates of input and layers, %", "accuracy, %"]
    columns += ["predict, ms", "float32, ms", "int8, ms", "float32 / predict"]
    columns += ["int8 / predict", "other spikes"]
    print(timing.table(columns, rows))
    if "a" in options.networks:
        print(
            timing.table(["one step of (a)", "microseconds"], latencies(data, options))
        )


if __name__ == "__main__":
    main()
