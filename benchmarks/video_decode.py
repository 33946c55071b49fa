"""What it costs to read 64 frames of a clip: by seeking, against decoding all of it.

    python -m benchmarks.video_decode
    python -m benchmarks.video_decode --minutes 1 --film-minutes 10 --rounds 1 --no-answer

Three parts, written to `results/video_decode.json`:

- a clip of 10 minutes at 720p, made with PyAV: packets, bytes and seconds for the 64 frames of the
  reference rule, by seeking and by decoding everything;
- a film of 2 hours (small, 24 frames a second): the same by seeking, and the share of its packets;
- the whole answer about the first clip on random weights of the 256M's shape: how much of its time
  goes into decoding and sampling, and how long a second question takes.

Bytes are those of the packets. Seconds are medians with their range; figures of a busy machine mean
nothing, shares within one run a little.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

import smolvlm
from benchmarks.random_folder import write_folder
from smolvlm.cli import machine
from smolvlm.config import VideoRules
from smolvlm.media.sampling import sample_times
from smolvlm.media.video_file import VideoFile
from smolvlm.types import VideoOptions

Figures = dict[str, Any]
RESULT = Path(__file__).parent / "results" / "video_decode.json"
MODEL = "SmolVLM2-256M-Video-Instruct"
RULES = VideoRules(fps=1.0, max_frames=64, longest_edge=512)
PACKAGES = ("smolvlm", "av", "numpy", "pillow", "openvino")
RATE, HEIGHT, WIDTH = 25, 720, 1280
FILM_RATE, FILM_HEIGHT, FILM_WIDTH = 24, 180, 320
REEL = 2.0  # minutes of a clip that are encoded; the rest are their packets again


def scenes(frames: int, height: int, width: int, each: int) -> Iterator[NDArray[np.uint8]]:
    """Frames uint8 (height, width, 3): a texture that wanders; another one every `each` frames."""
    rng = np.random.default_rng(0)
    for number in range(frames):
        if number % each == 0:
            coarse = rng.integers(0, 256, (height // 20 + 1, width // 20 + 1, 3), dtype=np.uint8)
            texture = coarse.repeat(20, 0).repeat(20, 1)[:height, :width]  # (height, width, 3)
        yield np.roll(texture, 3 * (number % each), axis=1)


def write(path: Path, frames: Iterator[NDArray[np.uint8]], rate: int) -> None:
    """Encode as most programs do by default: H.264, b-frames, a keyframe at most every 250."""
    first = next(frames)
    with av.open(path, "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(first, format="rgb24")))
        for array in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        out.mux(stream.encode())


def write_long(path: Path, minutes: float, height: int, width: int, rate: int) -> None:
    """A clip of some minutes: one reel, another scene every 8 seconds, its packets again and again.

    The reel begins with a keyframe and ends with its last frame, so each copy stands for itself.
    """
    reel = path.with_name("reel.mp4")
    count = max(round(minutes / REEL), 1)
    frames = int(min(REEL, minutes) * 60 * rate)
    write(reel, scenes(frames, height, width, 8 * rate), rate)
    with av.open(reel) as source, av.open(path, "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        assert stream.time_base is not None, "PyAV has just written it"
        length = int(Fraction(frames, rate) / stream.time_base)
        for shift in range(0, count * length, length):
            for packet in packets:
                again = av.Packet(bytes(packet))
                assert packet.pts is not None and packet.dts is not None, "as above"
                again.pts, again.dts = packet.pts + shift, packet.dts + shift
                again.time_base, again.is_keyframe = packet.time_base, packet.is_keyframe
                again.stream = copy
                out.mux(again)


def by_seeking(path: Path) -> tuple[Figures, float]:
    """Open, sample as published, read: what `work` counts, and seconds."""
    start = perf_counter()
    with VideoFile(path) as video:
        for _ in video.frames_at(sample_times(video, VideoOptions(), RULES)):
            pass
        return asdict(video.work), perf_counter() - start


def by_decoding_all(path: Path) -> tuple[Figures, float]:
    """Every packet through the decoder, no picture kept: the least that the plain way can cost."""
    start = perf_counter()
    packets, size, pictures = 0, 0, 0
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for packet in container.demux(stream):
            packets, size = packets + (packet.size > 0), size + packet.size
            pictures += len(packet.decode())
    seconds = perf_counter() - start
    return {"packets": packets, "bytes": size, "decoded": packets, "pictures": pictures}, seconds


def totals(path: Path) -> Figures:
    """Packets of a clip and their bytes; nothing is decoded."""
    with av.open(path) as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    return {"packets": len(sizes), "bytes": sum(sizes), "file_bytes": path.stat().st_size}


def repeated(call: Any, path: Path, rounds: int) -> Figures:
    """The counts of one call, with median and range of its seconds."""
    runs = [call(path) for _ in range(rounds)]
    seconds = [round(spent, 3) for _, spent in runs]
    figures: Figures = {**runs[0][0], "seconds": median(seconds)}
    return {**figures, "range": [min(seconds), max(seconds)]}


def compare(path: Path, rounds: int, *, decode_all: bool) -> Figures:
    """Seeking against the whole of a clip."""
    found: Figures = {"clip": totals(path), "seeking": repeated(by_seeking, path, rounds)}
    found["share_of_packets"] = round(found["seeking"]["packets"] / found["clip"]["packets"], 4)
    found["share_of_bytes"] = round(found["seeking"]["bytes"] / found["clip"]["bytes"], 4)
    if decode_all:
        found["decoding_all"] = repeated(by_decoding_all, path, rounds)
    return found


def answers(clip: Path, folder: Path, precision: str | None) -> Figures:
    """Two questions about one clip, after one about a picture that compiles and packs weights."""
    assistant = smolvlm.load(folder, precision=precision)
    assistant.ask(np.zeros((512, 512, 3), np.uint8), "What is this?", max_new_tokens=2)
    told: Figures = {"engine": vars(assistant.info().engine)}
    for name, question in (("first", "What happens?"), ("second", "Who is there?")):
        start = perf_counter()
        timings = assistant.ask(clip, question, max_new_tokens=32).timings
        seconds = perf_counter() - start
        told[name] = {
            "seconds": round(seconds, 2),
            "decode_and_sampling_share": round(timings.preprocess_ms / 1e3 / seconds, 4),
            **{key: round(value, 1) for key, value in asdict(timings).items()},
        }
    told["second/first"] = round(told["second"]["seconds"] / told["first"]["seconds"], 4)
    return told


def surroundings(options: argparse.Namespace) -> Figures:
    """What the numbers depend on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": machine.cpu_name(),
        "cpus_used": machine.cpu_count(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "clip": f"{options.minutes:g} min, {WIDTH}x{HEIGHT}, {RATE} frames a second, H.264",
        "film": f"{options.film_minutes:g} min, {FILM_WIDTH}x{FILM_HEIGHT}, {FILM_RATE} a second",
        "rounds": options.rounds,
    }


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Reading 64 frames by seeking and by decoding all")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--film-minutes", type=float, default=120.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", help="of the engine that answers")
    parser.add_argument("--no-answer", action="store_true", help="leave the whole answer out")
    parser.add_argument("--output", type=Path, default=RESULT)
    return parser.parse_args()


def main() -> None:
    """Make the clips, measure, write the file."""
    options = parse()
    result = surroundings(options)
    with tempfile.TemporaryDirectory() as scratch:
        clip, film, model = (Path(scratch) / name for name in ("clip.mp4", "film.mp4", "model"))
        write_long(clip, options.minutes, HEIGHT, WIDTH, RATE)
        result["clip_720p"] = compare(clip, options.rounds, decode_all=True)
        write_long(film, options.film_minutes, FILM_HEIGHT, FILM_WIDTH, FILM_RATE)
        result["film"] = compare(film, options.rounds, decode_all=False)
        if not options.no_answer:
            model.mkdir()
            result["answer"] = answers(clip, write_folder(MODEL, model), options.precision)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
