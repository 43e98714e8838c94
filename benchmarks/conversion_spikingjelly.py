"""SpikingJelly's converter on the weights of `conversion.py`, which calls this."""

import json
import sys
import time

import numpy as np
import torch
from spikingjelly.activation_based import ann2snn
from spikingjelly.activation_based import functional
from torch import nn


def build(weights):
    blocks = []
    weights = [torch.from_numpy(w) for w in weights]
    for i in range(3):
        kernel, bias, *norm = weights[6 * i : 6 * i + 6]
        conv = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3)
        conv.weight.data = kernel.permute(3, 2, 0, 1).contiguous()
        conv.bias.data = bias
        bn = nn.BatchNorm2d(kernel.shape[3], eps=1e-3)
        bn.weight.data, bn.bias.data, bn.running_mean, bn.running_var = norm
        blocks += [conv, bn, nn.ReLU(), nn.AvgPool2d(2)]
    dense = nn.Linear(*weights[18].shape)
    dense.weight.data, dense.bias.data = weights[18].T.contiguous(), weights[19]
    return nn.Sequential(*blocks, nn.Flatten(), dense).eval()


@torch.no_grad()
def per_step(snn, x, steps):
    """Sums of the outputs up to each number of steps."""
    sums = {t: [] for t in steps}
    for batch in x.split(100):
        functional.reset_net(snn)
        total = 0
        for t in range(1, max(steps) + 1):
            total = total + snn(batch)
            if t in sums:
                sums[t].append(total.clone())
    return [torch.cat(sums[t]) for t in steps]


@torch.no_grad()
def all_steps(snn, x, steps):
    """Sums of the outputs of all steps, each layer computing all steps at once."""
    sums = []
    for batch in x.split(100):
        functional.reset_net(snn)
        sequence = batch.expand(max(steps), *batch.shape).contiguous()
        sums.append(snn(sequence).sum(0))
    return [torch.cat(sums)]


def accuracies(ann, networks, x, labels, steps):
    def accuracy(logits):
        return 100 * float((logits.argmax(1).numpy() == labels).mean())

    with torch.no_grad():
        found = {"ANN": accuracy(ann(x))}
    for name, snn in networks.items():
        found[name] = [accuracy(y) for y in per_step(snn, x, steps)]
    return found


def milliseconds(snn, x, steps):
    """Times per image, of both orders in which SpikingJelly can go through steps."""

    def time_per_image(run, timesteps):
        run(snn, x, [1])
        start = time.perf_counter()
        run(snn, x, [timesteps])
        return (time.perf_counter() - start) * 1e3 / len(x)

    found = {}
    for mode, name, run in (
        ("s", "step by step", per_step),
        ("m", "layer by layer", all_steps),
    ):
        functional.set_step_mode(snn, mode)
        found[f"SpikingJelly, {name}"] = [time_per_image(run, t) for t in steps]
    return found


def main(path, what):
    with np.load(path) as data:
        data = dict(data)
    steps = [int(t) for t in data["steps"]]
    x = torch.from_numpy(data["x"]).permute(0, 3, 1, 2).contiguous()
    calibration = torch.from_numpy(data["calibration"]).permute(0, 3, 1, 2)
    loader = [(batch.contiguous(), None) for batch in calibration.split(100)]

    def network():
        return build([data[f"w{i}"] for i in range(20)])

    recipes = {
        "maximum": ann2snn.RateCodingRecipe(loader, mode="max"),
        "99.9 percentile": ann2snn.RateCodingRecipe(loader, mode="99.9%"),
        "99.9 percentile, channel-wise, half threshold": ann2snn.RateCodingRecipe(
            loader, mode="99.9%", channel_wise=True, half_threshold=True
        ),
        "LTB": ann2snn.LocalThresholdBalancingRecipe(loader),
    }

    def snn(name):
        return ann2snn.Converter(recipes[name]).convert(network()).eval()

    if what == "accuracy":
        networks = {name: snn(name) for name in recipes}
        found = accuracies(network(), networks, x, data["y"], steps)
    else:
        found = milliseconds(snn("99.9 percentile"), x, steps)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
