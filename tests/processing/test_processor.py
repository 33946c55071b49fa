"""Whole prompts and pixels against the published processor; batches; plans; what does not fit."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from transformers import PreTrainedTokenizerFast
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor

from smolvlm.errors import CheckpointError, ContextLengthError, InputError
from smolvlm.processing.messages import parse_messages
from smolvlm.processing.pixels import normalize
from smolvlm.processing.processor import Processor
from smolvlm.processing.split import BudgetPolicy, ReferencePolicy
from smolvlm.types import ImagePart

NAMES = (
    "SmolVLM2-256M-Video-Instruct",
    "SmolVLM-Instruct",
    "SmolVLM2-2.2B-Instruct",
    "SmolVLM-Base",
)
SYSTEM = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
OK = {"role": "assistant", "content": [{"type": "text", "text": " ok"}]}


def photo(height: int, width: int) -> Image.Image:
    rng = np.random.default_rng(height * 7919 + width)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def picture(height: int = 120, width: int = 160) -> dict:
    return {"type": "image", "image": photo(height, width)}


def words(text: str) -> dict:
    return {"type": "text", "text": text}


def user(*parts: dict) -> dict:
    return {"role": "user", "content": list(parts)}


CONVERSATIONS = {
    "text": [user(words("What is 12 + 30?"))],
    "picture first": [user(picture(), words("Describe it."))],
    "picture last": [user(words("Describe "), picture(300, 40))],
    "two pictures": [user(words("Compare "), picture(), words(" and "), picture(50, 400))],
    "neighbours": [user(picture(), picture(90, 90), words("\n\nSame?"))],
    "system and turns": [
        SYSTEM,
        user(picture(), words("What?")),
        OK,
        user(words("Then é 東京 🙂\n")),
    ],
    "pictures in two turns": [user(picture(), words("a")), OK, user(words("and"), picture(7, 5))],
}


def published(folder) -> Idefics3Processor:
    """The published processor; its special tokens stand in tokenizer.json already."""
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
    settings = json.loads((folder / "processor_config.json").read_text())
    return Idefics3Processor(
        Idefics3ImageProcessorPil(**preprocessor),
        PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"),
            pad_token="<|im_end|>",
            eos_token="<end_of_utterance>",
        ),
        image_seq_len=settings["image_seq_len"],
        chat_template=(folder / "chat_template.jinja").read_text(),
    )


@pytest.fixture(scope="module")
def reference(tokenizer_gen2_folder) -> Processor:
    return Processor.from_folder(tokenizer_gen2_folder, ReferencePolicy())


@pytest.fixture(scope="module")
def budget(tokenizer_gen2_folder) -> Processor:
    return Processor.from_folder(tokenizer_gen2_folder)


@pytest.fixture(scope="module", params=NAMES)
def pair(request, official_folder) -> tuple[Processor, Idefics3Processor]:
    folder = official_folder(request.param)
    return Processor.from_folder(folder, ReferencePolicy()), published(folder)


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("prompt", [True, False])
def test_prompts_equal_the_published_processor(pair, name, prompt):
    ours, theirs = pair
    raw = CONVERSATIONS[name]
    pictures = [part["image"] for m in raw for part in m["content"] if part["type"] == "image"]
    text = theirs.apply_chat_template(raw, add_generation_prompt=prompt)
    wanted = theirs(text=text, images=pictures or None)["input_ids"][0]
    inputs = ours([parse_messages(raw)], add_generation_prompt=prompt)
    assert inputs.input_ids[0].tolist() == wanted
    assert inputs.attention_mask.all()


@pytest.mark.parametrize("split", [True, False])
def test_everything_equals_the_published_processor(tokenizer_gen2_folder, split):
    """Ids and pixel values of two pictures together, to the bit."""
    ours = Processor.from_folder(tokenizer_gen2_folder, ReferencePolicy(split=split))
    theirs = published(tokenizer_gen2_folder)
    raw = CONVERSATIONS["two pictures"]
    wanted = theirs(
        text=theirs.apply_chat_template(raw, add_generation_prompt=True),
        images=[part["image"] for part in raw[0]["content"] if part["type"] == "image"],
        do_image_splitting=split,
        return_tensors="np",
    )
    inputs = ours([parse_messages(raw)])
    assert np.array_equal(inputs.input_ids, wanted["input_ids"])
    assert np.array_equal(normalize(inputs.tiles, ours.rules), wanted["pixel_values"][0])
    assert inputs.tile_counts == ((18,) if split else (2,))


@pytest.mark.parametrize(
    ("name", "split", "ids"),
    [
        ("SmolVLM2-256M-Video-Instruct", True, 873),
        ("SmolVLM2-256M-Video-Instruct", False, 78),
        ("SmolVLM2-2.2B-Instruct", True, 1094),
        ("SmolVLM2-2.2B-Instruct", False, 95),
        ("SmolVLM-Instruct", True, 1194),
        ("SmolVLM-Instruct", False, 99),
    ],
)
def test_observed_prompt_lengths(official_folder, name, split, ids):
    processor = Processor.from_folder(official_folder(name), ReferencePolicy(split=split))
    assert processor.plan(parse_messages(CONVERSATIONS["picture first"])).prompt_tokens == ids


def test_a_batch_is_its_samples_padded_on_the_left(budget):
    conversations = [parse_messages(raw) for raw in CONVERSATIONS.values()]
    batch = budget(conversations)
    assert len(batch) == len(conversations)
    assert batch.input_ids.dtype == batch.attention_mask.dtype == np.int64
    for index, conversation in enumerate(conversations):
        alone = budget([conversation])
        assert np.array_equal(batch.tokens(index), alone.input_ids[0])
        assert np.array_equal(batch.sample_tiles(index), alone.tiles)
        assert batch.plans[index] == alone.plans[0]
        padding = batch.input_ids.shape[1] - alone.input_ids.shape[1]
        assert (batch.input_ids[index, :padding] == budget.config.pad_token_id).all()
        assert (batch.attention_mask[index, :padding] == 0).all()
        assert batch.attention_mask[index, padding:].all()


def test_image_tokens_and_tiles_agree(budget):
    batch = budget([parse_messages(raw) for raw in CONVERSATIONS.values()])
    for index, count in enumerate(batch.tile_counts):
        assert (batch.tokens(index) == budget.config.image_token_id).sum() == 64 * count


def test_a_prompt_without_pictures_has_no_tiles(budget):
    inputs = budget([parse_messages(CONVERSATIONS["text"])])
    assert inputs.tiles.shape == (0, 512, 512, 3)
    assert inputs.tile_counts == (0,)


def test_a_picture_of_one_tile_keeps_the_published_grammar(budget):
    run = [49189, 49152, *[49190] * 64, 49189]
    inputs = budget([parse_messages([user(picture(), words("Describe it."))])])
    assert inputs.input_ids[0].tolist() == [
        *(1, 11126, 42, *run, 37964, 357, 30, 49279, 198, 9519, 9531, 42)
    ]


def test_literal_image_tokens_of_a_user_are_not_pictures(budget):
    plain = budget([parse_messages([user(picture(), words("What is <image> in <|im_start|>?"))])])
    assert (plain.input_ids == 49190).sum() == 64
    assert (plain.input_ids == 1).sum() == 1


def test_a_plan_says_what_the_inputs_will_be(budget, reference):
    for processor in (budget, reference):
        for raw in CONVERSATIONS.values():
            messages = parse_messages(raw)
            plan, inputs = processor.plan(messages), processor([messages])
            assert plan.prompt_tokens == inputs.input_ids.shape[1]
            assert tuple(p.plan for p in plan.pictures) == inputs.plans[0]
            assert plan.tiles == len(inputs.tiles)
            assert plan.visual_tokens == (inputs.input_ids == 49190).sum()
            text_only = [p for p in messages if not any(isinstance(x, ImagePart) for x in p.parts)]
            if len(text_only) == len(messages):
                assert plan.text_tokens == plan.prompt_tokens
            assert plan.max_positions == 8192


def test_text_and_picture_tokens_add_up(reference):
    plan = reference.plan(parse_messages(CONVERSATIONS["picture first"]))
    assert (plan.prompt_tokens, plan.pictures[0].prompt_tokens, plan.text_tokens) == (873, 862, 11)


def test_visual_token_budgets_reach_the_splitter(tokenizer_gen2_folder):
    policy = BudgetPolicy(max_tiles=None, max_visual_tokens=200)
    processor = Processor.from_folder(tokenizer_gen2_folder, policy)
    plan = processor.plan(parse_messages([user(picture(700, 1400))]))
    assert plan.visual_tokens == 192


def test_a_prompt_that_fits_passes(budget):
    inputs = budget([parse_messages(CONVERSATIONS["picture first"])])
    length = inputs.input_ids.shape[1]
    budget.check_context(inputs, max_new_tokens=8192 - length)
    budget.check_context(inputs, max_new_tokens=10, max_positions=length + 10)
    with pytest.raises(ContextLengthError):
        budget.check_context(inputs, max_new_tokens=10, max_positions=length + 9)


def test_a_long_question_is_refused_with_its_length(budget):
    inputs = budget([parse_messages([user(words("very " * 9000 + "long"))])])
    length = inputs.input_ids.shape[1]
    assert length > 8192
    with pytest.raises(ContextLengthError, match=f"has {length} tokens.*holds 8192; shorten"):
        budget.check_context(inputs, max_new_tokens=1)


def test_too_many_tiles_say_how_many_would_fit(tokenizer_gen2_folder, reference):
    messages = parse_messages([user(*[picture(600, 600)] * 8, words("Which?"))])
    inputs = reference([messages])
    with pytest.raises(ContextLengthError) as caught:
        reference.check_context(inputs, max_new_tokens=256, max_positions=2000)
    text = str(caught.value)
    assert "8 pictures took 136 tiles" in text
    assert "8 would fit: set max_tiles to 4 a picture" in text
    followed = Processor.from_folder(tokenizer_gen2_folder, BudgetPolicy(4))
    followed.check_context(followed([messages]), max_new_tokens=256, max_positions=2000)


def test_too_many_pictures_say_how_many_would_fit(budget):
    inputs = budget([parse_messages([user(*[picture()] * 10, words("Which?"))])])
    with pytest.raises(
        ContextLengthError, match=r"10 pictures took 10 tiles .* at most 4 would fit"
    ):
        budget.check_context(inputs, max_new_tokens=50, max_positions=50 + 4 * 67 + 20)


def test_every_sample_of_a_batch_is_checked(budget):
    short, long = CONVERSATIONS["text"], [user(words("very " * 500))]
    inputs = budget([parse_messages(short), parse_messages(long)])
    with pytest.raises(ContextLengthError, match="has 5"):
        budget.check_context(inputs, max_new_tokens=1, max_positions=400)


@pytest.mark.parametrize("conversations", [[], [[]]])
def test_nothing_to_ask_is_refused(budget, conversations):
    with pytest.raises(InputError, match="give at least one"):
        budget(conversations)


def changed(source, folder, name: str, **values):
    shutil.copytree(source, folder, dirs_exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


@pytest.mark.parametrize(
    ("name", "values", "match"),
    [
        ("processor_config.json", {"image_seq_len": 81}, "image_seq_len 81.*64 visual tokens"),
        (
            "preprocessor_config.json",
            {"max_image_size": {"longest_edge": 384}},
            "tiles of 384 pixels.*vision tower for 512",
        ),
        ("config.json", {"image_token_id": 49189}, "<image> the id 49190, config.json says 49189"),
    ],
)
def test_files_that_disagree_are_refused(tmp_path, tokenizer_gen2_folder, name, values, match):
    with pytest.raises(CheckpointError, match=match):
        Processor.from_folder(changed(tokenizer_gen2_folder, tmp_path, name, **values))
