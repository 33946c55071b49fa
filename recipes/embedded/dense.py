"""Stage A1: every visual token learns to say what lies on it, print first of all.

    python -m recipes.embedded.dense MODEL OUT --assets DIR --minutes 60

`align` taught the tower one name a picture. Here each token is taught by itself: the piece of text
that is printed in its cell, the drawing or shape it lies on, or nothing, as the mean of the
language model's own embeddings of those words (`cells.py`). One picture of text teaches sixty
tokens, so a tower learns to read in hours of one core; the language model is not run at all. Beside
it a classifier, dropped afterwards, has to tell the characters from the patches, since pieces that
share characters share nothing in the language model's space. OUT keeps it for a stage that goes on:
an untaught one would undo what the tower has learned.

MODEL has full tiles. Their quarters are read alone, with the positions they have in the whole:
attention over a quarter of the patches costs a sixteenth, and characters keep their size. `--whole`
goes on with whole tiles.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from recipes.embedded.align import ENDLESS, split_rows
from recipes.embedded.cells import QUARTERS, Cells, Seen, stacked
from recipes.embedded.command import exit_code
from recipes.embedded.materials import Materials
from recipes.embedded.names import Names
from recipes.embedded.printed_cells import CLASSES
from recipes.embedded.sides import resampled
from recipes.embedded.tower_steps import TowerSteps, rate_factor
from smolvlm.config import ImageRules
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.pixels import normalize
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.training.adapter_files import save_merged, trained_tensors
from smolvlm.weights.reader import open_checkpoint

LOG_EVERY, LOOK_EVERY, SAVE_EVERY = 10, 100, 100  # steps
LOOKED_AT = 24  # samples of each look
NEGATIVES = 4096  # words a cell is told apart from, besides those of the batch
COVERED = 0.5  # of a cell, from which it has to tell its words from others
HALVES = 2
HEAD = "characters.safetensors"


@dataclass(frozen=True)
class Settings:
    """Every number of the stage; written beside its result."""

    minutes: float = 60.0
    whole: bool = False
    batch: int = 12  # pictures of a step: four quarters each, or one whole tile
    chunk: int = 24  # tiles through the tower together
    frozen_layers: int = 2
    tower_rate: float = 7e-5
    layer_decay: float = 0.9
    connector_rate: float = 2e-5
    head_rate: float = 2e-3
    weight_decay: float = 0.05
    token_weight: float = 2.0  # of the distance between tokens and what they should be
    character_weight: float = 1.0
    blank_weight: float = 0.05  # of a patch without a character, in that loss
    scale: float = 20.0  # of cosines, at first
    warm_up: float = 0.06
    clip: float = 1.0
    seed: int = 0


class Stage:
    """The network, what is trained of it, and the loss of a batch."""

    def __init__(self, model: Path, mean: Tensor | None, settings: Settings) -> None:
        self.settings = settings
        self.base = open_checkpoint(model)
        self.rules = ImageRules.from_folder(model)
        self.network = SmolVLM.from_checkpoint(self.base, dtype=torch.float32)
        self.network.requires_grad_(False)
        self.table = self.network.text_model.embed_tokens.weight.detach()  # (V, H)
        self.mean = self.table.mean(0) if mean is None else mean  # (H,)
        width = self.network.config.vision.hidden_size
        self.head = nn.Linear(width, HALVES * CLASSES)
        if (model / HEAD).exists():  # the stage before has taught it
            self.head.load_state_dict(load_file(model / HEAD))
        self.scale = nn.Parameter(torch.tensor(settings.scale).log())
        self.variance = float((self.table - self.mean).square().mean())
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.steps = TowerSteps(
            self.network,
            [([*self.head.parameters(), self.scale], settings.head_rate)],
            settings,
        )
        self.positions = self._positions().to(torch.bfloat16)

    def _positions(self) -> Tensor:
        """Position vectors of each kind of view: (5, P, D), or (5, 4 P, D) of whole tiles alike."""
        vision = self.network.config.vision
        table = self.network.vision_model.embeddings.position_embedding.weight.detach()
        if self.settings.whole:
            return table.expand(QUARTERS + 1, -1, -1)
        half = vision.grid // 2
        square = table.view(2, half, 2, half, -1).transpose(1, 2).flatten(0, 1).flatten(1, 2)
        small = torch.from_numpy(resampled(self.base, half))
        return torch.cat([square, small[None]])  # (5, P, D)

    def patches(self, seen: Seen) -> Tensor:
        """(B, P, D) of some views."""
        pixels = torch.from_numpy(normalize(seen.tiles, self.rules)).to(torch.bfloat16)
        tower = self.steps.copy
        embedded = tower.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        x = embedded + self.positions[torch.from_numpy(seen.kinds)]
        encoded: Tensor = tower.post_layernorm(tower.encoder(x, None))
        return encoded

    def loss(self, seen: Seen) -> tuple[Tensor, dict[str, float]]:
        """The loss of some views, and what it is made of."""
        patches = self.patches(seen).float()  # (B, P, D)
        tokens = self.network.connector(patches).flatten(0, 1)  # (B * T, H)
        words, shares, covers = (torch.from_numpy(part).flatten(0, 1) for part in seen[2:5])
        away = self._away(tokens, words, shares, covers)
        said, right = self._said(tokens, words, shares, covers)
        read, correct = self._read(patches, torch.from_numpy(seen.characters))
        chosen = self.settings
        loss = chosen.token_weight * away + said + chosen.character_weight * read
        losses = {"away": away, "said": said, "read": read}
        parts = {name: float(part.detach()) for name, part in losses.items()}
        return loss, {**parts, "right": right, "correct": correct}

    def _away(self, tokens: Tensor, words: Tensor, shares: Tensor, covers: Tensor) -> Tensor:
        """How far tokens (N, H) are from what they should be, of the variance of words."""
        own = self.table[words.clamp_min(0)] - self.mean  # (N, K, H)
        wanted = self.mean + covers[:, None] * (shares[..., None] * own).sum(1)  # (N, H)
        return (tokens - wanted).square().mean() / self.variance

    def _said(
        self, tokens: Tensor, words: Tensor, shares: Tensor, covers: Tensor
    ) -> tuple[Tensor, float]:
        """Cross-entropy of the words of each cell among others; how many come first."""
        held = covers >= COVERED
        tokens, words, shares = tokens[held], words[held], shares[held]
        others = torch.randint(0, len(self.table), (NEGATIVES,), generator=self.generator)
        pool = torch.unique(torch.cat([words[words >= 0], others]))  # (M,)
        units = F.normalize(self.table[pool] - self.mean, dim=-1)  # (M, H)
        scores = F.normalize(tokens - self.mean, dim=-1) @ units.T * self.scale.exp()  # (N, M)
        places = torch.searchsorted(pool, words.clamp_min(0))  # (N, K)
        logs = scores.log_softmax(-1).gather(1, places)  # (N, K)
        best = pool[scores.argmax(-1)][:, None]  # (N, 1)
        right = float((best == words).any(1).float().mean())
        return -(logs * shares).sum(1).mean(), right

    def _read(self, patches: Tensor, characters: Tensor) -> tuple[Tensor, float]:
        """Cross-entropy of the characters on patches, and the share of them that is right."""
        wanted = characters.flatten()  # (B * P * 2,)
        scores = self.head(patches).view(-1, CLASSES)
        weights = torch.where(wanted > 0, 1.0, self.settings.blank_weight)
        losses = F.cross_entropy(scores, wanted, reduction="none")
        printed = wanted > 0
        hits = (scores.detach().argmax(-1) == wanted)[printed].float().sum()
        return (losses * weights).sum() / weights.sum(), float(hits / printed.sum().clamp_min(1))

    def step(self, seen: Seen, factor: float) -> dict[str, float]:
        """One update; what the loss was made of."""
        total: dict[str, float] = {}
        for piece in seen.pieces(self.settings.chunk):
            loss, parts = self.loss(piece)
            share = len(piece.kinds) / len(seen.kinds)
            (loss * share).backward()  # type: ignore[no-untyped-call]
            for name, value in parts.items():
                total[name] = total.get(name, 0.0) + value * share
        self.steps.descend(factor)
        return total

    @torch.no_grad()
    def look(self, batches: dict[str, Seen]) -> dict[str, float]:
        """How many words come first in held-out views of each kind, and characters of print."""
        found: dict[str, float] = {}
        for name, seen in batches.items():
            _, parts = self.loss(seen)
            found[name] = round(parts["right"], 4)
            if name == "print":
                found["characters"] = round(parts["correct"], 4)
        return found

    def save(self, out: Path) -> None:
        """The model folder as it stands now, and beside it the classifier of characters."""
        save_merged(out, self.base, trained_tensors(self.network))
        save_file(self.head.state_dict(), out / HEAD)


def fit(model: Path, out: Path, materials: Materials, settings: Settings) -> None:
    """Train until the minutes are over; a line of JSON now and then."""
    train, held = split_rows(materials.drawings)
    tokenizer = Tokenizer.from_folder(model)
    names = Names(materials.drawings, [*train, *held])
    stage = Stage(model, None, settings)
    stage.mean = names.words(stage.network, tokenizer).mean(0)
    vision = stage.network.config.vision
    sizes: dict[str, Any] = {
        "side": vision.image_size, "patch": vision.patch_size,
        "cells": vision.grid // stage.network.config.scale_factor, "whole": settings.whole,
    }  # fmt: skip
    cells = Cells(materials, train, tokenizer, seed=settings.seed, **sizes)
    looks = {}
    for kind in ("print", "drawings", "shapes"):
        kept = Cells(materials, held, tokenizer, seed=-1, held_out=True, kinds={kind: 1}, **sizes)
        looks[kind] = stacked([kept[i] for i in range(LOOKED_AT // (1 + settings.whole))])
    print(json.dumps({"step": 0, **stage.look(looks)}), flush=True)
    loader = DataLoader(cells, batch_size=settings.batch, sampler=range(ENDLESS), num_workers=1,
                        collate_fn=stacked)  # fmt: skip
    started, recent, budget = time.time(), list[dict[str, float]](), settings.minutes * 60
    for step, seen in enumerate(loader, start=1):
        if (spent := time.time() - started) >= budget:
            break
        recent.append(stage.step(seen, rate_factor(spent / budget, settings.warm_up)))
        if step % LOG_EVERY == 0:
            line: dict[str, Any] = {"step": step, "s": round(spent)}
            line |= {k: round(sum(r[k] for r in recent) / len(recent), 4) for k in recent[0]}
            if step % LOOK_EVERY == 0:
                line["held_out"] = stage.look(looks)
            if step % SAVE_EVERY == 0:
                stage.save(out)
            print(json.dumps(line), flush=True)
            recent.clear()
    stage.save(out)
    final = {"held_out": stage.look(looks), "steps": step - 1}
    record = json.dumps({"stage": "dense", **asdict(settings), **final}, indent=1) + "\n"
    (out / "stage.json").write_text(record, encoding="utf-8")
    print(json.dumps(final), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=Settings.minutes)
    parser.add_argument("--whole", action="store_true", help="whole tiles")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--rate", type=float, default=Settings.tower_rate)
    parser.add_argument("--connector-rate", type=float, default=Settings.connector_rate)
    args = parser.parse_args(arguments)
    settings = Settings(minutes=args.minutes, whole=args.whole, seed=args.seed,
                        tower_rate=args.rate, connector_rate=args.connector_rate)  # fmt: skip
    return exit_code(lambda: fit(args.model, args.out, Materials.open(args.assets), settings))


if __name__ == "__main__":
    sys.exit(main())
