"""Two processes against one: losses and weights after 20 steps.

    python benchmarks/distributed.py --engines torch jax ray

Trains the small networks of tests/distribution/scenarios.py, with all that depends on
the whole batch, on one process and on two, and prints the largest difference of
losses, logs and weights. Ray Train needs `pip install "ray[train]"`.
"""

import argparse
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCENARIOS = ROOT / "tests" / "distribution"
NAMES = {
    "convolutional": "convolutions, tdBN, LIF, PLIF, FiringRateLogger",
    "normalized": "TEBN, BNTT, MPBN, FiringRateRegularizer",
    "stdp": "STDP after each batch",
    "stdp_in_gradients": "STDP and the loss, by the optimizer",
    "ottt": "OTTT with batch normalisation",
    "fptt": "FPTT with batch normalisation",
}

ONE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import scenarios
for name in sys.argv[3].split(","):
    np.savez(f"{sys.argv[2]}/{name}.npz", **scenarios.run(name))
"""


def on_ray(config):
    """What a worker of Ray does."""
    os.environ["KERAS_BACKEND"] = "torch"
    sys.path[:0] = [str(ROOT), str(SCENARIOS)]

    import ray.train
    import scenarios

    import keras_spiking

    worker = ray.train.get_context()
    place = worker.get_world_rank(), worker.get_world_size()
    share = keras_spiking.distribution.data_parallel
    for name in config["names"]:
        result = scenarios.run(name, *place, share)
        np.savez(f"{config['folder']}/{name}_{place[0]}.npz", **result)


def ray(folder):
    from ray.train import RunConfig
    from ray.train import ScalingConfig
    from ray.train.torch import TorchTrainer

    TorchTrainer(
        on_ray,
        train_loop_config={"names": list(NAMES), "folder": folder},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(storage_path=f"{folder}/ray"),
    ).fit()


def processes(folder, environment):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    program = [sys.executable, str(SCENARIOS / "scenarios.py"), ",".join(NAMES), folder]
    running = [
        subprocess.Popen(program, env={**environment, **place, "RANK": rank})
        for rank in "01"
    ]
    if any([process.wait() for process in running]):
        raise SystemExit("A process failed.")


def difference(expected, found, kind):
    keys = [key for key in expected if key.startswith(kind)]
    return max(np.abs(expected[key] - found[key]).max() for key in keys)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    engines = ["torch", "jax", "ray"]
    parser.add_argument("--engines", nargs="+", choices=engines, default=engines)
    arguments = parser.parse_args()
    print("| engine | training | loss | logs | weights |\n|---|---|---|---|---|")
    for engine in arguments.engines:
        backend = "torch" if engine == "ray" else engine
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "KERAS_SPIKING_EVENT_DRIVEN": "always",
            "KERAS_SPIKING_FUSED": "always",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]]),
        }
        with tempfile.TemporaryDirectory() as folder:
            one = [sys.executable, "-c", ONE, str(SCENARIOS), folder, ",".join(NAMES)]
            subprocess.run(one, env=environment, check=True)
            if engine == "ray":
                ray(folder)
            else:
                processes(folder, environment)
            for name, what in NAMES.items():
                expected = np.load(f"{folder}/{name}.npz")
                pairs = [np.load(f"{folder}/{name}_{i}.npz") for i in range(2)]
                largest = [
                    max(difference(expected, found, kind) for found in pairs)
                    for kind in ("log loss", "log", "weight")
                ]
                row = " | ".join(f"{value:.1e}" for value in largest)
                print(f"| {engine} | {what} | {row} |", flush=True)


if __name__ == "__main__":
    main()
