"""What watching costs: a step, a second question, two hours of a camera.

    python -m benchmarks.watch                  # everything, with the embedded model
    python -m benchmarks.watch steps questions --model SmolVLM2-256M-Video-Instruct

steps: an unchanged step against a changed one, with a real engine: from a decoded frame of 1280x720
to the end of `Watcher.take`, with one yes/no question and nothing else. The resident memory of the
process is taken along the changed ones. questions: the first and the second question about a clip,
given as a path and decoded anew, with all caches and with the features alone. simulation: hours of
a camera, sped up, through everything that `smolvlm watch` runs; only the engine is a stand-in that
waits as long as a model would, since its numbers are not the point. Ages are in seconds of the
camera's clock. jpeg: a frame of a 1920x1080 MJPEG camera, dropped and taken.

The name of a published checkpoint stands for its shape filled with random weights. Writes
`results/watch.json`, or what was asked for into it.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import av
import numpy as np
from PIL import Image

from benchmarks.random_folder import write_folder
from benchmarks.watch_camera import (
    HEIGHT,
    RATE,
    WIDTH,
    SimulatedFeed,
    StandIn,
    camera_frames,
    resident,
    scene,
    write_clip,
)
from smolvlm import api
from smolvlm.cli import machine
from smolvlm.cli.watching import caches
from smolvlm.media.camera import Camera
from smolvlm.media.limits import DEFAULT_VIDEO_LIMITS
from smolvlm.media.shots import shots_of
from smolvlm.media.video_file import upright
from smolvlm.media.video_frames import Frame
from smolvlm.processing.processor import Processor
from smolvlm.types import VideoOptions, VideoPart
from smolvlm.video.events import EventFile
from smolvlm.video.sight import AssistantSight
from smolvlm.video.watch import Plan, Watcher
from smolvlm.weights.hub import find_model
from tests.checkpoints import NAMES

RESULT = Path(__file__).parent / "results" / "watch.json"
PARTS = ("steps", "questions", "simulation", "jpeg")
PACKAGES = ("smolvlm", "openvino", "av", "numpy", "pillow")
WHEN = "Is there a red box?"
QUESTIONS = ("What happens in this video?", "Which colours can be seen?")
FULL_HD = (1920, 1080)  # width, height
EVERY = 1.0  # seconds of the camera between two steps

Figures = dict[str, Any]


def steps(folder: Path, options: argparse.Namespace) -> Figures:
    """Milliseconds of both kinds of step, and the memory after each tenth of the changed ones."""
    plan = Plan(when=WHEN, describe=False)
    kept: Any = caches(plan)
    assistant = api.load(folder, precision=options.precision, **kept)
    watcher = Watcher(plan, AssistantSight(assistant, max_new_tokens=8), now=lambda: 0.0)
    spent: dict[bool, list[float]] = {True: [], False: []}
    memory = []
    for number, decoded in enumerate(camera_frames(options.changed_steps + 2, repeats=2)):
        looks, start = watcher.state.looks, perf_counter()
        watcher.take(Frame(upright(decoded), float(number)))
        spent[watcher.state.looks > looks].append((perf_counter() - start) * 1e3)
        if number % 2 and len(spent[True]) % max(options.changed_steps // 10, 1) == 0:
            memory.append(resident())
    changed, unchanged = (spent[kind][2:] for kind in (True, False))  # the first ones warm up
    return {
        "frame": f"{WIDTH}x{HEIGHT}",
        "engine": vars(assistant.info().engine),
        "changed_ms": summary(changed),
        "unchanged_ms": summary(unchanged),
        "unchanged/changed": median(unchanged) / median(changed),
        "resident_bytes": memory,
        "memory_last/first": memory[-1] / memory[0],
    }


def questions(folder: Path, options: argparse.Namespace) -> Figures:
    """Seconds of two questions about the same clip, one after the other."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "clip.mp4"
        write_clip(path, seconds=options.frames)
        clip = VideoPart(path, VideoOptions(sampling="uniform", max_frames=options.frames))
        cached: dict[str, Any] = {"all caches": {}, "features alone": {"prefix_cache": 0}}
        return {
            "frames": options.frames,
            "clip": f"{options.frames} s, {WIDTH}x{HEIGHT}, {RATE} frames a second, H.264",
            "new_tokens": options.new_tokens,
        } | {
            name: two_questions(
                api.load(folder, precision=options.precision, **load), clip, options.new_tokens
            )
            for name, load in cached.items()
        }


