"""`benchmarks/gpu.sh`, as far as it runs without a GPU."""

import pathlib
import re
import shutil
import subprocess

import pytest
from backend import BACKEND

ROOT = pathlib.Path(__file__).parent.parent
SCRIPT = ROOT / "benchmarks" / "gpu.sh"

pytestmark = pytest.mark.skipif(
    BACKEND != "numpy" or shutil.which("bash") is None,
    reason="the same on every backend: tested once, with NumPy",
)


def run(*arguments):
    return subprocess.run(
        ["bash", *map(str, arguments)], capture_output=True, text=True, timeout=30
    )


def test_bash_can_read_it():
    result = run("-n", SCRIPT)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("options", [(), ("--rehearse",)])
def test_steps_take_less_than_ten_minutes(options):
    result = run(SCRIPT, *options, "--list")
    assert result.returncode == 0, result.stderr
    limits = [int(line.split()[0]) for line in result.stdout.splitlines()]
    assert len(limits) > 7
    assert sum(limits) < 600


def test_it_runs_files_that_exist():
    paths = re.findall(r"(?:tests|benchmarks)/[\w/]+(?:\.py)?", SCRIPT.read_text())
    assert len(set(paths)) > 4
    for path in paths:
        assert (ROOT / path).exists() or path == "benchmarks/gpu", path


def test_unknown_option_is_refused():
    result = run(SCRIPT, "--fast")
    assert result.returncode == 2 and "--fast" in result.stderr
