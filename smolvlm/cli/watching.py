"""`smolvlm watch`: a camera in, events out, until it ends or somebody stops it.

Joins options, `media/camera.py`, `video/watch.py` and what is written. A line for each event goes
to stdout (JSON with `--out -`), how it went to stderr. The source, the options and the places of
files are tried before a model is looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smolvlm.cli.ask import check_settings
from smolvlm.cli.terminal import one_line, say
from smolvlm.cli.video_answers import open_model
from smolvlm.errors import InputError
from smolvlm.media.camera import Camera, open_camera
from smolvlm.media.limits import VideoLimits
from smolvlm.media.video_frames import Frame
from smolvlm.video.events import STDOUT, Event, EventFile, FrameFolder, moment
from smolvlm.video.hysteresis import Thresholds
from smolvlm.video.sight import AssistantSight
from smolvlm.video.times import clock, parse_length, parse_time
from smolvlm.video.watch import Plan, Watcher

# A watch goes on for hours: it keeps the features of its window and one conversation, no more. A
# frame's features take less than a MiB in every model of the family.
FRAME_MIB, PREFIXES_MIB = 1, 1


@dataclass(frozen=True)
class Wanted:
    """What is watched, for what, and where it goes; times as they were typed."""

    source: str
    when: str | None = None
    ask: str | None = None
    every: str = "1s"
    threshold: float = 0.6
    no_threshold: float | None = None
    hold: str = "0s"
    window: int = 4
    sensitivity: float = 0.05
    no_describe: bool = False
    save: str | None = None
    out: str | None = None
    speed: float = 1.0
    max_steps: int | None = None
    max_new_tokens: int = 48
    allow_url: bool = False
    allow_private: bool = False

    def __post_init__(self) -> None:
        if self.max_steps is not None and self.max_steps < 1:
            raise InputError(f"--max-steps is {self.max_steps}; wanted at least 1")

    def plan(self) -> Plan:
        """What the model is asked, and when its answer counts."""
        hold = parse_time(self.hold)
        return Plan(
            when=self.when,
            ask=self.ask,
            describe=not self.no_describe,
            thresholds=Thresholds.around(self.threshold, self.no_threshold, hold),
            window=self.window,
            sensitivity=self.sensitivity,
        )

    def camera(self) -> Camera:
        """The source, not opened yet."""
        return open_camera(
            self.source,
            every=parse_length(self.every, "--every"),
            speed=self.speed,
            limits=VideoLimits(allow_private=self.allow_private),
            allow_url=self.allow_url,
        )


def run(wanted: Wanted, model: str, *, load: Mapping[str, Any]) -> None:
    """Watch. `load` are keywords of `api.load`."""
    plan, camera = wanted.plan(), wanted.camera()
    check_settings(load, {"max_new_tokens": wanted.max_new_tokens})
    with ExitStack() as open_things:
        writer = Writer(wanted, live=camera.live)
        open_things.callback(writer.close)
        open_things.enter_context(camera)
        assistant = open_model(model, {**caches(plan), **load})
        sight = AssistantSight(assistant, max_new_tokens=wanted.max_new_tokens)
        sight.check_room(plan.window, plan.longest_question())
        watcher = Watcher(plan, sight, now=camera.now)
        open_things.callback(lambda: say(summary(watcher)))
        for item in camera:
            writer.write(watcher.take(item), item if isinstance(item, Frame) else None)
            if watcher.state.steps == wanted.max_steps:
                break


def caches(plan: Plan) -> dict[str, int]:
    """What a watch keeps in memory, as keywords of `api.load`."""
    return {"feature_cache": FRAME_MIB * plan.window, "prefix_cache": PREFIXES_MIB}


class Writer:
    """Where events go: to a file, to stdout, and their frames to a folder."""

    def __init__(self, wanted: Wanted, *, live: bool) -> None:
        """Open what was asked for; `InputError` if it cannot be written."""
        self._live = live
        self._prints = wanted.out != STDOUT
        self._file = None if wanted.out is None else EventFile(wanted.out, live=live)
        self._folder = None if wanted.save is None else FrameFolder(Path(wanted.save), live=live)

    def write(self, events: list[Event], frame: Frame | None) -> None:
        """Write the events of one step; those of a frame share a picture of it."""
        saved = None
        if self._folder is not None and frame is not None and events:
            saved = self._folder.save(frame.picture, frame.time)
        for event in events:
            event = replace(event, frame=saved)
            if self._file is not None:
                self._file.write(event)
            if self._prints:
                print(line(event, live=self._live), flush=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()


def line(event: Event, *, live: bool) -> str:
    """An event on one line, for people."""
    what = event.answer
    if event.kind == "decision":
        what = f"{event.answer} ({event.probability:.2f})  {event.question}"
    elif event.kind in ("lost", "back"):
        what = f"the camera is {event.kind}: {event.answer}"
    return one_line(f"{moment(event.time, live=live)}  {what}")


def summary(watcher: Watcher) -> str:
    """How a watch went."""
    state = watcher.state
    looks = f"{state.steps} looks, {state.looks} of them at something new"
    return f"watched: {looks}; the oldest frame was {clock(watcher.oldest)} old"
