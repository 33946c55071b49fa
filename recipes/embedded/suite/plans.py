"""The embedded suite: every task with its scores, its target and where its items come from.

Tasks and targets follow the evaluation table of the data plan (E1-E16), and so do the numbers of
items where the whole suite still runs in 40 minutes on two cores. The targets are judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from recipes.embedded.generators import (
    asking,
    clips,
    composites,
    documents,
    pdf,
    screens,
    several,
    shapes,
    tables,
    text,
)
from recipes.embedded.generators import questions as asked
from recipes.embedded.generators import wordings as written
from recipes.embedded.generators.colours import COLOURS
from recipes.embedded.generators.english import ORDINALS, sentence, with_article
from recipes.embedded.generators.questions import Generator
from recipes.embedded.materials import Materials, Split
from recipes.embedded.suite import vega
from recipes.embedded.suite.artists import Artists
from recipes.embedded.suite.changed import Changes
from recipes.embedded.suite.digits import MNIST, Digits
from recipes.embedded.suite.drawn import Drawn, SplitGenerator
from recipes.embedded.suite.moving import Clips
from recipes.embedded.suite.named import Named
from recipes.embedded.suite.points import Points
from recipes.embedded.suite.printed import Printed
from recipes.embedded.suite.rows import Plan
from recipes.embedded.suite.screenshots import Screenshots
from recipes.embedded.suite.shown import Shown
from recipes.embedded.suite.texts import Texts
from recipes.embedded.suite.worn import worn
from smolvlm.types import Sample

YES_NO = ("Yes.", "No.")
COUNTS = tuple(str(number) for number in range(11))
ALL_COLOURS = tuple(sentence(colour) for colour in COLOURS)
ALL_SHAPES = tuple(sentence(with_article(shape)) for shape in shapes.SHAPES)
SIDES = tuple(sentence(side) for side in asking.DIRECTIONS)
THREE = tuple(sentence(f"the {place}") for place in ORDINALS[:3])
WAYS = tuple(sentence(way) for way in clips.STEPS)
PLACES = tuple(sentence(place) for place in asking.POSITIONS)
LEAST_PRINTED = 12  # characters of a printed line: a lone word of a page is no line
READING = 128  # most new tokens where text is read
LONG_READING = 192


def seeds_only(generator: Generator) -> SplitGenerator:
    """A generator that draws without any material of a split: other seeds are other pictures."""

    def generate(materials: Materials, seed: int, *, split: Split) -> Sample:
        return generator(materials, seed)

    return generate


def _choice(
    generator: SplitGenerator,
    wordings: tuple[str, ...],
    choices: tuple[str, ...],
    each: int,
    *,
    accept: Callable[[str, str], bool] = lambda question, answer: True,
) -> Drawn:
    """A plan in which every choice is right as often; no wordings takes first turns."""
    return Drawn(
        generator,
        each * len(choices),
        wordings=wordings,
        answers=choices,
        choices=choices,
        accept=accept,
    )


def _is_line(question: str, answer: str) -> bool:
    return 20 <= len(answer) <= 40


def _is_paragraph(question: str, answer: str) -> bool:
    return answer.count("\n") >= 3


def _is_one_line(question: str, answer: str) -> bool:
    return "\n" not in answer


def _is_printed_line(question: str, answer: str) -> bool:
    return "\n" not in answer and len(answer) >= LEAST_PRINTED


def _is_there(question: str, answer: str) -> bool:
    return not answer.startswith(("There is no", "{"))  # {: fields as JSON, judged elsewhere


def _is_of_three(question: str, answer: str) -> bool:
    return "third" in question


def mixed(generators: Mapping[str, SplitGenerator]) -> SplitGenerator:
    """Several generators in turn, by seed."""
    names = sorted(generators)

    def generate(materials: Materials, seed: int, *, split: Split) -> Sample:
        return generators[names[seed % len(names)]](materials, seed, split=split)

    return generate


NAMING = (
    Plan("E1a", "unseen artist, 4 names", "choice", ("accuracy",), Named("distractors"), 0.85,
         listed=False),
    Plan("E1b", "unseen artist, 20 names", "choice", ("accuracy",),
         Named("distractors_20", most=200), 0.65, listed=False),
    Plan("E1c", "unseen artist, open", "open", ("keyword",), Named(None), 0.45, listed=False),
    Plan("E1d", "withheld concepts, 5 artists, 4 names", "choice", ("accuracy",), Artists(), 0.35),
    Plan("E1e-choice", "picture words, 4 answers", "choice", ("accuracy",),
         Shown("e1e_words.jsonl", ways=4), 0.75, listed=False),
    Plan("E1e-open", "picture words, open", "open", ("keyword",),
         Shown("e1e_words.jsonl"), 0.4, listed=False),
    Plan("E14-choice", "test photograph, 10 answers", "choice", ("accuracy",),
         Shown("e14_photos.jsonl", ways=10), 0.45, listed=False),
    Plan("E14-open", "test photograph, open", "open", ("keyword",),
         Shown("e14_photos.jsonl"), 0.2, listed=False),
)  # fmt: skip
_documents = {kind: partial(documents.document, kind=kind) for kind in documents.GENERATORS}
READ = (
    Plan("E2a", "word, unseen font", "open", ("exact", "cer"),
         Drawn(text.word, 500), 0.9),
    Plan("E2a-degraded", "word, worn picture", "open", ("exact", "cer"),
         Drawn(worn(text.word), 250), 0.7),
    Plan("E2b", "line of 20-40 characters", "open", ("cer", "exact"),
         Drawn(text.line, 300, accept=_is_line), 0.05, READING),
    Plan("E2c", "paragraph of 4-5 lines", "open", ("cer", "wer"),
         Drawn(text.paragraph, 100, accept=_is_paragraph), 0.12, READING),
    Plan("E2d", "handwriting-like line", "open", ("cer",),
         Drawn(text.handwriting, 200, accept=_is_one_line), 0.15, READING),
    Plan("E3", "real printed page, one line", "open", ("cer", "exact"),
         Drawn(pdf.page, 200, accept=_is_printed_line), 0.06, READING),
    Plan("E3-3", "real printed page, 3 lines", "open", ("cer", "wer"),
         Printed(3, 99), 0.12, READING),
    Plan("E3-8", "real printed page, 8 lines", "open", ("cer", "wer"),
         Printed(8, 48), 0.3, LONG_READING),
    Plan("E4", "document, unseen look", "open", ("anls", "exact"),
         Drawn(mixed(_documents), 400, accept=_is_there), 0.7),
    Plan("E5-value", "chart value, Vega-Lite", "open", ("relaxed",),
         Drawn(vega.chart, 200,
               wordings=(*written.WORDINGS["value"], *written.WORDINGS["series value"])), 0.45),
    Plan("E5-label", "chart extreme, Vega-Lite", "open", ("exact",),
         Drawn(vega.chart, 150,
               wordings=(*written.WORDINGS["highest"], *written.WORDINGS["lowest"])), 0.75),
    Plan("E5-yesno", "chart comparison, Vega-Lite", "choice", ("accuracy",),
         _choice(vega.chart, written.WORDINGS["larger"], YES_NO, 75), 0.75),
    Plan("E6", "table lookup, unseen style", "open", ("exact", "anls"),
         Drawn(tables.table, 400, accept=_is_there, wordings=(
             *written.WORDINGS["cell"], *written.WORDINGS["row of"], *written.WORDINGS["row with"],
         )), 0.65),
    Plan("E10-button", "button text, unseen look", "open", ("exact", "cer"),
         Drawn(screens.screen, 100, wordings=written.WORDINGS["button says"]), 0.75),
    Plan("E10-state", "state of a control, unseen look", "choice", ("accuracy",),
         _choice(screens.screen, (
             *written.WORDINGS["is ticked"], *written.WORDINGS["is on"],
             *written.WORDINGS["is disabled"],
         ), YES_NO, 50), 0.85),
    Plan("E10-point", "point at a control, unseen look", "open", ("point",), Points(100), 0.6),
    Plan("E10-gnome-text", "GNOME screenshot, text", "open", ("exact", "cer"),
         Screenshots("text"), 0.75, listed=False),
    Plan("E10-gnome-state", "GNOME screenshot, state", "choice", ("accuracy",),
         Screenshots("state"), 0.85, listed=False),
    Plan("E10-gnome-point", "GNOME screenshot, point", "open", ("point",),
         Screenshots("point"), 0.6, listed=False),
)  # fmt: skip
_shapes = {name: seeds_only(generator) for name, generator in shapes.GENERATORS.items()}
_scenes = composites.GENERATORS
_groups = several.GENERATORS
_forms = asked.WORDINGS
SEEN = (
    Plan("E7", "counting 0-10, unseen drawings", "open", ("number", "mae"),
         Drawn(_scenes["composite_count"], 550, wordings=_forms["count"], answers=COUNTS), 0.75),
    Plan("E8-colour", "colour of a shape, 11", "choice", ("accuracy",),
         _choice(_shapes["shape_colour"], _forms["colour"], ALL_COLOURS, 40), 0.97),
    Plan("E8-shape", "shape, 8", "choice", ("accuracy",),
         _choice(_shapes["shape_name"], _forms["shape"], ALL_SHAPES, 40), 0.95),
    Plan("E9-yesno", "relation, yes or no", "choice", ("accuracy",),
         _choice(_scenes["composite_relation"], _forms["side"], YES_NO, 100), 0.9),
    Plan("E9-side", "relation, 4 directions", "choice", ("accuracy",),
         _choice(_scenes["composite_side"], _forms["which side"], SIDES, 50), 0.88),
    Plan("E9-place", "place in the picture, 9", "choice", ("accuracy",),
         _choice(_scenes["composite_position"], _forms["position"], PLACES, 22), 0.85),
    Plan("E11", "handwritten digits, 8x8 scans", "choice", ("accuracy",), Digits(each=30), 0.9),
    Plan("E11-mnist", "handwritten digits, 28x28 scans", "choice", ("accuracy",),
         Digits(30, MNIST), 0.95),
    Plan("E12-same", "two pictures, same thing", "choice", ("accuracy",),
         _choice(_groups["pair_same"], (), YES_NO, 50), 0.85),
    Plan("E12-which", "which of three pictures", "choice", ("accuracy",),
         _choice(_groups["pair_which"], (), THREE, 33, accept=_is_of_three), 0.85),
    Plan("E12-change", "what changed between two, 5 answers", "choice", ("accuracy",),
         Changes(100), 0.6),
    Plan("E13-way4", "clip, 4 directions", "choice", ("accuracy", "flip_rate"),
         Clips("clip_direction4", 8, answers=WAYS[:4], choices=WAYS[:4]), 0.85),
    Plan("E13-way8", "clip, 8 directions", "choice", ("accuracy", "flip_rate"),
         Clips("clip_direction8", 4, answers=WAYS, choices=WAYS), 0.75),
    Plan("E13-last", "clip, what appears last of 3", "choice", ("accuracy", "flip_rate"),
         Clips("clip_last", 25, named=True), 0.7),
    Plan("E13-moved", "clip, who moved", "choice", ("accuracy",),
         Clips("clip_moved", 50, named=True), 0.75),
    Plan("E13-number", "clip, final number", "open", ("number", "flip_rate"),
         Clips("clip_number", 25), 0.7),
    Plan("E16", "presence, near misses", "choice", ("accuracy", "yes_rate"),
         _choice(_scenes["composite_presence"], _forms["presence"], YES_NO, 300), 0.88),
)  # fmt: skip
TEXT = (Plan("E15", "text retention", "likelihood", ("perplexity",), Texts()),)

PLANS: tuple[Plan, ...] = (*NAMING, *READ, *SEEN, *TEXT)
