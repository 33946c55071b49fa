"""`smolvlm ask`: pictures, clips and a question in, an answer out as it is made.

Joins the arguments, the API and what is printed. Pictures and settings are checked before a model
is looked for. The answer alone goes to stdout; everything said about it goes to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import typer

from smolvlm import api
from smolvlm.cli import show
from smolvlm.cli.arguments import open_pictures, split_arguments
from smolvlm.cli.models import comes_from_hub
from smolvlm.cli.terminal import EXIT_INTERRUPTED, one_line, waiting
from smolvlm.engines.choose import fitting
from smolvlm.errors import InputError
from smolvlm.generation.stream import AnswerStream
from smolvlm.options import read_generation
from smolvlm.processing.plans import PromptPlan
from smolvlm.types import Answer, VideoPart


@dataclass(frozen=True)
class Output:
    """What to print: the answer as JSON, a table of times, or only the plan.

    each: a line for every picture (`ask_each.py`), into the file `out` where one is named.
    """

    json: bool = False
    stats: bool = False
    explain: bool = False
    each: bool = False
    out: str | None = None

    def __post_init__(self) -> None:
        if self.each and (self.stats or self.explain):
            raise InputError("--each prints lines of JSON; leave out --stats and --explain")
        if self.out is not None and not self.each:
            raise InputError("--out is for the lines of --each; give both or send stdout to a file")


def run(
    arguments: Sequence[str],
    model: str,
    *,
    load: Mapping[str, Any],
    generation: Mapping[str, Any],
    output: Output,
) -> None:
    """Answer once. `load` and `generation` are keywords of `api.load` and `Assistant.stream`."""
    names, question = split_arguments(arguments)
    check_settings(load, generation)
    if output.each:
        from smolvlm.cli import ask_each

        ask_each.run(names, question, model, load=load, generation=generation, out=output.out)
        return
    start = perf_counter()
    pictures = open_pictures(names, allow_url=load.get("allow_urls", False))
    opened_ms = (perf_counter() - start) * 1e3
    if output.explain:
        shown = [n for n, p in zip(names, pictures, strict=True) if not isinstance(p, VideoPart)]
        print_plan(api.explain(model, pictures, question, **load), shown, as_json=output.json)
        return
    start = perf_counter()
    with waiting("opening the model", shown=not comes_from_hub(model)):
        assistant = api.load(model, **load)
    stream = assistant.stream(pictures, question, **generation)
    with waiting("preparing the engine"):
        info = assistant.info()
    load_ms = (perf_counter() - start) * 1e3
    answer = stream.finish() if output.json else print_pieces(stream)
    timings = replace(answer.timings, preprocess_ms=answer.timings.preprocess_ms + opened_ms)
    answer = replace(answer, timings=timings)
    if output.json:
        print_json(show.answer_json(answer, assistant.explain(pictures, question)))
    if output.stats:
        show.print_table(show.stats_table(answer, info, load_ms=load_ms), stderr=True)


def check_settings(load: Mapping[str, Any], generation: Mapping[str, Any]) -> None:
    """Refuse what nothing could run, before anything is opened or fetched."""
    read_generation(generation)
    fitting(load.get("engine"), load.get("precision"))


def print_plan(plan: PromptPlan, names: Sequence[str], *, as_json: bool) -> None:
    """A plan on stdout, as a table or as JSON; names: of the pictures, clips know theirs."""
    if as_json:
        print_json(show.plan_json(plan))
        return
    show.print_table(show.plan_table(plan, names))
    for line in show.clip_lines(plan):
        print(one_line(line))


def print_pieces(stream: AnswerStream) -> Answer:
    """The answer on stdout as it is made; the line is ended however the answer ends."""
    with stream:
        pieces = iter(stream)
        try:
            with waiting("looking"):
                piece = next(pieces, "")
            while piece:
                sys.stdout.write(piece)
                sys.stdout.flush()
                piece = next(pieces, "")
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
        finally:
            sys.stdout.write("\n")
            sys.stdout.flush()
    return stream.finish()


def print_json(data: Mapping[str, Any]) -> None:
    """One object on one line of stdout."""
    print(json.dumps(data, ensure_ascii=False))
