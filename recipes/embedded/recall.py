"""E1c: open recall on drawings by an artist who was never trained on.

    python -m recipes.embedded.recall --pack DIR --out benchmarks/results/embedded_e1c.json

The model is asked "What is this?" about each drawing of `openmoji`, and the answer counts when one
of the item's keywords stands in it as whole words (plural accepted). Two baselines keep it honest:
one answer about a grey picture, held against every item, and each answer held against another
item's keywords. Withheld things are part of the score and reported apart. `--assets` evaluates what
`publish --out` wrote before it enters the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from PIL import Image
from rich.progress import track

from recipes.embedded import openmoji
from recipes.embedded.openmoji import GREY, QUESTION, Item
from recipes.embedded.pack import AssetPack
from smolvlm.api import Assistant
from smolvlm.evaluation.metrics import keyword

MAX_NEW_TOKENS = 32


def hit(answer: str, keywords: Sequence[str]) -> bool:
    """Whether a keyword stands in the answer as whole words; case and plural do not matter."""
    return keyword(answer, keywords) > 0


def ask(assistant: Assistant, pictures: Iterable[Image.Image]) -> list[str]:
    """The answer about each picture, opened as its turn comes."""
    questions = ((picture, QUESTION) for picture in pictures)
    return [answer.text for answer in assistant.ask_batch(questions, max_new_tokens=MAX_NEW_TOKENS)]


def judge(items: Sequence[Item], answers: Sequence[str], grey: str) -> dict[str, Any]:
    """Every level and both baselines, and the answers by item."""
    keywords = [item.keywords for item in items]
    shifted = keywords[1:] + keywords[:1]
    return {
        **openmoji.levels(items, [hit(a, k) for a, k in zip(answers, keywords, strict=True)]),
        "grey": {"answer": grey, **(openmoji.score([hit(grey, k) for k in keywords]) or {})},
        "shuffled": openmoji.score([hit(a, k) for a, k in zip(answers, shifted, strict=True)]),
        "answers": {item.id: answer for item, answer in zip(items, answers, strict=True)},
    }


def main() -> None:
    """Command line of the evaluation."""
    args = openmoji.parser(__doc__).parse_args()
    items = openmoji.read_items(args.limit)
    drawings = openmoji.pictures(AssetPack(args.pack), items)
    assistant = openmoji.load(args)
    answers = ask(assistant, track(drawings, description="E1c", total=len(items)))
    [grey] = ask(assistant, [GREY])
    report = openmoji.facts(args, assistant, "E1c") | judge(items, answers, grey)
    openmoji.write(
        report, args.out, shown=("score", "withheld", "not_withheld", "grey", "shuffled")
    )


if __name__ == "__main__":
    main()
