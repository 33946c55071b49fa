"""Drawing a chart with matplotlib, without its global state: data in, an RGB picture out.

What is plotted and asked is left to `charts`. Needs `matplotlib`; fonts are those it carries.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

DPI = 100
FACES = ("DejaVu Sans", "DejaVu Sans", "DejaVu Serif", "STIXGeneral", "DejaVu Sans Mono")
PALETTES = (
    ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c"),
    ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"),
    ("#264653", "#2a9d8f", "#e9c46a", "#f4a261", "#e76f51", "#6d597a", "#b56576", "#355070"),
    ("#003f5c", "#ffa600", "#bc5090", "#58508d", "#ff6361", "#4f9d69", "#86bbd8", "#758e4f"),
    ("#3366cc", "#dc3912", "#ff9900", "#109618", "#990099", "#0099c6", "#dd4477", "#66aa00"),
)


@dataclass(frozen=True)
class Look:
    """How a chart is dressed: background, frame and grid colours, and which spines stay."""

    background: str = "white"
    ink: str = "black"
    grid: str | None = None
    spines: tuple[str, ...] = ("left", "bottom", "top", "right")


LOOKS: Mapping[str, Look] = {
    "framed": Look(),
    "open": Look(spines=("left", "bottom")),
    "lined": Look(grid="#dddddd", spines=("bottom",)),
    "grey": Look(background="#ebebeb", grid="white", spines=()),
    "cream": Look(background="#fdf6e3", grid="#eee8d5", spines=("left", "bottom")),
    "dark": Look(background="#2b2b2b", ink="white", grid="#444444", spines=("left", "bottom")),
}
HELD_OUT = "dark"  # drawn for the test split only


@dataclass(frozen=True)
class Chart:
    """A chart: `series` name -> one value for each of `labels` (for "scatter": the x values).

    kind: "bar", "grouped", "horizontal", "line", "pie" or "scatter". printed: value labels are
    drawn with their text from `texts`.
    """

    kind: str
    title: str
    x_name: str
    y_name: str
    labels: tuple[str, ...]
    series: Mapping[str, tuple[float, ...]]
    texts: Mapping[str, tuple[str, ...]]
    printed: bool

    @property
    def first(self) -> str:
        """The name of the first series."""
        return next(iter(self.series))


@dataclass(frozen=True)
class Drawn:
    """The picture of a chart and the distance of two ticks of its value axis (0.0 for a pie)."""

    picture: Image.Image
    step: float


def draw(chart: Chart, rng: random.Random, look: Look, size: tuple[int, int]) -> Drawn:
    """Draw `chart` in `size` (width, height) pixels."""
    points = rng.uniform(9.5, 12.5)
    settings: dict[Any, Any] = {
        "font.family": rng.choice(FACES),
        "font.size": points,
        "axes.titlesize": points * rng.uniform(1.05, 1.3),
        "axes.unicode_minus": False,
        "text.color": look.ink,
        "axes.labelcolor": look.ink,
        "axes.edgecolor": look.ink,
        "xtick.color": look.ink,
        "ytick.color": look.ink,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        figure = Figure(
            figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor=look.background,
            layout="constrained",
        )  # fmt: skip
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        palette = list(rng.choice(PALETTES))
        rng.shuffle(palette)
        _DRAW[chart.kind](axes, chart, palette, rng)
        axes.set_title(chart.title)
        letter = points * DPI / 72 * 0.64  # pixels across, the gap between labels included
        step = _dress(axes, chart, look, fits=_labels_fit(chart, letter, size[0]))
        canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]  # (H, W, 4)
    return Drawn(Image.fromarray(pixels[..., :3].copy()), step)


def _labels_fit(chart: Chart, letter: float, width: int) -> bool:
    """True when every label fits beneath its bar or point without turning it."""
    longest = max(map(len, chart.labels), default=0) + 1
    return longest * letter <= (width - 80) / max(1, len(chart.labels))


def _dress(axes: Axes, chart: Chart, look: Look, *, fits: bool) -> float:
    """Frame, grid, axis names and tick labels; the step of the value axis."""
    axes.set_facecolor(look.background)
    if chart.kind == "pie":
        return 0.0
    for name, spine in axes.spines.items():
        spine.set_visible(name in look.spines)
    axes.set_axisbelow(True)
    flat = chart.kind == "horizontal"
    axis = axes.xaxis if flat else axes.yaxis
    axis.set_major_locator(MaxNLocator(5 if flat else 6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    if chart.kind == "scatter":
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    if look.grid:
        axis.grid(color=look.grid, linewidth=0.8)
    if chart.x_name:
        axes.set_ylabel(chart.x_name) if flat else axes.set_xlabel(chart.x_name)
    if chart.y_name:
        axes.set_xlabel(chart.y_name) if flat else axes.set_ylabel(chart.y_name)
    if not fits and chart.kind not in ("horizontal", "scatter"):
        axes.tick_params(axis="x", labelrotation=45 if max(map(len, chart.labels)) < 9 else 90)
    if len(chart.series) > 1 and chart.kind != "scatter":
        axes.legend(
            loc="best", facecolor=look.background, edgecolor=look.ink, labelcolor=look.ink,
            fontsize="small", framealpha=0.9,
        )  # fmt: skip
    ticks = axis.get_majorticklocs()
    return float(ticks[1] - ticks[0])


def _bars(axes: Axes, chart: Chart, palette: list[str], rng: random.Random) -> None:
    count, group = len(chart.series), np.arange(len(chart.labels))
    width = rng.uniform(0.6, 0.85) / count
    flat, many = chart.kind == "horizontal", count == 1 and rng.random() < 0.2
    edge = rng.choice(("none", "none", "black"))
    for number, (name, heights) in enumerate(chart.series.items()):
        place = group + (number - (count - 1) / 2) * width
        colour: Any = palette[: len(heights)] if many else palette[number]
        put = axes.barh if flat else axes.bar
        bars = put(place, heights, width, color=colour, label=name, edgecolor=edge)
        if chart.printed:
            axes.bar_label(bars, chart.texts[name], padding=2, fontsize="small")
    if flat:
        axes.set_yticks(group, chart.labels)
        axes.invert_yaxis()
        axes.set_xlim(right=max(max(v) for v in chart.series.values()) * 1.16)
    else:
        axes.set_xticks(group, chart.labels)
        axes.set_ylim(
            top=max(max(v) for v in chart.series.values()) * (1.12 if count == 1 else 1.3)
        )


def _lines(axes: Axes, chart: Chart, palette: list[str], rng: random.Random) -> None:
    marker, place = rng.choice(("o", "s", "^", "")), range(len(chart.labels))
    for number, (name, heights) in enumerate(chart.series.items()):
        axes.plot(
            place, heights, color=palette[number], marker=marker or "o",
            linewidth=rng.uniform(1.5, 3),
            markersize=6 if marker else 3, label=name,
        )  # fmt: skip
        for x, y, text in zip(place, heights, chart.texts[name], strict=True):
            if chart.printed:
                offset = (0, 6)
                axes.annotate(
                    text, (x, y), offset, textcoords="offset points", ha="center", fontsize="small"
                )
    axes.set_xticks(list(place), chart.labels)
    axes.margins(x=0.08, y=0.18)
    if rng.random() < 0.5:
        axes.set_ylim(bottom=min(0, *(min(v) for v in chart.series.values())))


def _pie(axes: Axes, chart: Chart, palette: list[str], rng: random.Random) -> None:
    shares = chart.series[chart.first]
    texts = iter(chart.texts[chart.first])
    slices = axes.pie(
        shares,
        labels=chart.labels,
        colors=palette,
        autopct=lambda _: next(texts),
        startangle=rng.choice((0, 90, 180)),
        counterclock=rng.random() < 0.5,
        pctdistance=0.68,
        wedgeprops={"edgecolor": "white", "linewidth": 1},
    )
    for text in slices[2]:
        text.set_color("white")
        text.set_fontweight("bold")
        text.set_fontsize("small")


def _points(axes: Axes, chart: Chart, palette: list[str], rng: random.Random) -> None:
    across = chart.series[chart.first]
    upward = list(chart.series.values())[1]
    axes.scatter(
        across,
        upward,
        s=rng.uniform(35, 80),
        color=palette[0],
        marker=rng.choice(("o", "s", "D", "^")),
    )
    axes.margins(0.12)


_DRAW = {
    "bar": _bars,
    "grouped": _bars,
    "horizontal": _bars,
    "line": _lines,
    "pie": _pie,
    "scatter": _points,
}
