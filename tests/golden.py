"""Reference vectors computed by SpikingJelly 2.0.0: `data/golden/index.json`."""

import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent / "data" / "golden"
CASES = json.loads((FOLDER / "index.json").read_text())["cases"]


def cases(prefix):
    """A `pytest.param(config, arrays file)` for every stored case of a kind."""
    found = [
        pytest.param(case["config"], case["file"], id=name.split("/")[1])
        for name, case in CASES.items()
        if name.startswith(prefix) and (FOLDER / case["file"]).exists()
    ]
    assert found, f"no golden vectors for {prefix}"
    return found


def load(file):
    with np.load(FOLDER / file) as arrays:
        return dict(arrays)
