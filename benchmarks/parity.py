"""How far our network is from the published classes, for every checkpoint of the family.

    python -m benchmarks.parity               measure, write the JSON and the table of
    docs/parity.md

Each published checkpoint is made tiny (`tests/checkpoints.py`: its own JSON files, shrunken towers,
every tensor random) and opened both by `transformers` and by us. Compared in float32: the logits of
every real token, relative to the largest one, and the tokens chosen greedily.
`tests/model/test_parity.py` holds the same measurement to its limits.

Letters: B samples, L tokens, N tiles of a sample, S tile side.
"""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.utils.logging import set_verbosity_error

from smolvlm.config import ModelConfig
from smolvlm.model.cache import KVCache
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.model.vision import to_patch_mask
from smolvlm.weights.names import to_published
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import NAMES, golden_json, make_tiny, random_tensors

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "parity.json"
PAGE = ROOT / "docs" / "parity.md"
TABLE_START, TABLE_END = "<!-- table: start -->", "<!-- table: end -->"
NEW_TOKENS = 16
TRUE_SIZE = "SmolVLM2-256M-Video-Instruct"
CLASSES: dict[str, Any] = {
    "idefics3": transformers.Idefics3ForConditionalGeneration,
    "smolvlm": transformers.SmolVLMForConditionalGeneration,
}


@dataclass(frozen=True)
class Case:
    """One batch, as both sides need it.

    input_ids, attention_mask: int64 (B, L), padded on the left.
    tiles: per sample, normalised pixels (N, 3, S, S).
    pixel_masks: per sample, int64 (N, S, S), or None when every pixel is picture.
    """

    name: str
    input_ids: Tensor
    attention_mask: Tensor
    tiles: Sequence[Tensor]
    pixel_masks: Sequence[Tensor] | None = None


@dataclass(frozen=True)
class Result:
    """What one case showed: the relative logits error, and how many greedy tokens agree."""

    case: str
    error: float
    equal_tokens: int
    tokens: int


