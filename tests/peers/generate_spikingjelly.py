"""Records what SpikingJelly computes, for tests that need neither it nor PyTorch.

For an environment of its own with `spikingjelly==2.0.0`:

    spikingjelly-env/bin/python tests/peers/generate_spikingjelly.py \
        tests/data/spikingjelly [--seed 0] [--batch 3] [--time 6] [--features 5]

Every case becomes a file `<name>.npz`: the arguments as `config` (JSON), the input `x`,
the output `y`, the factors `weight` of the loss `sum(y * weight)`, its gradient
`grad_x`, and for each parameter `param_<name>` and `grad_<name>`. Sequences are
`(batch, time, ...)`, images have their channels first. `names.txt` lists what is public
in SpikingJelly.

    KERAS_BACKEND=jax python -m pytest tests/peers/test_spikingjelly.py

compares the files of `tests/data/spikingjelly`, or of the folder that the environment
variable `SPIKINGJELLY_VECTORS` names.
"""

import argparse
import importlib.abc
import importlib.machinery
import inspect
import json
import pathlib
import sys
import types

import numpy as np


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for packages that SpikingJelly imports and nothing here uses."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torchvision" or name == "torch.utils.tensorboard":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda name: type(name, (), {})
        return module

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, _StandIn())

import torch  # noqa: E402
from spikingjelly.activation_based import encoding  # noqa: E402
from spikingjelly.activation_based import functional  # noqa: E402
from spikingjelly.activation_based import layer  # noqa: E402
from spikingjelly.activation_based import learning  # noqa: E402
from spikingjelly.activation_based import neuron  # noqa: E402
from spikingjelly.activation_based import quantize  # noqa: E402
from spikingjelly.activation_based import rnn  # noqa: E402
from spikingjelly.activation_based import surrogate  # noqa: E402
from spikingjelly.timing_based.encoding import GaussianTuning  # noqa: E402


class Recorder:
    """Runs modules of SpikingJelly and writes what they do.

    Args:
        folder: Where the files go.
        arguments: The seed and the sizes.
    """

    def __init__(self, folder, arguments):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.random = np.random.default_rng(arguments.seed)
        torch.manual_seed(arguments.seed)
        self.batch, self.time = arguments.batch, arguments.time
        self.features = arguments.features

    def normal(self, *shape, scale=1.0):
        return self.random.normal(0.0, scale, shape).astype("float32")

    def uniform(self, *shape, low=0.0, high=1.0):
        return self.random.uniform(low, high, shape).astype("float32")

    def current(self, *features):
        """Input that lets about a third of the neurons fire."""
        return self.normal(self.batch, self.time, *(features or (self.features,))) + 0.6

    def spikes(self, *features):
        shape = (self.batch, self.time, *features)
        return (self.random.random(shape) < 0.4).astype("float32")

    def write(self, name, config, **arrays):
        arrays = {k: np.asarray(v) for k, v in arrays.items()}
        np.savez_compressed(
            self.folder / f"{name}.npz", config=json.dumps(config), **arrays
        )
        print(name, {k: v.shape for k, v in arrays.items()})

    def randomize(self, module):
        """Gives every parameter and every moving average a value of its own."""
        with torch.no_grad():
            for parameter in module.parameters():
                noise = self.normal(*parameter.shape, scale=0.3)
                parameter.add_(torch.from_numpy(np.asarray(noise)))
            for key, buffer in module.named_buffers():
                if key.endswith("running_mean"):
                    buffer.copy_(
                        torch.from_numpy(self.normal(*buffer.shape, scale=0.2))
                    )
                if key.endswith("running_var"):
                    value = self.uniform(*buffer.shape, low=0.5, high=1.5)
                    buffer.copy_(torch.from_numpy(value))

    def module(self, name, config, module, x, call=None, training=True, **more):
        """Records a module over a sequence: `x` and `y` are `(batch, time, ...)`."""
        module.train(training)
        functional.set_step_mode(module, "m")
        arrays = {
            k: v.numpy().copy()
            for k, v in module.state_dict().items()
            if not k.endswith("num_batches_tracked")
        }
        x_seq = torch.from_numpy(np.swapaxes(x, 0, 1).copy()).requires_grad_()
        y = (call or module)(x_seq)
        extra = {}
        if getattr(module, "store_v_seq", False):
            extra["v_seq"] = np.swapaxes(module.v_seq.detach().numpy(), 0, 1)
        weight = self.normal(*y.shape)
        y.backward(torch.from_numpy(weight))
        for key, parameter in module.named_parameters():
            if parameter.grad is not None:
                extra[f"grad_{key}"] = parameter.grad.numpy()
        for key, buffer in module.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                extra[f"after_{key}"] = buffer.numpy()
        self.write(
            name,
            config,
            x=x,
            y=np.swapaxes(y.detach().numpy(), 0, 1),
            weight=np.swapaxes(weight, 0, 1),
            grad_x=np.swapaxes(x_seq.grad.numpy(), 0, 1),
            **{f"param_{k}": v for k, v in arrays.items()},
            **extra,
            **more,
        )


