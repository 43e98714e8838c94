"""The tests with the oldest and the newest versions of what the package stands on.

    nox --list
    nox -s "tests-3.11(oldest-jax)" -- tests/layers   # with arguments of pytest
    nox                                               # everything takes hours

`benchmarks/results/versions.md` records what has passed.
"""

import nox

PYTHONS = ["3.11", "3.12", "3.13"]

# Backend, Keras, and what `pip` calls the backend.
VERSIONS = {
    "oldest-jax": ("jax", "keras==3.12.*", "jax==0.7.*"),
    "newest-jax": ("jax", "keras", "jax"),
    "oldest-torch": ("torch", "keras==3.12.*", "torch==2.7.*"),
    "newest-torch": ("torch", "keras", "torch"),
    "oldest-tensorflow": ("tensorflow", "keras==3.12.*", "tensorflow-cpu"),
    "newest-tensorflow": ("tensorflow", "keras", "tensorflow-cpu"),
    "oldest-numpy": ("numpy", "keras==3.12.*", "numpy"),
    "newest-numpy": ("numpy", "keras", "numpy"),
    "newest-openvino": ("openvino", "keras", "openvino"),
}


@nox.session(python=PYTHONS)
@nox.parametrize("backend, keras, package", list(VERSIONS.values()), ids=list(VERSIONS))
def tests(session, backend, keras, package):
    session.install(".[test]", keras, package, "jax")  # NumPy's FFTs in Keras are JAX's
    session.run(
        "python", "-m", "keras_spiking.backends", env={"KERAS_BACKEND": backend}
    )
    session.run("python", "tests/run_backends.py", backend, "--", *session.posargs)
