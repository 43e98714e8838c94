import os
import pathlib
import subprocess
import sys

import pytest
from backend import BACKEND

GUIDES = pathlib.Path(__file__).parent.parent / "guides"

# What guides use has tests on every backend. All guides run on PyTorch, which does not
# compile first, the one that `make demo` runs everywhere.
EVERYWHERE = {"digits.py"}


def names():
    every = {path.name for path in GUIDES.glob("*.py")}
    return sorted(every if BACKEND == "torch" else every & EVERYWHERE)


@pytest.mark.trains
@pytest.mark.parametrize("guide", names())
def test_guide_runs(guide, tmp_path):
    environment = {**os.environ, "KERAS_SPIKING_SHORT": "1"}
    path = [str(GUIDES.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    result = subprocess.run(
        [sys.executable, GUIDES / guide],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout
    for picture in tmp_path.glob("*.png"):
        assert picture.stat().st_size > 10_000
