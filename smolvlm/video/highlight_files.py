"""What a highlight run leaves in its folder: `cuts.json`, `highlights.html`, and the cut clip.

The cut list says everything: what was wished for, described and looked for, every score, every cut
with its reason, and where the copied stretches really begin and end. The page shows the same to
people (`page.py`); stretches are copied by `media/cutting.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smolvlm.errors import InputError, MediaError
from smolvlm.media.cutting import Cut, cut_clip, suffix_for
from smolvlm.media.video_frames import Video
from smolvlm.video.highlights import Highlights
from smolvlm.video.page import Page, Thumbnail, render
from smolvlm.video.picking import Run
from smolvlm.video.writing import check_place, replacing, write_text

CUTS, PAGE, CLIP = "cuts.json", "highlights.html", "highlights"
KEYFRAMES = (
    "Packets are copied, so a copied stretch begins at the last keyframe at or before its start"
    " (first) and ends where no picture is missing (last); at is its place in the new clip."
)


@dataclass(frozen=True)
class Copied:
    """The cut clip: its path and its stretches; without one, why not."""

    path: Path | None = None
    stretches: tuple[Cut, ...] = ()
    lack: str = ""

    @property
    def name(self) -> str | None:
        """The file's name in its folder."""
        return None if self.path is None else self.path.name


class HighlightFolder:
    """The folder of one run. Its places are tried before anything is looked at."""

    def __init__(self, folder: Path, source: str | Path) -> None:
        """source: the clip. `InputError` if the folder cannot be written, or holds the clip where
        the cut one would go.
        """
        self.source = Path(source)
        self.cuts, self.page = folder / CUTS, folder / PAGE
        self.clip = folder / f"{CLIP}{suffix_for(self.source)}"
        for path in (self.cuts, self.page, self.clip):
            check_place(path)
        if self.clip.resolve() == self.source.resolve():
            raise InputError(f"{self.clip} is the clip itself; choose another folder (--out)")

    def write(self, found: Highlights, video: Video, settings: Mapping[str, Any]) -> Copied:
        """Write all there is; `InputError` when the disk is full. What is there is replaced."""
        copied = self._copy(found)
        data = cut_list(found, video, settings, copied)
        write_text(self.cuts, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
        write_text(self.page, render(page(found, video, settings, copied)))
        return copied

    def _copy(self, found: Highlights) -> Copied:
        """The cut clip, where there is something to cut from a file; an old one goes."""
        spans = [(run.start, run.end) for run in found.cuts]
        lack = "" if spans else "no segment reached the threshold"
        if not self.source.is_file():
            lack = lack or f"{self.source} is no file whose packets could be copied"
        if lack:
            self.clip.unlink(missing_ok=True)
            return Copied(lack=lack)
        try:
            with replacing(self.clip) as part:
                stretches = cut_clip(self.source, spans, part)
        except MediaError as error:
            self.clip.unlink(missing_ok=True)
            return Copied(lack=str(error))
        return Copied(self.clip, tuple(stretches))


def cut_list(
    found: Highlights, video: Video, settings: Mapping[str, Any], copied: Copied
) -> dict[str, Any]:
    """Everything about a run, as it goes into `cuts.json`; times in seconds."""
    wish = found.wish
    cuts = [
        {"start": _ms(run.start), "end": _ms(run.end), "score": _p(run.score), "reason": reason}
        for run, reason in zip(found.cuts, found.reasons, strict=True)
    ]
    return {
        "clip": video.name,
        "duration": _ms(video.duration),
        "about": wish.about,
        "settings": {**settings, **{k: v for k, v in asdict(wish).items() if k != "about"}},
        "description": found.description,
        "criteria": list(found.chosen.lines),
        "tried": [
            {"criteria": list(tried.lines), "share": _p(tried.share(wish.threshold))}
            for tried in found.tried
        ],
        "segments": [
            {"start": _ms(s.start), "end": _ms(s.end), "score": _p(s.score)} for s in found.segments
        ],
        "unread": [
            {"start": _ms(piece.start), "end": _ms(piece.end), "problem": problem}
            for piece, problem in found.unread
        ],
        "cuts": cuts,
        "copy": copied.name,
        "copy_lacks": copied.lack or None,
        "copied": [{k: _ms(v) for k, v in asdict(cut).items()} for cut in copied.stretches],
        "note": KEYFRAMES,
    }


def page(found: Highlights, video: Video, settings: Mapping[str, Any], copied: Copied) -> Page:
    """The same for people, with a picture of each cut."""
    wish, segments = found.wish, found.segments
    told = {
        **settings,
        "segments": f"{wish.every:g} s",
        "threshold": f"{wish.threshold:g}",
        "to keep": "all" if wish.keep is None else f"{wish.keep:g} s",
        "seed": wish.seed,
    }
    return Page(
        clip=Path(video.name).name,
        about=wish.about,
        start=segments[0].start,
        end=segments[-1].end,
        segments=segments,
        cuts=found.cuts,
        thumbnails=[thumbnail(video, run) for run in found.cuts],
        reasons=found.reasons,
        threshold=wish.threshold,
        criteria=found.chosen.lines,
        description=found.description,
        settings=told,
        copy=copied.name,
        lack=copied.lack,
    )


def thumbnail(video: Video, run: Run) -> Thumbnail:
    """The frame in the middle of the best segment of a cut."""
    best = max(run.segments, key=lambda segment: segment.score)
    time = (best.start + best.end) / 2
    [frame] = video.read([time])
    return Thumbnail(frame.picture, time)


def _ms(seconds: float) -> float:
    return round(seconds, 3)


def _p(probability: float) -> float:
    return round(probability, 4)
