"""Which tokens are learned, read back as text; the three layouts against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from smolvlm.errors import CheckpointError, ContextLengthError, MediaError
from smolvlm.processing.processor import Processor
from smolvlm.processing.prompt import ChatTemplate
from smolvlm.training.collate import NO_LOSS, Item, answer_spans, collate, encode
from smolvlm.training.stages import Layout
from smolvlm.types import ImagePart, Sample, TextPart
from tests.training.little import message, mixed_sample

RED = Image.new("RGB", (8, 6), (255, 0, 0))


@pytest.fixture(scope="module")
def processor(tokenizer_gen2_folder: Path) -> Processor:
    return Processor.from_folder(tokenizer_gen2_folder)


def learned_texts(processor: Processor, item: Item) -> list[str]:
    """What is learned, turn by turn, special tokens shown."""
    runs: list[list[int]] = []
    before = False
    for id_, learned in zip(item.ids.tolist(), item.learned.tolist(), strict=True):
        if learned and not before:
            runs.append([])
        if learned:
            runs[-1].append(id_)
        before = learned
    return [processor.tokenizer.decode(run, skip_special_tokens=False) for run in runs]


def test_loss_is_taken_on_answers_and_their_end_only(processor: Processor) -> None:
    turns = (
        message("system", "Be short."),
        message("user", RED, "Which colour is <image>?"),
        message("assistant", "Red. Typed <end_of_utterance> is text."),
        message("user", "Sure?"),
        message("assistant", "(yes)"),
    )
    item = encode(processor, Sample(turns, "t", "k"), max_length=500)
    assert learned_texts(processor, item) == [
        " Red. Typed <end_of_utterance> is text.<end_of_utterance>",
        " (yes)<end_of_utterance>",
    ]
    assert item.tiles.shape == (1, 512, 512, 3)
    assert item.ids.tolist() == processor.ids(turns, add_generation_prompt=False)


def test_the_first_generation_learns_its_own_end_token(tokenizer_gen1_folder: Path) -> None:
    processor = Processor.from_folder(tokenizer_gen1_folder)
    turns = (message("user", "Hi"), message("assistant", "Hello"))
    item = encode(processor, Sample(turns, "t", "k"), max_length=50)
    assert learned_texts(processor, item) == [" Hello<end_of_utterance>"]


def test_targets_say_the_next_token(processor: Processor) -> None:
    item = encode(processor, mixed_sample(3), max_length=500)
    batch = collate([item], "right", pad=2)
    at = (batch.targets[0] != NO_LOSS).nonzero()[:, 0]
    assert torch.equal(batch.targets[0][at], torch.from_numpy(item.ids)[at + 1])
    assert item.learned[1:].sum() == batch.learned == len(at)


@pytest.mark.parametrize("layout", ["packed", "right", "left"])
def test_layouts_hold_the_same_samples(processor: Processor, layout: Layout) -> None:
    items = [encode(processor, mixed_sample(seed), max_length=500) for seed in range(4)]
    batch = collate(items, layout, pad=2)
    assert batch.tokens == sum(map(len, items))
    assert len(batch.tiles) == sum(len(item.tiles) for item in items)
    assert batch.keys == tuple(item.key for item in items)
    real = [item.ids for item in items]
    if layout == "packed":
        assert batch.ids.tolist() == [np.concatenate(real).tolist()]
    else:
        rows = batch.ids.tolist()
        ends = [
            row[-len(r) :] if layout == "left" else row[: len(r)]
            for row, r in zip(rows, real, strict=True)
        ]
        assert ends == [r.tolist() for r in real]
    wanted = np.concatenate([item.ids[item.learned] for item in items]).tolist()
    assert batch.targets[batch.targets != NO_LOSS].tolist() == wanted
    counts = [int(item.learned.sum()) for item in items]
    assert torch.bincount(batch.owners).tolist() == counts
    assert (batch.attention_mask is not None) == (layout == "left")
    if batch.attention_mask is not None:
        assert batch.attention_mask.sum(1).tolist() == list(batch.lengths)


def test_too_long_and_broken_samples_are_refused(processor: Processor, tmp_path: Path) -> None:
    with pytest.raises(ContextLengthError, match=r"repeat:0 has \d+ tokens; the stage allows 5"):
        encode(processor, mixed_sample(0), max_length=5)
    broken = tmp_path / "x.png"
    broken.write_bytes(b"not a picture")
    for source in (broken, tmp_path / "missing.png"):
        turns = (
            message("user", "?").__class__("user", (ImagePart(source), TextPart("?"))),
            message("assistant", "!"),
        )
        with pytest.raises(MediaError, match=source.name):
            encode(processor, Sample(turns, "t", "k"), max_length=500)


def test_a_template_that_begins_turns_otherwise_is_refused(processor: Processor) -> None:
    odd = ChatTemplate(
        "{% for m in messages %}[{{ m.role }}]{{ m.content[0].text }}<end_of_utterance>"
        "{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}"
    )
    other = Processor(processor.config, processor.rules, processor.tokenizer, template=odd)
    turns = (message("user", "Hi"), message("assistant", "Hello"))
    with pytest.raises(CheckpointError, match="chat template"):
        answer_spans(other, turns, other.ids(turns, add_generation_prompt=False))
