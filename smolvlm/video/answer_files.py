"""Answers over time in files: JSON lines, SubRip, WebVTT, by the suffix of the name.

Every file is whole at any moment: it is written anew after each answer, so that what was said
before a long run was stopped is there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from smolvlm.errors import InputError
from smolvlm.video.segments import SegmentAnswer
from smolvlm.video.subtitles import Cue, to_srt, to_vtt
from smolvlm.video.writing import check_place, write_text

Writer = Callable[[Sequence[SegmentAnswer]], str]


def json_line(answer: SegmentAnswer) -> str:
    """One answer on one line: start, end and times in seconds, text, and why it ended.

    `problem` is there only where a segment has no answer.
    """
    told = asdict(answer)
    for name in ("start", "end"):
        told[name] = round(told[name], 3)
    told["times"] = [round(time, 3) for time in answer.times]
    if not answer.problem:
        del told["problem"]
    return json.dumps(told, ensure_ascii=False)


def _to_jsonl(answers: Sequence[SegmentAnswer]) -> str:
    return "".join(f"{json_line(answer)}\n" for answer in answers)


def _cues(answers: Sequence[SegmentAnswer]) -> list[Cue]:
    return [Cue(answer.start, answer.end, answer.text) for answer in answers]


WRITERS: dict[str, Writer] = {
    ".jsonl": _to_jsonl,
    ".srt": lambda answers: to_srt(_cues(answers)),
    ".vtt": lambda answers: to_vtt(_cues(answers)),
}


class AnswerFiles:
    """Some files that hold the same answers; `add` brings all of them up to date."""

    def __init__(self, names: Sequence[str], clip: str | Path) -> None:
        """Names that end in .jsonl, .srt or .vtt. Their places are tried at once.

        `InputError` for any other suffix, a name twice, a file that is the clip itself, or a place
        that cannot be written.
        """
        self._paths = [Path(name) for name in names]
        self._answers: list[SegmentAnswer] = []
        for path in self._paths:
            if path.suffix.lower() not in WRITERS:
                raise InputError(
                    f"{path} ends in {path.suffix or 'nothing'}; answers over time are written as"
                    f" {', '.join(WRITERS)}"
                )
            if [other.resolve() for other in self._paths].count(path.resolve()) > 1:
                raise InputError(f"{path} is given twice; one file holds all answers")
            if path.resolve() == Path(clip).resolve():
                raise InputError(f"{path} is the clip itself; choose another name")
            check_place(path)

    def add(self, answer: SegmentAnswer) -> None:
        """Write every file with one more answer; `InputError` if one cannot be written."""
        self._answers.append(answer)
        for path in self._paths:
            write_text(path, WRITERS[path.suffix.lower()](self._answers))
