"""Charts as SVG: Vega-Lite specifications, drawn by vl-convert, then stripped to what a page needs.

The specifications are plain dictionaries: importing Altair to build the same JSON takes longer than all the drawing.
Colours are the stylesheet's variables and ``currentColor``, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, exp, log
from typing import TYPE_CHECKING, Any

import vl_convert
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from dslkit.report.timeline import Timeline, Unit
    from dslkit.report.values import Bin, Quantiles

WIDE, NARROW = 832, 350  # CSS pixels; the page shows one or the other
_TALL, _LOW = 220, 120
_COLOURS = [f"var(--series-{k})" for k in range(1, 6)]
_CONFIG: Mapping[str, Any] = {
    "aria": False,  # the page describes the chart as a whole
    "view": {"stroke": None},
    "font": "sans-serif",
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": "var(--rule)",
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
    },
}
# How a column is labelled, and how far into it: a time stands at the column's beginning, a day under its middle.
_LABELS: Mapping[Unit, tuple[str, timedelta]] = {
    "second": ("%H:%M:%S", timedelta()),
    "minute": ("%H:%M", timedelta()),
    "hour": ("%-d %b %H:%M", timedelta()),
    "day": ("%-d %b", timedelta(hours=12)),
    "week": ("%-d %b", timedelta(days=3.5)),
    "month": ("%b %Y", timedelta(days=15)),
    "year": ("%Y", timedelta(days=182)),
}
_LABEL_WIDTH = 84  # CSS pixels that the longest of these needs
_APART = 34  # CSS pixels between the middles of two percentiles' labels
_MARGINS = 60  # CSS pixels beside the plot, about


@dataclass(frozen=True, slots=True)
class Span:
    """A point and its interval, in percent; ``clear`` when it leaves out zero."""

    name: str
    low: float
    middle: float
    high: float
    clear: bool


def columns(timeline: Timeline, width: int) -> Markup:
    """Stacked columns over time, one colour for each series; the gap between columns is the page's own colour."""
    rows = list(_stacked(timeline))
    domain = [_millis(timeline.bars[0].start), _millis(timeline.bars[-1].end)]
    keys = list(range(len(timeline.series)))
    return _draw(
        {
            "height": _TALL,
            "data": {"values": rows},
            "mark": {"type": "rect", "stroke": "var(--paper)", "strokeWidth": 1},
            "encoding": {
                "x": {
                    "field": "start",
                    "type": "temporal",
                    "scale": {"type": "utc", "domain": domain},
                    "axis": _time_axis(timeline, width),
                    "title": None,
                },
                "x2": {"field": "end"},
                "y": {
                    "field": "low",
                    "type": "quantitative",
                    "title": None,
                    "axis": {"format": _amounts(timeline, rows), "tickCount": 4},
                },
                "y2": {"field": "high"},
                "color": {
                    "field": "series",
                    "type": "nominal",
                    "scale": {"domain": keys, "range": _COLOURS[: len(keys)]},
                    "legend": None,
                },
            },
        },
        width,
    )


def _time_axis(timeline: Timeline, width: int) -> dict[str, Any]:
    """A label for every n-th column, as many as there is room for."""
    form, into = _LABELS[timeline.bucket.unit]
    step = ceil(len(timeline.bars) * _LABEL_WIDTH / (width - 60))
    return {
        "grid": False,
        "values": [_millis(bar.start + into) for bar in timeline.bars[::step]],
        "labelExpr": f"utcFormat(datum.value - {into.total_seconds() * 1000:.0f}, '{form}')",
        "labelOverlap": False,
    }


def _amounts(timeline: Timeline, rows: Sequence[Mapping[str, float]]) -> str:
    """The format of the vertical axis."""
    if timeline.measure != "cost_usd":
        return "~s"
    highest = max((row["high"] for row in rows), default=0.0)
    return "$,.2f" if 0.2 <= highest < 10 else "$,.0f" if highest >= 10 else "$~g"  # noqa: PLR2004 - cents matter between


def _stacked(timeline: Timeline) -> Iterator[dict[str, float]]:
    """One rectangle for each value, on top of those before it in its column."""
    for bar in timeline.bars:
        height = 0.0
        for k, value in enumerate(bar.values):
            if value:
                low, height = height, height + float(value)
                yield {"start": _millis(bar.start), "end": _millis(bar.end), "series": k, "low": low, "high": height}


