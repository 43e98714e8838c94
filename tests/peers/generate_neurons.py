"""Records what SpikingJelly's neurons compute: `tests/data/neurons/*.npz`.

    spikingjelly-env/bin/python tests/peers/generate_neurons.py tests/data/neurons

Recorded with SpikingJelly 2.0.0 and PyTorch 2.13.0 on a CPU, in float32. Every file has
the input `x` and the weights `weight` of a loss `sum(weight * y)`, batch first; the
outputs `y`; the gradients `grad_x` and, for what the neuron learns, `grad_{name}`.
"""

import pathlib
import sys
import types

import numpy as np
import torch

for name in ("torchvision", "torchvision.transforms", "torchvision.datasets"):
    sys.modules.setdefault(name, types.ModuleType(name))

from spikingjelly.activation_based import ann2snn  # noqa: E402
from spikingjelly.activation_based import neuron  # noqa: E402
from spikingjelly.activation_based import surrogate  # noqa: E402

BATCH, STEPS, FEATURES = 3, 12, 6


def draw(seed, low=-0.7, high=2.2, shape=(BATCH, STEPS, FEATURES)):
    return np.random.default_rng(seed).uniform(low, high, shape).astype("float32")


def record(folder, name, module, x, learned=(), **arrays):
    weight = np.random.default_rng(99).normal(size=x.shape).astype("float32")
    leaf = torch.from_numpy(x)
    leaf.requires_grad_(not isinstance(module, neuron.STBIFNode))
    y = module(leaf.transpose(0, 1).clone()).transpose(0, 1)
    found = {"x": x, "weight": weight, "y": y.detach().numpy()}
    if y.requires_grad:
        torch.sum(y * torch.from_numpy(weight)).backward()
        found["grad_x"] = np.zeros_like(x) if leaf.grad is None else leaf.grad.numpy()
    for key, parameter in dict(learned).items():
        found[key] = parameter.detach().numpy()
        found[f"grad_{key}"] = parameter.grad.numpy()
    np.savez_compressed(folder / f"{name}.npz", **found, **arrays)


def ternary(folder):
    for reset in (0.0, 0.25, None):
        for detach in (False, True):
            shared = {
                "v_reset": reset,
                "detach_reset": detach,
                "surrogate_function": surrogate.Sigmoid(4.0),
                "step_mode": "m",
            }
            case = f"{'soft' if reset is None else reset}_{detach}"
            x = draw(1, -1.5, 1.5)
            module = neuron.TernaryIFNode(**shared)
            record(folder, f"ternary_if_{case}", module, x)
            for decay in (True, False):
                module = neuron.TernaryLIFNode(tau=1.5, decay_input=decay, **shared)
                record(folder, f"ternary_lif_{decay}_{case}", module, 1.5 * x)


def rates(folder):
    x = draw(2, -1.0, 4.0)
    x[:, :, 0] += 3.0  # above the threshold on average
    x[:, :, 1] -= 3.0
    module = neuron.DSRIFNode(T=STEPS, v_threshold=2.0, alpha=0.5)
    record(folder, "dsr_if", module, x, {"v_threshold": module.v_threshold})
    x = draw(3, -5.0, 90.0)
    x[:, :, 0] += 60.0
    x[:, :, 1] -= 90.0
    module = neuron.DSRLIFNode(T=STEPS, v_threshold=1.0, tau=2.0, delta_t=0.05)
    record(folder, "dsr_lif", module, x, {"v_threshold": module.v_threshold})


def bipolar(folder):
    for name, level, sym in (("unsigned", 6, False), ("signed", 6, True)):
        module = neuron.STBIFNode(0.4, level=level, sym=sym, step_mode="m")
        record(folder, f"st_bif_{name}", module, draw(4, -1.0, 1.1))
    softmax = ann2snn.operators.TDSoftmax(dim=-1)
    record(folder, "softmax", softmax, draw(5, -1.0, 1.0))
    norm = ann2snn.operators.TDLayerNorm(FEATURES, eps=1e-3)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.uniform_(-1.0, 1.0)
    learned = {"gamma": norm.weight, "beta": norm.bias}
    record(folder, "layer_norm", norm, draw(6, -1.0, 1.0), learned)
    for approximate in ("none", "tanh"):
        gelu = ann2snn.operators.TDGELU(approximate)
        record(folder, f"gelu_{approximate}", gelu, draw(7, -1.0, 1.0))