def membrane_normalization(r):
    n = r.features
    for config in (
        {"tau": 2.0},
        {"tau": 3.0, "decay_input": True, "v_reset": None},
        {"tau": 1.5, "v_reset": -0.1, "detach_reset": True},
    ):
        for training in (True, False):
            module = neuron.MPBNLIFNode(**config, out_features=n, store_v_seq=True)
            r.randomize(module)
            key = "_".join(f"{k}{v}" for k, v in config.items())
            kind = "training" if training else "inference"
            name = f"mpbn_{kind}_{key}"
            r.module(name, config, module, 1.5 * r.current(), training=training)
    module = neuron.MPBNLIFNode(out_channels=4)
    r.randomize(module)
    r.module("mpbn_images", {}, module, 1.5 * r.current(4, 3, 2))


def resonate(r):
    for i, config in enumerate(
        (
            {},
            {"b": -0.05, "omega": 0.7, "v_threshold": 0.5, "v_reset": None},
            {"b": -0.1, "omega": 2.5, "dt": 0.5, "v_reset": -0.2, "detach_reset": True},
        )
    ):
        module = neuron.RAFNode(**config, store_v_seq=True)
        r.module(f"raf_{i}", config, module, 2.0 * r.current())


def complementary(r):
    for i, config in enumerate(({}, {"tau": 3.0, "v_threshold": 0.7})):
        module = neuron.ComplementaryLIFNode(**config)
        r.module(f"clif_{i}", config, module, r.current())


def other_neurons(r):
    relu = torch.nn.ReLU()
    cuba = {"current_decay": 0.4, "voltage_decay": 0.2}
    for name, module, config in (
        ("cuba", neuron.CUBALIFNode(c_decay=0.6, v_decay=0.8), cuba),
        ("ilif", neuron.ILIFNode(), {}),
    ):
        r.module(name, config, module, 2.0 * r.current())
    module = neuron.LIAFNode(relu, threshold_related=True, tau=2.0)

    def step_by_step(x):  # over all steps at once it is the LIFNode that it extends
        functional.set_step_mode(module, "s")
        return torch.stack([module(x_t) for x_t in x])

    r.module("liaf", {}, module, 2.0 * r.current(), step_by_step)
    store = neuron.LIFNode(tau=2.5, v_reset=None, store_v_seq=True)
    config = {"tau": 2.5, "v_reset": None}
    r.module("store_v_seq", config, store, 2.0 * r.current())


def soft_surrogates(r):
    names = (
        "ATan Erf LeakyKReLU LogTailedReLU NonzeroSignLogAbs PiecewiseExp "
        "PiecewiseLeakyReLU PiecewiseQuadratic QPseudoSpike Rect S2NN Sigmoid SoftSign "
        "SquarewaveFourierSeries"
    )
    for name in names.split():
        function = getattr(surrogate, name)(spiking=False)
        x = torch.from_numpy(r.normal(1, 40)).requires_grad_()
        y = function(x)
        y.sum().backward()
        r.write(f"soft_{name}", {}, x=x.detach(), y=y.detach(), grad_x=x.grad)
    config = {"tau": 2.0, "v_reset": None}
    module = neuron.LIFNode(**config, surrogate_function=surrogate.ATan(spiking=False))
    r.module("soft_lif", config, module, r.current())


def standardized_weights(r):
    for gain in (True, False):
        module = layer.WSLinear(5, 4, gain=gain)
        r.randomize(module)
        r.module(f"ws_linear_gain{gain}", {"use_gain": gain}, module, r.normal(3, 2, 5))
    module = layer.WSConv2d(4, 6, 3, groups=2, eps=1e-3)
    r.randomize(module)
    config = {"groups": 2, "epsilon": 1e-3}
    r.module("ws_conv2d", config, module, r.normal(2, 2, 4, 5, 4))