def peaks(timeline: Timeline, limits: Sequence[float | None], width: int) -> Markup:
    """Step lines over time, one colour for each series, and a dashed line of its colour at each limit."""
    keys = list(range(len(timeline.series)))
    domain = [_millis(timeline.bars[0].start), _millis(timeline.bars[-1].end)]
    steps = list(_steps(timeline))
    dashes = [{"series": key, "value": limit} for key, limit in enumerate(limits) if limit is not None]
    color = {
        "field": "series",
        "type": "nominal",
        "scale": {"domain": keys, "range": _COLOURS[: len(keys)]},
        "legend": None,
    }
    scale = {"type": "utc", "domain": domain}
    axis = _time_axis(timeline, width)
    across = {"field": "at", "type": "temporal", "scale": scale, "axis": axis, "title": None}
    up = {
        "field": "value",
        "type": "quantitative",
        "title": None,
        "axis": {"format": "~s", "tickCount": 4, "tickMinStep": 1},
    }
    return _draw(
        {
            "height": _TALL - 60,
            "encoding": {"y": up, "color": color},
            "layer": [
                {
                    "data": {"values": steps},
                    "mark": {"type": "line", "strokeWidth": 2},
                    "encoding": {"x": across},
                },
                {"data": {"values": dashes}, "mark": {"type": "rule", "strokeDash": [5, 4]}},
            ],
        },
        width,
    )


def _steps(timeline: Timeline) -> Iterator[dict[str, float | None]]:
    """Both ends of each step; the line breaks where there is nothing."""
    for key in range(len(timeline.series)):
        for bar in timeline.bars:
            value = float(bar.values[key]) or None
            yield {"at": _millis(bar.start), "series": key, "value": value}
            if value is not None:
                yield {"at": _millis(bar.end), "series": key, "value": value}


def distribution(bins: Sequence[Bin], marks: Quantiles, domain: tuple[float, float], width: int) -> Markup:
    """How often each duration occurred, on a logarithmic scale of seconds, with rules at p50, p95 and p99."""
    scale = {"type": "log", "domain": list(domain), "nice": False}
    rules = [
        {"at": at, "label": label}
        for at, label in ((marks.p50, "p50"), (marks.p95, "p95"), (marks.p99, "p99"))
        if at is not None and domain[0] <= at <= domain[1]
    ]
    labels = list(_apart(rules, domain, width - _MARGINS))
    axis = {"format": "~g", "grid": False, "values": _decades(domain, detailed=width > NARROW)}
    return _draw(
        {
            "height": _LOW,
            "layer": [
                {
                    "data": {"values": [{"low": b.low, "high": b.high, "count": b.count} for b in bins if b.count]},
                    "mark": {"type": "rect", "color": "var(--series-1)", "stroke": "var(--paper)", "strokeWidth": 1},
                    "encoding": {
                        "x": {"field": "low", "type": "quantitative", "scale": scale, "axis": axis, "title": "seconds"},
                        "x2": {"field": "high"},
                        "y": {
                            "field": "count",
                            "type": "quantitative",
                            "title": None,
                            "axis": {"format": "~s", "tickCount": 3, "tickMinStep": 1},
                            "scale": {"zero": True},
                        },
                        "y2": {"datum": 0},
                    },
                },
                {
                    "data": {"values": rules},
                    "mark": {"type": "rule", "color": "currentColor"},
                    "encoding": {"x": {"field": "at", "type": "quantitative", "scale": scale}},
                },
                {
                    "data": {"values": labels},
                    "mark": {"type": "text", "color": "currentColor", "baseline": "bottom", "dy": -3, "fontSize": 12},
                    "encoding": {
                        "x": {"field": "at", "type": "quantitative", "scale": scale},
                        "y": {"value": 0},
                        "text": {"field": "label"},
                    },
                },
            ],
        },
        width,
    )


def _apart(
    rules: Sequence[Mapping[str, Any]], domain: tuple[float, float], width: float
) -> Iterator[Mapping[str, Any]]:
    """Labels of rules in rising order; those that would touch become one, above the middle of theirs."""
    pixels = width / log(domain[1] / domain[0])
    together: list[Mapping[str, Any]] = []
    for rule in rules:
        if together and log(rule["at"] / together[-1]["at"]) * pixels > _APART + 8 * (len(together) - 1):
            yield _joined(together, domain, pixels)
            together = []
        together.append(rule)
    if together:
        yield _joined(together, domain, pixels)


