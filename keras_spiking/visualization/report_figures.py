"""The interactive figures of a report, by plotly, as JSON."""

import json
from typing import Any

import numpy as np

from keras_spiking.visualization.observation import Activity

# Told apart by colour-blind readers, on light and on dark ground.
BLUE, ORANGE, GREEN = "#2f8fce", "#e0702f", "#1fa37a"
GREY = "#8a929e"
COLOURS = (BLUE, ORANGE, GREEN, "#c777a9", "#c79a1b", "#58b7e0", GREY)
DASHES = ("solid", "dash", "dot", "dashdot")
POINTS = 1000  # of a curve over time; longer ones are averaged


def plotly() -> Any:
    """The module `plotly.graph_objects`."""
    try:
        import plotly.graph_objects
    except ImportError:
        raise ImportError(
            "Reports need the package plotly: `pip install plotly`, or this package "
            "with its extra `report`."
        ) from None
    return plotly.graph_objects


def time_axis(timesteps, **options):
    """An axis of steps, which has ticks at whole numbers."""
    few = {"dtick": 1} if timesteps <= 12 else {}
    return {
        "title": {"text": "Time (steps)"},
        "range": [-0.5, timesteps - 0.5],
        **few,
        **options,
    }


def new_figure(traces, height, **layout):
    """A figure as a dictionary of plain values."""
    layout = {
        "template": {},
        "height": height,
        "margin": {"l": 10, "r": 32, "t": 10, "b": 10},  # buttons are on the right
        "hoverlabel": {"namelength": -1},
        "legend": {
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "traceorder": "normal",
        },
        **layout,
    }
    for name in list(layout):
        if name.startswith(("xaxis", "yaxis")):
            layout[name] = {
                "automargin": True,
                "zeroline": False,
                "exponentformat": "power",
                **layout[name],
            }
    return json.loads(plotly().Figure(traces, layout).to_json())