def two_questions(assistant: api.Assistant, clip: VideoPart, new_tokens: int) -> Figures:
    """The engine has been built, and has run once, before the first one."""
    assistant.ask([], "Hello?", max_new_tokens=2)
    assistant.engine.encode_tiles(np.zeros((1, *[assistant.info().tile] * 2, 3), np.uint8))
    seconds, timings = [], []
    for question in QUESTIONS:
        start = perf_counter()
        answer = assistant.ask([clip], question, max_new_tokens=new_tokens)
        seconds.append(perf_counter() - start)
        timings.append(vars(answer.timings))
    return {"seconds": seconds, "timings": timings, "second/first": seconds[1] / seconds[0]}


def simulation(folder: Path, options: argparse.Namespace) -> Figures:
    """Hours of a camera that shows something new now and then; memory every tenth of them."""
    processor = Processor.from_folder(folder)
    engine = StandIn(processor.config, seconds=options.model_seconds / options.speed)
    plan = Plan(when=WHEN, ask="What is there?")
    kept = caches(plan)
    assistant = api.Assistant(
        processor,
        lambda: engine.cached(kept["feature_cache"]),
        folder=folder,
        prefix_cache=kept["prefix_cache"],
    )
    seconds = options.hours * 3600
    feed = SimulatedFeed(seconds, speed=options.speed)
    memory: list[int] = []
    with tempfile.TemporaryDirectory() as scratch, Camera(feed, every=EVERY) as camera:
        log = EventFile(str(Path(scratch) / "events.jsonl"), live=False)
        sight = AssistantSight(assistant, max_new_tokens=8)
        watcher = Watcher(plan, sight, now=camera.now)
        events = 0
        for item in camera:
            for event in watcher.take(item):
                log.write(event)
                events += 1
            if item.time >= seconds / 10 * (len(memory) + 1):
                memory.append(resident())
        log.close()
    state = watcher.state
    return {
        "hours": options.hours,
        "speed": options.speed,
        "every_seconds": EVERY,
        "look_seconds": options.model_seconds,
        "frames_of_the_camera": feed.given,
        "steps": state.steps,
        "looks": state.looks,
        "events": events,
        "tiles_encoded": engine.tiles,
        "oldest_frame_in_steps": watcher.oldest / EVERY,
        "resident_bytes": memory,
        "memory_last/first": memory[-1] / memory[0],
    }


def jpeg(folder: Path, options: argparse.Namespace) -> Figures:
    """Milliseconds of a frame that nobody takes, and of one that becomes a picture."""
    encoded = io.BytesIO()
    Image.fromarray(scene(1, FULL_HD, seed=0)).save(encoded, "JPEG", quality=85)
    data = io.BytesIO(encoded.getvalue() * (options.changed_steps + 1))
    stream = av.open(data, "r", format="mjpeg")
    shots = shots_of(stream, "the camera", DEFAULT_VIDEO_LIMITS)
    dropped, taken = [], []
    next(shots)  # the first one is looked at by the stream itself
    start = perf_counter()
    for _, picture in shots:
        dropped.append((perf_counter() - start) * 1e3)
        start = perf_counter()
        picture()
        taken.append((perf_counter() - start) * 1e3)
        start = perf_counter()
    return {
        "frame": f"{FULL_HD[0]}x{FULL_HD[1]}, {len(encoded.getvalue())} bytes",
        "dropped_ms": summary(dropped),
        "taken_ms": summary(taken),
    }


def summary(values: list[float]) -> Figures:
    """Median and range."""
    return {"median": median(values), "range": [min(values), max(values)], "count": len(values)}


def surroundings() -> Figures:
    """What the numbers depend on."""
    features = machine.cpu_features() or {}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": machine.cpu_name(),
        "cpus_used": machine.cpu_count(),
        "features": [name for name, has in features.items() if has],
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def open_folder(model: str, scratch: Path) -> Path:
    """The folder of a model; a published name is its shape, with random weights and its words."""
    if model not in NAMES:
        return find_model(model)
    return write_folder(model, scratch)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="What watching costs")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--model", default="embedded", help=f"a model, or one of {NAMES}")
    parser.add_argument("--precision", help="of the engine that answers")
    parser.add_argument("--changed-steps", type=int, default=100)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--speed", type=float, default=10.0)
    parser.add_argument("--model-seconds", type=float, default=2.5, help="of a look, simulated")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def main() -> None:
    """Measure what was asked for, and put it into the file beside what is there."""
    options = parse()
    measures: dict[str, Callable[[Path, argparse.Namespace], Figures]] = {
        "steps": steps, "questions": questions, "simulation": simulation,
        "jpeg": jpeg,
    }  # fmt: skip
    told = json.loads(options.output.read_text()) if options.output.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = open_folder(options.model, Path(scratch))
        for name in options.parts or PARTS:
            figures = measures[name](folder, options)
            told[name] = {"model": options.model} | surroundings() | figures
            print(name, json.dumps(figures, indent=1))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
