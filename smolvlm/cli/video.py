"""The commands `smolvlm video` and `smolvlm highlights`: their options, nothing else.

As in `main.py`, nothing heavy is imported before a command is called. What they do is in
`video_answers.py` and `video_highlights.py`.
"""

from __future__ import annotations

from smolvlm.cli import flags
from smolvlm.cli.flags import given
from smolvlm.cli.terminal import reported


def video(
    clip: flags.Clip,
    question: flags.ClipQuestion = None,
    every: flags.Every = None,
    out: flags.OutFiles = None,
    frames: flags.Frames = None,
    fps: flags.Fps = None,
    start: flags.Start = None,
    end: flags.End = None,
    sampling: flags.Sampling = None,
    average: flags.Average = None,
    rate: flags.Rate = None,
    window: flags.Window = None,
    model: flags.Model = "embedded",
    engine: flags.Engine = None,
    precision: flags.Precision = None,
    threads: flags.Threads = None,
    max_new_tokens: flags.MaxNewTokens = None,
    temperature: flags.Temperature = None,
    top_k: flags.TopK = None,
    top_p: flags.TopP = None,
    min_p: flags.MinP = None,
    repetition_penalty: flags.RepetitionPenalty = None,
    seed: flags.Seed = None,
    stop: flags.Stop = None,
    as_json: flags.ClipJson = False,
    offline: flags.Offline = False,
    revision: flags.Revision = None,
    allow_url: flags.AllowUrl = False,
) -> None:
    """Answer a question about a clip, or about every stretch of it.

    Example: smolvlm video film.mp4 "What happens?" --every 10s --out film.srt
    """
    with reported():
        from smolvlm.cli.video_answers import Asked, run

        run(
            Asked(clip, question, every=every, out=tuple(out or ()), window=window, json=as_json),
            model,
            load=given(
                engine=engine, precision=precision, threads=threads, offline=offline,
                revision=revision, allow_urls=allow_url,
            ),
            generation=given(
                max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p,
                min_p=min_p, repetition_penalty=repetition_penalty, seed=seed, stop=stop,
            ),
            sampling=given(
                max_frames=frames, fps=fps, start=start, end=end, sampling=sampling,
                average=average, rate=rate,
            ),
        )  # fmt: skip


def highlights(
    clip: flags.Clip,
    about: flags.About,
    out: flags.HighlightFolder = None,
    keep: flags.Keep = None,
    threshold: flags.Threshold = None,
    every: flags.SegmentLength = None,
    frames: flags.Frames = None,
    fps: flags.Fps = None,
    start: flags.Start = None,
    end: flags.End = None,
    sampling: flags.Sampling = None,
    rate: flags.Rate = None,
    model: flags.Model = "embedded",
    engine: flags.Engine = None,
    precision: flags.Precision = None,
    threads: flags.Threads = None,
    seed: flags.Seed = None,
    offline: flags.Offline = False,
    revision: flags.Revision = None,
    allow_url: flags.AllowUrl = False,
) -> None:
    """Find and cut out the moments of a clip that you want to see.

    Writes cuts.json, a page with pictures and the cut clip to the --out folder.

    Example: smolvlm highlights match.mp4 --about "goals" --keep 30s
    """
    with reported():
        from smolvlm.cli.video_highlights import Wanted, run

        run(
            Wanted(clip, about, out=out, keep=keep, threshold=threshold, every=every, seed=seed),
            model,
            load=given(
                engine=engine, precision=precision, threads=threads, offline=offline,
                revision=revision, allow_urls=allow_url,
            ),
            sampling=given(
                max_frames=frames, fps=fps, start=start, end=end, sampling=sampling, rate=rate
            ),
        )  # fmt: skip
