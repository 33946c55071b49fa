"""The words around the frames of a clip, to the byte as the published processor writes them.

Rules: SmolVLM2's processor (its constants for intro, frame mark and end). A clip becomes

    You are provided the following series of three frames from a 0:00:03 [H:MM:SS] video.
    <blank line>
    Frame from 00:00:[tile]
    Frame from 00:01:[tile]
    Frame from 00:02:[tile]
    <blank line>

where [tile] is the run of a picture that is not split. Where it goes in a message is `prompt.py`'s
business, which frames are taken that of `clips.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def clip_text(stamps: Sequence[str], duration: float, frame: str) -> str:
    """What stands for one clip in the prompt; `frame` is the run of one picture."""
    frames = "".join(f"\nFrame from {stamp}:{frame}" for stamp in stamps)
    return (
        f"You are provided the following series of {number_words(len(stamps))} frames from a"
        f" {clock(duration)} [H:MM:SS] video.\n{frames}\n\n"
    )


def clock(seconds: float) -> str:
    """A duration as H:MM:SS, cut to whole seconds; from a day on the published words for days."""
    return str(timedelta(seconds=int(seconds)))


def stamp(seconds: float) -> str:
    """The time of a frame as MM:SS, cut to whole seconds; an hour is 60:00, as published."""
    return f"{int(seconds // 60):02d}:{int(seconds % 60):02d}"


def number_words(number: int) -> str:
    """A number below a million in English, as the package num2words writes it."""
    assert 0 <= number < 1_000_000, number
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = _TENS[number // 10 - 2], number % 10
        return f"{tens}-{_ONES[ones]}" if ones else tens
    if number < 1000:
        return _joined(f"{_ONES[number // 100]} hundred", number % 100, " and ")
    rest = number % 1000
    return _joined(f"{number_words(number // 1000)} thousand", rest, ", " if rest > 99 else " and ")


def _joined(words: str, rest: int, link: str) -> str:
    return f"{words}{link}{number_words(rest)}" if rest else words
