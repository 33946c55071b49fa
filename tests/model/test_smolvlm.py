"""The whole network: names, loading, the merge of visual tokens, gradients, decoding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.parity import features, greedy, make_case
from smolvlm.config import ModelConfig
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.weights.names import expected_shapes
from smolvlm.weights.reader import Checkpoint, open_checkpoint
from tests import naive
from tests.checkpoints import NAMES, golden_json, make_tiny, tiny_config

BF16_STORED, F32_STORED = "SmolVLM-256M-Instruct", "SmolVLM2-256M-Video-Instruct"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(make_tiny(F32_STORED, tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> SmolVLM:
    return SmolVLM.from_checkpoint(checkpoint)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_state_dict_is_the_name_table_at_true_size(name: str, tied: bool) -> None:
    config = ModelConfig.from_json({**golden_json(name, "config"), "tie_word_embeddings": tied})
    with torch.device("meta"):
        model = SmolVLM(config)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert shapes == expected_shapes(config)
    # Nothing beside the named tensors, such as rotary frequencies that a cast to bfloat16 would
    # round.
    assert not dict(model.named_buffers())


@pytest.mark.parametrize("name", [BF16_STORED, F32_STORED])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_from_checkpoint_copies_into_one_dtype(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(make_tiny(name, tmp_path))
    model = SmolVLM.from_checkpoint(checkpoint, dtype)
    assert model.dtype == dtype and not model.training and model.device.type == "cpu"
    for key, value in model.state_dict().items():
        wanted = torch.tensor(checkpoint.f32(key)).to(dtype)
        assert value.dtype == dtype and torch.equal(value, wanted), key
    with torch.no_grad():
        for value in model.parameters():
            value.zero_()  # a view of the file would crash or change it
    assert checkpoint.f32("text_model.norm.weight").any()


def test_visual_tokens_fill_their_places_in_order(model: SmolVLM) -> None:
    image = model.config.image_token_id
    ids = torch.tensor([[5, image, 6, image], [image, 7, 8, 9]])
    rows = torch.randn(3, model.config.text.hidden_size)
    with torch.no_grad():
        merged = model.embed(ids, rows)
        words = model.text_model.embed_tokens(ids)
    places = ids == image
    assert torch.equal(merged[places], rows)
    assert torch.equal(merged[~places], words[~places])


@pytest.mark.parametrize("given", [0, 1, 3])
def test_a_wrong_count_is_refused_with_both_numbers(model: SmolVLM, given: int) -> None:
    image = model.config.image_token_id
    rows = torch.randn(given, model.config.text.hidden_size) if given else None
    with pytest.raises(ValueError, match=rf"has 2 <image> tokens but {given} visual tokens"):
        model(torch.tensor([[5, image, image]]), features=rows)


def test_last_only_is_the_last_row(model: SmolVLM) -> None:
    ids = torch.arange(20, 32).view(2, 6)
    with torch.no_grad():
        whole, last = model(ids), model(ids, last_only=True)
    assert last.shape == (2, 1, model.config.text.vocab_size)
    torch.testing.assert_close(last, whole[:, -1:])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_parameter_learns(tied: bool, dtype: torch.dtype) -> None:
    config = ModelConfig.from_json(tiny_config(F32_STORED, tied=tied))
    model = SmolVLM(config).to(dtype)
    case = make_case("training", config, [1, 1])
    visual = features(model, case)
    assert visual is not None
    visual.retain_grad()
    logits = model(case.input_ids, features=visual, attention_mask=case.attention_mask)
    loss = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), case.input_ids[:, 1:].flatten()
    )
    loss.backward()
    assert visual.grad is not None and visual.grad.any()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        # A softmax does not see a constant added to every key's score.
        if not name.endswith("self_attn.k_proj.bias"):
            assert parameter.grad.any(), name


def test_features_from_elsewhere_receive_gradients(model: SmolVLM) -> None:
    image = model.config.image_token_id
    rows = torch.randn(2, model.config.text.hidden_size, requires_grad=True)
    model(torch.tensor([[5, image, image, 6]]), features=rows)[0, -1].logsumexp(0).backward()
    assert rows.grad is not None and rows.grad.any(-1).all()


def test_cached_decoding_matches_decoding_without_a_cache(model: SmolVLM) -> None:
    case = make_case("decoding", model.config, [1])
    with torch.no_grad():
        visual = features(model, case)
    wanted = naive.greedy(model, case.input_ids[0], visual, 8)
    assert greedy(model, case, 8)[0].tolist() == wanted
