"""The options of the commands, each described once, and how they become keywords of the API.

An option left out is None and is not passed on, so that every default has one home:
`smolvlm/options.py` and `types.GenerationSettings`. A default named in a help text is compared with
it by a test. This module is imported by `--help` and imports nothing but typer.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

Pictures = Annotated[
    list[str],
    typer.Argument(
        metavar="PICTURE|QUESTION",
        help="Picture files (- is standard input), then the question in quotes. The last argument"
        " is the question unless it exists as a file or looks like the path of a picture."
        " Without one the picture is described.",
        show_default=False,
    ),
]
ChatPictures = Annotated[
    list[str] | None,
    typer.Argument(metavar="PICTURE", help="Pictures to talk about from the start."),
]
ModelName = Annotated[str | None, typer.Argument(metavar="NAME", help="A model to show in detail.")]
PulledName = Annotated[str, typer.Argument(metavar="NAME", help="A model name or hub id.")]

Model = Annotated[
    str, typer.Option("--model", "-m", metavar="NAME", help="A model name, hub id or folder.")
]
Engine = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="What runs the model; `smolvlm doctor` lists them."),
]
Precision = Annotated[
    str | None, typer.Option(metavar="NAME", help="Number format of the weights, such as f32.")
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", help="CPU threads to use. [default: all]")
]
MaxTiles = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Most tiles a picture may become; fewer are faster, more see detail."
    ),
]
MaxVisualTokens = Annotated[
    int | None, typer.Option(metavar="N", help="The same limit in visual tokens.")
]
Policy = Annotated[
    str | None,
    typer.Option(
        metavar="budget|reference",
        help="How pictures are split: within a budget and never enlarged, or exactly as the"
        " published processor does. [default: budget]",
    ),
]
Revision = Annotated[
    str | None, typer.Option(metavar="REF", help="Branch, tag or commit of a hub model.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]
AllowUrl = Annotated[
    bool, typer.Option("--allow-url", help="Pictures may be http(s) addresses, and are fetched.")
]
MaxNewTokens = Annotated[
    int | None,
    typer.Option(metavar="N", help="Longest answer, in tokens. [default: 256]"),
]
Temperature = Annotated[
    float | None, typer.Option(metavar="T", help="0 always takes the likeliest token. [default: 0]")
]
TopK = Annotated[
    int | None, typer.Option(metavar="N", help="Choose among the N likeliest tokens only.")
]
TopP = Annotated[
    float | None,
    typer.Option(metavar="P", help="Choose among the likeliest tokens that sum to P only."),
]
MinP = Annotated[
    float | None,
    typer.Option(metavar="P", help="Drop tokens less likely than P times the likeliest."),
]
RepetitionPenalty = Annotated[
    float | None, typer.Option(metavar="X", help="Above 1 discourages repetition. [default: 1]")
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Makes a sampled answer repeatable.")]
Stop = Annotated[
    list[str] | None,
    typer.Option(metavar="TEXT", help="End the answer before this text; may be repeated."),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="One JSON object: answer, tokens, finish_reason, timings and plan."
    ),
]
Stats = Annotated[
    bool, typer.Option("--stats", help="A table of times and tokens on standard error.")
]
Explain = Annotated[
    bool,
    typer.Option(
        "--explain",
        help="Print size, grid, tiles and tokens; no weights are read, nothing is asked.",
    ),
]
Suite = Annotated[
    str,
    typer.Option(metavar="NAME|FOLDER", help="`embedded`, or a folder with a suite.yaml."),
]
Out = Annotated[
    str,
    typer.Option(
        metavar="FOLDER",
        help="Where answers and results go; with the same folder a stopped run goes on.",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Only these tasks: E7, a family (E2), a pattern ('E1*'); may be repeated.",
    ),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="The first 6 items of each task: a check, no measurement.")
]
Limit = Annotated[int | None, typer.Option(metavar="N", help="At most N items of each task.")]

Stage = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="What is trained, how and how long: embedded, lora, image-1, image-1-500m, image-1-2b,"
        " image-2, image-2-500m, image-3, image-3-500m, video-small, video-2b, or a YAML file.",
    ),
]
Mixture = Annotated[
    str | None, typer.Option(metavar="FILE", help="A YAML file of sources and their shares.")
]
RunFolder = Annotated[
    str | None, typer.Option(metavar="FOLDER", help="Where log, checkpoints and result go.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a number of the stage; may be repeated."
    ),
]
TimeBudget = Annotated[
    str | None, typer.Option(metavar="TIME", help="End the run after this long: 90, 20m, 1.5h.")
]
AdapterOnly = Annotated[
    bool, typer.Option("--adapter", help="Write what was trained alone instead of a whole model.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run that stands in the folder.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print every number of the stage with its source; no training."),
]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="cpu or cuda. [default: a GPU if there is one]")
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Processes that prepare data. [default: none on a CPU, all cores else]"
    ),
]
SaveEvery = Annotated[
    float, typer.Option(metavar="SECONDS", help="Time between checkpoints, 300 by default.")
]
MaxFileMb = Annotated[
    float | None,
    typer.Option(metavar="MB", help="Largest file of a checkpoint, for places with a limit."),
]
TowerCacheMb = Annotated[
    float,
    typer.Option(
        metavar="MB", min=0, help="Memory for what a frozen tower made of pictures seen before."
    ),
]
Compiled = Annotated[
    bool, typer.Option("--compile", help="Fuse layers with torch.compile; pays on a GPU.")
]

QuantizedModel = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A model name, hub id or folder.", show_default=False),
]
QuantizedFolder = Annotated[
    str,
    typer.Argument(metavar="OUT", help="Where the quantised folder goes.", show_default=False),
]
Plan = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="Which layer is stored how: int8; int4 (the language model's layers); auto, which"
        " finds the layers that 4 bits cost little; or a YAML or JSON file.",
    ),
]
Calibrate = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Pictures of the kind the model will see. [default: 12 drawn ones]",
    ),
]
MaxLoss = Annotated[
    float | None,
    typer.Option(
        "--max-loss",
        metavar="X",
        help="Write nothing if the logits diverge by more nats a token; auto looks for a plan that"
        " keeps to it."
        " [default: no limit; auto: 0.005]",
    ),
]
ScoredOn = Annotated[
    str | None,
    typer.Option(
        "--suite",
        metavar="NAME|FOLDER",
        help="Also score on a suite, before and after: `embedded`, or a folder.",
    ),
]

Clip = Annotated[
    str,
    typer.Argument(
        metavar="CLIP",
        help="A clip (mp4, webm, mkv, mov, avi, gif, animated webp) or a folder of pictures.",
        show_default=False,
    ),
]
ClipQuestion = Annotated[
    str | None,
    typer.Argument(metavar="QUESTION", help="In quotes; without one the clip is described."),
]
Frames = Annotated[
    int | None,
    typer.Option("--frames", metavar="N", help="Most frames to look at. [default: as published]"),
]
Fps = Annotated[
    float | None,
    typer.Option("--fps", metavar="N", help="Frames a second to look at. [default: as published]"),
]
Start = Annotated[
    str | None, typer.Option(metavar="TIME", help="Begin here: 90, 10s, 1m30s or 00:01:30.")
]
End = Annotated[str | None, typer.Option(metavar="TIME", help="End here, written as --start.")]
Sampling = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="Which frames: reference (as published), uniform, fps, scene (where something changed)"
        " or cinepile (the published protocol of that benchmark). [default: reference]",
    ),
]
Average = Annotated[
    int | None,
    typer.Option(metavar="N", help="Make one frame of N neighbours, the mean of their pixels."),
]
Rate = Annotated[
    float | None,
    typer.Option(metavar="N", help="Frames a second of a folder of pictures. [default: 1]"),
]
Window = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Most frames in one prompt; a clip of more is looked at in windows, with what was seen"
        " before carried along. [default: as many as fit]",
    ),
]
Every = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Answer for each stretch of this length, such as 10s."),
]
OutFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="With --every: write the answers to a .jsonl, .srt or .vtt file; may be repeated.",
    ),
]
ClipJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="One JSON object: answer, times and windows; with --every one a line for each answer.",
    ),
]
About = Annotated[
    str, typer.Option(metavar="TEXT", help="What you want to see.", show_default=False)
]
HighlightFolder = Annotated[
    str | None,
    typer.Option(
        "--out", metavar="FOLDER", help="Where the result goes. [default: CLIP-highlights]"
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Most to keep in all. [default: all above the threshold]"),
]
Threshold = Annotated[
    float | None,
    typer.Option(metavar="P", help="Least probability that a segment shows it. [default: 0.5]"),
]
SegmentLength = Annotated[
    str | None, typer.Option("--every", metavar="TIME", help="Length of a segment. [default: 10s]")
]


def given(**values: Any) -> dict[str, Any]:
    """The keywords that were given: those that are neither None, False nor an empty list."""
    return {
        name: value
        for name, value in values.items()
        # By identity: 0 equals False, yet it is a value somebody gave.
        if value is not None and value is not False and value != []
    }
