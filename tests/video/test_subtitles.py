"""Subtitle files, read back by a library for them (webvtt-py) and by FFmpeg, as players do."""

from __future__ import annotations

import html
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import av
import pytest
import webvtt

from smolvlm.video.subtitles import Cue, to_srt, to_vtt

Writer = Callable[[Iterable[Cue]], str]
PLAIN = [
    Cue(0.0, 10.0, "A cat sleeps."),
    Cue(10.0, 70.25, "It wakes,\nand leaves."),
    Cue(360_000.0, 360_010.0, "Ünïcode 猫 👩‍🚀"),
]
NASTY = [
    "first\n\nsecond", "\n\n", "a --> b", "00:00:01.000 --> 00:00:02.000\nno cue", "<b>bold</b>",
    "1 < 2 & 3 > 2", "&lt;b&gt; &amp; &nbsp;", "{\\an8}top", "12\nthirteen", "NOTE this", "WEBVTT",
    "STYLE\n::cue {}", "tab\there\x00\x1b[31m", "lines\r\nof\rall\u2028kinds\x0b\x0cend", "--&gt;",
    "<c.red>x", "</v>", "half \ud83d a pair",
]  # fmt: skip


def played(path: Path) -> list[str]:
    """The texts that FFmpeg's decoders make of a file."""
    with av.open(path) as container:
        [stream] = container.streams
        shown = [stream.decode2(packet) for packet in container.demux(stream) if packet.size]
    return [part.dialogue.decode() for subtitle in shown if subtitle for part in subtitle]


def lines(text: str) -> list[str]:
    """What has to survive of a text: its words, line by line."""
    printable = "".join(c if c.isprintable() or c in "\n‍" else " " for c in text)
    return [" ".join(line.split()) for line in printable.split("\n") if line.strip()]


@pytest.mark.parametrize(("writer", "suffix"), [(to_srt, "srt"), (to_vtt, "vtt")])
def test_what_a_library_reads_is_what_was_written(
    writer: Writer, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_text(writer(PLAIN), encoding="utf-8")
    found = webvtt.from_srt(path) if suffix == "srt" else webvtt.read(path)
    assert [(c.start, c.end, c.text) for c in found] == [
        ("00:00:00.000", "00:00:10.000", "A cat sleeps."),
        ("00:00:10.000", "00:01:10.250", "It wakes,\nand leaves."),
        ("100:00:00.000", "100:00:10.000", "Ünïcode 猫 👩‍🚀"),
    ]


def test_the_formats_to_the_letter() -> None:
    assert to_srt(PLAIN[:2]) == (
        "1\n00:00:00,000 --> 00:00:10,000\nA cat sleeps.\n\n"
        "2\n00:00:10,000 --> 00:01:10,250\nIt wakes,\nand leaves.\n\n"
    )
    assert to_vtt(PLAIN[:1]) == "WEBVTT\n\n00:00:00.000 --> 00:00:10.000\nA cat sleeps.\n\n"


def test_nothing_to_say_is_still_a_file() -> None:
    assert (to_srt([]), to_vtt([])) == ("", "WEBVTT\n\n")
    assert to_srt([Cue(0, 1, " \n\t\n"), Cue(1, 2, "b")]).startswith("1\n00:00:01,000")


@pytest.mark.parametrize("seed", range(20))
def test_no_text_breaks_web_vtt(seed: int, tmp_path: Path) -> None:
    picked = random.Random(seed)
    texts = ["".join(picked.choices([*NASTY, " ", "x\n"], k=4)) for _ in range(6)]
    cues = [Cue(i, i + 1, text) for i, text in enumerate(texts)]
    path = tmp_path / "a.vtt"
    path.write_text(to_vtt(cues), encoding="utf-8")
    spoken = [cue for cue in cues if lines(cue.text)]
    found = list(webvtt.read(path))
    assert [c.start_in_seconds for c in found] == [cue.start for cue in spoken]
    for cue, was in zip(found, spoken, strict=True):
        assert lines(html.unescape(cue.raw_text)) == lines("\n".join(was.text.splitlines()))


@pytest.mark.parametrize("seed", range(20))
def test_no_text_breaks_sub_rip(seed: int, tmp_path: Path) -> None:
    picked = random.Random(seed)
    texts = ["".join(picked.choices([*NASTY, " ", "x\n"], k=4)) for _ in range(6)]
    cues = [Cue(i, i + 1, text) for i, text in enumerate(texts)]
    path = tmp_path / "a.srt"
    path.write_text(to_srt(cues), encoding="utf-8")
    spoken = [cue for cue in cues if lines(cue.text)]
    assert len(played(path)) == len(spoken)
    assert [c.start_in_seconds for c in webvtt.from_srt(path)] == [cue.start for cue in spoken]


def test_a_player_shows_every_character(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"
    cue = Cue(0, 1, "<b>1 < 2</b> --> & &amp;")
    path.write_text(to_vtt([cue]), encoding="utf-8")
    assert played(path) == [cue.text]


def test_sub_rip_has_look_alikes_for_what_it_cannot_say(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text(to_srt([Cue(0, 1, "<b>x</b> {\\an8}1 < 2 --> & a<b")]), encoding="utf-8")
    assert played(path) == ["‹b›x‹/b› (\\an8)1 < 2 → & a<b"]  # noqa: RUF001