def attention(r):
    channels, tokens = 8, 5
    x = r.spikes(channels, tokens)
    for cls, kind, heads in (
        (layer.TokenQKAttention, "tokens", 8),
        (layer.TokenQKAttention, "tokens", 2),
        (layer.ChannelQKAttention, "channels", 8),
    ):
        module = cls(channels, num_heads=heads)
        r.randomize(module)
        config = {"num_heads": heads, "over": kind}
        r.module(f"qk_attention_{kind}_{heads}", config, module, 3.0 * x)
    module = layer.SpikingSelfAttention(channels, num_heads=2)
    r.randomize(module)
    r.module("spiking_self_attention", {"num_heads": 2}, module, 3.0 * x)
    module = layer.SpikeDrivenSelfAttention(channels, num_heads=2)
    r.randomize(module)
    x = 2.0 * r.current(channels, 2, 3)
    r.module("spike_driven_self_attention", {}, module, x)


def drop_connect(r):
    """At inference SpikingJelly samples: many samples come close to the mean."""
    for name, activation in (("none", None), ("relu", torch.nn.ReLU())):
        module = layer.DropConnectLinear(
            6, 4, p=0.3, samples_num=200000, activation=activation
        ).eval()
        r.randomize(module)
        x = torch.from_numpy(r.normal(2, 6))
        arrays = {f"param_{k}": v.numpy() for k, v in module.state_dict().items()}
        with torch.no_grad():
            y = module(x)
        config = {"rate": 0.3, "activation": None if activation is None else name}
        r.write(f"drop_connect_{name}", config, x=x, y=y, **arrays)


def recurrent(r):
    """Stacked in both directions, and with a second surrogate."""
    second = {"surrogate_function2": surrogate.Sigmoid(alpha=2.0)}
    for name, cls, layers, options in (
        ("vanilla", rnn.SpikingVanillaRNN, 2, {"bidirectional": True}),
        ("lstm", rnn.SpikingLSTM, 2, {"bidirectional": True}),
        ("gru", rnn.SpikingGRU, 2, {"bidirectional": True}),
        ("lstm_second", rnn.SpikingLSTM, 1, second),
        ("gru_second", rnn.SpikingGRU, 1, second),
    ):
        module = cls(r.features, 4, layers, **options)
        r.randomize(module)
        x = r.normal(r.batch, r.time, r.features)
        r.module(f"rnn_{name}", {}, module, x, lambda x, module=module: module(x)[0])


def containers(r):
    n = r.features
    inner = torch.nn.Sequential(neuron.LIFNode(tau=2.0), torch.nn.Linear(n, 3))
    module = layer.LinearRecurrentContainer(inner, n, 3)
    functional.set_step_mode(inner, "s")
    r.randomize(module)

    def call(x, module=module):
        functional.set_step_mode(module.sub_module, "s")
        return module(x)

    r.module("linear_recurrent", {}, module, 2.0 * r.current(), call)


def counts(r):
    x = r.random.integers(0, 5, (2, 3, 4)).astype("float32")
    for name, module in (
        ("count_to_spikes", layer.SpikeCountToBinary(4, always_convert=True)),
        ("temporal_bin_sum", layer.TemporalBinSum(2, always_convert=True)),
    ):
        r.module(name, {"slots": module.num_slots}, module, x)


def quantization(r):
    def record(name, config, function, *arguments):
        tensors = [torch.from_numpy(a).requires_grad_() for a in arguments]
        y = function(*tensors)
        weight = r.normal(*y.shape)
        y.backward(torch.from_numpy(weight))
        names = ("x", "w", "b")
        arrays = dict(zip(names, arguments))
        grads = {f"grad_{k}": t.grad for k, t in zip(names, tensors)}
        r.write(name, config, y=y.detach(), weight=weight, **arrays, **grads)

    x = r.normal(3, 7)
    for step in (1.0, 0.3):
        record(
            f"step_quantize_{step}",
            {"step": step},
            lambda x, step=step: quantize.step_quantize(x, step),
            x,
        )
    record("k_bit_quantize", {"bits": 3}, lambda x: quantize.k_bit_quantize(x, 3), x)
    record(
        "affine_k_bit_quantize",
        {"bits": 2},
        lambda x, w, b: quantize.affine_k_bit_quantize(x, 2, w, b),
        x,
        r.normal(7),
        r.normal(7),
    )
    record("clamp_by_linear", {}, quantize.clamp_by_linear, x)
    record(
        "multi_level_spike_count",
        {"max_spikes": 2, "window": [-0.5, 2.5]},
        lambda x: quantize.multi_level_spike_count(x, 2, (-0.5, 2.5)),
        2.0 * x,
    )
    record("clamp", {}, lambda x: quantize.clamp(x, -0.5, 0.5), x)


