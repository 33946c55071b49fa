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
from smolvlm.cli import flags, flags_speed, video, watch
from smolvlm.cli.flags import given
from smolvlm.cli.groups import ANSWER, CACHES, ENGINE, SOURCE, SPLITTING, URLS, Given, takes
from smolvlm.cli.terminal import EXIT_CHECK_FAILED, reported

LOAD = {**ENGINE, **SPLITTING, **CACHES, **SOURCE, **URLS}

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
@takes(load=LOAD, generation=ANSWER)
def ask(
    arguments: flags.Pictures,
    model: flags.Model = "embedded",
    as_json: flags.Json = False,
    stats: flags.Stats = False,
    explain: flags.Explain = False,
    each: flags_speed.Each = False,
    out: flags_speed.EachOut = None,
    *,
    load: Given,
    generation: Given,
) -> None:
    """Answer a question about pictures.

    Example: smolvlm ask cat.png "What is this?"
    """
    with reported():
        from smolvlm.cli.ask import Output, run

        output = Output(json=as_json, stats=stats, explain=explain, each=each, out=out)
        run(arguments, model, load=load, generation=generation, output=output)


@app.command()
@takes(load=LOAD, generation=ANSWER)
def chat(
    pictures: flags.ChatPictures = None,
    model: flags.Model = "embedded",
    *,
    load: Given,
    generation: Given,
) -> None:
    """Talk about pictures, turn by turn; /help says how.

    Questions may be piped in, one a line.
    """
    with reported():
        from smolvlm.cli.chat import run

        run(pictures or [], model, load=load, generation=generation)


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
def quantize(
    model: flags.QuantizedModel,
    out: flags.QuantizedFolder,
    plan: flags.Plan = "int8",
    calibrate: flags.Calibrate = None,
    max_loss: flags.MaxLoss = None,
    suite: flags.ScoredOn = None,
    limit: flags.Limit = None,
    threads: flags.Threads = None,
    offline: flags.Offline = False,
    revision: flags.Revision = None,
) -> None:
    """Store a model in 8 or 4 bits, with a receipt of what that cost.

    Example: smolvlm quantize embedded small --plan auto --calibrate photos
    """
    with reported():
        from smolvlm.cli.quantize import run

        run(
            model,
            out,
            plan=plan,
            calibrate=calibrate,
            max_loss=max_loss,
            suite=suite,
            limit=limit,
            threads=threads,
            find=given(offline=offline, revision=revision),
        )


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
    tower_cache_mb: flags.TowerCacheMb = 0.0,
    compiled: flags.Compiled = False,
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
                tower_cache_mb=tower_cache_mb, compiled=compiled,
            )
        )  # fmt: skip


@app.command()
@takes(load={"threads": flags.Threads, **SPLITTING, **SOURCE})
def bench(
    model: flags.Model = "embedded",
    engines: flags_speed.BenchEngine = None,
    precisions: flags_speed.BenchPrecision = None,
    picture: flags_speed.BenchPicture = None,
    side: flags_speed.BenchSide = 512,
    new_tokens: flags_speed.BenchTokens = 32,
    rounds: flags_speed.BenchRounds = 5,
    out: flags_speed.BenchOut = None,
    fit: flags_speed.Fit = False,
    *,
    load: Given,
) -> None:
    """Measure where the time goes on this machine, for several engines side by side.

    Example: smolvlm bench --precision bf16 --precision int8 --out bench.json
    """
    with reported():
        from smolvlm.cli import bench as command

        wanted = command.Wanted(
            model,
            engines=tuple(engines or ()),
            precisions=tuple(precisions or ()),
            picture=picture,
            side=side,
            new_tokens=new_tokens,
            rounds=rounds,
            out=command.output(out),
        )
        if fit:
            command.fit(wanted, load=load)
        else:
            command.run(wanted, load=load)


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
