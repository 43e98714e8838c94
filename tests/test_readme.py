import pathlib
import re

import pytest

from keras_spiking import surrogates

README = pathlib.Path(__file__).parent.parent / "README.md"
DATA = pathlib.Path(__file__).parent / "data"


@pytest.mark.trains
def test_code_in_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert blocks
    namespace = {"__name__": "readme"}
    for block in blocks:
        exec(block, namespace)


def test_readme_has_a_row_for_everything_of_spikingjelly():
    text = README.read_text("utf-8")
    table = text[text.index("## Coming from SpikingJelly") :]
    names = (DATA / "spikingjelly" / "names.txt").read_text().split()
    assert len(names) > 200
    for module, name in (line.split(".") for line in names):
        if module == "functional" and name.endswith("_step"):
            continue  # one row for all
        stem = re.sub(r"[123]d$", "", name)
        assert re.search(rf"\b{stem}([123]d)?\b", table), f"{module}.{name}"


def test_readme_lists_all_surrogates():
    text = README.read_text("utf-8")
    for name in surrogates.names():
        assert f'"{name}"' in text
