"use strict";
// Draws the figures of a report: those of the page, and those of the layer that is
// chosen, in the colours of a light or a dark screen.
(function () {
  const data = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = document.getElementById("layer");

  function themed(layout) {
    const style = getComputedStyle(document.documentElement);
    const text = style.getPropertyValue("--text").trim();
    const line = style.getPropertyValue("--line").trim();
    const ground = style.getPropertyValue("--raised").trim();
    const result = JSON.parse(JSON.stringify(layout));
    result.paper_bgcolor = result.plot_bgcolor = "rgba(0,0,0,0)";
    result.font = { color: text, family: style.getPropertyValue("--font"), size: 12 };
    result.modebar = {
      orientation: "v",
      bgcolor: "rgba(0,0,0,0)", color: style.getPropertyValue("--muted").trim(),
      activecolor: style.getPropertyValue("--accent").trim(),
    };
    result.hoverlabel = Object.assign({}, result.hoverlabel, {
      bgcolor: ground, bordercolor: line, font: { color: text },
    });
    for (const name of Object.keys(result)) {
      if (/^[xy]axis\d*$/.test(name)) {
        Object.assign(result[name], { gridcolor: line, linecolor: line });
      }
    }
    return result;
  }

  // Names longer than a third of a narrow screen would leave no room for bars.
  function fitted(figure, width) {
    const axis = figure.layout.yaxis;
    if (axis && axis.type === "category" && width < 600) {
      axis.tickfont = { size: 10 };
      const room = Math.max(8, Math.floor(width / 22));
      const names = figure.data[0].y;
      if (Array.isArray(names)) {
        axis.tickvals = names;
        axis.ticktext = names.map((n) => (n.length > room ? "…" + n.slice(1 - room) : n));
        if (names.length > 20) { axis.tickvals = axis.ticktext = undefined; }
      }
    }
    return figure;
  }

  function wholeSteps(element, event) {
    const first = event["xaxis.range[0]"], last = event["xaxis.range[1]"];
    const title = element.layout.xaxis.title;
    if (first !== undefined && title && /step/i.test(title.text || "")) {
      const step = last - first < 12 ? 1 : null;
      if ((element.layout.xaxis.dtick || null) !== step) {
        Plotly.relayout(element, {
          "xaxis.dtick": step, "xaxis.tickmode": step ? "linear" : "auto",
        });
      }
    }
  }

  function draw(element) {
    const name = element.dataset.figure;
    const source = element.dataset.ofLayer !== undefined
      ? data.layers[chosen.value] : data.page;
    const figure = source[name];
    if (!figure || !figure.data) {
      Plotly.purge(element);
      element.textContent = figure || "";
      element.classList.add("told");
      return;
    }
    if (element.classList.contains("told")) { element.textContent = ""; }
    element.classList.remove("told");
    const shown = fitted(
      { data: figure.data, layout: themed(figure.layout) }, element.clientWidth
    );
    Plotly.react(element, shown.data, shown.layout, {
      // By name: others would send data away.
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
      displaylogo: false, responsive: true,
    });
    if (!element.dataset.watched) {
      element.dataset.watched = "yes";
      element.on("plotly_relayout", (event) => wholeSteps(element, event));
    }
  }

  function notes() {
    const place = document.getElementById("layer-notes");
    if (place) { place.textContent = data.layers[chosen.value].notes; }
  }

  function all() { document.querySelectorAll("[data-figure]").forEach(draw); notes(); }

  if (chosen) {
    chosen.addEventListener("change", () => {
      document.querySelectorAll("[data-of-layer]").forEach(draw);
      notes();
    });
  }
  dark.addEventListener("change", all);
  all();
})();
