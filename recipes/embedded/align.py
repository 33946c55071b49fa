"""Stage A0: the tower learns to name drawings in the language model's own words, without it.

    python -m recipes.embedded.align MODEL OUT --pack DIR --minutes 25

What a visual token can say is a vector in the language model's space, and the language model copies
a name that stands there after a hundred steps (`tried.md`). So tower and connector are trained to
put it there: the mean visual token of a view of a drawing has to point at its name among all names,
by the cosine of whitened embeddings (`names.py`), as in contrastive training with a frozen text
side. Such a step costs half of one through the language model. MODEL should have small tiles
(`sides.py`); its position table is frozen, so the tower goes back to full tiles unchanged.

The result is a model folder, the base for `smolvlm train`. Drawings by one artist of every fifth
concept are held out for the figures in the log.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from recipes.embedded.names import PEOPLE, Names
from recipes.embedded.pack import AssetPack
from recipes.embedded.views import varied_view
from smolvlm.config import ImageRules
from smolvlm.errors import InputError, SmolVLMError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.pixels import normalize
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.training.adapter_files import save_merged, trained_tensors
from smolvlm.weights.reader import open_checkpoint

LOG_EVERY, LOOK_EVERY = 10, 100  # steps
HELD_OUT_ARTIST, HELD_OUT_CONCEPTS = "twemoji", 5  # one concept in so many
CHUNK = 16  # tiles through the tower together: their activations stay in the processor's cache
CENTRED_ON = 64  # tiles
ENDLESS = 2**40


@dataclass(frozen=True)
class Settings:
    """Every number of the stage; written beside its result."""

    minutes: float = 25.0
    batch: int = 32
    frozen_layers: int = 4  # first blocks of the tower that stay as they are
    tower_rate: float = 1.5e-4  # of the last block; times `layer_decay` for each one before it
    layer_decay: float = 0.85
    connector_rate: float = 5e-6  # 6144 inputs: a larger one undoes the start
    scale_rate: float = 1e-2
    weight_decay: float = 0.05
    size_weight: float = 1.0  # of the loss that keeps visual tokens as large as words
    warm_up: float = 0.05  # share of the run
    clip: float = 1.0
    seed: int = 0


class Views(Dataset[tuple[NDArray[np.uint8], int]]):
    """Views of drawings without end: item i is a function of (seed, i)."""

    def __init__(self, pack: AssetPack, rows: list[int], *, side: int, seed: int) -> None:
        self.pack, self.rows, self.side, self.seed = pack, rows, side, seed

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        """A tile uint8 (S, S, 3) and the row of the pack it shows."""
        passed, place = divmod(index, len(self.rows))
        order = np.random.default_rng((self.seed, passed)).permutation(len(self.rows))
        row = self.rows[int(order[place])]
        return varied_view(self.pack.image(row), side=self.side, seed=index), row


class Stage:
    """The network and what is trained of it."""

    def __init__(self, model: Path, names: Names, settings: Settings) -> None:
        self.settings, self.names = settings, names
        self.base = open_checkpoint(model)
        self.rules = ImageRules.from_folder(model)
        self.network = SmolVLM.from_checkpoint(self.base, dtype=torch.float32)
        tokenizer = Tokenizer.from_folder(model)
        self.white, self.words, self.size = names.whitening(self.network, tokenizer)
        self.shift = nn.Parameter(torch.zeros(self.words.shape[1]))  # (H,)
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self._freeze()
        self.optimizer = torch.optim.AdamW(self._groups(), betas=(0.9, 0.98))
        # The steps are computed by a bfloat16 copy of the tower: activations of half the size are
        # worth 2.5 times the speed.
        self.copy = copy.deepcopy(self.network.vision_model).to(torch.bfloat16)

    def _freeze(self) -> None:
        self.network.requires_grad_(False)
        tower = self.network.vision_model
        for module in (*tower.encoder.layers[self.settings.frozen_layers :], tower.post_layernorm,
                       self.network.connector):  # fmt: skip
            module.requires_grad_(True)

    def _groups(self) -> list[dict[str, object]]:
        tower, chosen = self.network.vision_model, self.settings
        groups: list[dict[str, object]] = [
            {"params": [*self.network.connector.parameters()], "peak": chosen.connector_rate},
            {"params": [self.shift, self.scale], "peak": chosen.scale_rate, "weight_decay": 0.0},
        ]
        layers = [*tower.encoder.layers[chosen.frozen_layers :], tower.post_layernorm]
        for distance, layer in enumerate(reversed(layers)):
            rate = chosen.tower_rate * chosen.layer_decay ** max(distance - 1, 0)
            for many, decay in ((True, chosen.weight_decay), (False, 0.0)):
                params = [p for p in layer.parameters() if (p.ndim > 1) == many]
                if params:
                    groups.append({"params": params, "peak": rate, "weight_decay": decay})
        for group in groups:
            group.setdefault("weight_decay", 0.0)
        return groups

    @torch.no_grad()
    def centre(self, tiles: NDArray[np.uint8]) -> None:
        """Let patch vectors have mean 0 and size 1 in every channel, and the connector undo it.

        Only the part that all pictures share is lost. A rate then moves all directions alike.
        """
        norm = self.network.vision_model.post_layernorm
        projection = self.network.connector.modality_projection.proj
        pieces = [self._patches(tiles[i : i + CHUNK]) for i in range(0, len(tiles), CHUNK)]
        patches = torch.cat(pieces)  # (N, P, D)
        spread, mean = torch.std_mean(patches.float().flatten(0, 1), dim=0)  # (D,), (D,)
        norm.weight.div_(spread)
        norm.bias.copy_((norm.bias - mean) / spread)
        blocks = projection.in_features // len(spread)
        projection.weight *= spread.repeat(blocks)
        self.copy.load_state_dict(self.network.vision_model.state_dict())

    def loss(self, tiles: NDArray[np.uint8], rows: list[int]) -> tuple[Tensor, Tensor]:
        """Mean loss, and whether each row's name came first: bool (B,)."""
        tokens = self.network.connector(self._patches(tiles).float())  # (B, T, H)
        pooled = tokens.mean(1)  # (B, H)
        pointing = F.normalize((pooled - self.shift) @ self.white, dim=-1)  # (B, H)
        scores = pointing @ self.words.T * self.scale.exp()  # (B, N)
        labels, others = self.names.right(rows)
        loss = F.cross_entropy(scores.masked_fill(others, float("-inf")), labels)
        size = tokens.square().mean((1, 2)).sqrt()  # (B,)
        loss = loss + self.settings.size_weight * (size / self.size - 1).square().mean()
        return loss, scores.argmax(-1) == labels

    def _patches(self, tiles: NDArray[np.uint8]) -> Tensor:
        pixels = torch.from_numpy(normalize(tiles, self.rules))  # (B, 3, S, S)
        patches: Tensor = self.copy(pixels)  # (B, P, D)
        return patches

    def _pairs(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """Trained parameters of the tower and of its copy."""
        both = zip(self.network.vision_model.parameters(), self.copy.parameters(), strict=True)
        return ((master, own) for master, own in both if master.requires_grad)

    def step(self, tiles: NDArray[np.uint8], rows: list[int], factor: float) -> tuple[float, float]:
        """One update; the loss and the share of names that came first."""
        total, right = 0.0, 0.0
        for at in range(0, len(rows), CHUNK):
            loss, hits = self.loss(tiles[at : at + CHUNK], rows[at : at + CHUNK])
            share = len(hits) / len(rows)
            (loss * share).backward()  # type: ignore[no-untyped-call]
            total, right = total + float(loss.detach()) * share, right + float(hits.sum())
        for master, own in self._pairs():
            assert own.grad is not None
            master.grad, own.grad = own.grad.float(), None
        params = [p for group in self.optimizer.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(params, self.settings.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            for master, own in self._pairs():
                own.copy_(master)
        return total, right / len(rows)

    @torch.no_grad()
    def look(self, views: Views, count: int = 200) -> float | None:
        """The share of held-out views whose name comes first; None without any."""
        hits, count = 0, min(count, len(views.rows))
        for at in range(0, count, CHUNK):
            tiles, rows = _stack([views[i] for i in range(at, min(at + CHUNK, count))])
            hits += int(self.loss(tiles, rows)[1].sum())
        return round(hits / count, 4) if count else None

    def save(self, out: Path) -> None:
        """The model folder as it stands now."""
        save_merged(out, self.base, trained_tensors(self.network))


def _stack(items: list[tuple[NDArray[np.uint8], int]]) -> tuple[NDArray[np.uint8], list[int]]:
    return np.stack([tile for tile, _ in items]), [row for _, row in items]


def split_rows(pack: AssetPack) -> tuple[list[int], list[int]]:
    """Rows to train on and rows held out: named things; of people and faces there are none."""
    said = {i: pack.row(i) for i in pack.indices("train")}
    rows = [i for i, row in said.items() if row["label"] and row["group"] not in PEOPLE]
    artists = [i for i in rows if said[i]["source"] == HELD_OUT_ARTIST]
    concepts = sorted({said[i]["concept"] for i in artists})[::HELD_OUT_CONCEPTS]
    held = [i for i in artists if said[i]["concept"] in concepts]
    if len(rows) == len(held):
        raise InputError("the pack has no named thing to train on; build it as README.md says")
    return sorted({*rows} - {*held}), held


def rate_factor(progress: float, warm_up: float) -> float:
    """Linear warm-up, then a cosine to a fiftieth; `progress` is the share that is over."""
    if progress < warm_up:
        return progress / warm_up
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


def fit(model: Path, out: Path, pack: AssetPack, settings: Settings) -> None:
    """Train until the minutes are over; a line of JSON now and then."""
    train, held = split_rows(pack)
    stage = Stage(model, Names(pack, [*train, *held]), settings)
    side = stage.network.config.vision.image_size
    views = Views(pack, train, side=side, seed=settings.seed)
    held_out = Views(pack, held, side=side, seed=settings.seed)
    stage.centre(_stack([views[i] for i in range(CENTRED_ON)])[0])
    loader = DataLoader(
        views, batch_size=settings.batch, sampler=range(ENDLESS), num_workers=1, collate_fn=_stack
    )
    started, recent = time.time(), list[tuple[float, float]]()
    budget = settings.minutes * 60
    for step, (tiles, rows) in enumerate(loader, start=1):
        if (spent := time.time() - started) >= budget:
            break
        recent.append(stage.step(tiles, rows, rate_factor(spent / budget, settings.warm_up)))
        if step % LOG_EVERY == 0:
            losses, right = (round(sum(c) / len(recent), 4) for c in zip(*recent, strict=True))
            line: dict[str, Any] = {"step": step, "s": round(spent), "loss": losses, "right": right}
            if step % LOOK_EVERY == 0:
                line["held_out"] = stage.look(held_out)
                stage.save(out)
            print(json.dumps(line), flush=True)
            recent.clear()
    stage.save(out)
    final = {"held_out": stage.look(held_out, len(held)), "n": len(held), "steps": step - 1}
    record = json.dumps({**asdict(settings), **final}, indent=1) + "\n"
    (out / "align.json").write_text(record, encoding="utf-8")
    print(json.dumps(final), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=Settings.minutes)
    args = parser.parse_args(arguments)
    try:
        fit(args.model, args.out, AssetPack(args.pack), Settings(minutes=args.minutes))
    except SmolVLMError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
