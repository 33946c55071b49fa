"""The command `smolvlm`: its commands and their options, nothing else.

Each command imports what it needs when it is called, so that `smolvlm --help` is instant and
imports neither an engine nor numpy. What a command does is in the module of its name; what the
options mean is in `flags.py`; `docs/cli.md` is generated from here by `reference.py`.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from smolvlm import __version__
from smolvlm.cli import flags, video, watch
from smolvlm.cli.flags import given
from smolvlm.cli.terminal import EXIT_CHECK_FAILED, reported

app = typer.Typer(
    name="smolvlm",
    help="Ask small vision-language models about pictures, on an ordinary CPU.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: the same in a terminal, a pipe and a file, and quicker
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smolvlm {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Ask small vision-language models about pictures, on an ordinary CPU."""


@app.command()
def ask(
    arguments: flags.Pictures,
    model: flags.Model = "embedded",
    engine: flags.Engine = None,
    precision: flags.Precision = None,
    threads: flags.Threads = None,
    max_tiles: flags.MaxTiles = None,
    max_visual_tokens: flags.MaxVisualTokens = None,
    policy: flags.Policy = None,
    max_new_tokens: flags.MaxNewTokens = None,
    temperature: flags.Temperature = None,
    top_k: flags.TopK = None,
    top_p: flags.TopP = None,
    min_p: flags.MinP = None,
    repetition_penalty: flags.RepetitionPenalty = None,
    seed: flags.Seed = None,
    stop: flags.Stop = None,
    as_json: flags.Json = False,
    stats: flags.Stats = False,
    explain: flags.Explain = False,
    offline: flags.Offline = False,
    revision: flags.Revision = None,
    allow_url: flags.AllowUrl = False,
) -> None:
    """Answer a question about pictures.

    Example: smolvlm ask cat.png "What is this?"
    """
    with reported():
        from smolvlm.cli.ask import Output, run

        run(
            arguments,
            model,
            load=given(
                engine=engine, precision=precision, threads=threads, policy=policy,
                max_tiles=max_tiles, max_visual_tokens=max_visual_tokens,
                offline=offline, revision=revision, allow_urls=allow_url,
            ),
            generation=given(
                max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p,
                min_p=min_p, repetition_penalty=repetition_penalty, seed=seed, stop=stop,
            ),
            output=Output(json=as_json, stats=stats, explain=explain),
        )  # fmt: skip


@app.command()
def chat(
    pictures: flags.ChatPictures = None,
    model: flags.Model = "embedded",
    engine: flags.Engine = None,
    precision: flags.Precision = None,
    threads: flags.Threads = None,
    max_tiles: flags.MaxTiles = None,
    max_visual_tokens: flags.MaxVisualTokens = None,
    policy: flags.Policy = None,
    max_new_tokens: flags.MaxNewTokens = None,
    temperature: flags.Temperature = None,
    top_k: flags.TopK = None,
    top_p: flags.TopP = None,
    min_p: flags.MinP = None,
    repetition_penalty: flags.RepetitionPenalty = None,
    seed: flags.Seed = None,
    stop: flags.Stop = None,
    offline: flags.Offline = False,
    revision: flags.Revision = None,
    allow_url: flags.AllowUrl = False,
) -> None:
    """Talk about pictures, turn by turn; /help says how.

    Questions may be piped in, one a line.
    """
    with reported():
        from smolvlm.cli.chat import run

        run(
            pictures or [],
            model,
            load=given(
                engine=engine, precision=precision, threads=threads, policy=policy,
                max_tiles=max_tiles, max_visual_tokens=max_visual_tokens,
                offline=offline, revision=revision, allow_urls=allow_url,
            ),
            generation=given(
                max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k, top_p=top_p,
                min_p=min_p, repetition_penalty=repetition_penalty, seed=seed, stop=stop,
            ),
        )  # fmt: skip


app.command()(video.video)
app.command()(video.highlights)
app.command()(watch.watch)


@app.command()
def models(name: flags.ModelName = None) -> None:
    """List the models that have a name, or show one in detail."""
    with reported():
        from smolvlm.cli.models import print_model, print_models

        if name is None:
            print_models()
        else:
            print_model(name)


@app.command()
def pull(
    name: flags.PulledName,
    revision: flags.Revision = None,
    offline: flags.Offline = False,
) -> None:
    """Fetch a model, and print the folder it lies in."""
    with reported():
        from smolvlm.cli import models

        models.pull(name, revision=revision, offline=offline)


@app.command(name="eval")
def evaluate(
    suite: flags.Suite = "embedded",
    model: flags.Model = "embedded",
    out: flags.Out = "evaluation",
    tasks: flags.Tasks = None,
    quick: flags.Quick = False,
    limit: flags.Limit = None,
    engine: flags.Engine = None,
    precision: flags.Precision = None,
    threads: flags.Threads = None,
    max_tiles: flags.MaxTiles = None,
    max_visual_tokens: flags.MaxVisualTokens = None,
    policy: flags.Policy = None,
    offline: flags.Offline = False,
    revision: flags.Revision = None,
) -> None:
    """Score a model on a suite of tasks, beside what it scores without looking.

    Writes results.json, results.md and every answer to the --out folder, and prints the table.
    """
    with reported():
        from pathlib import Path

        from smolvlm.cli.evaluate import choose_extent, run

        run(
            suite,
            model,
            Path(out),
            load=given(
                engine=engine, precision=precision, threads=threads, policy=policy,
                max_tiles=max_tiles, max_visual_tokens=max_visual_tokens,
                offline=offline, revision=revision,
            ),
            tasks=tasks or [],
            extent=choose_extent(quick=quick, limit=limit),
        )  # fmt: skip


@app.command()
def train(
    stage: flags.Stage,
    model: flags.Model = "embedded",
    mixture: flags.Mixture = None,
    out: flags.RunFolder = None,
    assignments: flags.Assignments = None,
    time_budget: flags.TimeBudget = None,
    adapter: flags.AdapterOnly = False,
    resume: flags.Resume = False,
    dry_run: flags.DryRun = False,
    device: flags.Device = None,
    threads: flags.Threads = None,
    workers: flags.Workers = None,
    save_every: flags.SaveEvery = 300.0,
    max_file_mb: flags.MaxFileMb = None,
) -> None:
    """Train a model on conversations about pictures.

    Example: smolvlm train --stage lora --mixture mine.yaml --out runs/mine
    """
    with reported():
        from smolvlm.cli.train import Training, run

        run(
            Training(
                stage=stage, model=model, mixture=mixture, out=out, time_budget=time_budget,
                assignments=tuple(assignments or ()), output="adapter" if adapter else "model",
                resume=resume, dry_run=dry_run, device=device, threads=threads, workers=workers,
                save_every=save_every, max_file_mb=max_file_mb,
            )
        )  # fmt: skip


@app.command()
def doctor() -> None:
    """Say what can run on this machine, and what is missing.

    Shows packages, processor features, memory, the cache and every engine with what keeps it from
    running. Exits with 1 when the default engine cannot run.
    """
    with reported():
        from smolvlm.cli.doctor import examine

        healthy = examine()
    if not healthy:
        raise typer.Exit(EXIT_CHECK_FAILED)


def main() -> None:
    """The entry point."""
    # A terminal that cannot show a character shows a question mark instead of a traceback.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="smolvlm")
