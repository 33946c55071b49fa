"""Charts of real and invented values, with questions about values, extremes, titles and axes.

Row 5 of the mixture: bars (plain, grouped, lying), lines, pies and scatter plots. Where values are
printed they are the answers; elsewhere a value is answered as precisely as the axis can be read (a
tenth of the distance of two ticks). Drawing is left to `chart_drawing`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence

from recipes.embedded.generators import canvas, values
from recipes.embedded.generators.chart_drawing import HELD_OUT, LOOKS, Chart, Drawn, draw
from recipes.embedded.generators.questions import Generator, Turn, sample, yes_no
from recipes.embedded.generators.wordings import ask
from recipes.embedded.materials import Materials, Split, Table
from smolvlm.types import Sample

SIZES = ((448, 448), (448, 336), (448, 360), (448, 400))  # (width, height)
NAMES = {
    "bar": "a bar chart",
    "grouped": "a grouped bar chart",
    "horizontal": "a horizontal bar chart",
    "line": "a line chart",
    "pie": "a pie chart",
    "scatter": "a scatter plot",
}
UNANSWERABLE = 0.05  # share of the questions
MOST_RATIO = 12  # between the largest values of two series that share an axis
LEAST_BAR = 0.02  # of the largest value: what can still be seen as a bar
LEAST_GAP = 0.04  # of the largest value: what the eye can tell apart
SHORT = 9  # characters of a label under a standing bar


def chart(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """A chart with one to four questions."""
    rng = random.Random(f"chart/{seed}")
    made = _chart(materials, rng, split)
    names = [HELD_OUT] if split == "test" else [name for name in LOOKS if name != HELD_OUT]
    drawn = draw(made, rng, LOOKS[rng.choice(names)], rng.choice(SIZES))
    picture = canvas.finish(drawn.picture, rng)
    return sample("chart", seed, [picture], about(rng, made, drawn))


def _chart(materials: Materials, rng: random.Random, split: Split) -> Chart:
    """A kind of chart, and values that suit it."""
    kind = rng.choice(("bar", "bar", "grouped", "horizontal", "line", "line", "pie", "scatter"))
    several = kind == "grouped" or kind == "scatter" or (kind == "line" and rng.random() < 0.4)
    rows = rng.randint(3, 5) if kind in ("grouped", "pie") else rng.randint(3, 7)
    while True:
        source = values.table(
            materials, rng, rows=rows, columns=3 if several else 2, split=split, words=False
        )
        made = _from_table(rng, source, kind)
        if made is not None:
            return made


def _from_table(rng: random.Random, source: Table, kind: str) -> Chart | None:
    """The chart of a table, or None when its values do not suit the kind."""
    labels = tuple(str(row[0]) for row in source.rows)
    numeric = source.numeric()
    if not numeric or (kind in ("grouped", "scatter") and len(numeric) < 2):
        return None
    if max(map(len, labels)) > SHORT and kind not in ("horizontal", "scatter"):
        return None
    columns = {source.columns[i]: [float(row[i]) for row in source.rows] for i in numeric}
    if kind == "pie":
        return _pie(rng, source, labels, next(iter(columns.values())))
    least = 0.0 if kind == "line" else LEAST_BAR
    if kind != "scatter" and not _comparable(columns.values(), least):
        return None
    texts = {name: tuple(values.written(column)) for name, column in columns.items()}
    crowded = len(columns) > 1 or max(len(t) for t in texts[next(iter(texts))]) > 6
    names = list(columns)
    return Chart(
        kind=kind,
        title=source.title,
        x_name=names[0] if kind == "scatter" else source.columns[0] if rng.random() < 0.6 else "",
        y_name=names[1] if kind == "scatter" else names[0] if len(names) == 1 else "",
        labels=() if kind == "scatter" else labels,
        series={name: tuple(column) for name, column in columns.items()},
        texts=texts,
        printed=not crowded and kind != "scatter" and rng.random() < 0.5,
    )


def _comparable(columns: Iterable[Sequence[float]], least: float) -> bool:
    """True when all columns fit one axis and no value is below `least` times the largest."""
    listed = list(columns)
    tops = [max(column) for column in listed]
    if min(tops) <= 0 or max(tops) / min(tops) > MOST_RATIO:
        return False
    return min(map(min, listed)) >= least * max(tops)


def _pie(
    rng: random.Random, source: Table, labels: tuple[str, ...], amounts: Sequence[float]
) -> Chart | None:
    """Shares in whole per cent; None where a slice would be too thin for its number."""
    total = sum(amounts)
    if min(amounts) < 0 or total <= 0 or min(amounts) / total < 0.06:
        return None
    shares = tuple(100 * amount / total for amount in amounts)
    name = source.columns[source.numeric()[0]]
    texts = {name: tuple(f"{share:.0f}%" for share in shares)}
    return Chart("pie", source.title, "", "", labels, {name: shares}, texts, printed=True)


def about(rng: random.Random, chart: Chart, drawn: Drawn) -> list[Turn]:
    """One to four questions about a chart."""
    turns = [
        Turn(ask(rng, "title"), chart.title),
        Turn(ask(rng, "chart kind"), f"{NAMES[chart.kind].capitalize()}."),
        *_axes(rng, chart),
    ]
    if chart.kind == "scatter":
        turns += _dots(rng, chart)
    else:
        for _ in range(2):
            turns += [t for t in (_value(rng, chart, drawn), *_ranked(rng, chart)) if t]
        turns += _counted(rng, chart)
    rng.shuffle(turns)
    chosen = list({turn.question: turn for turn in turns}.values())[: rng.randint(1, 4)]
    if chart.labels and rng.random() < UNANSWERABLE * len(chosen):
        chosen.append(_missing(rng, chart))
    return chosen


def _axes(rng: random.Random, chart: Chart) -> list[Turn]:
    flat = chart.kind == "horizontal"
    names = {
        "x": chart.y_name if flat else chart.x_name,
        "y": chart.x_name if flat else chart.y_name,
    }
    return [Turn(ask(rng, "axis", axis), name) for axis, name in names.items() if name]


def _dots(rng: random.Random, chart: Chart) -> list[Turn]:
    """How many points, where no two lie on one another."""
    across, upward = chart.series.values()
    places = list(zip(_scaled(across), _scaled(upward), strict=True))
    apart = all(
        math.dist(one, other) > 0.08 for i, one in enumerate(places) for other in places[:i]
    )
    return [Turn(ask(rng, "bars", "points"), str(len(places)))] * 2 if apart else []


def _scaled(numbers: Sequence[float]) -> list[float]:
    low, high = min(numbers), max(numbers)
    return [(n - low) / ((high - low) or 1.0) for n in numbers]


def _value(rng: random.Random, chart: Chart, drawn: Drawn) -> Turn | None:
    """The value of one label: as printed, or as the axis shows it."""
    name = rng.choice(list(chart.series))
    number = rng.randrange(len(chart.labels))
    label, text = chart.labels[number], chart.texts[name][number]
    if not chart.printed:
        text = _rounded(chart.series[name][number], drawn.step / 10)
    if len(chart.series) > 1:
        return Turn(ask(rng, "series value", name, label), text)
    return Turn(ask(rng, "value", label), text)


def _rounded(value: float, step: float) -> str:
    """`value` to the nearest power of ten that is not above `step`."""
    digits = -math.floor(math.log10(step) + 1e-9)
    return f"{round(value, digits):.{max(0, digits)}f}"


def _ranked(rng: random.Random, chart: Chart) -> list[Turn | None]:
    """Extremes and comparisons within one series, where the eye can tell."""
    name = rng.choice(list(chart.series))
    numbers, noun = chart.series[name], _noun(chart)
    one, other = rng.sample(range(len(numbers)), 2)
    alone = len(chart.series) == 1
    turns: list[Turn | None] = []
    if _apart(numbers, one, other):
        if alone:
            names = (chart.labels[one], chart.labels[other])
            turns.append(Turn(ask(rng, "larger", *names), yes_no(numbers[one] > numbers[other])))
        if chart.kind == "line":
            first, last = sorted((one, other))
            word = "up" if numbers[last] > numbers[first] else "down"
            question = ask(rng, "trend", name, chart.labels[first], chart.labels[last])
            turns.append(Turn(question, f"{word.capitalize()}."))
    for form, pick in (("highest", max), ("lowest", min)):
        best = numbers.index(pick(numbers))
        if alone and all(_apart(numbers, best, i) for i in range(len(numbers)) if i != best):
            turns.append(Turn(ask(rng, form, noun), chart.labels[best]))
    return turns


def _apart(numbers: Sequence[float], one: int, other: int) -> bool:
    return abs(numbers[one] - numbers[other]) > LEAST_GAP * max(map(abs, numbers))


def _noun(chart: Chart) -> str:
    return (
        chart.x_name.lower()
        if chart.x_name
        else {"pie": "slice", "line": "point"}.get(chart.kind, "bar")
    )


def _counted(rng: random.Random, chart: Chart) -> list[Turn]:
    if len(chart.series) > 1:
        return [Turn(ask(rng, "series"), ", ".join(chart.series))]
    noun = {"pie": "slices", "line": "points"}.get(chart.kind, "bars")
    return [Turn(ask(rng, "bars", noun), str(len(chart.labels)))]


def _missing(rng: random.Random, chart: Chart) -> Turn:
    """A label that is not there."""
    pools = [pool for _, pool in values.KEYS if chart.labels[0] in pool] or [values.PLACES]
    others = [label for label in pools[0] if label not in chart.labels]
    label = rng.choice(others or ["Atlantis"])
    return Turn(ask(rng, "value", label), f"There is no {label} in the chart.")


GENERATORS: Mapping[str, Generator] = {"chart": chart}
