"""The Python face: `load` a model and put questions to it.

The only place where folder, processor, engine and generation loop are joined. Everything heavy is
imported when it is first used, and an engine is built when the first answer is wanted: a wrong
option, a broken picture or a prompt that is too long is reported before any weight is read, and
`explain` needs none at all. An `Assistant` serves one thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self, Unpack

from smolvlm.errors import CheckpointError, InputError, SmolVLMError
from smolvlm.options import GenerationOptions, LoadOptions, Options, read_generation, read_load
from smolvlm.types import Answer, GenerationSettings, ImagePart, Message, TextPart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from smolvlm.engines.base import Engine, EngineInfo
    from smolvlm.generation.generate import Generation, Request
    from smolvlm.generation.memory import Memory
    from smolvlm.processing.processor import Processor, PromptPlan
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
    from smolvlm.weights.reader import open_checkpoint

    chosen = read_load(options)
    fitting(chosen.engine, chosen.precision)  # unknown names, before anything is fetched
    folder, processor = _open_folder(model, chosen)
    checkpoint = open_checkpoint(folder)

    def build() -> Engine:
        return create_engine(
            checkpoint,
            processor.rules,
            engine=chosen.engine,
            precision=chosen.precision,
            threads=chosen.threads,
        )

    return Assistant(processor, build, folder=folder, allow_urls=chosen.allow_urls)


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


class AnswerStream:
    """Pieces of text as they become certain; `answer` is there when they have ended.

    Leaving the loop early and calling `close` (or leaving a `with` block) ends the answer as
    "cancelled". Nothing runs before the first piece is asked for.
    """

    def __init__(self, opening: Callable[[], AbstractContextManager[Generation]]) -> None:
        self.answer: Answer | None = None
        self._opening = opening
        self._pieces = self._run()

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def finish(self) -> Answer:
        """Take what is still to come, and return the whole answer; `InputError` if none began."""
        for _ in self._pieces:
            pass
        if self.answer is None:
            raise InputError("the stream was closed before it began; ask again for an answer")
        return self.answer

    def close(self) -> None:
        """Stop answering and give the engine's memory back."""
        self._pieces.close()

    def _run(self) -> Generator[str, None, None]:
        with self._opening() as generation:
            try:
                for event in generation:
                    if event.text:
                        yield event.text
            finally:
                generation.close()
                self.answer = generation.answers.get(0)


class Assistant:
    """A loaded model that answers questions about pictures; `load` makes one.

    Every answering method takes the keywords of `GenerationOptions`. Pictures are one, or a list,
    of what `media.images.load_image` takes: paths, `data:` URIs, bytes, PIL images, arrays, and
    URLs where they are allowed. Bad input is reported by the call itself, before the model runs.
    """

    def __init__(
        self,
        processor: Processor,
        build_engine: Callable[[], Engine],
        *,
        folder: Path,
        allow_urls: bool = False,
    ) -> None:
        self.processor = processor
        self.folder = folder
        self._build_engine = build_engine
        self._allow_urls = allow_urls
        self._memory: Memory | None = None

    @cached_property
    def engine(self) -> Engine:
        """What runs the model; built when it is first wanted."""
        return self._build_engine()

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
        return AnswerStream(lambda: self._open(request))

    def chat(self, messages: Any, **generation: Unpack[GenerationOptions]) -> Answer:
        """Answer the last message of a conversation, in the Hugging Face or OpenAI form.

        What the model has already read of it (the turns before, their pictures) is not run again.
        """
        return self.stream_chat(messages, **generation).finish()

    def stream_chat(self, messages: Any, **generation: Unpack[GenerationOptions]) -> AnswerStream:
        """The same, piece by piece."""
        from smolvlm.processing.messages import parse_messages

        request = self._request(parse_messages(messages), read_generation(generation))
        return AnswerStream(lambda: self._open_remembering(request))

    def ask_batch(
        self, questions: Iterable[tuple[Any, str]], **generation: Unpack[GenerationOptions]
    ) -> list[Answer]:
        """Answer many (pictures, question) pairs, several at a time; answers in their order.

        Pictures are opened as their turn comes. An error names the pair it came from.
        """
        settings = read_generation(generation)

        def requests() -> Iterator[Request]:
            for number, pair in enumerate(questions, start=1):
                try:
                    yield self._request(_question(*_pair(pair)), settings)
                except SmolVLMError as error:
                    raise type(error)(f"question {number}: {error}") from None

        return self._generation(requests()).run()

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
        from smolvlm.generation.generate import Request

        start = perf_counter()
        inputs = self._inputs(messages, room=1)
        spent = (perf_counter() - start) * 1e3
        return replace(Request.from_inputs(inputs, 0, settings), preprocess_ms=spent)

    def _inputs(self, messages: Sequence[Message], *, room: int) -> ModelInputs:
        """A batch of one; refuses what leaves no room for an answer of so many tokens."""
        from smolvlm.processing.messages import load_pictures

        inputs = self.processor([load_pictures(messages, allow_url=self._allow_urls)])
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

        return Generation(self.engine, requests, self.processor.tokenizer.stream)

    @contextmanager
    def _open(self, request: Request) -> Iterator[Generation]:
        yield self._generation(iter([request]))

    @contextmanager
    def _open_remembering(self, request: Request) -> Iterator[Generation]:
        """Lend the memory of the last conversation; what it holds afterwards is kept for the next.

        It is not there while it is lent, so two conversations at a time never share one. After an
        error nobody knows what it holds, and it is given up.
        """
        from smolvlm.generation.memory import Memory

        memory, self._memory = self._memory, None
        memory = memory or Memory(self.engine.open_state())
        try:
            yield self._generation(iter([replace(request, memory=memory)]))
        except GeneratorExit:
            self._remember(memory)
            raise
        except BaseException:
            memory.close()
            raise
        self._remember(memory)

    def _remember(self, memory: Memory) -> None:
        """Keep this memory, in place of one that another conversation left meanwhile."""
        former, self._memory = self._memory, memory
        if former is not None:
            former.close()


def _open_folder(model: str | Path, options: Options) -> tuple[Path, Processor]:
    """Find the folder of a model and read everything in it but the weights."""
    from smolvlm.processing.processor import Processor
    from smolvlm.weights.hub import find_model

    policy = options.split_policy()  # before anything is fetched
    folder = find_model(str(model), revision=options.revision, offline=options.offline)
    return folder, Processor.from_folder(folder, policy)


def _question(pictures: Any, question: str) -> tuple[Message, ...]:
    """One user turn: the pictures, then the words, as in the published examples."""
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"the question is {question!r}; wanted some words")
    sources = pictures if isinstance(pictures, list | tuple) else [pictures]
    parts = [ImagePart(source) for source in sources]
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
    from smolvlm.processing.messages import load_pictures

    return processor.plan(load_pictures(messages, allow_url=allow_urls))
