"""The moments of a clip that somebody wishes to see: the chain published with SmolVLM2.

1. Describe the whole clip.
2. From the description and the wish, choose what to look for, twice, with two prompts.
3. Ask of every segment whether it shows that: the probability of yes against no.
4. Keep the list that fewer segments meet, but some: it tells the clip's moments apart.
5. Join neighbours, pick until the wanted length is used, and say what each cut shows.

The published demo reads yes or no from written answers; here it is the likelihood of the two, which
can be ranked and has a threshold. Picking is in `picking.py`; files are written by
`highlight_files.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from smolvlm.api import Assistant
from smolvlm.errors import InputError, MediaError
from smolvlm.media.video_frames import Video
from smolvlm.processing.clips import Clip
from smolvlm.types import VideoOptions
from smolvlm.video.picking import Run, Scored, join, pick
from smolvlm.video.segments import Progress, Segment, divide, look, look_at_each
from smolvlm.video.sight import BRIEFLY, NO, YES

DESCRIBE = "What happens in this video? Describe it in detail."
CRITERIA = (
    "A video: {description}\n\nSomebody wants to see: {about}\n"
    "List the kinds of moments in this video that show it, one a line.",
    "A video: {description}\n\nSomebody wants to see: {about}\n"
    "List only the few most striking moments that belong to it, one a line.",
)
QUESTION = (
    "Somebody wants to see: {about}\nThat is shown by moments such as:\n{criteria}\n"
    "Does this part of the video show it?"
)
REASON = "In one short sentence, what happens in this part of the video?"
# As published: tokens of the description, its temperature, tokens of the lists; an answer.
DESCRIPTION_TOKENS, DESCRIPTION_TEMPERATURE, CRITERIA_TOKENS, REASON_TOKENS = 512, 0.7, 256, 64
MOST_CRITERIA = 8  # lines of a list that are read: a small model repeats itself
EVERY = 10.0  # seconds of a segment, as published

_BULLET = re.compile(r"^\s*(?:[-*•–]|\(?[0-9]+[.):])?\s*")


@dataclass(frozen=True)
class Wish:
    """What somebody wants to see of a clip.

    every: seconds a segment. threshold: the least probability of yes. keep: the most seconds in
    all; None keeps whatever reaches the threshold. seed: of the description, which is drawn.
    """

    about: str
    every: float = EVERY
    threshold: float = 0.5
    keep: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.about.strip():
            raise InputError("the wish is empty; say what you want to see")
        if not 0.0 < self.threshold <= 1.0:
            raise InputError(f"the threshold is {self.threshold:g}; wanted above 0, at most 1")
        if self.keep is not None and self.keep < self.every:
            raise InputError(
                f"{self.keep:g} s are to be kept, less than a segment of {self.every:g} s; keep"
                " more, or choose shorter segments"
            )


@dataclass(frozen=True)
class Criteria:
    """One list of what to look for, and how far each segment meets it, 0 to 1."""

    lines: tuple[str, ...]
    scores: tuple[float, ...]

    def share(self, threshold: float) -> float:
        """The part of all segments that meet it."""
        return sum(score >= threshold for score in self.scores) / max(len(self.scores), 1)


@dataclass(frozen=True)
class Highlights:
    """What was found. chosen: the list that was kept, of `tried`. reasons: one a cut.

    unread: segments that could not be read, and why.
    """

    wish: Wish
    description: str
    tried: tuple[Criteria, ...]
    chosen: Criteria
    segments: tuple[Scored, ...]
    cuts: tuple[Run, ...]
    reasons: tuple[str, ...]
    unread: tuple[tuple[Segment, str], ...] = ()


def find(
    assistant: Assistant,
    video: Video,
    wish: Wish,
    options: VideoOptions,
    progress: Progress = lambda what, done, total: None,
) -> Highlights:
    """Run the chain on the part of a clip that `options` choose.

    A segment that cannot be read (a damaged file) is left out and told; `MediaError` if all are.
    """
    pieces = divide(video, options, wish.every)
    progress("describing", 0, len(pieces))
    description = describe(assistant, video, options, wish.seed)
    lists = choose_criteria(assistant, description, wish.about)
    read, unread, rows = [], [], []
    looked = look_at_each(assistant, video, pieces, options)
    for number, (piece, clip) in enumerate(looked, start=1):
        if isinstance(clip, MediaError):
            unread.append((piece, str(clip)))
        else:
            read.append(piece)
            rows.append([probability(assistant, clip, wish.about, lines) for lines in lists])
        progress("scoring", number, len(pieces))
    columns = zip(lists, zip(*rows, strict=True), strict=True)
    tried = tuple(Criteria(lines, scores) for lines, scores in columns)
    chosen = most_telling(tried, wish.threshold)
    pairs = zip(read, chosen.scores, strict=True)
    segments = tuple(Scored(piece.start, piece.end, score) for piece, score in pairs)
    cuts = tuple(pick(join(segments, wish.threshold), wish.keep))
    progress("explaining", 0, len(cuts))
    reasons = tuple(explain(assistant, video, run, options) for run in cuts)
    return Highlights(wish, description, tried, chosen, segments, cuts, reasons, tuple(unread))


def describe(assistant: Assistant, video: Video, options: VideoOptions, seed: int) -> str:
    """What the whole clip shows, at the length and temperature of the published chain."""
    answer = assistant.ask(
        [look(assistant, video, options)],
        DESCRIBE,
        max_new_tokens=DESCRIPTION_TOKENS,
        temperature=DESCRIPTION_TEMPERATURE,
        seed=seed,
    )
    return " ".join(answer.text.split())


def choose_criteria(
    assistant: Assistant, description: str, about: str
) -> tuple[tuple[str, ...], ...]:
    """What to look for, once for each prompt of `CRITERIA`; the wish itself where nothing came."""
    lists = []
    for prompt in CRITERIA:
        question = prompt.format(description=description, about=about)
        text = assistant.ask([], question, max_new_tokens=CRITERIA_TOKENS).text
        lists.append(list_of(text) or (about,))
    return tuple(lists)


def list_of(text: str) -> tuple[str, ...]:
    """The lines of a list that a model wrote: no bullets, no numbers, none twice, a few."""
    lines = (_BULLET.sub("", line).strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in lines if line))[:MOST_CRITERIA]


def probability(assistant: Assistant, clip: Clip, about: str, lines: Sequence[str]) -> float:
    """How likely a segment is said to show what is looked for, 0 to 1."""
    question = QUESTION.format(about=about, criteria="\n".join(lines))
    shares = assistant.choose([clip], f"{question}\n{BRIEFLY}", [*YES, *NO])
    return sum(shares[: len(YES)])


def most_telling(tried: Sequence[Criteria], threshold: float) -> Criteria:
    """The list that the fewest segments meet, but some; the first of equals, or of none at all."""
    met = [criteria for criteria in tried if criteria.share(threshold) > 0]
    return min(met or tried, key=lambda criteria: criteria.share(threshold))


def explain(assistant: Assistant, video: Video, run: Run, options: VideoOptions) -> str:
    """One sentence on what a cut shows."""
    clip = look(assistant, video, replace(options, start=run.start, end=run.end))
    answer = assistant.ask([clip], REASON, max_new_tokens=REASON_TOKENS)
    return " ".join(answer.text.split())
