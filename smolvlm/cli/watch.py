"""The command `smolvlm watch`: the options that no other command has, nothing else.

As in `main.py`, nothing heavy is imported before it is called. What it does is in `watching.py`;
defaults named here are those of `watching.Wanted`, which a test compares.
"""

from __future__ import annotations

from typing import Annotated

import typer

from smolvlm.cli import flags
from smolvlm.cli.groups import ENGINE, SOURCE, URLS, Given, takes
from smolvlm.cli.terminal import reported

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A camera (0, /dev/video0), an address (rtsp, http; see --allow-url), or a clip, which"
        " is played as if it were happening.",
        show_default=False,
    ),
]
When = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="A question for yes or no, put when the scene has changed."),
]
Ask = Annotated[
    str | None,
    typer.Option("--ask", metavar="TEXT", help="Any question, put when the scene has changed."),
]
Every = Annotated[
    str | None, typer.Option("--every", metavar="TIME", help="Time between looks. [default: 1s]")
]
Threshold = Annotated[
    float | None,
    typer.Option(metavar="P", help="Probability from which it is yes. [default: 0.6]"),
]
NoThreshold = Annotated[
    float | None,
    typer.Option(metavar="P", help="And down to which it is no again. [default: 0.2 below]"),
]
Hold = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Shortest time that an answer stands. [default: 0s]"),
]
Window = Annotated[
    int | None,
    typer.Option(
        "--window", metavar="N", help="Changed frames that --ask looks back on. [default: 4]"
    ),
]
Sensitivity = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="How different a scene counts as changed: 0 always, 1 never. [default: 0.05]",
    ),
]
NoDescribe = Annotated[
    bool,
    typer.Option(
        "--no-describe",
        help="Do not put what is seen into words; they are events, and a memory for --ask.",
    ),
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option("--max-new-tokens", metavar="N", help="Longest answer, in tokens. [default: 48]"),
]
Save = Annotated[
    str | None,
    typer.Option("--save", metavar="FOLDER", help="Save the frame of every event as JPEG."),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", metavar="FILE", help="Add the events to a file of JSON lines; - prints those."
    ),
]
Speed = Annotated[
    float | None,
    typer.Option(metavar="X", help="Play a clip so many times faster. [default: 1]"),
]
MaxSteps = Annotated[int | None, typer.Option(metavar="N", help="End after so many looks.")]
AllowPrivate = Annotated[
    bool,
    typer.Option(
        "--allow-private",
        help="The address may be in this network or machine, where most cameras are.",
    ),
]


WATCHED = {
    "when": When, "ask": Ask, "every": Every, "threshold": Threshold, "no_threshold": NoThreshold,
    "hold": Hold, "window": Window, "sensitivity": Sensitivity, "no_describe": NoDescribe,
    "save": Save, "out": Out, "speed": Speed, "max_steps": MaxSteps,
    "max_new_tokens": MaxNewTokens, "allow_private": AllowPrivate,
}  # fmt: skip


@takes(wanted=WATCHED, load={**ENGINE, **SOURCE}, fetched=URLS)
def watch(
    source: Source,
    model: flags.Model = "embedded",
    *,
    wanted: Given,
    load: Given,
    fetched: Given,
) -> None:
    """Watch a camera, and say what changes and when a question becomes true.

    Stop it with Ctrl-C.

    Example: smolvlm watch 0 --when "Is a person at the door?" --out events.jsonl --save frames
    """
    with reported():
        from smolvlm.cli.watching import Wanted, run

        run(Wanted(source, **wanted, allow_url=bool(fetched)), model, load=load)
