"""What a model is asked: items, and the three kinds of tasks.

- open: the answer is written greedily and compared with the accepted ones;
- choice: the likeliest of some given answers is taken, so that no wording can be wrong;
- likelihood: how probable a given text is, for perplexity.

`Task.chance` says what guessing gives; the baselines with other pictures are `baselines.py`. Who
runs which items, and keeps what was said, is `run.py`; where items come from is `suite.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from smolvlm.evaluation.metrics import METRICS, Metric, pairs_right
from smolvlm.options import GenerationOptions
from smolvlm.types import Answer, ImagePart, Message, Part, TextPart, VideoPart

Kind = Literal["open", "choice", "likelihood"]
Condition = Literal["real", "grey", "shuffled"]

CONSTANT_ANSWERS = 40  # most frequent answers that are tried as the one answer to everything


class Assistant(Protocol):
    """What is needed of `api.Assistant`."""

    def ask_batch(
        self, questions: Iterable[tuple[Any, str]], **generation: Unpack[GenerationOptions]
    ) -> list[Answer]:
        """Answers to (pictures, question) pairs."""
        ...

    def chat(self, messages: Any, **generation: Unpack[GenerationOptions]) -> Answer:
        """The answer to a conversation."""
        ...

    def score(self, messages: Any, answers: Sequence[str]) -> list[NDArray[np.float32]]:
        """Log-probability of each token of each answer to a conversation."""
        ...

    def likeliest(self, messages: Any, answers: Sequence[str]) -> tuple[int, list[float]]:
        """Which answer is likeliest, and bounds of all log-probabilities (its own is exact)."""
        ...


@dataclass(frozen=True)
class Item:
    """One question.

    messages: without the answer. targets: accepted answers, the first is the canonical one.
    choices: what is chosen from, empty unless the task is a choice.
    meta: anything else; "pair" joins two items for metrics of pairs.
    """

    id: str
    messages: tuple[Message, ...]
    targets: tuple[str, ...]
    choices: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pictures(self) -> list[Any]:
        """The sources of its pictures, in order; those of a clip are its frames."""
        return [source for m in self.messages for part in m.parts for source in pictures_of(part)]

    def showing(self, pictures: Sequence[Any]) -> Item:
        """The same question about other pictures, as many as it has."""
        rest = iter(pictures)
        messages = tuple(
            Message(message.role, tuple(_showing(part, rest) for part in message.parts))
            for message in self.messages
        )
        return replace(self, messages=messages)


def pictures_of(part: Part) -> list[Any]:
    """The sources of what a part shows; the clips of a suite are lists of pictures."""
    if isinstance(part, ImagePart):
        return [part.source]
    return list(part.source) if isinstance(part, VideoPart) else []


def _showing(part: Part, pictures: Iterator[Any]) -> Part:
    """The same part with as many other pictures."""
    if isinstance(part, ImagePart):
        return ImagePart(next(pictures))
    if isinstance(part, VideoPart):
        return VideoPart([next(pictures) for _ in part.source], part.options)
    return part


@dataclass(frozen=True)
class Reply:
    """What a model made of one item.

    text: what it said or chose. scores: natural log-likelihood of each choice, or a bound above it
    where that is less than the chosen one's; or of each token of the text whose likelihood was
    asked for.
    problem: why there is no answer (a prompt that does not fit); such an item counts as wrong.
    """

    text: str = ""
    scores: tuple[float, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Task:
    """Items that are asked and judged in the same way.

    metrics: names of `metrics.METRICS`, the first is the headline. target: the score hoped for.
    """

    name: str
    title: str
    kind: Kind
    metrics: tuple[str, ...]
    items: tuple[Item, ...]
    max_new_tokens: int = 32
    target: float | None = None

    @property
    def headline(self) -> Metric:
        """The metric that decides."""
        return METRICS[self.metrics[0]]

    @property
    def has_pictures(self) -> bool:
        """Whether the baselines without the right picture mean anything."""
        return any(item.pictures for item in self.items)

    def values(self, metric: str, items: Sequence[Item], replies: Sequence[Reply]) -> list[float]:
        """One value per item (or pair of items) under a metric; their mean is the score."""
        rule = METRICS[metric]
        if rule.value is None:
            return [-sum(r.scores) / len(r.scores) for r in replies if r.scores]
        values = [
            rule.value(reply.text, item.targets) for item, reply in zip(items, replies, strict=True)
        ]
        if not rule.paired:
            return values
        return pairs_right(values, [str(item.meta.get("pair", item.id)) for item in items])

    def chance(self, metric: str) -> float | None:
        """The score of who never looks: a choice at random, or the best constant answer."""
        rule = METRICS[metric]
        if rule.value is None or (rule.higher is None and self.kind == "open"):
            return None
        if rule.paired:
            return self._chance_of_pairs()
        if self.kind == "choice":
            return _mean(
                [_mean([rule.value(c, item.targets) for c in item.choices]) for item in self.items]
            )
        said = Counter(rule.answer(item.targets[0]) for item in self.items)
        scores = [
            _mean([rule.value(answer, item.targets) for item in self.items])
            for answer, _ in said.most_common(CONSTANT_ANSWERS)
        ]
        return max(scores) if rule.higher else min(scores)

    def _chance_of_pairs(self) -> float:
        """Both of two right by guessing: 0 with a constant answer, (1/k)^2 with a random choice."""
        if self.kind == "open":
            return 0.0
        return _mean([1.0 / len(item.choices) ** 2 for item in self.items])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def plain_question(item: Item) -> tuple[list[Any], str] | None:
    """What an item shows, and its words, if it is one question after them; None otherwise."""
    if len(item.messages) != 1 or item.messages[0].role != "user":
        return None
    *shown, words = item.messages[0].parts
    if not isinstance(words, TextPart) or any(isinstance(part, TextPart) for part in shown):
        return None
    return [part.source if isinstance(part, ImagePart) else part for part in shown], words.text


def answer(task: Task, items: Sequence[Item], assistant: Assistant) -> list[Reply]:
    """What the model makes of some items of a task, in their order."""
    if task.kind == "choice":
        return [_choose(item, assistant) for item in items]
    if task.kind == "likelihood":
        scored = [assistant.score(item.messages, item.targets[:1])[0] for item in items]
        return [Reply(scores=tuple(map(float, tokens))) for tokens in scored]
    pairs = [pair for item in items if (pair := plain_question(item))]
    if len(pairs) == len(items):
        said = assistant.ask_batch(pairs, max_new_tokens=task.max_new_tokens)
    else:
        said = [assistant.chat(i.messages, max_new_tokens=task.max_new_tokens) for i in items]
    return [Reply(text=one.text.strip()) for one in said]


def _choose(item: Item, assistant: Assistant) -> Reply:
    best, bounds = assistant.likeliest(item.messages, item.choices)
    return Reply(item.choices[best], tuple(bounds))


def chosen(item: Item, scores: Sequence[float]) -> Reply:
    """The likeliest of an item's choices, from their log-likelihoods."""
    return Reply(item.choices[int(np.argmax(scores))], tuple(scores))
