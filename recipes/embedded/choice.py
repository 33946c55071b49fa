"""E1a: which of four names a drawing has, by how likely the model finds each as the answer.

    python -m recipes.embedded.choice --pack DIR --out benchmarks/results/embedded_e1a.json

Each drawing of `openmoji` is asked about as in `recall`, but nothing is written: the name of the
thing and three others of its group are scored as whole answers in the words of `samples`, by their
mean log-probability per token, and the likeliest is the choice. Chance is 25 %. Names differ in how
likely they are before anything is seen: the grey picture says how far that alone goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image
from rich.progress import track

from recipes.embedded import openmoji
from recipes.embedded.openmoji import GREY, QUESTION, Item
from recipes.embedded.pack import AssetPack
from recipes.embedded.samples import name_answer
from smolvlm.api import Assistant
from smolvlm.types import ImagePart, Message, TextPart


def names(item: Item) -> tuple[str, ...]:
    """What is chosen from, the right name first."""
    return (item.label, *item.distractors)


def likelihoods(
    assistant: Assistant, picture: Image.Image, candidates: Sequence[str]
) -> dict[str, float]:
    """Mean log-probability per token of each name as the whole answer about a picture."""
    question = Message("user", (ImagePart(picture), TextPart(QUESTION)))
    scores = assistant.score([question], [name_answer(name) for name in candidates])
    return {name: float(s.mean()) for name, s in zip(candidates, scores, strict=True)}


def likeliest(item: Item, found: Mapping[str, float]) -> str:
    """The item's likeliest name; the right one wins no tie."""
    return max(reversed(names(item)), key=lambda name: found[name])


def blind(assistant: Assistant, items: Sequence[Item]) -> list[str]:
    """The choice for each item when all that is seen is grey: one picture for all names."""
    every = sorted({name for item in items for name in names(item)})
    found = likelihoods(assistant, GREY, every)
    return [likeliest(item, found) for item in items]


def judge(items: Sequence[Item], choices: Sequence[str], guesses: Sequence[str]) -> dict[str, Any]:
    """Every level, and what was chosen for the grey picture."""
    right = [choice == item.label for choice, item in zip(choices, items, strict=True)]
    guessed = [choice == item.label for choice, item in zip(guesses, items, strict=True)]
    return {
        **openmoji.levels(items, right),
        "grey": openmoji.score(guessed),
        "chance": 1 / len(names(items[0])),
        "choices": {item.id: choice for item, choice in zip(items, choices, strict=True)},
    }


def main() -> None:
    """Command line of the evaluation."""
    args = openmoji.parser(__doc__).parse_args()
    items = openmoji.read_items(args.limit)
    drawings = openmoji.pictures(AssetPack(args.pack), items)
    assistant = openmoji.load(args)
    seen = track(zip(items, drawings, strict=True), description="E1a", total=len(items))
    choices = [likeliest(item, likelihoods(assistant, d, names(item))) for item, d in seen]
    report = openmoji.facts(args, assistant, "E1a")
    report |= judge(items, choices, blind(assistant, items))
    openmoji.write(report, args.out, shown=("score", "withheld", "not_withheld", "grey", "chance"))


if __name__ == "__main__":
    main()