def few_spikes(folder):
    random = np.random.default_rng(8)
    tables = [random.uniform(0.2, 2.0, (3, STEPS)).astype("float32") for _ in range(3)]
    theta, h, d = tables
    made = [neuron.FewSpikeTable(*rows) for rows in zip(theta, h, d)]
    x = draw(9, -0.3, 1.0)
    arrays = {"theta": theta[0], "h": h[0], "d": d[0]}
    module = neuron.FewSpikeNode(made[0], surrogate.Sigmoid(4.0), step_mode="m")
    record(folder, "few_spike", module, x, **arrays)
    gates = np.array([2.0, 5.0], "float32")
    module = neuron.HGNode(made, gates, surrogate.Sigmoid(4.0), step_mode="m")
    arrays = {"theta": theta, "h": h, "d": d, "gate_thresholds": gates}
    record(folder, "hierarchically_gated", module, x, **arrays)


def connections(module, groups, size):
    """The weights of a grouped convolution, as `(groups, inputs, outputs)`."""
    weight = module.conn.weight.detach().numpy().reshape(groups, size, size)
    grad = module.conn.weight.grad.numpy().reshape(groups, size, size)
    return {
        "kernel": weight.transpose(0, 2, 1),
        "grad_kernel": grad.transpose(0, 2, 1),
        "bias": module.conn.bias.detach().numpy().reshape(groups, size),
        "grad_bias": module.conn.bias.grad.numpy().reshape(groups, size),
    }


def populations(folder):
    groups, size = 2, FEATURES // 2
    nodes = {
        "ilc_if": neuron.ILCIFNode(groups, size),
        "ilc_lif": neuron.ILCLIFNode(groups, size),
        "ilc_cuba": neuron.ILCCUBALIFNode(groups, size),
    }
    for seed, (name, module) in enumerate(nodes.items(), 10):
        record(folder, name, module, draw(seed))
        append(folder / f"{name}.npz", connections(module, groups, size))
    std = 0.5
    noise = np.random.default_rng(20).normal(size=(2, BATCH, STEPS, FEATURES))
    noise = noise.astype("float32")
    loaded = torch.from_numpy(np.concatenate(noise, axis=-1))
    init = std * FEATURES**0.5  # it is divided by the root again
    module = neuron.NoisyILCCUBALIFNode(groups, size, T=STEPS, sigma_init=init)
    module.load_colored_noise(loaded)
    record(folder, "noisy_ilc_cuba", module, draw(21), noise=noise, std=std)
    append(folder / "noisy_ilc_cuba.npz", connections(module, groups, size))
    module = neuron.NoisyCUBALIFNode(FEATURES, T=STEPS, sigma_init=init)
    module.load_colored_noise(loaded)
    record(folder, "noisy_cuba", module, draw(22), noise=noise, std=std)
    for decode in ("max-mem", "max-abs-mem", "mean-mem", "last-me"):
        module = neuron.NoisyNonSpikingIFNode(
            FEATURES, T=STEPS, sigma_init=init, decode=decode
        )
        module.load_colored_noise(torch.from_numpy(noise[0]))
        x = draw(23, -1.0, 1.0)
        y = module(torch.from_numpy(x).transpose(0, 1))
        torch.sum(y).backward()
        np.savez_compressed(
            folder / f"noisy_non_spiking_{decode}.npz",
            x=x,
            noise=noise[0],
            std=std,
            y=y.detach().numpy(),
            grad_std=module.sigma.grad.numpy(),
        )


def append(path, arrays):
    with np.load(path) as old:
        np.savez_compressed(path, **dict(old), **arrays)


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    for write in (ternary, rates, bipolar, few_spikes, populations):
        write(folder)


if __name__ == "__main__":
    main(sys.argv[1])
