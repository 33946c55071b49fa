"""Mixture row 11: analogue clocks, thermometers, gauges and calendar pages.

Each function draws one thing from random numbers and returns the picture, the geometry it was drawn
from (so that a test can read the answer off again) and the turns. Everything is drawn twice too
large and scaled down. Games (dice, dominoes, cards) are in `games`.
"""

from __future__ import annotations

import calendar
import math
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from PIL import Image, ImageDraw

from recipes.embedded.generators import canvas, colours
from recipes.embedded.generators.colours import RGB
from recipes.embedded.generators.questions import Generator, Turn, sample
from recipes.embedded.materials import Materials
from smolvlm.types import Sample

Drawn = tuple[Image.Image, dict[str, Any], list[Turn]]
LARGE = 2 * canvas.SIDE  # pixels; drawn so large, then scaled down
ROMAN = ("XII", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI")
MONTHS = tuple(calendar.month_name)[1:]
DAYS = tuple(calendar.day_name)

_CLOCK = (
    "What time is it?", "What time does the clock show?", "Read the clock.", "Which time is shown?",
    "Tell the time.", "What is the time on this clock?",
)  # fmt: skip
_THERMOMETER = (
    "What temperature is shown?",
    "How many degrees does the thermometer show?",
    "Read the thermometer.",
    "What does the thermometer say?",
    "What is the temperature?",
)
_GAUGE = (
    "What value does the gauge show?", "Read the gauge.", "Where does the needle point?",
    "Which number does the needle point to?", "What is the reading of the dial?",
)  # fmt: skip
_MARKED = (
    "Which day is marked?", "What date is circled?", "Which date is marked on the calendar?",
    "On which date is the mark?", "What is the marked date?",
)  # fmt: skip
_MONTH = (
    "Which month is this?", "What month does the calendar show?", "Which month and year is shown?",
    "What month is on the page?", "Read the month and the year.",
)  # fmt: skip
_WEEKDAY = (
    "What day of the week is the {}?",
    "On which weekday does the {} fall?",
    "Which weekday is the {}?",
    "The {} is which day of the week?",
    "Which day of the week is the {} in this month?",
)


def _ink_on_paper(rng: random.Random) -> tuple[RGB, RGB]:
    """A dark and a light colour, sometimes the other way round."""
    dark = (rng.randint(0, 70), rng.randint(0, 70), rng.randint(0, 70))
    light = (rng.randint(215, 255), rng.randint(215, 255), rng.randint(215, 255))
    return (light, dark) if rng.random() < 0.2 else (dark, light)


def _point(centre: tuple[float, float], angle: float, radius: float) -> tuple[float, float]:
    """The point at `angle` degrees clockwise from the top."""
    x, y = centre
    turn = math.radians(angle)
    return x + radius * math.sin(turn), y - radius * math.cos(turn)


def _sheet(rng: random.Random, avoid: RGB, materials: Materials) -> Image.Image:
    back = canvas.backdrop(rng, avoid=[avoid])
    return canvas.paint_backdrop(back, canvas.SIDE, canvas.SIDE, materials).resize((LARGE, LARGE))


def _done(picture: Image.Image, rng: random.Random) -> Image.Image:
    return canvas.finish(picture.resize((canvas.SIDE, canvas.SIDE), Image.Resampling.BOX), rng)


def clock(rng: random.Random, materials: Materials) -> Drawn:
    """A dial with two hands, to five minutes; half of the times are full or half hours."""
    hour = rng.randint(1, 12)
    minute = rng.choice((0, 30)) if rng.random() < 0.5 else 5 * rng.randint(0, 11)
    ink, paper = _ink_on_paper(rng)
    picture = _sheet(rng, paper, materials)
    pen = ImageDraw.Draw(picture)
    radius = rng.uniform(0.3, 0.47) * LARGE
    middle = (
        rng.uniform(radius + 4, LARGE - radius - 4),
        rng.uniform(radius + 4, LARGE - radius - 4),
    )
    box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
    rim = colours.sample(rng.choice(colours.COLOURS), rng)
    (pen.rectangle if rng.random() < 0.2 else pen.ellipse)(box, paper, rim, int(radius * 0.06))
    _hours(pen, rng, middle, radius, ink, materials)
    angles = {"hour": hour % 12 * 30 + minute / 2, "minute": minute * 6.0}
    reach = {"hour": rng.uniform(0.42, 0.52), "minute": rng.uniform(0.7, 0.8)}
    width = rng.uniform(0.03, 0.055) * radius
    for hand, thick in (("hour", 1.5), ("minute", 1.0)):
        tip = _point(middle, angles[hand], reach[hand] * radius)
        pen.line((middle, tip), ink, int(width * thick))
    if rng.random() < 0.25:
        tip = _point(middle, rng.uniform(0, 360), 0.8 * radius)
        pen.line((middle, tip), (200, 30, 30), max(2, int(width * 0.3)))
    _dot(pen, middle, width * 1.3, ink)
    answer = Turn(rng.choice(_CLOCK), f"{hour}:{minute:02}")
    return _done(picture, rng), angles, [answer]


def _hours(
    pen: ImageDraw.ImageDraw,
    rng: random.Random,
    middle: tuple[float, float],
    radius: float,
    ink: RGB,
    materials: Materials,
) -> None:
    """Ticks, and figures at all hours, at four of them, or none."""
    style = rng.choice(("all", "all", "four", "ticks", "roman"))
    names = ROMAN if style == "roman" else ("12", *map(str, range(1, 12)))
    face = canvas.typeface(materials, rng, int(radius * 0.17), text="0123456789IVX")
    for hour in range(12):
        shown = style in ("all", "roman") or (style == "four" and hour % 3 == 0)
        if shown:
            pen.text(_point(middle, hour * 30, radius * 0.82), names[hour], ink, face, anchor="mm")
        if not shown or rng.random() < 0.5:
            line = (
                _point(middle, hour * 30, radius * 0.93),
                _point(middle, hour * 30, radius * 0.985),
            )
            pen.line(line, ink, max(2, int(radius * 0.02)))


def _dot(pen: ImageDraw.ImageDraw, at: tuple[float, float], radius: float, colour: RGB) -> None:
    pen.ellipse((at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius), colour)


def thermometer(rng: random.Random, materials: Materials) -> Drawn:
    """An upright tube with a scale in tens; the level stands at a multiple of five."""
    low = rng.choice((-20, -10, 0))
    high = low + rng.choice((50, 60, 80))
    value = rng.randrange(low // 5 + 1, high // 5) * 5
    ink, paper = (30, 30, 30), (250, 250, 250)
    picture = _sheet(rng, ink, materials)
    pen = ImageDraw.Draw(picture)
    x = rng.uniform(0.35, 0.6) * LARGE
    top, bottom = rng.uniform(0.08, 0.14) * LARGE, rng.uniform(0.76, 0.82) * LARGE
    half = rng.uniform(0.018, 0.03) * LARGE
    bulb = (x, bottom + 3.2 * half)
    fluid = colours.sample(rng.choice(("red", "blue", "red", "green")), rng)
    pen.rounded_rectangle(
        (x - 5 * half, top - 3 * half, x + 8 * half, bulb[1] + 4 * half), half, paper, ink, 3
    )
    pen.rounded_rectangle((x - half, top - half, x + half, bulb[1]), half, (225, 232, 238), ink, 4)
    level = bottom + (top - bottom) * (value - low) / (high - low)
    pen.rectangle((x - half * 0.55, level, x + half * 0.55, bulb[1]), fluid)
    _dot(pen, bulb, half * 2.1, ink)
    _dot(pen, bulb, half * 1.9, fluid)
    face = canvas.typeface(materials, rng, int(0.045 * LARGE), text="-0123456789")
    for mark in range(low, high + 1, 5):
        y = bottom + (top - bottom) * (mark - low) / (high - low)
        pen.line((x + 1.5 * half, y, x + (3.2 if mark % 10 == 0 else 2.3) * half, y), ink, 4)
        if mark % 10 == 0:
            pen.text((x + 3.8 * half, y), str(mark), ink, face, anchor="lm")
    facts = {"level": level, "low": (low, bottom), "high": (high, top)}
    return _done(picture, rng), facts, [Turn(rng.choice(_THERMOMETER), f"{value} degrees.")]


def gauge(rng: random.Random, materials: Materials) -> Drawn:
    """A round dial with ten marks over 270 degrees and a needle on or halfway between marks."""
    step = rng.choice((1, 2, 5, 10, 20))
    halves = rng.randint(0, 20)
    if step * halves % 2:  # only whole values are asked for
        halves -= 1
    ink, paper = _ink_on_paper(rng)
    picture = _sheet(rng, paper, materials)
    pen = ImageDraw.Draw(picture)
    radius = rng.uniform(0.32, 0.46) * LARGE
    middle = (LARGE / 2, LARGE / 2)
    box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
    pen.ellipse(box, paper, ink, int(radius * 0.04))
    face = canvas.typeface(materials, rng, int(radius * 0.14), text="0123456789")
    for mark in range(11):
        at = -135.0 + 27 * mark
        pen.line((_point(middle, at, radius * 0.86), _point(middle, at, radius * 0.95)), ink, 8)
        pen.text(_point(middle, at, radius * 0.72), str(mark * step), ink, face, anchor="mm")
    angle = -135 + 13.5 * halves
    needle = colours.sample(rng.choice(("red", "orange", "blue")), rng)
    pen.line(
        (_point(middle, angle + 180, radius * 0.12), _point(middle, angle, radius * 0.62)),
        needle,
        12,
    )
    _dot(pen, middle, radius * 0.06, ink)
    facts = {"angle": angle, "step": step}
    return _done(picture, rng), facts, [Turn(rng.choice(_GAUGE), str(step * halves // 2))]


def month(rng: random.Random, materials: Materials) -> Drawn:
    """A calendar page with one marked day: the month, the marked date, or the weekday of a date."""
    year, number = rng.randint(1990, 2040), rng.randint(1, 12)
    start = rng.choice((calendar.MONDAY, calendar.SUNDAY))
    weeks = calendar.Calendar(start).monthdayscalendar(year, number)
    marked = rng.randint(1, calendar.monthrange(year, number)[1])
    ink, paper = (25, 25, 25), (252, 252, 250)
    picture = Image.new("RGB", (LARGE, LARGE), paper)
    pen = ImageDraw.Draw(picture)
    accent = colours.sample(rng.choice(("red", "blue", "green", "purple", "orange")), rng)
    face = canvas.typeface(materials, rng, 52, text="0123456789" + "".join((*MONTHS, *DAYS)))
    pen.rectangle((0, 0, LARGE, 130), accent)
    pen.text((LARGE / 2, 65), f"{MONTHS[number - 1]} {year}", (255, 255, 255), face, anchor="mm")
    cells: dict[int, tuple[float, float]] = {}
    for column in range(7):
        x = LARGE * (column + 0.5) / 7
        pen.text((x, 185), DAYS[(start + column) % 7][:2], accent, face, anchor="mm")
        for row, week in enumerate(weeks):
            if week[column]:
                cells[week[column]] = (x, 280 + row * 105)
    _mark(pen, rng, cells[marked], accent)
    for day, place in cells.items():
        pen.text(place, str(day), ink, face, anchor="mm")
    title = f"{MONTHS[number - 1]} {year}"
    day = rng.choice(tuple(cells))
    weekday = DAYS[calendar.weekday(year, number, day)]
    turns = [
        Turn(rng.choice(_MONTH), f"{title}."),
        Turn(rng.choice(_MARKED), f"{MONTHS[number - 1]} {marked}."),
        Turn(rng.choice(_WEEKDAY).format(_nth(day)), f"{weekday}."),
    ]
    facts = {"year": year, "month": number, "marked": marked, "cells": cells, "start": start}
    return _done(picture, rng), facts, rng.sample(turns, 2)


def _mark(
    pen: ImageDraw.ImageDraw, rng: random.Random, at: tuple[float, float], colour: RGB
) -> None:
    box = (at[0] - 46, at[1] - 46, at[0] + 46, at[1] + 46)
    (pen.ellipse if rng.random() < 0.6 else pen.rectangle)(box, None, colour, 9)


def _nth(day: int) -> str:
    """`21` -> `21st`."""
    ending = "th" if 10 < day % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


DRAWN: Mapping[str, Callable[[random.Random, Materials], Drawn]] = {
    "clock": clock,
    "thermometer": thermometer,
    "gauge": gauge,
    "calendar": month,
}


def made(task: str, materials: Materials, seed: int) -> Drawn:
    """The picture, its geometry and the turns."""
    return DRAWN[task](random.Random(f"{task}/{seed}"), materials)


def _generate(task: str, materials: Materials, seed: int) -> Sample:
    picture, _, turns = made(task, materials, seed)
    return sample(task, seed, [picture], turns)


GENERATORS: Mapping[str, Generator] = {task: partial(_generate, task) for task in DRAWN}
