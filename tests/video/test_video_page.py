"""The costs in `docs/video.md` are those that were measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import video_page
from smolvlm.processing.processor import Processor
from smolvlm.processing.prompt import image_text
from smolvlm.processing.video_prompt import clip_text, stamp
from tests.checkpoints import NAMES


def test_the_committed_page_is_fresh() -> None:
    page = video_page.PAGE.read_text(encoding="utf-8")
    assert page == video_page.placed(page, video_page.costs(video_page.RESULTS)), (
        "stale; run: python -m benchmarks.video_page"
    )


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    assert video_page.costs(tmp_path) == "Not measured yet."
    jpeg = {"taken_ms": {"median": 25.04}, "dropped_ms": {"median": 0.066}}
    told = {"jpeg": {"date": "2026-01-01", "cpu": "a", "cpus_used": 2, **jpeg}}
    (tmp_path / "watch.json").write_text(json.dumps(told))
    said = video_page.costs(tmp_path)
    assert "| a frame of a 1920x1080 MJPEG camera: taken, dropped | 25 ms, 0.066 ms |  |" in said
    assert "second question" not in said and "2026-01-01, a, 2 cores." in said


def test_the_tokens_of_a_clip_are_those_that_the_page_says(official_folder: Any) -> None:
    """The embedded model has as many tokens a tile as this one, and its tokenizer."""
    processor = Processor.from_folder(official_folder(NAMES[0]))
    frame, encode = image_text(0, 0, processor.config.tokens_per_tile), processor.tokenizer.encode
    line = len(encode(f"\nFrame from 00:00:{frame}"))
    clip = len(encode(clip_text([stamp(second) for second in range(64)], 64.0, frame)))
    page = video_page.PAGE.read_text(encoding="utf-8")
    assert processor.config.tokens_per_tile == 64
    assert f"costs it {line} tokens with its line" in page and f"are {clip} of its 8192" in page
