"""The Python face: `load` a model and put questions to it.

The only place where folder, processor, engine and generation loop are joined. Everything heavy is
imported when it is first used, and an engine is built when the first answer is wanted: a wrong
option, a broken picture or a prompt that is too long is reported before any weight is read, and
`explain` needs none at all. An `Assistant` serves one thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Unpack

from smolvlm import __version__
from smolvlm.errors import CheckpointError, InputError, SmolVLMError
from smolvlm.generation.stream import AnswerStream
from smolvlm.options import GenerationOptions, LoadOptions, Options, read_generation, read_load
from smolvlm.types import Answer, GenerationSettings, Message, TextPart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from smolvlm.engines.base import Engine, EngineInfo
    from smolvlm.engines.disk_cache import DiskCache
    from smolvlm.generation.generate import Generation
    from smolvlm.generation.prefixes import Prefixes, Shelf
    from smolvlm.generation.sequence import Request
    from smolvlm.processing.clip_memory import ClipMemory
    from smolvlm.processing.plans import PromptPlan
    from smolvlm.processing.processor import Processor
    from smolvlm.processing.split import SplitPolicy
    from smolvlm.types import ModelInputs

DEFAULT_QUESTION = "Describe the image."


@dataclass(frozen=True)
class ModelInfo:
    """What an `Assistant` runs, and on what. tile: pixels; context: tokens, the answer included."""

    folder: Path
    model_type: str
    tile: int
    tokens_per_tile: int
    context: int
    policy: SplitPolicy
    engine: EngineInfo


def load(model: str | Path = "embedded", **options: Unpack[LoadOptions]) -> Assistant:
    """Open a model: a name `smolvlm models` lists, a hub id or a folder.

    The folder is found (fetched if need be) and all of its files are checked; the engine is built
    with the first answer. Raises the errors of `smolvlm.errors`.
    """
    from smolvlm.engines.choose import create_engine, fitting
    from smolvlm.engines.disk_cache import MIB, DiskCache, StoredFeatures, prepare_folder
    from smolvlm.engines.feature_cache import CachingEngine, with_feature_cache
    from smolvlm.generation.stored_prefixes import StoredPrefixes
    from smolvlm.weights.reader import open_checkpoint

    chosen = read_load(options)
    disk_folder = None if chosen.disk_cache is None else prepare_folder(chosen.disk_cache)
    fitting(chosen.engine, chosen.precision)  # unknown names, before anything is fetched
    folder, processor = _open_folder(model, chosen)
    checkpoint = open_checkpoint(folder)

    def build() -> Engine:
        engine = create_engine(
            checkpoint,
            processor.rules,
            engine=chosen.engine,
            precision=chosen.precision,
            threads=chosen.threads,
        )
        if disk_folder is not None:
            engine = CachingEngine(engine, StoredFeatures(entries(engine)))
        return with_feature_cache(engine, chosen.feature_cache)

    def entries(engine: Engine) -> DiskCache:
        assert disk_folder is not None
        origin = (checkpoint.fingerprint, processor.rules, __version__, engine.describe())
        return DiskCache(disk_folder, repr(origin), max_bytes=chosen.disk_cache_limit * MIB)

    return Assistant(
        processor,
        build,
        folder=folder,
        allow_urls=chosen.allow_urls,
        prefix_cache=chosen.prefix_cache,
        shelf_of=lambda e: None if disk_folder is None else StoredPrefixes(e, entries(e)),
    )


def explain(
    model: str | Path,
    pictures: Any,
    question: str = DEFAULT_QUESTION,
    **options: Unpack[LoadOptions],
) -> PromptPlan:
    """How each picture would be split and what the prompt would cost; reads no weights."""
    chosen = read_load(options)
    _, processor = _open_folder(model, chosen)
    return _plan(processor, _question(pictures, question), allow_urls=chosen.allow_urls)


class Assistant:
    """A loaded model that answers questions about pictures and clips; `load` makes one.

    Every answering method takes the keywords of `GenerationOptions`. Pictures are one, or a list,
    of what `media.images.load_image` takes: paths, `data:` URIs, bytes, PIL images, arrays, and
    URLs where they are allowed. Among them may be clips: what is a video by its content, and what
    is said to be one by a `types.VideoPart`, which also says which frames are looked at. Bad input
    is reported by the call itself, before the model runs.
    """

    def __init__(
        self,
        processor: Processor,
        build_engine: Callable[[], Engine],
        *,
        folder: Path,
        allow_urls: bool = False,
        prefix_cache: int = Options.prefix_cache,
        shelf_of: Callable[[Engine], Shelf | None] = lambda engine: None,
    ) -> None:
        """prefix_cache: MiB, as in `Options`; shelf_of: where beginnings of prompts outlive us."""
        self.processor = processor
        self.folder = folder
        self._build_engine = build_engine
        self._allow_urls = allow_urls
        self._prefix_cache = prefix_cache
        self._shelf_of = shelf_of

    @cached_property
    def engine(self) -> Engine:
        """What runs the model; built when it is first wanted."""
        return self._build_engine()

    @cached_property
    def _clips(self) -> ClipMemory:
        """The clips that were opened last."""
        from smolvlm.processing.clip_memory import ClipMemory

        return ClipMemory()

    @cached_property
    def prefixes(self) -> Prefixes:
        """What the engine has read of earlier prompts and need not read again."""
        from smolvlm.generation.prefixes import MIB, Prefixes

        shelf = self._shelf_of(self.engine)
        return Prefixes(self.engine, max_bytes=self._prefix_cache * MIB, shelf=shelf)

    def ask(
        self,
        pictures: Any,
        question: str = DEFAULT_QUESTION,
        **generation: Unpack[GenerationOptions],
    ) -> Answer:
        """Answer a question about one or several pictures; `[]` is none."""
        return self.stream(pictures, question, **generation).finish()

    def stream(
        self,
        pictures: Any,
        question: str = DEFAULT_QUESTION,
        **generation: Unpack[GenerationOptions],
    ) -> AnswerStream:
        """The same, piece by piece."""
        request = self._request(_question(pictures, question), read_generation(generation))
        return AnswerStream(lambda: self._generation(iter([request])))

    def chat(self, messages: Any, **generation: Unpack[GenerationOptions]) -> Answer:
        """Answer the last message of a conversation, in the Hugging Face or OpenAI form.

        What the model has already read of it (the turns before, their pictures) is not run again.
        """
        return self.stream_chat(messages, **generation).finish()

    def stream_chat(self, messages: Any, **generation: Unpack[GenerationOptions]) -> AnswerStream:
        """The same, piece by piece."""
        from smolvlm.processing.messages import parse_messages

        request = self._request(parse_messages(messages), read_generation(generation))
        return AnswerStream(lambda: self._generation(iter([request])))

    def ask_batch(
        self, questions: Iterable[tuple[Any, str]], **generation: Unpack[GenerationOptions]
    ) -> list[Answer]:
        """Answer many (pictures, question) pairs, several at a time; answers in their order.

        Pictures are opened as their turn comes. An error names the pair it came from.
        """
        return self._generation(self._requests(questions, read_generation(generation))).run()

    def ask_each(
        self, questions: Iterable[tuple[Any, str]], **generation: Unpack[GenerationOptions]
    ) -> Generator[tuple[int, Answer], None, None]:
        """The same, each answer with the number of its pair (from 0) as soon as it has ended.

        What was answered is not kept, so the pairs may go on for ever.
        """
        running = self._generation(self._requests(questions, read_generation(generation)))
        try:
            for _ in running:
                for number in list(running.answers):
                    yield number, running.answers.pop(number)
        finally:
            running.close()

    def _requests(
        self, questions: Iterable[tuple[Any, str]], settings: GenerationSettings
    ) -> Iterator[Request]:
        for number, pair in enumerate(questions, start=1):
            try:
                yield self._request(_question(*_pair(pair)), settings)
            except SmolVLMError as error:
                raise type(error)(f"question {number}: {error}") from None

    def choose(self, pictures: Any, question: str, choices: Sequence[str]) -> list[float]:
        """How likely each of some given answers is: their probabilities, which sum to 1.

        A choice is a whole answer, spelt as the model would write it ("Yes.", "A tram.").
        """
        scores = self.score(_question(pictures, question), choices)
        totals = [float(tokens.sum()) for tokens in scores]
        weights = [math.exp(total - max(totals)) for total in totals]
        return [weight / sum(weights) for weight in weights]

    def score(self, messages: Any, answers: Sequence[str]) -> list[NDArray[np.float32]]:
        """The natural log-probability of each token of each possible answer to a conversation.

        float32 (n,) an answer; its last token ends the turn. The conversation, in a form of `chat`,
        is read once for all answers.
        """
        from smolvlm.generation.generate import score_all
        from smolvlm.processing.messages import parse_messages

        turns = parse_messages(messages)
        ids = [self._answer_ids(answer) for answer in _answers(answers)]
        inputs = self._inputs(turns, room=max(map(len, ids)))
        return score_all(self.engine, inputs, ids)

    def likeliest(self, messages: Any, answers: Sequence[str]) -> tuple[int, list[float]]:
        """The number of the likeliest of some answers to a conversation, and a bound for each.

        As the best sum of `score`, but no answer is read further than needed: the bound of the
        likeliest is its natural log-probability, that of the others is at least theirs.
        """
        from smolvlm.generation.likeliest import likeliest
        from smolvlm.processing.messages import parse_messages

        turns = parse_messages(messages)
        ids = [self._answer_ids(answer) for answer in _answers(answers)]
        inputs = self._inputs(turns, room=max(map(len, ids)))
        return likeliest(self.engine, inputs, ids)

    def explain(self, pictures: Any, question: str = DEFAULT_QUESTION) -> PromptPlan:
        """How each picture would be split and what the prompt would cost; runs no model."""
        return _plan(self.processor, _question(pictures, question), allow_urls=self._allow_urls)

    def info(self) -> ModelInfo:
        """What runs here, and on what; builds the engine if there is none yet."""
        config = self.processor.config
        return ModelInfo(
            folder=self.folder,
            model_type=config.model_type,
            tile=config.vision.image_size,
            tokens_per_tile=config.tokens_per_tile,
            context=config.text.max_position_embeddings,
            policy=self.processor.policy,
            engine=self.engine.describe(),
        )

    def _request(self, messages: Sequence[Message], settings: GenerationSettings) -> Request:
        """Open the pictures and write the prompt; refuses what leaves no room for an answer."""
        from smolvlm.generation.sequence import Request

        start = perf_counter()
        inputs = self._inputs(messages, room=1)
        spent = (perf_counter() - start) * 1e3
        return replace(Request.from_inputs(inputs, 0, settings), preprocess_ms=spent)

    def _inputs(self, messages: Sequence[Message], *, room: int) -> ModelInputs:
        """A batch of one; refuses what leaves no room for an answer of so many tokens."""
        opened = self._clips.open(
            messages, lambda some: self.processor.open(some, allow_url=self._allow_urls)
        )
        inputs = self.processor([opened])
        self.processor.check_context(inputs, max_new_tokens=room)
        return inputs

    def _answer_ids(self, answer: str) -> list[int]:
        """What the model would have to say for this answer, up to the end of its turn."""
        question = Message("user", (TextPart("?"),))  # any words: only what follows them is kept
        said = Message("assistant", (TextPart(answer),))
        prompt: list[int] = self.processor([[question]]).tokens(0).tolist()
        both = self.processor([[question, said]], add_generation_prompt=False)
        whole: list[int] = both.tokens(0).tolist()
        if whole[: len(prompt)] != prompt:
            raise CheckpointError(
                f"the chat template of {self.folder} writes an answer otherwise than it asks for"
                " one; its answers cannot be scored"
            )
        ids = whole[len(prompt) :]
        ends = [
            index for index, id_ in enumerate(ids) if id_ in self.processor.config.eos_token_ids
        ]
        return ids[: ends[0] + 1] if ends else ids

    def _generation(self, requests: Iterator[Request]) -> Generation:
        from smolvlm.generation.generate import Generation

        new_decoder = self.processor.tokenizer.stream
        return Generation(self.engine, requests, new_decoder, prefixes=self.prefixes)


def _open_folder(model: str | Path, options: Options) -> tuple[Path, Processor]:
    """Find the folder of a model and read everything in it but the weights."""
    from smolvlm.engines.fitted_costs import required_costs
    from smolvlm.processing.processor import Processor
    from smolvlm.weights.hub import find_model
    from smolvlm.weights.reader import open_checkpoint

    policy, budget = options.split_policy(), options.whole_budget()  # before anything is fetched
    folder = find_model(str(model), revision=options.revision, offline=options.offline)
    processor = Processor.from_folder(folder, policy)
    if budget is not None and budget.milliseconds is not None:
        asked = options.engine, options.precision, options.threads
        processor.keep_to(budget, required_costs(str(model), open_checkpoint(folder), *asked))
    elif budget is not None:
        processor.keep_to(budget)
    return folder, processor


def _question(pictures: Any, question: str) -> tuple[Message, ...]:
    """One user turn: the pictures and clips, then the words, as in the published examples."""
    from smolvlm.processing.messages import visual_part

    if not isinstance(question, str) or not question.strip():
        raise InputError(f"the question is {question!r}; wanted some words")
    sources = pictures if isinstance(pictures, list | tuple) else [pictures]
    parts = [visual_part(source) for source in sources]
    return (Message("user", (*parts, TextPart(question))),)


def _answers(answers: Any) -> list[str]:
    """Answers to be scored; `InputError` unless they are at least one text, none of them empty."""
    if isinstance(answers, str) or not isinstance(answers, Sequence) or not answers:
        raise InputError(f"the choices are {answers!r}; wanted a list of at least one text")
    for answer in answers:
        if not isinstance(answer, str) or not answer.strip():
            raise InputError(f"one of the choices is {answer!r}; wanted some words")
    return [answer.strip() for answer in answers]


def _pair(pair: Any) -> tuple[Any, Any]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise InputError(f"got a {type(pair).__name__}; wanted a pair of pictures and question")
    return pair[0], pair[1]


def _plan(processor: Processor, messages: Sequence[Message], *, allow_urls: bool) -> PromptPlan:
    return processor.plan(processor.open(messages, allow_url=allow_urls))
