"""The real program with a model that says what it is told, also as a process of its own:

    python -m tests.cli.fake_program ask cat.png "What is this?"

Replies come from the variable FAKE_REPLIES (a JSON list; "error" raises, "crash" is a bug, "wait"
never ends); every call of the API is written as a line of JSON to the file FAKE_CALLS.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from smolvlm import api
from smolvlm.cli.main import main
from smolvlm.engines.base import EngineInfo
from smolvlm.errors import EngineError
from smolvlm.processing.plans import ClipPlan, PicturePlan, PromptPlan
from smolvlm.processing.split import BudgetPolicy
from smolvlm.types import Answer, ImagePart, ImagePlan, Message, Timings, VideoPart

TIMINGS = Timings(
    preprocess_ms=1.0, vision_ms=20.0, prefill_ms=30.0, decode_ms=40.0,
    prompt_tokens=80, visual_tokens=64, new_tokens=3,
)  # fmt: skip


class FakeStream:
    """As `api.AnswerStream`: a reply in pieces of one word."""

    def __init__(self, reply: str) -> None:
        self.reply, self.closed = reply, False
        self._pieces = self._run()

    def _run(self) -> Iterator[str]:
        for piece in self.reply.split(" "):
            if piece == "error":
                raise EngineError("the engine\nbroke")
            if piece == "crash":
                raise ZeroDivisionError("a bug")
            if piece == "wait":
                time.sleep(600)
            yield piece if piece == self.reply.split(" ")[0] else f" {piece}"

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def __enter__(self) -> FakeStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def finish(self) -> Answer:
        for _ in self._pieces:
            pass
        return Answer(self.reply, (11, 12, 2), "stop", TIMINGS)


class FakeAssistant:
    """As `api.Assistant`: takes its replies from a list, and remembers what it was asked."""

    def __init__(self, replies: list[str], calls: list[dict[str, Any]]) -> None:
        self.replies, self.calls = replies, calls

    def stream(self, pictures: Any, question: str, **generation: Any) -> FakeStream:
        sizes = [_size(picture) for picture in pictures]
        self.calls.append({"question": question, "pictures": sizes, **generation})
        return FakeStream(self.replies.pop(0))

    def stream_chat(self, messages: list[Message], **generation: Any) -> FakeStream:
        turns = [[message.role, *map(_shown, message.parts)] for message in messages]
        self.calls.append({"messages": turns, **generation})
        return FakeStream(self.replies.pop(0))

    def explain(self, pictures: list[Image.Image], question: str) -> PromptPlan:
        return fake_plan(pictures)

    def info(self) -> api.ModelInfo:
        engine = EngineInfo("fake", "CPU", "f32", "0.0", 2)
        return api.ModelInfo(Path(), "smolvlm", 512, 64, 8192, BudgetPolicy(), engine)


def fake_plan(pictures: list[Image.Image | VideoPart]) -> PromptPlan:
    """A plan that splits nothing, and looks at each clip twice."""
    plain = ImagePlan(48, 128, (), 0, 0, 512)
    plans = tuple(
        PicturePlan(ImagePlan(p.height, p.width, (), 0, 0, 512), 64, 67)
        for p in pictures
        if isinstance(p, Image.Image)
    )
    clips = tuple(
        ClipPlan(str(p.source), plain, (0.0, 1.4), ("00:00", "00:01"), 2.0, 128, 170)
        for p in pictures
        if isinstance(p, VideoPart)
    )
    return PromptPlan(plans, 67 * len(plans) + 170 * len(clips) + 13, 8192, clips)


def _size(picture: Image.Image | VideoPart) -> Any:
    return "clip" if isinstance(picture, VideoPart) else picture.size


def _shown(part: Any) -> Any:
    if isinstance(part, VideoPart):
        return "clip"
    return part.source.size if isinstance(part, ImagePart) else part.text


def install(patch: Any, replies: list[str], calls: list[dict[str, Any]]) -> None:
    """Put the fake in place of the API's functions, by `patch(object, name, value)`."""

    def load(model: str, **options: Any) -> FakeAssistant:
        calls.append({"load": model, **options})
        return FakeAssistant(replies, calls)

    def explain(model: str, pictures: Any, question: str, **options: Any) -> PromptPlan:
        calls.append({"explain": model, "question": question, **options})
        return fake_plan(pictures)

    patch(api, "load", load)
    patch(api, "explain", explain)


if __name__ == "__main__":
    noted: list[dict[str, Any]] = []
    install(setattr, json.loads(os.environ.get("FAKE_REPLIES", "[]")), noted)
    try:
        main()
    finally:
        if "FAKE_CALLS" in os.environ:
            Path(os.environ["FAKE_CALLS"]).write_text("\n".join(map(json.dumps, noted)))
