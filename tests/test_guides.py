import os
import pathlib
import subprocess
import sys

import pytest

GUIDES = pathlib.Path(__file__).parent.parent / "guides"


@pytest.mark.trains
@pytest.mark.parametrize("guide", sorted(p.name for p in GUIDES.glob("*.py")))
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
