"""The options about speed: budgets, caches, guesses, many pictures at once, and what to measure.

As in `flags.py`: each described once, nothing imported but typer.
"""

from __future__ import annotations

from typing import Annotated

import typer

Budget = Annotated[
    str | None,
    typer.Option(
        metavar="TIME|TOKENS",
        help="Spend at most this on the pictures of a question: 256tok (visual tokens), or 500ms to"
        " the first word once `smolvlm bench --fit` has measured this machine.",
    ),
]
FeatureCache = Annotated[
    int | None,
    typer.Option(
        metavar="MIB",
        help="Memory for what was seen, so that no tile is looked at twice; 0 is off."
        " [default: 256]",
    ),
]
PrefixCache = Annotated[
    int | None,
    typer.Option(
        metavar="MIB",
        help="Memory for what was read, so that no beginning is read twice; 0 is off."
        " [default: 256]",
    ),
]
DiskCache = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Keep both in this folder too, for later runs. It tells of the pictures it was made"
        " from.",
    ),
]
DiskCacheLimit = Annotated[
    int | None, typer.Option(metavar="MIB", help="Most that folder may hold. [default: 1024]")
]
Lookup = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Guess up to N tokens a step from what was read and said: the same answer, sooner"
        " where it repeats. [default: 0]",
    ),
]
KeepRepeating = Annotated[
    bool,
    typer.Option("--keep-repeating", help="Do not end an answer that repeats itself endlessly."),
]
Each = Annotated[
    bool,
    typer.Option(
        "--each",
        help="Ask about every picture by itself, also about all pictures of a folder; one JSON"
        " object a line.",
    ),
]
EachOut = Annotated[
    str | None,
    typer.Option("--out", metavar="FILE", help="With --each: the file its lines go to."),
]

BenchEngine = Annotated[
    list[str] | None,
    typer.Option("--engine", metavar="NAME", help="An engine to measure; may be repeated."),
]
BenchPrecision = Annotated[
    list[str] | None,
    typer.Option("--precision", metavar="NAME", help="A number format; may be repeated."),
]
BenchPicture = Annotated[
    str | None,
    typer.Option("--picture", metavar="FILE", help="What to look at. [default: one that is made]"),
]
BenchSide = Annotated[
    int, typer.Option("--side", metavar="PIXELS", help="Side of the picture that is made, 512.")
]
BenchTokens = Annotated[
    int, typer.Option("--new-tokens", metavar="N", help="Tokens to write in every round, 32.")
]
BenchRounds = Annotated[
    int, typer.Option("--rounds", metavar="N", help="Rounds of every engine, in turn, 5.")
]
BenchOut = Annotated[
    str | None, typer.Option("--out", metavar="FILE", help="Write everything there as JSON.")
]
Fit = Annotated[
    bool,
    typer.Option("--fit", help="Measure what questions cost here, for `--budget 500ms`, and end."),
]