def _joined(rules: Sequence[Mapping[str, Any]], domain: tuple[float, float], pixels: float) -> Mapping[str, Any]:
    """Inside the plot: the axis has labels of its own."""
    half = _APART / 2 * len(rules) / pixels
    middle = (log(rules[0]["at"]) + log(rules[-1]["at"])) / 2
    at = max(log(domain[0]) + half, min(log(domain[1]) - half, middle)) if len(rules) > 1 else middle
    return {"at": exp(at), "label": " ".join(rule["label"] for rule in rules)}


def spans(rows: Sequence[Span], width: int) -> Markup:
    """Intervals around points on one axis of percent, and a line at no change; those clear of it are in colour."""
    names = [row.name for row in rows]
    values = [
        {"name": row.name, "low": row.low, "middle": row.middle, "high": row.high, "clear": row.clear} for row in rows
    ]
    colour = {"condition": {"test": "datum.clear", "value": "var(--series-1)"}, "value": "var(--series-5)"}
    axis = {
        "labelExpr": "datum.value ? format(datum.value, '+,.0f') : '0'",
        "grid": True,
        "tickCount": 5 if width > NARROW else 3,
    }
    place = {
        "field": "name",
        "type": "nominal",
        "sort": names,
        "title": None,
        "axis": {"labelLimit": 190 if width > NARROW else 130, "grid": False},
    }
    return _draw(
        {
            "height": 34 * len(rows) + 40,
            "data": {"values": values},
            "encoding": {"y": place},
            "layer": [
                {"mark": {"type": "rule", "color": "currentColor"}, "encoding": {"x": {"datum": 0}, "y": None}},
                {
                    "mark": {"type": "rule", "strokeWidth": 3},
                    "encoding": {
                        "x": {"field": "low", "type": "quantitative", "axis": axis, "title": "percent of A"},
                        "x2": {"field": "high"},
                        "color": colour,
                    },
                },
                {
                    "mark": {"type": "circle", "size": 90, "opacity": 1},
                    "encoding": {"x": {"field": "middle", "type": "quantitative"}, "color": colour},
                },
            ],
        },
        width,
        left=18,  # the page's font may be wider than the one that names were measured in
    )


def _decades(domain: tuple[float, float], *, detailed: bool) -> list[float]:
    """Tick places: powers of ten, with 2 and 5 between them where there is room and little range."""
    few = domain[1] / domain[0] < 10**4
    steps = (1, 2, 5) if detailed and few else (1,)
    places = (step * 10.0**power for power in range(-3, 6) for step in steps)
    return [place for place in places if domain[0] <= place <= domain[1]]


def _draw(spec: dict[str, Any], width: int, *, left: int = 6) -> Markup:
    spec |= {"width": width, "background": None, "autosize": {"type": "fit", "contains": "padding"}, "config": _CONFIG}
    spec |= {"padding": {"left": left, "right": 14, "top": 6, "bottom": 4}}
    return Markup(_slim(vl_convert.vegalite_to_svg(spec)))  # noqa: S704 - no text but numbers and our own labels


_CUTS = (
    (re.compile(r' (?:class|role|aria-[a-z]+|pointer-events|font-family|opacity)="[^"]*"'), ""),
    (re.compile(r'<path [^>]*d="(?:M0,0h0v0h0Z|)"[^>]*/>'), ""),
    (re.compile(r"<g></g>"), ""),
    (re.compile(r"<svg [^>]*(viewBox=\"[^\"]*\")>"), r'<svg \1 aria-hidden="true" focusable="false">'),
)
_ATTRIBUTE = re.compile(r'="[^"]*"')
_TOO_EXACT = re.compile(r"(\.\d)\d+")


def _slim(svg: str) -> str:
    """Half the size: without what the stylesheet or the page's own description make superfluous, to 0.1 px."""
    for pattern, kept in _CUTS:
        svg = pattern.sub(kept, svg)
    return _ATTRIBUTE.sub(lambda attribute: _TOO_EXACT.sub(r"\1", attribute[0]), svg)


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