def rewards(r):
    """Reward-modulated STDP, step by step; the layout of the kernel is `(out, in)`."""
    pre, post = r.spikes(5), r.spikes(3)
    kernel = r.normal(3, 5)

    def run(cls, pre, post, reward, *taus):
        synapse = torch.nn.Linear(5, 3, bias=False)
        synapse.weight.data = torch.from_numpy(kernel.copy())
        neurons = torch.nn.Identity()
        learner = cls("s", synapse, neurons, *taus, torch.sin, torch.cos)
        total = torch.zeros(3, 5)
        for t in range(pre.shape[-2]):
            synapse(torch.from_numpy(pre[..., t, :]))
            neurons(torch.from_numpy(post[..., t, :]))
            total += learner.step(torch.as_tensor(reward[..., t]), on_grad=False)
        return total

    reward = r.normal(r.batch, r.time)
    delta = run(learning.MSTDPLearner, pre, post, reward, 5.0, 0.7)
    arrays = {"x": pre, "spikes": post, "kernel": kernel, "reward": reward}
    r.write("mstdp", {"tau_pre": 5.0, "tau_post": 0.7}, delta_w=delta, **arrays)
    # Of one sample at a time, with one reward.
    taus = {"tau_pre": 3.0, "tau_post": 2.0, "tau_eligibility": 4.0}
    learner = learning.MSTDPETLearner
    delta = sum(run(learner, *a, *taus.values()) for a in zip(pre, post, reward))
    r.write("mstdpet", taus, delta_w=delta, **arrays)


def tuning(r):
    low, high = np.float32([-1.0, 0.0, 2.0]), np.float32([1.0, 3.0, 2.5])
    encoder = GaussianTuning(3, 6, torch.from_numpy(low), torch.from_numpy(high))
    x = low + (high - low) * r.uniform(4, 3)
    times, columns, offsets = encoder(torch.from_numpy(x)[:, :, None], duration=9.0)
    dense = np.full((4, 18), np.inf, "float32")
    for i in range(4):
        part = slice(int(offsets[i]), int(offsets[i + 1]))
        dense[i, columns[part].numpy()] = times[part].numpy()
    r.write(
        "gaussian_tuning",
        {"timesteps": 9, "neurons": 6},
        x=x,
        times=dense,
        x_min=low,
        x_max=high,
        mean=encoder.mu,
        std=encoder.sigma2.sqrt(),
    )


def populations(r):
    for name, cls in (
        ("population", encoding.PopEncoder),
        ("population_spikes", encoding.PopSpikeEncoderDeterministic),
    ):
        module = cls(3, 6, spike_ts=7, mean_range=(-1.0, 2.0), std=0.4)
        functional.set_step_mode(module, "m")
        x = torch.from_numpy(r.uniform(4, 3, low=-1.0, high=2.0)).requires_grad_()
        y = module(x)
        weight = r.normal(*y.shape)
        y.backward(torch.from_numpy(weight))
        r.write(
            name,
            {"timesteps": 7, "neurons": 6, "x_min": -1.0, "x_max": 2.0, "std": 0.4},
            x=x.detach(),
            y=y.detach().transpose(0, 1),
            weight=np.swapaxes(weight, 0, 1),
            grad_x=x.grad,
            grad_mean=module.mean.grad[0],
            grad_std=module.std.grad[0],
        )


def names():
    """The public names of SpikingJelly that the README has to have."""
    modules = neuron, layer, surrogate, encoding, rnn, functional, learning, quantize
    for module in modules:
        only_functions = module in (functional, quantize)
        is_public = inspect.isfunction if only_functions else inspect.isclass
        for name, value in sorted(vars(module).items()):
            is_theirs = getattr(value, "__module__", "").startswith("spikingjelly")
            of_autograd = not only_functions and name.islower()
            if is_theirs and is_public(value) and name[0] != "_" and not of_autograd:
                yield f"{module.__name__.split('.')[-1]}.{name}"


def main(arguments):
    recorder = Recorder(arguments.folder, arguments)
    for record in (
        membrane_normalization,
        resonate,
        complementary,
        other_neurons,
        soft_surrogates,
        standardized_weights,
        attention,
        drop_connect,
        recurrent,
        containers,
        counts,
        quantization,
        rewards,
        tuning,
        populations,
    ):
        record(recorder)
    (recorder.folder / "names.txt").write_text("".join(f"{n}\n" for n in names()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=3)
    parser.add_argument("--time", type=int, default=6)
    parser.add_argument("--features", type=int, default=5)
    main(parser.parse_args())
