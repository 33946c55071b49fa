"""`smolvlm video`: a clip and a question in, an answer out, or one for every stretch of the clip.

Joins options, `video/` and what is printed. Answers go to stdout; the times they rest on, and
everything else said about them, to stderr. Whatever can be wrong with the clip, the options and the
places of files is said before a model is looked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from smolvlm import api
from smolvlm.cli.arguments import QUESTION_FOR_CLIP
from smolvlm.cli.ask import check_settings, print_json, print_pieces
from smolvlm.cli.models import comes_from_hub
from smolvlm.cli.show import timings_json
from smolvlm.cli.terminal import one_line, print_warning, progress_bar, say, waiting
from smolvlm.errors import InputError
from smolvlm.media.sampling import segment
from smolvlm.media.video_frames import Video
from smolvlm.media.videos import open_video
from smolvlm.types import Answer, VideoOptions
from smolvlm.video.answer_files import AnswerFiles, json_line
from smolvlm.video.segments import SegmentAnswer, answer_each, divide
from smolvlm.video.times import clock, parse_length, parse_time, span
from smolvlm.video.windows import Looked, Window, look_through

LISTED = 12  # times that are named one by one


@dataclass(frozen=True)
class Asked:
    """What is asked of which clip, and where the answers go; times as they were typed."""

    clip: str
    question: str | None
    every: str | None = None
    out: Sequence[str] = ()
    window: int | None = None
    json: bool = False

    @property
    def words(self) -> str:
        """The question, or that of `smolvlm ask` where there is none."""
        return self.question if self.question and self.question.strip() else QUESTION_FOR_CLIP


def run(
    asked: Asked,
    model: str,
    *,
    load: Mapping[str, Any],
    generation: Mapping[str, Any],
    sampling: Mapping[str, Any],
) -> None:
    """Answer. `load` and `generation` as for `ask`; `sampling`: fields of `VideoOptions`."""
    check_settings(load, generation)
    options = read_sampling(sampling)
    _check(asked)
    allow_url = load.get("allow_urls", False)
    with open_video(asked.clip, rate=options.rate, allow_url=allow_url) as video:
        if asked.every is None:
            segment(video, options)  # a part that is not there
            _answer_once(asked, video, options, model, load, generation)
        else:
            _answer_over_time(asked, video, options, model, load, generation)


def read_sampling(sampling: Mapping[str, Any]) -> VideoOptions:
    """`VideoOptions` from what was typed: start and end are times, the rest is as it is there."""
    given: dict[str, Any] = {
        name: parse_time(value) if name in ("start", "end") else value
        for name, value in sampling.items()
    }
    return VideoOptions(**given)


def open_model(model: str, load: Mapping[str, Any]) -> api.Assistant:
    """A model and its engine, with something that moves meanwhile."""
    with waiting("opening the model", shown=not comes_from_hub(model)):
        assistant = api.load(model, **load)
    with waiting("preparing the engine"):
        assistant.info()
    return assistant


def _check(asked: Asked) -> None:
    if asked.every is None and asked.out:
        raise InputError(
            "--out writes answers over time; say how long each stretch is: --every 10s"
        )
    if asked.every is not None and asked.window is not None:
        raise InputError("--every and --window both divide the clip; give one of them")
    if asked.window is not None and asked.window < 1:
        raise InputError(f"--window is {asked.window}; wanted at least 1 frame")


def _answer_once(
    asked: Asked,
    video: Video,
    options: VideoOptions,
    model: str,
    load: Mapping[str, Any],
    generation: Mapping[str, Any],
) -> None:
    assistant = open_model(model, load)
    with progress_bar() as progress:
        looked = look_through(
            assistant, video, asked.words, options, generation,
            window=asked.window, progress=progress,
        )  # fmt: skip
    if asked.json:
        print_json(looked_json(looked, looked.stream.finish()))
        return
    for window in looked.windows:
        say(window_line(window))
    print_pieces(looked.stream)
    say(rests_on(looked.times))


def _answer_over_time(
    asked: Asked,
    video: Video,
    options: VideoOptions,
    model: str,
    load: Mapping[str, Any],
    generation: Mapping[str, Any],
) -> None:
    assert asked.every is not None
    segments = divide(video, options, parse_length(asked.every, "--every"))
    files = AnswerFiles(asked.out, asked.clip)
    assistant = open_model(model, load)
    unread: list[SegmentAnswer] = []
    with progress_bar() as progress:
        progress("answering", 0, len(segments))
        answers = answer_each(assistant, video, segments, asked.words, options, generation)
        for number, answer in enumerate(answers, start=1):
            files.add(answer)
            unread += [answer] if answer.problem else []
            print(json_line(answer) if asked.json else answer_line(answer), flush=True)
            progress("answering", number, len(segments))
    for answer in unread[:1]:
        print_warning(f"{len(unread)} of {len(segments)} stretches: {answer.problem}")
    if asked.out:
        say(f"written: {', '.join(asked.out)}")


def looked_json(looked: Looked, answer: Answer) -> dict[str, Any]:
    """What `--json` prints of an answer about a whole clip; times in seconds."""
    return {
        "answer": answer.text,
        "tokens": list(answer.tokens),
        "finish_reason": answer.finish_reason,
        "timings": timings_json(answer.timings),
        "times": [round(time, 3) for time in looked.times],
        "windows": [asdict(window) for window in looked.windows],
    }


def answer_line(answer: SegmentAnswer) -> str:
    """One answer on one line, after the stretch it is about."""
    text = f"({answer.problem})" if answer.problem else answer.text
    return f"{span(answer.start, answer.end)}  {one_line(text)}"


def window_line(window: Window) -> str:
    """What was seen of a window, on one line."""
    return f"{span(window.start, window.end)}  {one_line(window.note)}"


def rests_on(times: Sequence[float]) -> str:
    """The times an answer rests on: one by one, or from when to when if they are many."""
    frames = "1 frame" if len(times) == 1 else f"{len(times)} frames"
    if len(times) <= LISTED:
        return f"seen: {frames}, at {', '.join(map(clock, times))}"
    return f"seen: {frames}, from {clock(times[0])} to {clock(times[-1])}"
