"""Clips of plain colours, and an assistant that sees nothing but how red they are.

The stand-in has a real processor, so frames, times and the length of prompts are those of a
published checkpoint; only what a model would say is made up: by `reply`, and for yes and no by the
share of red in the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from smolvlm.api import ModelInfo
from smolvlm.engines.base import EngineInfo
from smolvlm.processing.clips import Clip
from smolvlm.processing.processor import Processor
from smolvlm.processing.split import BudgetPolicy
from smolvlm.types import Answer

RATE = 5
RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (128, 128, 128)
Colour = tuple[int, int, int]


def make_clip(
    path: Path, colours: Sequence[Colour], *, each: float = 2.0, rate: int = RATE, **options: Any
) -> Path:
    """An H.264 clip that shows one colour after the other, `each` seconds; a keyframe a second."""
    with av.open(path, "w") as container:
        settings = {"g": str(rate), "keyint_min": str(rate), "sc_threshold": "0", "bf": "0"}
        stream = container.add_stream("libx264", rate=rate, options=settings | options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(round(len(colours) * each * rate)):
            colour = colours[int(number / rate / each)]
            picture = av.VideoFrame.from_image(Image.new("RGB", (64, 48), colour))
            picture.pts, picture.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def names_in(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


class Pieces:
    """As `api.AnswerStream`."""

    def __init__(self, text: str) -> None:
        self._text, self._pieces = text, iter(text.partition(" "))

    def __iter__(self) -> Any:
        return self._pieces

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def finish(self) -> Answer:
        return Answer(self._text, (1, 2), "stop")


@dataclass
class Asked:
    """One question that reached the stand-in. times: of the frames shown; answers: to be scored."""

    question: str
    times: tuple[float, ...]
    settings: dict[str, Any]
    answers: tuple[str, ...] = ()


def echo(question: str, clip: Clip | None) -> str:
    """A reply that says how many frames there were."""
    return f"{len(clip) if clip else 'no'} frames"


@dataclass
class StandIn:
    """As `api.Assistant`."""

    processor: Processor
    reply: Callable[[str, Clip | None], str] = echo
    asked: list[Asked] = field(default_factory=list)

    def stream(self, pictures: Sequence[Any], question: str, **settings: Any) -> Pieces:
        clip = self._note(pictures, question, settings)
        return Pieces(self.reply(question, clip))

    def ask(self, pictures: Sequence[Any], question: str, **settings: Any) -> Answer:
        return self.stream(pictures, question, **settings).finish()

    def choose(self, pictures: Sequence[Any], question: str, choices: Sequence[str]) -> list[float]:
        """Yes in two spellings as far as the frames are red, no in two as far as they are not."""
        clip = self._note(pictures, question, {}, tuple(choices))
        assert clip is not None and [c[0] for c in choices] == ["Y", "Y", "N", "N"]
        red, _, blue = clip.tiles.reshape(-1, 3).mean(axis=0) / 255  # (3,)
        yes = float(np.clip(0.5 + 0.45 * (red - blue), 0, 1))
        return [0.75 * yes, 0.25 * yes, 0.5 * (1 - yes), 0.5 * (1 - yes)]

    def info(self) -> ModelInfo:
        engine = EngineInfo("stand-in", "CPU", "f32", "0.0", 1)
        return ModelInfo(Path(), "smolvlm", 512, 64, 8192, BudgetPolicy(), engine)

    def _note(
        self, pictures: Sequence[Any], question: str, settings: dict[str, Any],
        answers: tuple[str, ...] = (),
    ) -> Clip | None:  # fmt: skip
        assert all(isinstance(picture, Clip) for picture in pictures)
        clip = pictures[0] if pictures else None
        times = clip.times if clip is not None else ()
        self.asked.append(Asked(question, times, settings, answers))
        return clip