def binned(values):
    """A curve of at most `POINTS` values, and how many steps each of them is."""
    width = -(-len(values) // POINTS)
    if width > 1:
        parts = np.split(values, range(width, len(values), width))
        values = np.array([part.mean() for part in parts])
    return values, width


def rates(neurons: dict[str, Activity]) -> dict:
    """The mean firing rate of every layer."""
    names = list(neurons)
    silent = [len(x.silent) / x.size for x in neurons.values()]
    bars = plotly().Bar(
        y=names,
        x=[x.rate for x in neurons.values()],
        orientation="h",
        marker={"color": BLUE},
        customdata=silent,
        hovertemplate="%{y}: %{x:.4f} spikes per neuron and step, "
        "%{customdata:.1%} silent<extra></extra>",
    )
    return new_figure(
        [bars],
        110 + 26 * len(names),
        xaxis={"title": {"text": "Spikes per neuron and step"}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed", "type": "category"},
        bargap=0.35,
    )


def over_time(neurons: dict[str, Activity]) -> dict:
    """The mean firing rate of every layer in every step."""
    lines = []
    for i, (name, activity) in enumerate(neurons.items()):
        values, width = binned(activity.rates)
        dash = DASHES[i // len(COLOURS) % len(DASHES)]
        lines.append(
            plotly().Scatter(
                x=np.arange(len(values)) * width,
                y=values.astype("float32"),
                name=name,
                mode="lines+markers" if len(values) < 60 else "lines",
                line={"color": COLOURS[i % len(COLOURS)], "dash": dash, "width": 1.8},
                hovertemplate="step %{x}: %{y:.4f}",
            )
        )
    steps = max(len(x.rates) for x in neurons.values())
    return new_figure(
        lines,
        340 + 10 * len(lines),
        xaxis=time_axis(steps),
        yaxis={
            "title": {"text": "Spikes per neuron and step"},
            "rangemode": "tozero",
        },
        showlegend=True,
    )


def distribution(activity: Activity) -> dict:
    """How many neurons of a layer have which firing rate."""
    values = activity.neuron_rates
    top = max(1.0, float(values.max())) if values.max() > 0.5 else values.max() or 1.0
    numbers, edges = np.histogram(values, bins=25, range=(0.0, top))
    bars = plotly().Bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=numbers,
        width=float(edges[1] - edges[0]) * 0.92,
        marker={"color": BLUE},
        customdata=np.stack([edges[:-1], edges[1:]], axis=1),
        hovertemplate="%{y} neurons of %{customdata[0]:.3f} to %{customdata[1]:.3f}"
        "<extra></extra>",
    )
    few = {"dtick": 1} if numbers.max() <= 6 else {}
    return new_figure(
        [bars],
        230,
        xaxis={"title": {"text": "Spikes per step"}},
        yaxis={"title": {"text": "Neurons"}, "rangemode": "tozero", **few},
    )


def raster(activity: Activity) -> dict:
    """The spikes of one sample, a row for each neuron."""
    values = activity.raster.T
    top = float(np.abs(values).max()) or 1.0
    if np.all(values == np.round(values)) and top < 128:
        values = values.astype("int8")
    signed = bool((values < 0).any())
    clear = "rgba(0,0,0,0)"
    colours = [[0, clear], [1, BLUE]]
    if signed:
        colours = [[0, ORANGE], [0.5, clear], [1, BLUE]]
    steps = values.shape[1]
    cells = plotly().Heatmap(
        z=values,
        y=[str(n) for n in activity.neurons],
        zmin=-top if signed else 0,
        zmax=top,
        colorscale=colours,
        showscale=bool(signed or top > 1),
        xgap=1 if steps <= 60 else 0,
        ygap=1,
        hovertemplate="neuron %{y}, step %{x}: %{z}<extra></extra>",
    )
    return new_figure(
        [cells],
        int(np.clip(120 + 9 * len(values), 190, 520)),
        xaxis=time_axis(steps, showgrid=False),
        yaxis={
            "title": {"text": "Neuron"},
            "type": "category",
            "autorange": "reversed",
            "showgrid": False,
            "nticks": 12,
        },
    )


def traces(activity: Activity) -> dict:
    """Membrane potentials of some neurons of one sample, and their spikes."""
    made, layout, notes = [], {}, []
    rows = len(activity.traces)
    symbol = "H[t]" if activity.before_reset else "V[t]"
    gap = 0.3 / rows
    share = (1.0 - gap * (rows - 1) - 0.04) / rows
    for i, trace in enumerate(activity.traces):
        axis = "" if i == 0 else str(i + 1)
        top = 0.96 - i * (share + gap)
        steps = np.arange(len(trace.potential))
        place = {"xaxis": "x", "yaxis": f"y{axis}", "x": steps}
        shown = {"showlegend": i == 0}
        made.append(
            plotly().Scatter(
                y=trace.potential.astype("float32"),
                name=f"Membrane potential {symbol}",
                legendgroup="potential",
                mode="lines+markers" if len(steps) <= 60 else "lines",
                line={"color": BLUE, "width": 1.5},
                marker={"size": 5},
                hovertemplate=f"step %{{x}}: {symbol} = %{{y:.4f}}<extra></extra>",
                **shown,
                **place,
            )
        )
        if trace.threshold is not None:
            varies = np.ptp(trace.threshold) > 0
            ends = slice(None) if varies or len(steps) == 1 else [0, -1]
            made.append(
                plotly().Scatter(
                    y=trace.threshold[ends].astype("float32"),
                    name="Threshold",
                    legendgroup="threshold",
                    mode="lines",
                    line={"color": ORANGE, "dash": "dash", "width": 1.3},
                    hovertemplate="threshold %{y:.4f}<extra></extra>",
                    **shown,
                    **{**place, "x": steps[ends]},
                )
            )
        if activity.spikes is not None:
            fired = np.flatnonzero(trace.spikes)
            made.append(
                plotly().Scatter(
                    y=trace.potential[fired].astype("float32"),
                    name="Spike",
                    legendgroup="spike",
                    mode="markers",
                    marker={"color": ORANGE, "size": 7, "symbol": "diamond"},
                    hovertemplate="step %{x}: spike<extra></extra>",
                    **shown,
                    **{**place, "x": steps[fired]},
                )
            )
        layout[f"yaxis{axis}"] = {"domain": [max(0.0, top - share), top], "nticks": 4}
        rate = ""
        if activity.spikes is not None:
            rate = f", {activity.neuron_rates[trace.neuron]:.3g} spikes per step"
        notes.append(
            {
                "text": f"Neuron {trace.neuron}{rate}",
                "xref": "paper",
                "yref": "paper",
                "x": 0,
                "y": top,
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
                "font": {"size": 11},
            }
        )
    last = "" if rows == 1 else str(rows)
    length = len(activity.traces[0].potential)
    return new_figure(
        made,
        110 + 135 * rows,
        xaxis=time_axis(length, anchor=f"y{last}"),
        annotations=notes,
        **layout,
    )


def accuracy(curve) -> dict:
    """Accuracy after every step."""
    line = plotly().Scatter(
        x=curve.steps,
        y=curve.values.astype("float32"),
        mode="lines+markers",
        line={"color": BLUE},
        hovertemplate="after %{x} steps: %{y:.1%}<extra></extra>",
    )
    last = int(curve.steps[-1])
    return new_figure(
        [line],
        300,
        xaxis=time_axis(last, range=[0.5, last + 0.5], title={"text": "Steps seen"}),
        yaxis={"title": {"text": "Accuracy"}, "tickformat": ".0%", "range": [0, 1.03]},
    )


def operations(energy) -> dict:
    """Operations of each layer of weights, beside those of the ANN."""
    names = [x.name for x in energy.synapses]
    parts = (
        ("SNN: accumulations", "acs", BLUE, "snn"),
        ("SNN: multiply-accumulations", "macs", ORANGE, "snn"),
        ("ANN: multiply-accumulations", "ann_macs", GREY, "ann"),
    )
    bars = [
        plotly().Bar(
            y=names,
            x=[getattr(x, key) for x in energy.synapses],
            name=label,
            orientation="h",
            marker={"color": colour},
            offsetgroup=group,
            hovertemplate="%{y}: %{x:,.0f}",
        )
        for label, key, colour, group in parts
        if group == "ann" or getattr(energy, key) > 0
    ]
    return new_figure(
        bars,
        150 + 44 * len(names),
        barmode="stack",
        xaxis={"title": {"text": "Operations per sample"}, "exponentformat": "SI"},
        yaxis={"autorange": "reversed", "type": "category"},
        bargap=0.3,
    )
