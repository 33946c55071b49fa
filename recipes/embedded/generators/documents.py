"""Documents with questions about their fields, items and boxes: one generator for each kind.

Row 3 of the mixture. Answers are fields of the record, word for word. One look of each kind is for
the test split only. What stands in a document is left to `records`, drawing to `layouts`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from recipes.embedded.generators import canvas, layouts
from recipes.embedded.generators.questions import Generator, Turn, sample, yes_no
from recipes.embedded.generators.records import RECORDS, Record
from recipes.embedded.generators.wordings import ask
from recipes.embedded.materials import Materials, Split
from smolvlm.types import Sample

UNANSWERABLE = 0.05  # share of the questions
ABSENT = (  # fields that a document may lack
    "phone number", "due date", "tax", "email address", "seat", "date of birth", "invoice number",
    "subject", "website", "discount", "account number", "page number",
)  # fmt: skip


def document(materials: Materials, seed: int, *, kind: str, split: Split = "train") -> Sample:
    """A document of the kind with one to four questions."""
    rng = random.Random(f"{kind}/{seed}")
    record = RECORDS[kind](materials, rng, split)
    look = layouts.LOOKS[rng.choice(layouts.look_names(record.kind, split))]
    picture = canvas.finish(layouts.draw(materials, rng, record, look, split), rng)
    return sample(kind, seed, [picture], about(rng, record))


def about(rng: random.Random, record: Record) -> list[Turn]:
    """One to four questions about a record."""
    fields = list(record.fields.items())
    turns = [Turn(ask(rng, "field", name), value) for name, value in fields]
    turns += turns  # fields are asked for most
    turns.append(Turn(ask(rng, "kind"), f"{_article(record.kind)}."))
    turns += _about_items(rng, record) * 2
    turns += [Turn(ask(rng, "is ticked", name), yes_no(on)) for name, on in record.ticks.items()]
    if len(fields) >= 3:
        turns.append(_as_json(rng, record))
    rng.shuffle(turns)
    chosen = list({turn.question: turn for turn in turns}.values())[: rng.randint(1, 4)]
    if rng.random() < UNANSWERABLE * len(chosen):
        chosen.append(_missing(rng, record))
    return chosen


def _about_items(rng: random.Random, record: Record) -> list[Turn]:
    """Prices, quantities and times of single rows; how many; extremes where prices differ."""
    turns: list[Turn] = []
    for name, facts in record.items.items():
        if "time" in facts:
            turns.append(Turn(ask(rng, "when", name), facts["time"]))
            turns.append(Turn(ask(rng, "what at", facts["time"]), name))
        else:
            forms = (
                {"unit price": "price", "amount": "amount"}
                if "amount" in facts
                else {"price": "price"}
            )
            forms |= {"quantity": "quantity"} if "quantity" in facts else {}
            turns += [Turn(ask(rng, form, name), facts[fact]) for form, fact in forms.items()]
    turns = rng.sample(turns, min(3, len(turns)))
    if record.items:
        turns.append(Turn(ask(rng, "count items"), str(len(record.items))))
    for form, pick in (("dearest", max), ("cheapest", min)):
        found = [_only(record, fact, pick) for fact in ("price", "amount")]
        if found[0] and found[1] in (None, found[0]):
            turns.append(Turn(ask(rng, form), found[0]))
    return turns


def _only(record: Record, fact: str, pick: Callable[[Iterable[float]], float]) -> str | None:
    """The one item with the extreme value; None where items lack the fact, "" where several tie."""
    prices = {n: _amount(facts[fact]) for n, facts in record.items.items() if fact in facts}
    best = [name for name, price in prices.items() if price == pick(prices.values())]
    return None if not prices else best[0] if len(best) == 1 else ""


def _amount(price: str) -> float:
    return float("".join(c for c in price if c.isdigit() or c == "."))


def _as_json(rng: random.Random, record: Record) -> Turn:
    """Two or three fields as a JSON object."""
    names = rng.sample(list(record.fields), rng.randint(2, 3))
    listed = f"the {', '.join(names[:-1])} and {names[-1]}"
    truth = {name: record.fields[name] for name in names}
    return Turn(ask(rng, "json", listed), json.dumps(truth, ensure_ascii=False))


def _missing(rng: random.Random, record: Record) -> Turn:
    """A field that the document has not."""
    printed = record.text.lower()
    absent = [n for n in ABSENT if n not in record.fields and n.split()[0] not in printed]
    name = rng.choice(absent)
    return Turn(ask(rng, "field", name), f"There is no {name} in the image.")


def _article(noun: str) -> str:
    return f"{'An' if noun[0] in 'aeiou' else 'A'} {noun}"


GENERATORS: Mapping[str, Generator] = {kind: partial(document, kind=kind) for kind in RECORDS}
