"""Charts: Vega-Lite specifications, drawn as SVG when the page is made, so that they need no script.

Colours are the page's CSS variables, so that a chart follows its light and dark scheme. Each chart is drawn
in two widths; the page shows one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import vl_convert

from text2sql.report.scores import ScoredSet

WIDTHS = {"wide": 620, "narrow": 250}
"""Width of the plotted area in pixels, by the class of the drawing."""

_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_VERSION = "5.20"  # of Vega-Lite; part of vl-convert
_COLOURS = 8  # --c0 to --c7 in page.css
_DASHES: tuple[list[int], ...] = ([], [6, 3], [2, 2], [8, 3, 2, 3])
_INK, _GRID = "var(--soft)", "var(--line)"
_CONFIG = {
    "background": "transparent",
    "padding": 8,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": _INK,
        "titleColor": _INK,
        "gridColor": _GRID,
        "domainColor": _GRID,
        "tickColor": _GRID,
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
    },
    "legend": {"labelColor": _INK, "titleColor": _INK, "labelFontSize": 12, "symbolStrokeWidth": 2},
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing: `text` says what it shows, for those who do not see it; `svgs` are SVG elements by width."""

    title: str
    text: str
    svgs: Mapping[str, str]


Points = Mapping[str, Sequence[tuple[float, float]]]
"""Lines by name: pairs of a step and a value."""


def accuracy(scored: ScoredSet) -> Chart:
    """Execution accuracy of each arm with its interval."""
    values = [
        {"arm": arm.name, "ex": arm.ex["all"], **arm.ci95["all"]}
        for arm in scored.arms
        if arm.ex["all"] is not None and arm.ci95.get("all")
    ]
    y = {"field": "arm", "type": "nominal", "sort": None, "title": None, "axis": {"ticks": False}}
    axis = {"tickCount": 5}
    title = "Execution accuracy (percent)"
    x = {"type": "quantitative", "scale": {"domain": [0, 100]}, "title": title, "axis": axis}
    spec = {
        "data": {"values": values},
        "height": {"step": 26},
        "encoding": {"y": y},
        "layer": [
            {
                "mark": {"type": "rule", "color": "var(--accent)", "strokeWidth": 2, "opacity": 0.55},
                "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "color": "var(--accent)", "size": 70, "opacity": 1},
                "encoding": {"x": {"field": "ex", **x}},
            },
        ],
    }
    listed = ", ".join(f"{v['arm']} {v['ex']} ({v['low']} to {v['high']})" for v in values)
    return _chart("Execution accuracy with its 95 % interval", f"Percent by arm: {listed}.", spec)


def lines(title: str, points: Points, value: str, logarithmic: bool = False) -> Chart:
    """A line for each name over the steps; `value` is the title of the vertical axis."""
    names = list(points)
    values = [{"name": name, "step": x, "value": y} for name in names for x, y in points[name]]
    scale = {"type": "log"} if logarithmic else {"zero": False}
    spec = {
        "data": {"values": values},
        "height": 220,
        "mark": {"type": "line", "strokeWidth": 1.8},
        "encoding": {
            "x": {
                "field": "step",
                "type": "quantitative",
                "title": "Step",
                "axis": {"grid": False, "tickCount": 5},
            },
            "y": {"field": "value", "type": "quantitative", "title": value, "scale": scale},
            **_by_name(names),
        },
    }
    ends = [f"{name} {points[name][0][1]:.4g} to {points[name][-1][1]:.4g}" for name in names if points[name]]
    return _chart(title, f"{value}, first to last: {', '.join(ends)}.", spec)


def histogram(title: str, scores: Mapping[str, Sequence[float]], value: str) -> Chart:
    """How often each value occurs, in classes of 0.05, a line for each name."""
    points = {}
    for name, found in scores.items():
        classes = [round(20 * score) / 20 for score in found]
        marks = sorted(set(classes) | {max(0.0, min(classes) - 0.05), max(classes) + 0.05}) if classes else []
        points[name] = [(mark, float(classes.count(mark))) for mark in marks]
    values = [{"name": name, "x": x, "y": y} for name, pairs in points.items() for x, y in pairs]
    spec = {
        "data": {"values": values},
        "height": 180,
        "mark": {"type": "line", "interpolate": "step", "strokeWidth": 1.8},
        "encoding": {
            "x": {"field": "x", "type": "quantitative", "title": value, "scale": {"zero": False}},
            "y": {"field": "y", "type": "quantitative", "title": "Questions"},
            **_by_name(list(points)),
        },
    }
    return _chart(title, f"{title}: {', '.join(scores)}.", spec)


def _by_name(names: Sequence[str]) -> dict[str, Any]:
    """Colour and dashes of the lines; names after the eighth repeat colours with other dashes."""
    colours = [f"var(--c{at % _COLOURS})" for at in range(len(names))]
    dashes = [_DASHES[at // _COLOURS % len(_DASHES)] for at in range(len(names))]
    legend = {"title": None, "orient": "bottom", "columns": 4}
    field = {"field": "name", "type": "nominal", "sort": None, "legend": legend}
    return {
        "color": {**field, "scale": {"domain": list(names), "range": colours}},
        "strokeDash": {**field, "scale": {"domain": list(names), "range": dashes}},
    }


def _chart(title: str, text: str, spec: dict[str, Any]) -> Chart:
    return Chart(title, text, {name: _drawn(spec, width) for name, width in WIDTHS.items()})


def _drawn(spec: dict[str, Any], width: int) -> str:
    whole = {"$schema": _SCHEMA, "config": _CONFIG, "width": width, **spec}
    if width < 400 and "encoding" in spec and "color" in spec["encoding"]:
        encoding = {**spec["encoding"]}
        for name in ("color", "strokeDash"):
            encoding[name] = {**encoding[name], "legend": {**encoding[name]["legend"], "columns": 2}}
        whole["encoding"] = encoding
    svg: str = vl_convert.vegalite_to_svg(whole, vl_version=_VERSION)
    return svg.replace("<svg ", '<svg focusable="false" ', 1)
