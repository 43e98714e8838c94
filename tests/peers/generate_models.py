"""Runs SpikingJelly's networks with random weights, for tests of those here.

Usage: python tests/peers/generate_models.py, in an environment with spikingjelly 2.0.0.

Writes `tests/data/models/<case>.npz`: names and shapes of the weights, the seed from
which they and the input are drawn (`tests/models/drawing.py`), and, in training and
inference mode, the scores, the number of spikes of each layer of neurons at each step,
and a hash of all its spikes. Layers are called by their path with `_` for `.`.

Frameworks round sums differently, and a spike may come or not where a membrane
potential is within rounding of the threshold. Seeds are tried until no potential is
within `MARGIN` of it in either mode, so that spikes have to be equal.
"""

import hashlib
import json
import operator
import pathlib
import sys
import types
from unittest import mock

import numpy as np
import torch

for name in ("torchvision", "torchvision._internally_replaced_utils"):
    # SpikingJelly imports a download from it, which nothing here calls.
    sys.modules[name] = types.ModuleType(name)
sys.modules[name].load_state_dict_from_url = None

from spikingjelly.activation_based import functional  # noqa: E402
from spikingjelly.activation_based import layer  # noqa: E402
from spikingjelly.activation_based import model  # noqa: E402, F401
from spikingjelly.activation_based import neuron  # noqa: E402
from spikingjelly.activation_based import surrogate  # noqa: E402
from spikingjelly.activation_based.model import ms_resnet  # noqa: E402
from spikingjelly.activation_based.model import parametric_lif_net  # noqa: E402
from spikingjelly.activation_based.model import sew_resnet  # noqa: E402
from spikingjelly.activation_based.model import spiking_resnet  # noqa: E402
from spikingjelly.activation_based.model import spiking_vgg  # noqa: E402
from spikingjelly.activation_based.model import spiking_vggws_ottt  # noqa: E402

TESTS = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "models"))
import drawing  # noqa: E402

FOLDER = TESTS / "data" / "models"
MARGIN = 1e-5
GAIN = 1.0
T = 4
IF = {
    "spiking_neuron": neuron.IFNode,
    "surrogate_function": surrogate.ATan(),
    "detach_reset": True,
}
PLIF = {**IF, "spiking_neuron": neuron.ParametricLIFNode}


