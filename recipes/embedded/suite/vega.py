"""E5: charts of real tables drawn by Vega-Lite, which no training chart is drawn with.

The values are the test split's tables and some that only this suite reads; wordings and the rules
of what the eye can tell are those of the training charts (`generators.charts`). Drawing needs the
package `vl-convert-python`, which brings Vega-Lite and a typeface, so a seed gives the same pixels
wherever that version runs.
"""

from __future__ import annotations

import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image

from recipes.embedded.generators import values
from recipes.embedded.generators.charts import LEAST_GAP, SIZES
from recipes.embedded.generators.questions import Turn, sample, yes_no
from recipes.embedded.generators.wordings import ask
from recipes.embedded.materials import Materials, Split, Table
from recipes.embedded.real_tables import VEGA, Recipe, read_table
from recipes.embedded.suite.packages import VEGA as PACKAGE
from recipes.embedded.suite.packages import folder
from smolvlm.errors import InputError
from smolvlm.types import Sample

SCHEMA = "6.4"  # of Vega-Lite
FONT = "Liberation Sans"  # comes with vl-convert
THEMES = ("", "", "excel", "ggplot2", "quartz", "googlecharts", "powerbi")  # "" is Vega's own
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#2a9d8f", "#6b6b6b")
KINDS = ("bar", "bar", "horizontal", "line", "line", "grouped")
LONGEST_LABEL = 12  # characters below a standing bar
LEAST_READ = 0.25  # of the largest value: what can be read within 5 % where it is not printed
ROOM = (1.06, 1.35)  # of the axis above the largest value, for its print: upwards, sideways
TRIES = 200  # pieces of tables looked at for one chart

TABLES: tuple[Recipe, ...] = (
    Recipe("driving", "Driving in America", "vega", f"{VEGA}/driving.json", ("year", "Year"),
           {"miles": "Miles", "gas": "Gas Price"}, digits=2),
    Recipe("crimea", "Deaths in the Crimea", "vega", f"{VEGA}/crimea.json", ("date", "Date"),
           {"wounds": "Wounds", "other": "Other", "disease": "Disease"}),
    Recipe("people", "People", "vega", f"{VEGA}/lookup_people.csv", ("name", "Name"),
           {"age": "Age", "height": "Height"}),
    Recipe("obesity", "Obesity Rate", "vega", f"{VEGA}/obesity.json", ("state", "State"),
           {"rate": "Rate"}, digits=3),
    Recipe("apple", "Apple Share Price", "vega", f"{VEGA}/stocks.csv", ("date", "Date"),
           {"price": "Price"}, only={"symbol": "AAPL"}),
    Recipe("comedies", "Comedies", "vega", f"{VEGA}/movies.json", ("Title", "Title"),
           {"IMDB Rating": "Rating", "Running Time min": "Minutes"},
           only={"Major Genre": "Comedy"}),
)  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """What is drawn: one value for each label in each series. texts: as they would be printed."""

    kind: str
    title: str
    key: str
    labels: tuple[str, ...]
    series: Mapping[str, tuple[float, ...]]
    texts: Mapping[str, tuple[str, ...]]
    printed: bool


def chart(materials: Materials, seed: int, *, split: Split = "test") -> Sample:
    """A chart with every question that can be asked about it, in random order."""
    rng = random.Random(f"vega/{seed}")
    made = choose(rng, [*materials.tables(split), *tables()])
    turns = about(rng, made)
    rng.shuffle(turns)
    return sample("vega", seed, [draw(rng, made)], turns)


@lru_cache(maxsize=1)
def tables() -> tuple[Table, ...]:
    """The tables that only this suite reads."""
    found = (read_table(recipe, folder(PACKAGE)) for recipe in TABLES)
    return tuple(table for table in found if table.rows)


def choose(rng: random.Random, sources: Sequence[Table]) -> Chart:
    """A piece of a table that suits a kind of chart; `InputError` where none does."""
    for _ in range(TRIES):
        kind, table = rng.choice(KINDS), rng.choice(sources)
        count = rng.randint(3, 4) if kind == "grouped" else rng.randint(3, 7)
        made = _piece(rng, table, kind, count)
        if made is not None:
            return made
    raise InputError(f"none of {len(sources)} tables suits a chart")


def _piece(rng: random.Random, table: Table, kind: str, count: int) -> Chart | None:
    """Some neighbouring rows and one or two columns, None where they do not suit the kind."""
    numeric, wanted = table.numeric(), 2 if kind == "grouped" else 1
    if len(numeric) < wanted or len(table.rows) < count:
        return None
    start = rng.randint(0, len(table.rows) - count)
    rows = table.rows[start : start + count]
    columns = sorted(rng.sample(numeric, wanted))
    labels = tuple(str(row[0]) for row in rows)
    series = {table.columns[i]: tuple(float(row[i]) for row in rows) for i in columns}
    tops = [max(column) for column in series.values()]
    flat = [value for column in series.values() for value in column]
    if min(flat) < 0 or min(tops) <= 0 or max(tops) > 4 * min(tops):
        return None
    if kind != "horizontal" and max(map(len, labels)) > LONGEST_LABEL:
        return None
    texts = {name: tuple(values.written(column)) for name, column in series.items()}
    printed = wanted == 1 and rng.random() < 0.5
    return Chart(kind, table.title, table.columns[0], labels, series, texts, printed)


