"""`Assistant.choose` and `score`: several answers to one prompt, as if each were alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import smolvlm
from smolvlm.api import Assistant
from smolvlm.errors import CheckpointError, ContextLengthError, InputError
from smolvlm.generation.generate import score
from smolvlm.processing.messages import load_pictures, parse_messages
from tests.checkpoints import make_tiny
from tests.test_api import NAME, Desk, long_question, turns


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, tokenizer_gen2_folder: Path) -> Assistant:
    """A tiny random network."""
    folder = make_tiny(NAME, tmp_path_factory.mktemp("tiny"))
    shutil.copy(tokenizer_gen2_folder / "tokenizer.json", folder)
    return smolvlm.load(folder, engine="torch")


@pytest.fixture
def folder(tokenizer_gen2_folder: Path) -> Path:
    """The published small files and a tokenizer; no weights."""
    return tokenizer_gen2_folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (40, 30), (200, 0, 0)).save(path)
    return path


CHOICES = ["A red field.", "A red field", "Blue.", "Yes."]


def test_choices_are_scored_as_if_each_were_alone(loaded: Assistant, picture: Path) -> None:
    messages = turns(picture, "What is this?")
    together = loaded.score(messages, CHOICES)
    inputs = loaded.processor([load_pictures(parse_messages(messages))])
    for choice, seen in zip(CHOICES, together, strict=True):
        [alone] = loaded.score(messages, [choice])
        ids = loaded.processor.tokenizer.encode(f" {choice}<end_of_utterance>")
        np.testing.assert_allclose(seen, score(loaded.engine, inputs, ids), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(seen, alone, rtol=1e-5, atol=1e-5)


def test_choose_gives_the_probabilities_of_whole_answers(loaded: Assistant, picture: Path) -> None:
    chosen = loaded.choose(picture, "What is this?", CHOICES)
    totals = np.array(
        [s.sum(dtype=np.float64) for s in loaded.score(turns(picture, "What is this?"), CHOICES)]
    )
    np.testing.assert_allclose(chosen, np.exp(totals) / np.exp(totals).sum(), rtol=1e-4)
    assert loaded.choose([], "Name a colour.", ["Red."]) == [1.0]


def test_the_likeliest_is_the_one_with_the_best_score(loaded: Assistant, picture: Path) -> None:
    messages = turns(picture, "What is this?")
    totals = [float(tokens.sum()) for tokens in loaded.score(messages, CHOICES)]
    best, bounds = loaded.likeliest(messages, CHOICES)
    assert best == int(np.argmax(totals))
    assert bounds[best] == pytest.approx(totals[best], abs=1e-4)


def test_choosing_reads_the_prompt_once(folder: Path, picture: Path) -> None:
    desk = Desk(folder)
    chosen = desk.assistant.choose(picture, "Which?", ["Yes.", "No."])
    assert len(chosen) == 2
    assert desk.engine.calls.count(("encode_tiles", 1)) == 1
    assert desk.engine.calls.count(("step", 1)) == 3  # the prompt, and each choice
    [state] = desk.engine.states
    assert state.closed and desk.prompt().endswith("Which?<end_of_utterance>\nAssistant: No.")


@pytest.mark.parametrize("choices", [[], "Yes.", ["Yes.", " "], ["Yes.", 3], None])
def test_choices_must_be_words(folder: Path, picture: Path, choices: Any) -> None:
    desk = Desk(folder)
    with pytest.raises(InputError, match="choices"):
        desk.assistant.choose(picture, "Which?", choices)
    assert desk.built == []


def test_a_choice_that_does_not_fit_is_refused(folder: Path) -> None:
    desk = Desk(folder)
    with pytest.raises(ContextLengthError, match="8192"):
        desk.assistant.choose([], "Which?", ["Yes.", long_question(8200)])
    assert desk.built == []


def test_a_template_that_asks_otherwise_than_it_answers_is_refused(
    folder: Path, tmp_path: Path, picture: Path
) -> None:
    shutil.copytree(folder, tmp_path / "odd")
    (tmp_path / "odd" / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {% for p in m.content %}"
        "{{ '<image>' if p.type == 'image' else p.text }}{% endfor %}\n{% endfor %}"
        "{% if add_generation_prompt %}Now say:{% endif %}"
    )
    desk = Desk(tmp_path / "odd")
    with pytest.raises(CheckpointError, match="cannot be scored"):
        desk.assistant.choose(picture, "Which?", ["Yes."])
