import pathlib
import re

import pytest

from keras_spiking import surrogates

README = pathlib.Path(__file__).parent.parent / "README.md"


@pytest.mark.trains
def test_code_in_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert blocks
    namespace = {"__name__": "readme"}
    for block in blocks:
        exec(block, namespace)


def test_readme_lists_all_surrogates():
    text = README.read_text("utf-8")
    for name in surrogates.names():
        assert f'"{name}"' in text