def about(rng: random.Random, chart: Chart) -> list[Turn]:
    """Values, extremes and comparisons, where the eye can tell."""
    turns: list[Turn] = []
    top = max(value for column in chart.series.values() for value in column)
    for name, column in chart.series.items():
        for label, value, text in zip(chart.labels, column, chart.texts[name], strict=True):
            if chart.printed or value >= LEAST_READ * top:
                form = ("series value", name, label) if len(chart.series) > 1 else ("value", label)
                turns.append(Turn(ask(rng, *form), text))
    if len(chart.series) == 1:
        turns += _ranked(rng, chart, next(iter(chart.series.values())))
    return turns


def _ranked(rng: random.Random, chart: Chart, column: Sequence[float]) -> list[Turn]:
    """The extremes, and which of two is larger."""
    gap, labels = LEAST_GAP * max(column), chart.labels
    turns = []
    for form, pick in (("highest", max), ("lowest", min)):
        best = column.index(pick(column))
        others = [value for index, value in enumerate(column) if index != best]
        if all(abs(value - column[best]) > gap for value in others):
            turns.append(Turn(ask(rng, form, chart.key.lower()), labels[best]))
    one, other = rng.sample(range(len(column)), 2)
    if abs(column[one] - column[other]) > gap:
        question = ask(rng, "larger", labels[one], labels[other])
        turns.append(Turn(question, yes_no(column[one] > column[other])))
    return turns


def draw(rng: random.Random, chart: Chart) -> Image.Image:
    """The chart as an RGB picture; `InputError` without vl-convert."""
    try:
        import vl_convert
    except ImportError:
        raise InputError(
            "the charts of E5 need the package vl-convert-python; install it with"
            " pip install 'smolvlm[recipes]'"
        ) from None
    theme = rng.choice(THEMES)
    png = vl_convert.vegalite_to_png(
        specification(rng, chart),
        vl_version=SCHEMA,
        theme=theme or None,  # type: ignore[arg-type]  # one of its own names
    )
    return Image.open(io.BytesIO(png)).convert("RGB")


def specification(rng: random.Random, chart: Chart) -> dict[str, Any]:
    """The chart in the language of Vega-Lite."""
    width, height = rng.choice(SIZES)
    size = rng.choice((12, 13, 14))
    label = {"field": "label", "type": "nominal", "sort": None, "title": chart.key}
    name = next(iter(chart.series)) if len(chart.series) == 1 else "Value"
    top = max(value for column in chart.series.values() for value in column)
    room = ROOM[chart.kind == "horizontal"] if chart.printed else 1.0
    value: dict[str, Any] = {
        "field": "value",
        "type": "quantitative",
        "title": name,
        "axis": {"tickCount": 6, "labelOverlap": True},
        "scale": {"domainMin": 0, "domainMax": top * room, "nice": True},
    }
    across, upward = (value, label) if chart.kind == "horizontal" else (label, value)
    mark = {"type": "line", "point": True} if chart.kind == "line" else {"type": "bar"}
    encoding: dict[str, Any] = {"x": across, "y": upward}
    if len(chart.series) > 1:
        encoding |= {"xOffset": {"field": "series"}, "color": {"field": "series", "title": None}}
    layers = [{"mark": {**mark, **_colour(rng, chart)}, "encoding": encoding}]
    if chart.printed:
        layers.append(_print(chart, encoding, size))
    return {
        "title": chart.title,
        "width": width,
        "height": height,
        "background": "white",
        "autosize": {"type": "fit", "contains": "padding"},
        "data": {"values": _rows(chart)},
        "layer": layers,
        "config": {
            "font": FONT,
            "axis": {"labelFontSize": size, "titleFontSize": size, "grid": rng.random() < 0.7},
            "axisX": {"labelAngle": 0 if chart.kind == "horizontal" else -45},
            "legend": {"labelFontSize": size},
            "title": {"fontSize": size + 2},
        },
    }


def _colour(rng: random.Random, chart: Chart) -> dict[str, str]:
    """A colour of its own, unless the series have theirs."""
    return {"color": rng.choice(COLOURS)} if len(chart.series) == 1 else {}


def _print(chart: Chart, encoding: Mapping[str, Any], size: int) -> dict[str, Any]:
    """The layer that prints each value beside its bar or point."""
    beside = (
        {"align": "left", "dx": 3} if chart.kind == "horizontal" else {"baseline": "bottom"}
    ) | ({"dy": -5} if chart.kind == "line" else {})
    mark = {"type": "text", "fontSize": size, "color": "#222222", **beside}
    return {"mark": mark, "encoding": {**encoding, "text": {"field": "text"}}}


def _rows(chart: Chart) -> list[dict[str, Any]]:
    return [
        {"label": label, "value": value, "series": name, "text": text}
        for name, column in chart.series.items()
        for label, value, text in zip(chart.labels, column, chart.texts[name], strict=True)
    ]