def few_channels(by, make, **kwargs):
    """Builds a network of 64 filters and more with fewer, by shrinking its layers."""

    class Conv2d(layer.Conv2d):
        def __init__(self, inputs, outputs, *args, **kwargs):
            inputs = inputs if inputs < 64 else inputs // by
            super().__init__(inputs, outputs // by, *args, **kwargs)

    class BatchNorm2d(layer.BatchNorm2d):
        def __init__(self, channels):
            super().__init__(channels // by)

    class Linear(layer.Linear):
        def __init__(self, inputs, outputs):
            super().__init__(inputs // by, outputs)

    fewer = {cls.__name__: cls for cls in (Conv2d, BatchNorm2d, Linear)}
    with mock.patch.multiple(layer, **fewer):
        return make(**kwargs)


def spiking(name, **kwargs):
    make = getattr(spiking_resnet, name)
    return few_channels(16, make, num_classes=5, **IF, **kwargs)


def sew(name, by=16, **kwargs):
    make = getattr(sew_resnet, name)
    return few_channels(by, make, num_classes=5, **IF, **{"cnf": "ADD", **kwargs})


def recurrent():
    network = sew("sew_resnet18", 32)
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        feed_back(stage[-1])
    return network


def feed_back(block):
    """Feeds the spikes of a block's path back to its input."""
    parts = (block.conv1, block.bn1, block.sn1, block.conv2, block.bn2, block.sn2)
    # Not a child: names of weights stay, and `set_step_mode` leaves it alone.
    container = layer.ElementWiseRecurrentContainer(
        torch.nn.Sequential(*parts), operator.add, step_mode="m"
    )
    block.__dict__["container"] = container

    def forward(x):
        functional.set_step_mode(container.sub_module, "s")
        container.reset()
        return x + container(x)

    block.forward = forward


def vgg(plan, normalize=False, units=16):
    network = spiking_vgg.SpikingVGG([], num_classes=5, init_weights=False, **IF)
    network.features = network.make_layers(
        shrunk(spiking_vgg.cfgs[plan]), normalize, neuron=IF["spiking_neuron"], **NODE
    )
    network.classifier[0] = layer.Linear(16 * 7 * 7, units)
    network.classifier[3] = layer.Linear(units, units)
    network.classifier[6] = layer.Linear(units, 5)
    return network


NODE = {name: value for name, value in IF.items() if name != "spiking_neuron"}


def shrunk(plan):
    return [entry if isinstance(entry, str) else entry // 32 for entry in plan]


def ottt(plan, standardize, light=False, units=16):
    network = spiking_vggws_ottt.OTTTSpikingVGG(
        shrunk(spiking_vggws_ottt.cfgs[plan]),
        standardize,
        num_classes=5,
        init_weights=False,
        spiking_neuron=neuron.OTTTLIFNode,
        light_classifier=light,
    )
    dense = layer.WSLinear if standardize else layer.Linear
    if light:
        network.classifier[2] = layer.Linear(16, 5)
    else:
        network.classifier[2] = dense(16 * 7 * 7, units)
        network.classifier[6] = dense(units, units)
        network.classifier[10] = layer.Linear(units, 5)
    return network


def plif(name, features, units=16):
    """With fewer units, and for smaller images where events come in sequences."""
    network = getattr(parametric_lif_net, name)(4, **PLIF)
    outputs = network.conv_fc[-3].out_features
    network.conv_fc[-6] = layer.Linear(features, units)
    network.conv_fc[-3] = layer.Linear(units, outputs)
    return network


def ms(**kwargs):
    return ms_resnet.MSResNet(T=T, num_classes=5, base_channels=4, **kwargs)


IMAGE, FRAMES = (2, 3, 32, 32), (2, T, 2, 32, 32)
# Networks, and shapes of their inputs: images, or sequences of frames.
CASES = {
    "spiking_resnet18": (lambda: spiking("spiking_resnet18"), IMAGE),
    "spiking_resnet50": (lambda: spiking("spiking_resnet50"), IMAGE),
    "sew_resnet18": (lambda: sew("sew_resnet18"), IMAGE),
    "sew_resnet18_and": (lambda: sew("sew_resnet18", cnf="AND"), IMAGE),
    "sew_resnet34_iand": (lambda: sew("sew_resnet34", cnf="IAND"), IMAGE),
    "sew_resnet50_iand": (lambda: sew("sew_resnet50", cnf="IAND"), IMAGE),
    "sew_wide_resnet50": (lambda: sew("sew_wide_resnet50_2"), IMAGE),
    "sew_resnext50": (lambda: sew("sew_resnext50_32x4d", 4), (2, 3, 32, 32)),
    "recurrent_sew_resnet18": (recurrent, (2, 3, 64, 64)),
    "ms_resnet18": (lambda: ms(), IMAGE),
    "ms_resnet34_frames": (lambda: ms(in_channels=2, layers=(3, 4, 6, 3)), FRAMES),
    "spiking_vgg11": (lambda: vgg("A"), IMAGE),
    "spiking_vgg13_bn": (lambda: vgg("B", True), (2, 3, 64, 64)),
    "spiking_vgg16_bn": (lambda: vgg("D", True), IMAGE),
    "ottt_spiking_vgg11": (lambda: ottt("A", False), IMAGE),
    "ottt_spiking_vgg13_ws": (lambda: ottt("B", True), IMAGE),
    "ottt_spiking_vggws": (lambda: ottt("S", True, light=True), (2, 3, 16, 16)),
    "mnist_net": (lambda: plif("MNISTNet", 4 * 7 * 7), (2, 1, 28, 28)),
    "nmnist_net": (lambda: plif("NMNISTNet", 4 * 8 * 8), (2, T, 2, 34, 34)),
    "cifar10_net": (lambda: plif("CIFAR10Net", 4 * 8 * 8), IMAGE),
    "cifar10_dvs_net": (lambda: plif("CIFAR10DVSNet", 4 * 2 * 2), FRAMES),
    "dvs_gesture_net": (lambda: plif("DVSGestureNet", 4), FRAMES),
}


def potentials(node, x, spikes):
    """The potentials at which a node fired or not, from its input and its spikes."""
    x, spikes = x.astype("float64"), spikes.astype("float64")
    v, rate = np.zeros_like(x[0]), 1.0
    if isinstance(node, neuron.ParametricLIFNode):
        rate = node.w.sigmoid().item()
    elif isinstance(node, neuron.LIFNode):
        rate = 1.0 / node.tau
    for x_t, s_t in zip(x, spikes):
        if isinstance(node, neuron.IFNode):
            h = v + x_t
        else:
            h = v + rate * (x_t - v) if node.decay_input else v - rate * v + x_t
        yield h - node.v_threshold
        v = h - node.v_threshold * s_t if node.v_reset is None else h * (1 - s_t)


def run(network, x, training):
    """Scores, spikes of each layer `(time, batch, ...)`, and the least margin."""
    network.train(training)
    by_step = any(isinstance(m, neuron.OTTTLIFNode) for m in network.modules())
    functional.set_step_mode(network, "s" if by_step else "m")
    functional.reset_net(network)
    nodes = {
        name.replace(".", "_"): module
        for name, module in network.named_modules()
        if isinstance(module, neuron.BaseNode)
    }
    records = {name: ([], []) for name in nodes}

    def hook(name):
        def note(module, given, output):
            spikes = output[0] if isinstance(output, list) else output
            over_time = module.step_mode == "m"
            for record, tensor in zip(records[name], (given[0], spikes)):
                tensor = tensor.detach().numpy()
                record.extend(tensor if over_time else tensor[None])

        return note

    hooks = [node.register_forward_hook(hook(name)) for name, node in nodes.items()]
    x = torch.from_numpy(x)
    x = x.transpose(0, 1) if x.ndim == 5 else x.expand(T, *x.shape)
    with torch.no_grad():
        if by_step:
            y = torch.stack([network(x_t) for x_t in x])
        else:
            y = network(x.contiguous())
    for handle in hooks:
        handle.remove()
    y = y.mean(0) if y.ndim == 3 else y
    spikes, margin = {}, np.inf
    for name, node in nodes.items():
        given, fired = (np.stack(record) for record in records[name])
        distances = [np.abs(d).min() for d in potentials(node, given, fired)]
        margin = min(margin, *distances)
        spikes[name] = fired
    return y.numpy(), spikes, margin


def digest(spikes):
    """A hash of spikes `(time, batch, ...)` with channels last."""
    bits = np.packbits(np.moveaxis(spikes, 2, -1).astype(bool))
    return hashlib.sha256(bits.tobytes()).hexdigest()


def try_seed(make, shape, seed):
    network = make()
    for module in network.modules():
        if isinstance(module, layer.Dropout):
            module.p = 0.0
    own = network.state_dict()
    shapes = {
        name: list(value.shape)
        for name, value in own.items()
        if not name.endswith("num_batches_tracked")
    }
    state = drawing.state(shapes, seed, GAIN)
    x = drawing.inputs(shape, seed)
    arrays, texts, margins, quiet = (
        {},
        {"shapes": shapes, "seed": seed, "gain": GAIN},
        [],
        0,
    )
    for mode, training in (("inference", False), ("training", True)):
        weights = {name: torch.from_numpy(value) for name, value in state.items()}
        network.load_state_dict({**own, **weights})
        y, spikes, margin = run(network, x, training)
        margins.append(margin)
        quiet += sum(not 0.001 < fired.mean() < 0.999 for fired in spikes.values())
        arrays[f"{mode}_scores"] = y
        counts = [s.reshape(T, -1).sum(1) for s in spikes.values()]
        arrays[f"{mode}_counts"] = np.array(counts, "int32")
        texts[f"{mode}_hashes"] = {n: digest(s) for n, s in spikes.items()}
    texts["input_shape"] = shape
    return arrays, texts, min(margins), quiet


def main(wanted):
    FOLDER.mkdir(exist_ok=True)
    for case, (make, shape) in CASES.items():
        if wanted and case not in wanted:
            continue
        for seed in range(1000):
            arrays, texts, margin, quiet = try_seed(make, shape, seed)
            if margin > MARGIN and not quiet:
                break
            if seed % 20 == 0:
                print(f"  {case}, seed {seed}: margin {margin:.1e}, {quiet} quiet")
        else:
            raise RuntimeError(f"No seed keeps {case} away from its thresholds.")
        arrays["about"] = np.array(json.dumps(texts))
        path = FOLDER / f"{case}.npz"
        np.savez_compressed(path, **arrays)
        rates = arrays["inference_counts"].sum(1)
        print(f"{case}: seed {seed}, margin {margin:.1e}, least {rates.min()} spikes")


if __name__ == "__main__":
    main(sys.argv[1:])
