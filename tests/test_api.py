"""The Python face: what it refuses before the model runs, and what it hands to the loop."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import smolvlm
from smolvlm import api
from smolvlm.api import Assistant
from smolvlm.config import ModelConfig
from smolvlm.errors import (
    ContextLengthError,
    InputError,
    MediaError,
    SmolVLMError,
    UnknownNameError,
)
from smolvlm.processing.processor import Processor
from smolvlm.processing.split import BudgetPolicy
from smolvlm.types import Message, TextPart
from tests.mock_engine import MockEngine

NAME = "SmolVLM2-256M-Video-Instruct"


@pytest.fixture
def folder(tokenizer_gen2_folder: Path) -> Path:
    """The published small files and a tokenizer; no weights."""
    return tokenizer_gen2_folder


@cache
def open_processor(folder: Path) -> Processor:
    return Processor.from_folder(folder)


class Desk:
    """An assistant whose engine says what it is told, and that engine once it has been built."""

    def __init__(self, folder: Path, *replies: str) -> None:
        self.processor = open_processor(folder)
        self.built: list[MockEngine] = []
        self._replies = [self.processor.tokenizer.encode(reply) for reply in replies]
        self.assistant = Assistant(self.processor, self._build, folder=folder)

    def _build(self) -> MockEngine:
        self.built.append(MockEngine(ModelConfig.from_folder(self.assistant.folder), self._replies))
        return self.built[-1]

    @property
    def engine(self) -> MockEngine:
        [engine] = self.built
        return engine

    def prompt(self, state: int = -1) -> str:
        """What the engine was last fed, the runs of `<image>` shortened."""
        ids = self.engine.states[state].token_ids
        text = self.processor.tokenizer.decode(ids, skip_special_tokens=False)
        return text.replace("<image>" * 64, "[tile]")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (40, 30), (200, 0, 0)).save(path)
    return path


VIEW = "<fake_token_around_image><global-img>[tile]<fake_token_around_image>"


def test_ask(folder: Path, picture: Path) -> None:
    desk = Desk(folder, " A red field.")
    answer = desk.assistant.ask(str(picture), "What is this?")
    assert (answer.text, answer.finish_reason) == ("A red field.", "stop")
    prompt = f"<|im_start|>User:{VIEW}What is this?<end_of_utterance>\nAssistant:"
    assert desk.prompt() == prompt + " A red field."
    assert answer.timings.visual_tokens == 64
    assert answer.timings.preprocess_ms > 0
    assert len(desk.assistant.prefixes) == 1  # for the next question


def test_the_default_question(folder: Path, picture: Path) -> None:
    desk = Desk(folder, "x")
    desk.assistant.ask(picture)
    assert f"{VIEW}Describe the image.<end" in desk.prompt()


def test_pictures_come_before_the_question_in_their_order(folder: Path, picture: Path) -> None:
    desk = Desk(folder, "x")
    blue = np.zeros((30, 40, 3), np.uint8) + np.array([9, 0, 0], np.uint8)
    desk.assistant.ask([picture, blue, Image.new("RGB", (8, 8), (7, 0, 0))], "Which?")
    assert f"User:{VIEW}{VIEW}{VIEW}Which?" in desk.prompt()
    assert [row[0] for row in desk.engine.states[0].features][::64] == [200, 9, 7]


def test_a_question_without_pictures(folder: Path) -> None:
    desk = Desk(folder, " Paris.")
    assert desk.assistant.ask([], "Capital of France?").text == "Paris."
    assert desk.prompt().startswith("<|im_start|>User: Capital of France?<end_of_utterance>")


def test_stream_gives_the_text_in_pieces(folder: Path, picture: Path) -> None:
    desk = Desk(folder, " Grüße aus 東京 🙂!")
    stream = desk.assistant.stream(picture, "Read it.")
    assert stream.answer is None
    pieces = list(stream)
    assert len(pieces) > 3 and all(pieces)
    assert stream.answer is not None
    assert "".join(pieces) == stream.answer.text == "Grüße aus 東京 🙂!"


def test_generation_settings_reach_the_loop(folder: Path, picture: Path) -> None:
    desk = Desk(folder, " one two three", " one\ntwo", " one\ntwo")
    ask = desk.assistant.ask
    assert ask(picture, "?", max_new_tokens=2).text == "one two"
    assert ask(picture, "?", stop="\n").finish_reason == "stop_string"
    assert ask(picture, "?", stop=["x", "\n"]).text == "one"


@pytest.mark.parametrize("leave", ["close", "with", "finish"])
def test_leaving_a_stream_early(folder: Path, picture: Path, leave: str) -> None:
    desk = Desk(folder, " one two three")
    stream = desk.assistant.stream(picture)
    if leave == "with":
        with stream:
            next(iter(stream))
    else:
        next(iter(stream))
        stream.close() if leave == "close" else stream.finish()
    assert stream.answer is not None
    wanted = ("one two three", "stop") if leave == "finish" else ("one", "cancelled")
    assert (stream.answer.text, stream.answer.finish_reason) == wanted
    assert len(desk.assistant.prefixes) == 1


def test_a_stream_closed_before_it_began_opens_nothing(folder: Path, picture: Path) -> None:
    desk = Desk(folder, "x")
    stream = desk.assistant.stream(picture)
    stream.close()
    assert list(stream) == []
    assert (stream.answer, desk.built) == (None, [])
    with pytest.raises(InputError, match="closed before it began"):
        stream.finish()


def test_chat_takes_each_message_form(folder: Path, picture: Path) -> None:
    words = {"type": "text", "text": "What?"}
    forms: list[Any] = [
        [{"role": "user", "content": [{"type": "image", "path": str(picture)}, words]}],
        [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": str(picture)}}, words],
            }
        ],
    ]
    for form in forms:
        desk = Desk(folder, " Red.")
        assert desk.assistant.chat(form).text == "Red."
        assert f"User:{VIEW}What?<end" in desk.prompt()
    desk = Desk(folder, " Hello.")
    assert desk.assistant.chat([Message("user", (TextPart("Hi"),))]).text == "Hello."


def turns(picture: Path, *said: str) -> list[dict[str, Any]]:
    """A conversation that alternates user and assistant; the picture is in the first turn."""
    first = {"role": "user", "content": [{"type": "image", "path": str(picture)}, said[0]]}
    rest = [
        {"role": "user" if index % 2 else "assistant", "content": words}
        for index, words in enumerate(said[1:])
    ]
    return [first, *rest]


def test_a_second_turn_reads_only_what_is_new(folder: Path, picture: Path) -> None:
    desk = Desk(folder, " It is red.", " Very.")
    desk.assistant.chat(turns(picture, "What colour?"))
    answer = desk.assistant.chat(turns(picture, "What colour?", "It is red.", "Sure?"))
    assert answer.text == "Very."
    assert desk.engine.calls.count(("encode_tiles", 1)) == 1
    assert len(desk.engine.states) == 1 and not desk.engine.states[0].closed
    assert (
        "red.<end_of_utterance>\nUser: Sure?<end_of_utterance>\nAssistant: Very." in desk.prompt()
    )
    assert answer.timings.reused_tokens > answer.timings.prompt_tokens - 12


def test_two_chats_at_once_do_not_share_memory(folder: Path, picture: Path) -> None:
    desk = Desk(folder, " one two", " three four")
    first = desk.assistant.stream_chat(turns(picture, "A?"))
    second = desk.assistant.stream_chat(turns(picture, "B?"))
    texts = ["".join(pieces) for pieces in zip(first, second, strict=True)]
    assert [first.finish().text, second.finish().text] == ["one two", "three four"]
    assert texts == ["onethree", " two four"]
    assert len(desk.engine.states) == len(desk.assistant.prefixes) == 2


def test_a_second_question_reads_only_the_question(folder: Path, picture: Path) -> None:
    desk = Desk(folder, " Red.", " A box.")
    desk.assistant.ask(picture, "What colour?")
    answer = desk.assistant.ask(picture, "What shape?")
    assert answer.text == "A box."
    assert desk.engine.calls.count(("encode_tiles", 1)) == len(desk.engine.states) == 1
    assert f"{VIEW}What shape?<end" in desk.prompt()
    assert answer.timings.reused_tokens > 64


def test_nothing_is_kept_where_nothing_may_be(folder: Path, picture: Path) -> None:
    desk = Desk(folder, " Red.", " A box.")
    desk.assistant = Assistant(desk.processor, desk._build, folder=folder, prefix_cache=0)
    answers = [desk.assistant.ask(picture, "What?") for _ in range(2)]
    assert [answer.timings.reused_tokens for answer in answers] == [0, 0]
    assert all(state.closed for state in desk.engine.states)


def test_memory_is_given_up_after_an_error_and_kept_after_a_cancel(
    folder: Path, picture: Path
) -> None:
    desk = Desk(folder, " one two three", " next")
    stream = desk.assistant.stream_chat(turns(picture, "A?"))
    next(iter(stream))
    stream.close()
    assert not desk.engine.states[0].closed

    def interrupted(steps: Sequence[object]) -> list[Any]:
        raise KeyboardInterrupt

    whole = desk.engine.step
    desk.engine.step = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        desk.assistant.chat(turns(picture, "A?"))
    assert desk.engine.states[0].closed
    desk.engine.step = whole  # type: ignore[method-assign]
    assert desk.assistant.chat(turns(picture, "A?")).text == "next"


def test_ask_batch_answers_in_order(folder: Path, picture: Path) -> None:
    desk = Desk(folder, " one", " two two", " three")
    answers = desk.assistant.ask_batch(
        [(picture, "A?"), ([picture, picture], "B?"), ([], "C?")], max_new_tokens=20
    )
    assert [answer.text for answer in answers] == ["one", "two two", "three"]
    assert [answer.timings.visual_tokens for answer in answers] == [64, 128, 0]
    assert desk.assistant.ask_batch([]) == []


def test_ask_each_tells_as_soon_as_one_has_ended(folder: Path, picture: Path) -> None:
    """The shortest first; questions are taken as places come free, answers are not kept."""
    desk = Desk(folder, " one two three four", " one", " one two")
    asked: list[int] = []

    def questions() -> Iterator[tuple[Path, str]]:
        for number in range(3):
            asked.append(number)
            yield picture, f"{number}?"

    told = list(desk.assistant.ask_each(questions(), max_new_tokens=20))
    assert [(number, answer.text) for number, answer in told] == [
        (1, "one"), (2, "one two"), (0, "one two three four"),
    ]  # fmt: skip
    assert asked == [0, 1, 2]


def test_ask_each_may_be_left_early(folder: Path) -> None:
    desk = Desk(folder, " one", " two two two two")
    stream = desk.assistant.ask_each([([], "A?"), ([], "B?")])
    number, answer = next(stream)
    assert (number, answer.text) == (0, "one")
    stream.close()
    assert list(stream) == []


@pytest.mark.parametrize(
    ("pair", "error", "words"),
    [
        (("gone.png", "B?"), MediaError, r"question 2: gone\.png does not exist"),
        ("gone.png", InputError, "question 2: .*pair"),
        (([], " "), InputError, "question 2: .*wanted some words"),
    ],
)
def test_ask_batch_says_which_one_is_bad(
    folder: Path, pair: Any, error: type[SmolVLMError], words: str
) -> None:
    desk = Desk(folder, " one")
    with pytest.raises(error, match=words):
        desk.assistant.ask_batch([([], "A?"), pair])
    assert all(state.closed for state in desk.engine.states)


def long_question(tokens: int) -> str:
    return "word " * tokens


@pytest.mark.parametrize(
    ("pictures", "question", "settings", "error", "words"),
    [
        ("gone.png", "?", {}, MediaError, "does not exist"),
        ("http://localhost/cat.png", "?", {}, MediaError, "allow"),
        ([], "", {}, InputError, "wanted some words"),
        ([], 5, {}, InputError, "wanted some words"),
        ([], long_question(8200), {}, ContextLengthError, "8192"),
        ([], "?", {"temprature": 1}, InputError, "did you mean 'temperature'"),
        ([], "?", {"temperature": -1}, InputError, "temperature is -1"),
    ],
)
def test_bad_input_is_one_line_and_builds_no_engine(
    folder: Path, pictures: Any, question: Any, settings: Any, error: type[Exception], words: str
) -> None:
    desk = Desk(folder)
    with pytest.raises(error, match=words) as caught:
        desk.assistant.stream(pictures, question, **settings)
    assert "\n" not in str(caught.value)
    assert desk.built == []


def test_pictures_that_do_not_fit_say_what_would(folder: Path) -> None:
    desk = Desk(folder)
    large = Image.new("RGB", (1024, 1024))
    with pytest.raises(ContextLengthError, match="would fit: set max_tiles to"):
        desk.assistant.ask([large] * 30, "Compare.")
    assert desk.built == []


def test_explain_needs_no_engine(folder: Path, picture: Path) -> None:
    desk = Desk(folder)
    plan = desk.assistant.explain([picture, Image.new("RGB", (1024, 1024))], "Compare.")
    assert [p.plan.num_tiles for p in plan.pictures] == [1, 5]
    assert plan.visual_tokens == 6 * 64
    assert desk.built == []
    alone = api.explain(folder, picture)
    assert alone == desk.assistant.explain(picture)


def test_explain_takes_the_options_of_load(folder: Path, picture: Path) -> None:
    assert api.explain(folder, picture, policy="reference").tiles == 13
    large = Image.new("RGB", (3000, 3000))
    assert api.explain(folder, large, max_tiles=1).tiles == 1
    assert api.explain(folder, large, max_visual_tokens=10 * 64).tiles == 10


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(UnknownNameError, match="no-such-model"):
        smolvlm.load("no-such-model")


def test_info(folder: Path) -> None:
    desk = Desk(folder)
    info = desk.assistant.info()
    assert (info.folder, info.tile, info.tokens_per_tile) == (folder, 512, 64)
    assert (info.context, info.policy) == (8192, BudgetPolicy())
    assert info.engine.name == "mock"
    assert desk.assistant.engine is desk.engine


def test_import_is_light() -> None:
    heavy = ("numpy", "torch", "openvino", "PIL", "tokenizers", "huggingface_hub", "jinja2")
    code = f"import smolvlm, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
