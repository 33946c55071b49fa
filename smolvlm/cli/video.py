"""The commands `smolvlm video` and `smolvlm highlights`: their options, nothing else.

As in `main.py`, nothing heavy is imported before a command is called. What they do is in
`video_answers.py` and `video_highlights.py`.
"""

from __future__ import annotations

from smolvlm.cli import flags
from smolvlm.cli.groups import ANSWER, CACHES, ENGINE, SAMPLING, SOURCE, URLS, Given, takes
from smolvlm.cli.terminal import reported

LOAD = {**ENGINE, **CACHES, **SOURCE, **URLS}


@takes(sampling={**SAMPLING, "average": flags.Average}, load=LOAD, generation=ANSWER)
def video(
    clip: flags.Clip,
    question: flags.ClipQuestion = None,
    every: flags.Every = None,
    out: flags.OutFiles = None,
    window: flags.Window = None,
    as_json: flags.ClipJson = False,
    model: flags.Model = "embedded",
    *,
    sampling: Given,
    load: Given,
    generation: Given,
) -> None:
    """Answer a question about a clip, or about every stretch of it.

    Example: smolvlm video film.mp4 "What happens?" --every 10s --out film.srt
    """
    with reported():
        from smolvlm.cli.video_answers import Asked, run

        asked = Asked(
            clip, question, every=every, out=tuple(out or ()), window=window, json=as_json
        )
        run(asked, model, load=load, generation=generation, sampling=sampling)


@takes(sampling=SAMPLING, load=LOAD)
def highlights(
    clip: flags.Clip,
    about: flags.About,
    out: flags.HighlightFolder = None,
    keep: flags.Keep = None,
    threshold: flags.Threshold = None,
    every: flags.SegmentLength = None,
    seed: flags.Seed = None,
    model: flags.Model = "embedded",
    *,
    sampling: Given,
    load: Given,
) -> None:
    """Find and cut out the moments of a clip that you want to see.

    Writes cuts.json, a page with pictures and the cut clip to the --out folder.

    Example: smolvlm highlights match.mp4 --about "goals" --keep 30s
    """
    with reported():
        from smolvlm.cli.video_highlights import Wanted, run

        wanted = Wanted(
            clip, about, out=out, keep=keep, threshold=threshold, every=every, seed=seed
        )
        run(wanted, model, load=load, sampling=sampling)
