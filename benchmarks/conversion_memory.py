"""Peak memory of a converted network that predicts for few and for many time steps.

    KERAS_BACKEND=jax python benchmarks/conversion_memory.py

Each number of steps has a process of its own, which reads its peak resident memory from
Linux before and after it predicts one batch. The network is that of `conversion.py`,
untrained, which makes no difference to its memory.
"""

import argparse
import json
import subprocess
import sys

STEPS = (10, 100, 1000)


def peak_megabytes():
    with open("/proc/self/status") as file:
        (line,) = (line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure(timesteps, batch):
    """Peak memory before and at the end of a prediction."""
    import numpy as np
    from conversion import plain_network

    from keras_spiking import conversion

    x = np.random.default_rng(0).uniform(size=(batch, 28, 28, 1)).astype("float32")
    snn = conversion.convert(plain_network(), x[:32], timesteps)
    before = peak_megabytes()
    snn.predict(x, batch_size=batch, verbose=0)
    return before, peak_megabytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--timesteps", type=int, help="measure here, for these steps")
    options = parser.parse_args()
    if options.timesteps:
        print(json.dumps(measure(options.timesteps, options.batch)))
        return
    import timing

    rows = []
    for timesteps in STEPS:
        command = [sys.executable, *sys.argv, f"--timesteps={timesteps}"]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        before, peak = json.loads(printed.stdout.splitlines()[-1])
        rows.append([timesteps, before, peak, peak - before])
    rows.append(["1000 / 10", "", *(b / a for a, b in zip(rows[0][2:], rows[-1][2:]))])
    print(timing.setting(), "\n")
    columns = ["T", "before (MB)", "peak (MB)", "peak - before (MB)"]
    print(timing.table(columns, rows))


if __name__ == "__main__":
    main()
