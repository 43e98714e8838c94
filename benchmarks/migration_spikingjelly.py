"""The README's table for SpikingJelly, followed word by word: does the network learn?

    KERAS_BACKEND=torch python benchmarks/migration_spikingjelly.py [--seeds 3]

One convolutional network for digits of 8 x 8 pixels, written in SpikingJelly, written
here by the table's rows and its settings of PyTorch, from initial weights of its own
or from SpikingJelly's, and written here without these settings. All see the same
batches. For an environment with `spikingjelly`,
`keras` and `scikit-learn`; torchvision, which SpikingJelly imports, is not needed.
"""

import argparse
import os
import sys
import time
import types

os.environ.setdefault("KERAS_BACKEND", "torch")

for name in ("torchvision", "torchvision._internally_replaced_utils"):
    sys.modules.setdefault(name, types.ModuleType(name))
sys.modules[name].load_state_dict_from_url = None

import keras  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from spikingjelly.activation_based import functional  # noqa: E402
from spikingjelly.activation_based import layer  # noqa: E402
from spikingjelly.activation_based import neuron  # noqa: E402
from spikingjelly.activation_based import surrogate  # noqa: E402

from keras_spiking import layers  # noqa: E402
from keras_spiking.inspection.selection import all_layers  # noqa: E402

T, CHANNELS, BATCH = 4, 16, 64


def digits():
    x, y = load_digits(return_X_y=True)
    x = x.reshape(-1, 8, 8, 1).astype("float32") / 16
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:1400], order[1400:]
    return x[train], y[train], x[test], y[test]


def batches(n, seed, epochs):
    """The same for all: indices of each batch."""
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        order = random.permutation(n)
        yield from (order[i : i + BATCH] for i in range(0, n - BATCH + 1, BATCH))


def network_of_spikingjelly(seed):
    torch.manual_seed(seed)

    def lif():
        return neuron.LIFNode(surrogate_function=surrogate.ATan())

    network = torch.nn.Sequential(
        *(layer.Conv2d(1, CHANNELS, 3, padding=1), layer.BatchNorm2d(CHANNELS), lif()),
        layer.MaxPool2d(2),
        layer.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        *(layer.BatchNorm2d(CHANNELS), lif(), layer.MaxPool2d(2), layer.Flatten()),
        *(layer.Linear(4 * CHANNELS, 10), lif()),
    )
    functional.set_step_mode(network, "m")
    return network


def spikingjelly(seed, epochs, x_train, y_train, x_test, y_test):
    network = network_of_spikingjelly(seed)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)

    def rates(x):
        functional.reset_net(network)
        x = torch.from_numpy(x).permute(0, 3, 1, 2)
        return network(x.expand(T, *x.shape).contiguous()).mean(0)

    for batch in batches(len(x_train), seed, epochs):
        optimizer.zero_grad()
        labels = torch.from_numpy(y_train[batch])
        torch.nn.functional.cross_entropy(rates(x_train[batch]), labels).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        return float((rates(x_test).argmax(1).numpy() == y_test).mean())


def copy_weights(network, model):
    """The initial weights of SpikingJelly's network, whose axes have another order."""
    theirs = [m for m in network.modules() if isinstance(m, layer.Conv2d)]
    for ours, other in zip(of_class(model, keras.layers.Conv2D), theirs):
        kernel = other.weight.detach().permute(2, 3, 1, 0)
        ours.set_weights([kernel.numpy(), other.bias.detach().numpy()])
    (other,) = (m for m in network.modules() if isinstance(m, layer.Linear))
    kernel = other.weight.detach().reshape(10, CHANNELS, 2, 2).permute(2, 3, 1, 0)
    (ours,) = of_class(model, keras.layers.Dense)
    ours.set_weights([kernel.reshape(-1, 10).numpy(), other.bias.detach().numpy()])


def of_class(model, cls):
    return [x for x in all_layers(model).values() if isinstance(x, cls)]


def ours(settings, copied, seed, epochs, x_train, y_train, x_test, y_test):
    keras.utils.set_random_seed(seed)
    norm = {"momentum": 0.9, "epsilon": 1e-5} if settings else {}

    def weights():
        if not settings:
            return {}
        uniform = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        return {"kernel_initializer": uniform}

    def block():
        return [
            layers.SeqToBatch(
                keras.layers.Conv2D(CHANNELS, 3, padding="same", **weights()),
                keras.layers.BatchNormalization(**norm),
            ),
            layers.LIFLayer(surrogate="atan"),
            layers.SeqToBatch(keras.layers.MaxPooling2D(2)),
        ]

    model = keras.Sequential(
        [
            *(keras.Input((8, 8, 1)), layers.DirectEncoder(T), *block(), *block()),
            layers.SeqToBatch(keras.layers.Flatten()),
            keras.layers.Dense(10, **weights()),
            *(layers.LIFLayer(surrogate="atan"), layers.FiringRate()),
        ]
    )
    if copied:
        copy_weights(network_of_spikingjelly(seed), model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8), loss)
    for batch in batches(len(x_train), seed, epochs):
        model.train_on_batch(x_train[batch], y_train[batch])
    predicted = model.predict(x_test, verbose=0).argmax(1)
    return float((predicted == y_test).mean())


def main(arguments):
    data = digits()
    networks = {
        "SpikingJelly": spikingjelly,
        "the same, its initial weights": lambda *a: ours(True, True, *a),
        "by the table": lambda *a: ours(True, False, *a),
        "without its rows of settings": lambda *a: ours(False, False, *a),
    }
    print(f"{keras.config.backend()}, T = {T}, {arguments.epochs} epochs")
    found = {name: [] for name in networks}
    started = time.perf_counter()
    for seed in range(arguments.seeds):  # side by side
        for name, train in networks.items():
            found[name].append(train(seed, arguments.epochs, *data))
    for name, accuracies in found.items():
        each = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        print(f"{name:38} {np.mean(accuracies):.3f} ({each})")
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    main(parser.parse_args())
