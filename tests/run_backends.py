"""Runs the tests once for every backend, each in a process of its own.

Usage: python tests/run_backends.py [backend ...] [-- pytest arguments]
"""

import os
import pathlib
import subprocess
import sys
import time

BACKENDS = ("jax", "tensorflow", "torch", "numpy", "openvino")
JAX_CACHE = pathlib.Path(__file__).parent.parent / ".pytest_cache" / "jax"


def main(arguments):
    extra = []
    if "--" in arguments:
        split = arguments.index("--")
        arguments, extra = arguments[:split], arguments[split + 1 :]
    failed = []
    for backend in arguments or BACKENDS:
        print(f"\n== {backend}", flush=True)
        started = time.time()
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # Two test processes share two cores: more threads would only queue.
            "OMP_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": "1",
            "TF_NUM_INTEROP_THREADS": "1",
            # Most of the time goes into compiling functions that run once, and many
            # tests compile the same ones.
            "XLA_FLAGS": "--xla_backend_optimization_level=0 "
            "--xla_llvm_disable_expensive_passes=true",
            "JAX_COMPILATION_CACHE_DIR": str(JAX_CACHE),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
        command = [sys.executable, "-m", "pytest", "-n", "2", *extra]
        result = subprocess.run(command, env=environment)
        print(f"{backend}: {time.time() - started:.0f} s", flush=True)
        if result.returncode:
            failed.append(backend)
    if failed:
        sys.exit(f"Tests failed on: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])
