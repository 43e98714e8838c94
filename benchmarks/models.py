"""How well and how fast networks of the papers learn digits, here and in SpikingJelly.

    KERAS_BACKEND=torch python benchmarks/models.py spikformer --peer
    KERAS_BACKEND=torch python benchmarks/models.py sew_resnet18 --data mnist10k.npz

Accuracy by the same protocol for both: Adam with a rate of 0.001 that falls to 0 as a
cosine, cross-entropy of the mean over four time steps, pixels between 0 and 1. Without
`--data`, the digits are scikit-learn's, 8 x 8, a fifth of which is held back. A seed
draws the initial weights and the order of the images, the split is always the same.

`--time` measures training steps instead, which take turns in one process. `--peer`
needs SpikingJelly in the same environment, and PyTorch as the backend for `--time`.
"""

import argparse
import statistics
import sys
import time
import types

import keras
import numpy as np
import timing

from keras_spiking import models

CLASSES = 10
TIMESTEPS = 4
RATE = 1e-3


def spikformer(shape):
    return models.Spikformer(
        shape, width=64, depth=2, heads=2, patch_size=4, classes=CLASSES
    )


def their_spikformer(size):
    from spikingjelly.activation_based.model.spikformer import Spikformer

    return Spikformer(
        T=TIMESTEPS,
        in_channels=1,
        img_size_h=size,
        img_size_w=size,
        patch_size=4,
        num_classes=CLASSES,
        embed_dims=64,
        num_heads=2,
        depths=2,
    )


def sew_resnet18(shape):
    return models.SEWResNet18(shape, filters=16, stem="cifar", classes=CLASSES)


def their_sew_resnet18(size):
    """A quarter as wide as theirs, with a first convolution for small images."""
    _stand_in("torchvision", "torchvision._internally_replaced_utils")
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based import layer
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based import surrogate
    from spikingjelly.activation_based.model import sew_resnet
    from torch import nn

    class Narrow(sew_resnet.SEWResNet):
        def _make_layer(self, block, planes, *args, **kwargs):
            if planes == 64:
                self.inplanes = 16
            return super()._make_layer(block, planes // 4, *args, **kwargs)

    network = Narrow(
        sew_resnet.BasicBlock,
        [2, 2, 2, 2],
        num_classes=CLASSES,
        cnf="ADD",
        spiking_neuron=neuron.IFNode,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
    )
    network.conv1 = layer.Conv2d(1, 16, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out")
    network.bn1 = layer.BatchNorm2d(16)
    network.maxpool = nn.Identity()
    network.fc = layer.Linear(128, CLASSES)
    functional.set_step_mode(network, "m")
    return network


NETWORKS = {
    "spikformer": (spikformer, their_spikformer),
    "sew_resnet18": (sew_resnet18, their_sew_resnet18),
}


def _stand_in(*names):
    """Modules that SpikingJelly imports, and needs for nothing that is used here."""
    for name in names:
        if name not in sys.modules:
            module = types.ModuleType(name)
            module.load_state_dict_from_url = None
            sys.modules[name] = module


def digits(path):
    if path is not None:
        with np.load(path) as data:
            x, y, x_test, y_test = (
                data[name] for name in ("x_train", "y_train", "x_test", "y_test")
            )
        x, x_test = x / 255.0, x_test / 255.0
    else:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(images))
        images, labels = images[order].reshape(-1, 8, 8) / 16.0, labels[order]
        held = len(images) // 5
        x, y, x_test, y_test = (
            images[held:],
            labels[held:],
            images[:held],
            labels[:held],
        )
    pairs = (x, y), (x_test, y_test)
    return [(x[..., None].astype("float32"), y.astype("int64")) for x, y in pairs]


def compiled(make, shape, steps):
    model = make(shape)
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def ours(make, train, test, seed, options):
    keras.utils.set_random_seed(seed)
    steps = options.epochs * -(-len(train[0]) // options.batch)
    model = compiled(make, train[0].shape[1:], steps)
    model.fit(*train, batch_size=options.batch, epochs=options.epochs, verbose=0)
    return model.evaluate(*test, batch_size=500, verbose=0)[1]


def peer_step(network, optimizer, x, y):
    """A function that trains for a batch of images `(batch, 1, height, width)`."""
    import torch
    from spikingjelly.activation_based import functional

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(presented(network, x).mean(0), y)
        loss.backward()
        optimizer.step()
        functional.reset_net(network)
        return loss.item()

    return step


def presented(network, x):
    """Scores of all steps."""
    return network(x.expand(TIMESTEPS, *x.shape))


def theirs(make, train, test, seed, options):
    import torch
    from spikingjelly.activation_based import functional

    torch.manual_seed(seed)
    (x, y), (x_test, y_test) = (
        (torch.tensor(x).movedim(-1, 1), torch.tensor(y)) for x, y in (train, test)
    )
    network = make(x.shape[-1])
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    steps = options.epochs * -(-len(x) // options.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(options.epochs):
        for chosen in torch.randperm(len(x)).split(options.batch):
            peer_step(network, optimizer, x[chosen], y[chosen])()
            schedule.step()
    network.eval()
    right = 0
    with torch.no_grad():
        for x, y in zip(x_test.split(500), y_test.split(500)):
            right += (presented(network, x).mean(0).argmax(1) == y).sum().item()
            functional.reset_net(network)
    return right / len(x_test)


def accuracy(networks, options):
    train, test = digits(options.data)
    learners = {"keras_spiking": (ours, networks[0])}
    if options.peer:
        learners["SpikingJelly"] = (theirs, networks[1])
    print(f"\n## {options.network}, {len(train[0])} digits, {options.epochs} epochs\n")
    rows = []
    for name, (learn, make) in learners.items():
        reached, start = [], time.perf_counter()
        for seed in options.seeds:
            reached.append(100.0 * learn(make, train, test, seed, options))
            print(f"{name}, seed {seed}: {reached[-1]:.2f} %", file=sys.stderr)
        taken = (time.perf_counter() - start) / len(reached)
        each = ", ".join(f"{a:.1f}" for a in reached)
        rows.append([name, each, f"{statistics.mean(reached):.2f}", f"{taken:.0f}"])
    columns = ["implementation", "test accuracy by seed (%)", "mean", "s per training"]
    print(timing.table(columns, rows))


def times(networks, options):
    (x, y), _ = digits(options.data)
    x, y = x[: options.batch], y[: options.batch]
    model = compiled(networks[0], x.shape[1:], 1000)
    runs = {"keras_spiking": timing.Run(lambda: model.train_on_batch(x, y))}
    if options.peer:
        import torch

        network = networks[1](x.shape[1])
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        images = torch.tensor(x).movedim(-1, 1).contiguous()
        step = peer_step(network, optimizer, images, torch.tensor(y))
        runs["SpikingJelly"] = timing.Run(step)
    for run in runs.values():
        run.function()
    taken = timing.take_turns(runs, options.rounds)
    first = taken["keras_spiking"]
    print(f"\n## {options.network}, a step with {options.batch} x {x.shape[1:]}\n")
    rows = [[name, t, first / t] for name, t in taken.items()]
    print(timing.table(["implementation", "time (ms)", "this package / it"], rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument(
        "--data", metavar="NPZ", help="x_train, y_train, x_test, y_test"
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--peer", action="store_true", help="SpikingJelly as well")
    parser.add_argument("--time", action="store_true", help="time steps, do not learn")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    print(timing.setting())
    measure = times if options.time else accuracy
    measure(NETWORKS[options.network], options)


if __name__ == "__main__":
    main()
