"""Pages are found and linked, and print the C that is compiled."""

import pathlib
import re

import pytest

import keras_spiking
from keras_spiking.backends.kernels import host
from keras_spiking.backends.kernels.program import Program
from keras_spiking.backends.kernels.trace import Step

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "kernels.md"


def functions_of_lif():
    layer = keras_spiking.layers.LIFLayer(tau=2.0, surrogate="atan")
    layer.build((None, None, 100))
    source = host.source(Program(Step(layer, (100,)), fresh=True), "float32")
    return re.findall(r"^int \w+_part.*?^}$", source, re.M | re.S)


def test_page_prints_the_kernels_of_lif():
    printed = re.findall(r"^```c\n(.*?)\n```$", PAGE.read_text(), re.M | re.S)
    assert printed == functions_of_lif()


def pages():
    """What the site shows: each page, guide and result."""
    shown = ["docs/*.md", "guides/*.py", "benchmarks/results/*.md", "*.md"]
    found = (path for pattern in shown for path in ROOT.glob(pattern))
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_every_page_is_in_the_navigation():
    _, navigation = (ROOT / "mkdocs.yml").read_text("utf-8").split("\nnav:\n")
    entries = re.findall(r"[\w/]+\.(?:md|py)$", navigation, re.M)
    assert len(entries) == len(set(entries))
    assert pages() - {"docs/index.md"} <= set(entries), "add them to mkdocs.yml"
    assert all((ROOT / entry).exists() for entry in entries)


def anchors(page):
    """What headings of Markdown are called in links."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("name", sorted(n for n in pages() if n.endswith(".md")))
def test_links_lead_to_files_and_headings(name):
    page = ROOT / name
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def pictured():
    """Each neuron, encoder, surrogate and plot, as pages of the reference name it."""
    for name, item in vars(keras_spiking.layers).items():
        folder = getattr(item, "__module__", "").split(".")[2:3]
        if folder in (["neurons"], ["encoders"]) and name != "Encoder":
            yield f"layers.{name}"
    for name in keras_spiking.surrogates.names():
        yield f"surrogates.{type(keras_spiking.surrogates.get(name)).__name__}"
    for name in keras_spiking.visualization.__all__:
        if name.startswith("plot_"):
            yield f"visualization.{name}"


@pytest.mark.parametrize("name", sorted(pictured()))
def test_reference_has_a_picture(name):
    picture = ROOT / "docs" / "pictures" / "reference" / f"{name}.png"
    assert picture.exists(), f"python docs/site/reference_pictures.py {name}"


def snippets(name):
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / name).read_text(), re.M | re.S)


def test_first_network_is_that_of_the_readme():
    (network,) = snippets("docs/index.md")
    assert network in snippets("README.md")


def test_concepts_run():
    namespace = {}
    for snippet in snippets("docs/concepts.md"):
        exec(snippet, namespace)
    assert namespace["spikes"].shape == (32, 60, 1)
