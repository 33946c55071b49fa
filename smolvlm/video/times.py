"""Times as people write them, and as they and subtitle players read them.

Everything inside the package is seconds as a float, counted from the first frame of a clip. How a
prompt spells the time of a frame is the business of `processing/`.
"""

from __future__ import annotations

import math
import re

from smolvlm.errors import InputError

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_PLAIN = re.compile(_NUMBER)
_UNITS = re.compile(rf"(?=.)(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")
_CLOCK = re.compile(r"(?:([0-9]+):)?([0-9]+):([0-5]?[0-9](?:[.,][0-9]+)?)")


def parse_time(text: str) -> float:
    """A moment in seconds: `90`, `10s`, `1m30s`, `1.5h`, `500ms`, `1:30` or `00:01:30.5`.

    `InputError` for anything else. With hours in front, minutes stay below 60; without, they may
    count on (`90:00`).
    """
    written = text.strip().lower()
    if found := _CLOCK.fullmatch(written):
        hours, minutes, seconds = (
            float((part or "0").replace(",", ".")) for part in found.groups()
        )
        value = hours * 3600 + minutes * 60 + seconds
        if found[1] and minutes >= 60:
            value = math.inf
    elif found := _UNITS.fullmatch(written):
        parts = (float(part or 0) for part in found.groups())
        value = sum(part * unit for part, unit in zip(parts, (3600, 60, 1, 0.001), strict=True))
    else:
        value = float(written) if _PLAIN.fullmatch(written) else math.inf
    if not math.isfinite(value):
        raise InputError(f"{text!r} is no time; write it as 10s, 1m30s, 00:01:30 or 90 (seconds)")
    return value


def parse_length(text: str, what: str) -> float:
    """The same for a length of time, which is above 0; `what` names it in the error."""
    value = parse_time(text)
    if value <= 0:
        raise InputError(f"{what} is {text}; wanted a time above 0, such as 10s")
    return value


def clock(seconds: float) -> str:
    """A moment for people: `0:05`, `12:34.5`, `1:02:03`; rounded to tenths."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    whole, tenth = divmod(rest, 10)
    text = f"{hours}:{minutes:02d}:{whole:02d}" if hours else f"{minutes}:{whole:02d}"
    return f"{text}.{tenth}" if tenth else text


def span(start: float, end: float) -> str:
    """A stretch of time for people: `0:05–0:10`."""
    return f"{clock(start)}–{clock(end)}"


def stamp(seconds: float, point: str) -> str:
    """A moment for a subtitle file: `00:01:30.250`; point: what stands before the milliseconds."""
    whole, millis = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{second:02d}{point}{millis:03d}"