def cases(config: ModelConfig) -> Iterator[Case]:
    """Words alone, one tile, several tiles, a left-padded batch, partly filled tiles."""
    yield make_case("words", config, [0])
    yield make_case("one tile", config, [1])
    yield make_case("three tiles", config, [3])
    yield make_case("padded batch", config, [2, 0, 1])
    side = config.vision.image_size
    # Never a multiple of the patch, never the whole tile; the second keeps a single row of patches.
    corners = [(side * 2 // 3 + 1, side - 37), (config.vision.patch_size - 3, side // 2 + 5)]
    yield make_case("partial tiles", config, [len(corners)], corners)


def make_case(
    name: str,
    config: ModelConfig,
    tile_counts: Sequence[int],
    corners: Sequence[tuple[int, int]] | None = None,
) -> Case:
    """A batch of random words and tiles, one sample for each of `tile_counts`.

    corners: (height, width) of the picture in each tile of a single sample; full tiles when None.
    """
    generator = torch.Generator().manual_seed(sum(name.encode()))
    side = config.vision.image_size
    prompts, tiles = [], []
    for sample, count in enumerate(tile_counts):
        words = torch.randint(17, config.image_token_id, (7 + 3 * sample,), generator=generator)
        visual = torch.full((count * config.tokens_per_tile,), config.image_token_id)
        prompts.append(torch.cat((words[:4], visual, words[4:])))  # (L_sample,)
        tiles.append(torch.rand((count, 3, side, side), generator=generator) * 2 - 1)
    ids, mask = pad_left(prompts, config.pad_token_id)
    masks = None if corners is None else [torch.stack([_corner(side, *size) for size in corners])]
    return Case(name, ids, mask, tiles, masks)


def _corner(side: int, height: int, width: int) -> Tensor:
    """A mask (S, S) whose upper left height x width pixels are picture."""
    mask = torch.zeros(side, side, dtype=torch.int64)
    mask[:height, :width] = 1
    return mask


def pad_left(prompts: Sequence[Tensor], pad: int) -> tuple[Tensor, Tensor]:
    """Prompts (L_b,) to ids and mask, both int64 (B, L)."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), longest), pad)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, longest - len(prompt) :] = 1
    return ids, mask


def reference_inputs(case: Case) -> dict[str, Tensor]:
    """The case as the published classes take it.

    Tiles come as (B, K, 3, S, S), with tiles of zeros behind those of the shorter samples.
    """
    inputs = {"input_ids": case.input_ids, "attention_mask": case.attention_mask}
    most = max(len(tiles) for tiles in case.tiles)
    if most == 0:
        return inputs
    shape = (len(case.tiles), most, *case.tiles[0].shape[1:])
    pixels = torch.zeros(shape)
    masks = torch.zeros((*shape[:2], *shape[3:]), dtype=torch.int64)  # (B, K, S, S)
    for row, tiles in enumerate(case.tiles):
        pixels[row, : len(tiles)] = tiles
        masks[row, : len(tiles)] = 1 if case.pixel_masks is None else case.pixel_masks[row]
    return {**inputs, "pixel_values": pixels, "pixel_attention_mask": masks}


def features(model: SmolVLM, case: Case) -> Tensor | None:
    """The visual tokens of a case, (K, H); None without tiles."""
    tiles = torch.cat(list(case.tiles))  # (N, 3, S, S) of all samples
    if not len(tiles):
        return None
    mask = None
    if case.pixel_masks is not None:
        mask = to_patch_mask(torch.cat(list(case.pixel_masks)), model.config.vision.patch_size)
    return model.encode_tiles(tiles, mask).flatten(0, 1)  # (N, T, H) -> (K, H)


@torch.no_grad()
def logits_error(model: SmolVLM, reference: Any, case: Case) -> float:
    """Largest difference of the logits of real tokens, relative to the largest logit."""
    # The published forward counts padding as positions unless told; `generate` does not.
    positions = (case.attention_mask.cumsum(1) - 1).clamp_min(0)  # (B, L)
    wanted = reference(**reference_inputs(case), position_ids=positions).logits
    # Without padding we are called as training calls us: no mask, plain causal attention.
    mask = None if bool(case.attention_mask.all()) else case.attention_mask
    seen = model(case.input_ids, features=features(model, case), attention_mask=mask)
    real = case.attention_mask.bool()
    return float((seen - wanted)[real].abs().max() / wanted[real].abs().max())


@torch.no_grad()
def greedy(model: SmolVLM, case: Case, count: int) -> Tensor:
    """The next `count` tokens of each sample, int64 (B, count), with a cache."""
    cache = KVCache(model.config.text, batch=len(case.input_ids))
    ids, mask, visual = case.input_ids, case.attention_mask, features(model, case)
    chosen: list[Tensor] = []
    for _ in range(count):
        logits = model(ids, features=visual, attention_mask=mask, cache=cache, last_only=True)
        ids, visual = logits[:, -1].argmax(-1, keepdim=True), None  # (B, 1)
        mask = torch.cat((mask, torch.ones_like(ids)), dim=1)  # (B, past + 1)
        chosen.append(ids)
    return torch.cat(chosen, dim=1)  # (B, count)


def reference_greedy(reference: Any, case: Case, count: int) -> Tensor:
    """What the published `generate` answers, int64 (B, count)."""
    tokens: Tensor = reference.generate(
        **reference_inputs(case), do_sample=False, max_new_tokens=count
    )
    return tokens[:, case.input_ids.shape[1] :]  # (B, count)


def compare(model: SmolVLM, reference: Any, case: Case) -> Result:
    """Logits and greedy tokens of one case."""
    wanted = reference_greedy(reference, case, NEW_TOKENS)
    seen = greedy(model, case, wanted.shape[1])
    return Result(
        case.name,
        logits_error(model, reference, case),
        int((seen == wanted).sum()),
        wanted.numel(),
    )


def open_both(folder: Path) -> tuple[SmolVLM, Any, dict[str, Any]]:
    """A model folder as ours and as the published class, in float32; the loading report."""
    checkpoint = open_checkpoint(folder)
    reference, info = CLASSES[checkpoint.config.model_type].from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    return SmolVLM.from_checkpoint(checkpoint), reference.eval(), info


def reference_from(config: dict[str, Any], tensors: dict[str, Tensor]) -> Any:
    """The published class around the given tensors (our names), shared and not copied."""
    kind = CLASSES[config["model_type"]]
    # The files ask for a bfloat16 text tower; the tensors decide.
    config = {**config, "text_config": {**config["text_config"], "torch_dtype": "float32"}}
    reference = kind(kind.config_class.from_dict(config)).float()
    reference.load_state_dict({to_published(k): v for k, v in tensors.items()}, assign=True)
    return reference.eval()


def measure(name: str, folder: Path) -> list[Result]:
    """All cases of one published checkpoint, made tiny in `folder`."""
    model, reference, _ = open_both(make_tiny(name, folder))
    return [compare(model, reference, case) for case in cases(model.config)]


def measure_true_size(name: str) -> list[Result]:
    """One tile through a published checkpoint at its true size, with random weights, in memory."""
    config_json = golden_json(name, "config")
    config = ModelConfig.from_json(config_json, golden_json(name, "generation_config"))
    tensors = {k: torch.from_numpy(v) for k, v in random_tensors(config, 0).items()}
    with torch.device("meta"):
        model = SmolVLM(config).eval()
    model.load_state_dict(tensors, assign=True)
    reference = reference_from(config_json, tensors)
    return [compare(model, reference, make_case("one tile", config, [1]))]


def table(measured: dict[str, list[Result]]) -> str:
    """The Markdown table: a row for each checkpoint, the logits error of each case, all tokens."""
    heads = [result.case for result in next(iter(measured.values()))]
    lines = [
        f"| checkpoint | {' | '.join(heads)} | greedy tokens equal |",
        "|---" * (len(heads) + 2) + "|",
    ]
    for name, results in measured.items():
        errors = " | ".join(_cell(head, results) for head in heads)
        equal, tokens = sum(r.equal_tokens for r in results), sum(r.tokens for r in results)
        lines.append(f"| {name} | {errors} | {equal} of {tokens} |")
    return "\n".join(lines)


def _cell(case: str, results: Sequence[Result]) -> str:
    errors = [result.error for result in results if result.case == case]
    return "–" if not errors else f"{errors[0]:.1e}" if errors[0] else "0"


def main() -> None:
    """Measure every checkpoint; write the JSON and put the table into its page."""
    set_verbosity_error()  # type: ignore[no-untyped-call]
    measured = {}
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            measured[name] = measure(name, Path(folder))
        print(name, max(result.error for result in measured[name]))
    measured[f"{TRUE_SIZE}, true size"] = measure_true_size(TRUE_SIZE)
    report = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "machine": platform.machine(),
        "checkpoints": {k: [asdict(result) for result in v] for k, v in measured.items()},
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page.split(TABLE_START)[0], page.split(TABLE_END)[1]
    page = f"{before}{TABLE_START}\n{table(measured)}\n{TABLE_END}{after}"
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
