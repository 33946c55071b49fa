"""The OpenVINO engine: what every engine must meet, parity with PyTorch, truncation, precisions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from smolvlm.config import ImageRules, ModelConfig
from smolvlm.engines.base import Engine, Step
from smolvlm.engines.folded_pixels import fold_pixels
from smolvlm.engines.openvino import MAX_FORGOTTEN, OpenVINOEngine
from smolvlm.engines.openvino_compile import runnable_precisions
from smolvlm.engines.torch import TorchEngine
from smolvlm.errors import UnknownNameError
from smolvlm.processing.pixels import normalize
from smolvlm.weights.reader import open_checkpoint
from smolvlm.weights.writer import to_bf16_bits, write_checkpoint
from tests import invariants
from tests.checkpoints import NAMES, golden_json, make_tiny, random_tensors

BF16_STORED = "SmolVLM-Instruct"  # 27x27 patches, scale 3, unseen pixels, own KV heads
F32_STORED = "SmolVLM2-256M-Video-Instruct"  # 32x32 patches, scale 4, shared KV heads
TOLERANCE = 1e-5  # of the engine compared with itself
PARITY = 1e-4  # of the two engines; seen: 1e-6


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMOLVLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def open_engine(folder: Path, **options: Any) -> OpenVINOEngine:
    return OpenVINOEngine(open_checkpoint(folder), ImageRules.from_folder(folder), **options)


def random_tiles(engine: Engine, count: int) -> NDArray[np.uint8]:
    side = engine.config.vision.image_size
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def assert_parity(folder: Path) -> None:
    """Visual tokens, all logits of a prompt with pictures and 64 greedy tokens, as in PyTorch."""
    engine = open_engine(folder)
    reference = TorchEngine(open_checkpoint(folder), ImageRules.from_folder(folder))
    tiles = random_tiles(engine, 3)
    features = engine.encode_tiles(tiles)
    assert features.dtype == np.float32
    assert invariants.relative_error(features, reference.encode_tiles(tiles)) <= PARITY
    prompt = invariants.random_prompt(reference, tiles=2, seed=1)
    (logits,) = engine.step([prompt.step(engine.open_state())])
    (wanted,) = reference.step([prompt.step(reference.open_state())])
    assert logits.dtype == np.float32
    assert invariants.relative_error(logits, wanted) <= PARITY
    assert invariants.greedy(engine, prompt, 64) == invariants.greedy(reference, prompt, 64)


@pytest.mark.parametrize("name", NAMES)
def test_parity_with_pytorch(name: str, tmp_path: Path) -> None:
    assert_parity(make_tiny(name, tmp_path))


@pytest.mark.parametrize("name", [BF16_STORED, F32_STORED])
def test_parity_with_a_tied_head(name: str, tmp_path: Path) -> None:
    assert_parity(make_tiny(name, tmp_path, tied=True))


def test_parity_of_another_tile_and_other_pixel_rules(tmp_path: Path) -> None:
    """The embedded model's tile and patch, ImageNet's pixel statistics, float16 weights."""
    folder = make_tiny(F32_STORED, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"] |= {"image_size": 448, "patch_size": 14}
    rules = json.loads((folder / "preprocessor_config.json").read_text()) | {
        "max_image_size": {"longest_edge": 448},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(rules))
    tensors = random_tensors(ModelConfig.from_folder(folder), 7)
    write_checkpoint(folder, {name: t.astype(np.float16) for name, t in tensors.items()})
    assert_parity(folder)


@pytest.mark.slow
def test_parity_at_the_true_size_of_the_256m(tmp_path: Path) -> None:
    for kind in ("config", "preprocessor_config", "generation_config"):
        data = golden_json("SmolVLM-256M-Instruct", kind)
        (tmp_path / f"{kind}.json").write_text(json.dumps(data))
    tensors = random_tensors(ModelConfig.from_folder(tmp_path), 8)
    write_checkpoint(tmp_path, {name: to_bf16_bits(t) for name, t in tensors.items()})
    assert_parity(tmp_path)


def test_folded_pixels_equal_normalised_ones() -> None:
    """The slow twin: normalise, then multiply."""
    rng = np.random.default_rng(0)
    data = golden_json(F32_STORED, "preprocessor_config")
    data |= {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    rules = ImageRules.from_json(data)
    weight = rng.standard_normal((5, 3, 4, 4), dtype=np.float32)
    patch = rng.integers(0, 256, (1, 4, 4, 3), dtype=np.uint8)
    centre, folded, shift = fold_pixels(weight, rules)
    assert np.array_equal(centre, np.rint(centre))
    seen = np.einsum("dcij,ijc->d", folded, patch[0] - centre) + shift
    wanted = np.einsum("dcij,cij->d", weight, normalize(patch, rules)[0])
    np.testing.assert_allclose(seen, wanted, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module", params=(BF16_STORED, F32_STORED))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(request.param, tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def engine(folder: Path) -> OpenVINOEngine:
    return open_engine(folder)


def test_cached_equals_full(engine: OpenVINOEngine) -> None:
    prompt = invariants.random_prompt(engine, tiles=2, seed=0)
    invariants.cached_equals_full(engine, prompt, tolerance=TOLERANCE)


def test_scores_own_output(engine: OpenVINOEngine) -> None:
    prompt = invariants.random_prompt(engine, tiles=1, seed=1)
    invariants.scores_own_output(engine, prompt, tokens=24, tolerance=TOLERANCE)


def test_batch_equals_one_by_one(engine: OpenVINOEngine) -> None:
    prompts = [invariants.random_prompt(engine, tiles=n, seed=n) for n in (1, 0, 2)]
    invariants.batch_equals_one_by_one(engine, prompts, tolerance=TOLERANCE)


def test_truncated_equals_never_read(engine: OpenVINOEngine) -> None:
    prompt = invariants.random_prompt(engine, tiles=1, seed=2)
    invariants.truncated_equals_never_read(engine, prompt, tolerance=TOLERANCE)


def test_exported_equals_read(engine: OpenVINOEngine) -> None:
    prompt = invariants.random_prompt(engine, tiles=1, seed=2)
    invariants.exported_equals_read(engine, prompt, tolerance=TOLERANCE)


@pytest.mark.parametrize("forgotten", [1, MAX_FORGOTTEN, MAX_FORGOTTEN + 1, MAX_FORGOTTEN + 40])
def test_truncating_again_and_again(engine: OpenVINOEngine, forgotten: int) -> None:
    """Few forgotten tokens are hidden, many are cut out; forgetting piles up between steps."""
    straight, edited = engine.open_state(), engine.open_state()
    kept: list[int] = []
    for turn in range(4):
        words = np.arange(20, 25) + 5 * turn
        engine.step([Step(edited, words), Step(straight, words)])
        kept += words.tolist()
        engine.step([Step(edited, np.arange(100, 100 + forgotten))])
        edited.truncate(len(kept))
        assert edited.length == len(kept)
    edited.truncate(12)
    straight.truncate(12)
    last = np.array([77])
    seen, short = engine.step([Step(edited, last), Step(straight, last)])
    (wanted,) = engine.step([Step(engine.open_state(), np.array([*kept[:12], 77]))])
    assert invariants.relative_error(seen, wanted) <= TOLERANCE
    assert invariants.relative_error(short, wanted) <= TOLERANCE


@pytest.mark.parametrize("units", [0, 10**9])
@pytest.mark.parametrize("forgotten", [0, 3, MAX_FORGOTTEN + 1])
def test_going_on_equals_reading_again(
    engine: OpenVINOEngine, monkeypatch: pytest.MonkeyPatch, units: int, forgotten: int
) -> None:
    """Whichever is taken to be faster, also after tokens were forgotten, and for all rows."""
    monkeypatch.setattr("smolvlm.engines.openvino.FROM_NOTHING", units)
    prompt = invariants.random_prompt(engine, tiles=1, seed=4)
    more = np.arange(30, 30 + 20)
    state, fresh = engine.open_state(), engine.open_state()
    engine.step([Step(state, prompt.ids, prompt.features)])
    engine.step([Step(state, np.arange(100, 101 + forgotten))])
    state.truncate(len(prompt.ids) + 1)
    (last,) = engine.step([Step(state, more[:5])])
    (seen,) = engine.step([Step(state, more[5:], logits="all")])
    whole = np.concatenate([prompt.ids, [100], more])
    (wanted,) = engine.step([Step(fresh, whole, prompt.features, logits="all")])
    assert invariants.relative_error(seen, wanted[-15:]) <= TOLERANCE
    assert invariants.relative_error(last, wanted[-16:-15]) <= TOLERANCE
    assert state.length == len(whole)
    state.truncate(len(prompt.ids) + 3)
    (again,) = engine.step([Step(state, more[2:], logits="all")])
    assert invariants.relative_error(again, wanted[-18:]) <= TOLERANCE


@pytest.mark.parametrize("tokens", [5, MAX_FORGOTTEN + 5])
def test_truncating_to_nothing(engine: OpenVINOEngine, tokens: int) -> None:
    state, ids = engine.open_state(), np.array([40, 41, 42])
    engine.step([Step(state, np.arange(20, 20 + tokens))])
    state.truncate(0)
    assert state.length == 0
    seen, wanted = engine.step([Step(state, ids)]) + engine.step([Step(engine.open_state(), ids)])
    assert invariants.relative_error(seen, wanted) <= TOLERANCE


def test_wrong_feature_counts(engine: OpenVINOEngine) -> None:
    invariants.refuses_wrong_feature_counts(
        engine, invariants.random_prompt(engine, tiles=1, seed=3)
    )


def test_a_refused_step_leaves_the_others_of_its_call_alone(engine: OpenVINOEngine) -> None:
    good, bad = engine.open_state(), engine.open_state()
    with pytest.raises(ValueError, match="1 <image> tokens but 0"):
        engine.step(
            [Step(good, np.array([20])), Step(bad, np.array([engine.config.image_token_id]))]
        )
    assert good.length == bad.length == 0


def test_tiles_are_encoded_independently(engine: OpenVINOEngine) -> None:
    tiles = random_tiles(engine, 5)
    together = engine.encode_tiles(tiles)
    alone = np.concatenate([engine.encode_tiles(tile[None]) for tile in tiles])
    assert invariants.relative_error(together, alone) <= TOLERANCE
    upside_down = tiles[:, ::-1]  # not contiguous
    wanted = engine.encode_tiles(upside_down.copy())
    assert np.array_equal(engine.encode_tiles(upside_down), wanted)


def test_no_tiles_give_no_features(engine: OpenVINOEngine) -> None:
    features = engine.encode_tiles(random_tiles(engine, 0))
    assert features.shape == (0, engine.config.tokens_per_tile, engine.config.text.hidden_size)


def test_rows_of_logits(engine: OpenVINOEngine) -> None:
    ids = np.arange(20, 25)
    last, every = engine.step(
        [Step(engine.open_state(), ids), Step(engine.open_state(), ids, logits="all")]
    )
    vocabulary = engine.config.text.vocab_size
    assert last.shape == (1, vocabulary) and every.shape == (5, vocabulary)
    assert invariants.relative_error(last, every[-1:]) <= TOLERANCE


def test_rows_outlive_the_next_step(engine: OpenVINOEngine) -> None:
    state = engine.open_state()
    (row,) = engine.step([Step(state, np.array([20]))])
    before = row.copy()
    engine.step([Step(state, np.array([30]))])
    assert np.array_equal(row, before)


def test_bfloat16_is_close_and_stays_close(folder: Path, engine: OpenVINOEngine) -> None:
    """Also far into a text: an angle computed in bfloat16 would be noise at position 3000."""
    coarse = open_engine(folder, precision="bf16")
    assert coarse.describe().precision == "bf16"
    tiles = random_tiles(engine, 2)
    error = invariants.relative_error(coarse.encode_tiles(tiles), engine.encode_tiles(tiles))
    assert error < 0.05
    # OpenVINO computes in float32 where the CPU knows no bfloat16.
    assert (error > TOLERANCE) == ("bf16" in runnable_precisions())
    ids = np.random.default_rng(0).integers(17, 1000, 3000)
    for tokens in (ids[:50], ids):
        (row,) = coarse.step([Step(coarse.open_state(), tokens)])
        (wanted_row,) = engine.step([Step(engine.open_state(), tokens)])
        assert row.dtype == np.float32
        assert invariants.relative_error(row, wanted_row) < 0.05
    prompts = [invariants.random_prompt(coarse, tiles=n, seed=n) for n in (1, 0)]
    invariants.batch_equals_one_by_one(coarse, prompts, tolerance=TOLERANCE)


def test_describe(folder: Path, engine: OpenVINOEngine) -> None:
    info = engine.describe()
    assert (info.name, info.precision) == ("openvino", "f32")
    assert info.library == f"openvino {ov.__version__}"
    assert info.device and info.threads >= 1
    assert open_engine(folder, threads=1).describe().threads == 1


def test_impossible_uses(folder: Path, engine: OpenVINOEngine) -> None:
    with pytest.raises(UnknownNameError, match="no precision 'int3'; it has bf16, f32"):
        open_engine(folder, precision="int3")
    closed, state = engine.open_state(), engine.open_state()
    closed.close()
    with pytest.raises(AssertionError, match="closed"):
        engine.step([Step(closed, np.array([20]))])
    with pytest.raises(AssertionError, match="twice"):
        engine.step([Step(state, np.array([20])), Step(state, np.array([21]))])
    with pytest.raises(AssertionError, match="cannot be kept"):
        state.truncate(1)
    assert state.length == 0
