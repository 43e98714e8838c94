"""Records the spikes of snnTorch, Norse and sinabs for the rows of `docs/migration.md`.

For an environment of its own with `snntorch`, `norse` and `sinabs`:

    frameworks-env/bin/python tests/peers/generate_frameworks.py \
        tests/data/frameworks.npz [--seed 0] [--batch 8] [--time 60] [--features 6]

Every row is recorded with several values of its variables. `test_frameworks.py`
compares the file, or that which the environment variable `FRAMEWORKS_VECTORS` names.
"""

import argparse
import json

import norse.torch
import numpy as np
import sinabs.layers
import snntorch
import torch
from migration import VALUES
from migration import rows
from norse.torch.functional.reset import reset_subtract
from sinabs.activation import MaxSpike
from sinabs.activation import MembraneReset
from sinabs.activation import SingleSpike

NAMES = {
    "torch": torch,
    "snntorch": snntorch,
    "norse": norse.torch,
    "sinabs": sinabs.layers,
    "reset_subtract": reset_subtract,
    "MaxSpike": MaxSpike,
    "MembraneReset": MembraneReset,
    "SingleSpike": SingleSpike,
}


def run(module, x):
    """What a neuron makes of a sequence `(batch, time, ...)`."""
    x = torch.from_numpy(x)
    if type(module).__module__.startswith("sinabs"):
        return module(x).detach().numpy()
    outputs, state = [], None
    for x_t in x.unbind(1):
        if type(module).__module__.startswith("snntorch"):
            module.init_hidden = True
            y = module(x_t)
        else:
            y, state = module(x_t, state)
        outputs.append(y)
    return torch.stack(outputs, 1).detach().numpy()


def others(x):
    """What is no row: spikes and weights, by name."""
    features = x.shape[-1]
    recurrent = snntorch.RLeaky(0.8, linear_features=features)
    lstm = snntorch.SLSTM(features, features, threshold=0.1)
    at_once = snntorch.Leaky(0.8, reset_delay=False)
    arrays = {"leaky_spikes": run(at_once, np.clip(x, -0.9, 0.9)).astype("uint8")}
    for name, module in (("rleaky", recurrent), ("slstm", lstm)):
        arrays[f"{name}_spikes"] = run(module, x).astype("uint8")
        for key, parameter in module.named_parameters():
            arrays[f"{name}_{key}"] = parameter.detach().numpy()
    return arrays


def main(arguments):
    random = np.random.default_rng(arguments.seed)
    torch.manual_seed(arguments.seed)
    shape = (arguments.batch, arguments.time, arguments.features)
    x = random.normal(0.2, 0.8, shape).astype("float32")
    arrays = {"x": x, **others(x)}
    n = arguments.features
    dense = torch.nn.Linear(n, n, bias=False)
    # Weak enough that neurons which emit many spikes at once do not run away.
    dense.weight.data *= 0.2
    arrays["dense_kernel"] = dense.weight.detach().numpy().T
    names = {**NAMES, "n": n, "dense": dense}
    for i, (theirs, _) in enumerate(rows()):
        for j, values in enumerate(VALUES):
            y = run(eval(theirs, names | values), x)
            is_count = np.all(y == np.round(y))
            arrays[f"y_{i}_{j}"] = y.astype("uint8") if is_count else y[:3]
            print(f"{theirs} {values}: mean {y.mean():.3f}")
    recorded = {"rows": [theirs for theirs, _ in rows()], "values": VALUES}
    np.savez_compressed(arguments.file, recorded=json.dumps(recorded), **arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--time", type=int, default=60)
    parser.add_argument("--features", type=int, default=6)
    main(parser.parse_args())
