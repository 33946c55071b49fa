"""`smolvlm highlights`: a clip and a wish in; a cut list, a page and a cut clip out.

The chain is `video/highlights.py`, its files `video/highlight_files.py`. The cuts are printed, one
a line; where the files are goes to stderr. The clip, the options and the folder are tried before a
model is looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smolvlm.cli.ask import check_settings
from smolvlm.cli.terminal import one_line, print_warning, progress_bar, say
from smolvlm.cli.video_answers import open_model, read_sampling
from smolvlm.media.videos import open_video
from smolvlm.video.highlight_files import Copied, HighlightFolder
from smolvlm.video.highlights import Highlights, Wish, find
from smolvlm.video.segments import divide
from smolvlm.video.times import clock, parse_length, span


@dataclass(frozen=True)
class Wanted:
    """What is wanted of which clip, and where it goes; times as they were typed."""

    clip: str
    about: str
    out: str | None = None
    keep: str | None = None
    threshold: float | None = None
    every: str | None = None
    seed: int | None = None

    def wish(self) -> Wish:
        """The wish, checked; what was not said is as in `Wish`."""
        lengths = {
            name: parse_length(text, f"--{name}")
            for name, text in (("keep", self.keep), ("every", self.every))
            if text is not None
        }
        numbers = {"threshold": self.threshold, "seed": self.seed}
        given = {name: value for name, value in numbers.items() if value is not None}
        return Wish(self.about, **lengths, **given)  # type: ignore[arg-type]

    @property
    def folder(self) -> Path:
        """Where the files go: as said, or beside nothing else in the working directory."""
        return Path(self.out or f"{Path(self.clip).stem}-highlights")


def run(
    wanted: Wanted, model: str, *, load: Mapping[str, Any], sampling: Mapping[str, Any]
) -> None:
    """Find, cut and write. `load` as for `ask`; `sampling`: fields of `VideoOptions`."""
    check_settings(load, {})
    wish, options = wanted.wish(), read_sampling(sampling)
    allow_url = load.get("allow_urls", False)
    with open_video(wanted.clip, rate=options.rate, allow_url=allow_url) as video:
        divide(video, options, wish.every)  # segments that cannot be
        folder = HighlightFolder(wanted.folder, wanted.clip)
        assistant = open_model(model, load)
        engine = assistant.info().engine
        with progress_bar() as progress:
            found = find(assistant, video, wish, options, progress)
        settings = {
            "model": Path(model).name,
            "engine": f"{engine.name} {engine.precision}",
            **sampling,
        }
        copied = folder.write(found, video, settings)
    print_cuts(found)
    print_files(folder, found, copied)


def print_cuts(found: Highlights) -> None:
    """Each cut on a line of stdout: times, probability, what it shows."""
    for run_, reason in zip(found.cuts, found.reasons, strict=True):
        print(f"{span(run_.start, run_.end)}  {run_.score:.2f}  {one_line(reason)}")


def print_files(folder: HighlightFolder, found: Highlights, copied: Copied) -> None:
    """What was written, and what is lacking, on stderr."""
    if found.unread:
        piece, problem = found.unread[0]
        print_warning(
            f"{len(found.unread)} segments could not be read, the first at {clock(piece.start)}:"
            f" {problem}"
        )
    if not found.cuts:
        best = max(found.segments, key=lambda segment: segment.score)
        print_warning(
            f"no segment reached {found.wish.threshold:g}; the best was {best.score:.2f} at"
            f" {span(best.start, best.end)}. Lower --threshold to see it"
        )
    elif copied.path is None:
        print_warning(f"no clip was cut: {copied.lack}")
    written = [folder.cuts, folder.page, *([copied.path] if copied.path else [])]
    say(f"written: {', '.join(map(str, written))}")
