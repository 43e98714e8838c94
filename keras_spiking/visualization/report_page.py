"""The page of a report: one HTML file that loads nothing from elsewhere."""

import json
import pathlib
from html import escape
from typing import Any

import keras

from keras_spiking.energy.report import Report
from keras_spiking.version import __version__
from keras_spiking.visualization import report_figures as figures
from keras_spiking.visualization import report_tables as tables
from keras_spiking.visualization.accuracy import Accuracy
from keras_spiking.visualization.observation import Observation

FOLDER = pathlib.Path(__file__).parent

# Scripts and styles of the page itself, and nothing from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)


def page(found: Observation, energy: Report, accuracy: Accuracy | None) -> str:
    """The whole page."""
    sections = [
        ("architecture", "Architecture", _table(tables.architecture(found))),
        ("rates", "Firing rates", _rates(found)),
        ("neurons", "Silent and saturated neurons", _table(tables.neurons(found))),
        ("layers", "Inside of a layer", _inside(found)),
        ("energy", "Energy", _energy(energy)),
    ]
    if accuracy is not None:
        sections.insert(1, ("accuracy", "Accuracy over time", _accuracy(accuracy)))
    links = "".join(f'<a href="#{key}">{title}</a>' for key, title, _ in sections)
    body = "".join(
        f'<section id="{key}"><h2>{title}</h2>{text}</section>'
        for key, title, text in sections
    )
    data = json.dumps(_figures(found, energy, accuracy)).replace("<", "\\u003c")
    title = f"Report of {escape(found.model.name)}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{title}</title>
<style>{(FOLDER / "report.css").read_text("utf-8")}</style>
<script>{_plotly_script()}</script>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="muted">{_made_by(found)}</p>
<noscript><p class="warn">The figures need JavaScript; the tables do not.</p></noscript>
<nav>{links}</nav>
{_tiles(tables.key_numbers(found, energy, accuracy))}
{_findings(tables.findings(found, energy))}
{body}
</main>
<script id="figures" type="application/json">{data}</script>
<script>{(FOLDER / "report.js").read_text("utf-8")}</script>
</body>
</html>
"""


def _plotly_script():
    figures.plotly()  # names the package if it is missing
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _made_by(found):
    steps = max(len(x.rates) for x in found.neurons.values())
    return (
        f"{found.samples:,} samples of {steps:,} time steps, in inference. Made by "
        f"keras_spiking {__version__} with Keras {keras.__version__} on "
        f"{keras.config.backend()}."
    )


def _tiles(numbers):
    tiles = "".join(
        f'<div class="tile"><b>{escape(value)}</b><small>{escape(name)}</small></div>'
        for name, value in numbers
    )
    return f'<div class="tiles">{tiles}</div>'


def _findings(lines):
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="findings"><h2>To look at</h2><ul>{items}</ul></section>'


def _table(table):
    head = "".join(_cell("th", c, escape(c.lstrip("#"))) for c in table.columns)
    body = "".join(
        "<tr>"
        + "".join(_cell("td", c, _text(c, x)) for c, x in zip(table.columns, row))
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<p class="muted">{escape(table.caption)}</p><div class="table"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(tag, column, text):
    kind = "number" if column.startswith("#") else column.split()[0].lower()
    return f'<{tag} class="{kind}">{text}</{tag}>'


def _text(column, text):
    if column == "Layer is":
        kind = "good" if text == "lively" else "warn"
        return f'<span class="{kind}">{escape(text)}</span>'
    if column == "Which" and len(text) > 60:
        summary = escape(f"{text[:40].rsplit(',', 1)[0]}, …")
        return f"<details><summary>{summary}</summary>{escape(text)}</details>"
    return escape(text)


def _rates(found):
    width = max(figures.binned(x.rates)[1] for x in found.neurons.values())
    means = f" A point over time is the mean of up to {width} steps." * (width > 1)
    return (
        '<p class="muted">The mean over all samples, and over the neurons of a layer.'
        f"{means}</p><h3>Layers</h3>{_place('rates')}<h3>Over time</h3>"
        f"{_place('over_time')}"
    )


def _place(name, of_layer=False):
    return f'<div data-figure="{name}"{" data-of-layer" if of_layer else ""}></div>'


def _inside(found):
    names = [*found.neurons, *found.readouts]
    options = "".join(
        f'<option value="{escape(n)}">{escape(n)}</option>' for n in names
    )
    return (
        f'<p><label for="layer">Layer </label><select id="layer">{options}</select></p>'
        f'<p class="muted" id="layer-notes"></p>'
        f"<h3>Membrane potentials</h3>{_place('traces', True)}"
        f"<h3>Spikes of sample {found.sample}</h3>{_place('raster', True)}"
        f"<h3>Firing rates of its neurons</h3>{_place('distribution', True)}"
    )


def _energy(energy):
    verdict = escape(energy.verdict).replace("\n", "<br>")
    operations = _place("operations") if energy.synapses else ""
    synapses, costs = tables.synapses(energy), tables.costs(energy)
    return f"<p>{verdict}</p>{operations}{_table(synapses)}{_table(costs)}"


def _accuracy(accuracy):
    curve = _place("accuracy") if len(accuracy.steps) else ""
    return f"<p>{escape(tables.on_accuracy(accuracy))}</p>{curve}"


def _figures(found, energy, accuracy):
    """What the script draws: figures, or texts that say why there is none."""
    shown: dict[str, Any] = {
        "rates": figures.rates(found.neurons),
        "over_time": figures.over_time(found.neurons),
    }
    if energy.synapses:
        shown["operations"] = figures.operations(energy)
    if accuracy is not None and len(accuracy.steps):
        shown["accuracy"] = figures.accuracy(accuracy)
    layers = {
        name: _figures_of_layer(x)
        for name, x in {**found.neurons, **found.readouts}.items()
    }
    return {"page": shown, "layers": layers}


def _figures_of_layer(x):
    kind = type(x.layer).__name__
    shown: dict[str, Any] = {
        "notes": tables.on_layer(x),
        "traces": f"{kind} has no membrane potential for each neuron in each step.",
        "raster": f"{kind} does not show its spikes of all steps.",
    }
    if x.traces:
        shown["traces"] = figures.traces(x)
    if x.spikes is None:
        shown["raster"] = shown["distribution"] = f"{kind} does not spike."
        return shown
    if x.raster is not None:
        shown["raster"] = "There are no spikes in these steps of these neurons."
        if x.raster.any():
            shown["raster"] = figures.raster(x)
    shown["distribution"] = figures.distribution(x)
    return shown
