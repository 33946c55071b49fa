"""Stage A0: the tower learns to name drawings in the language model's own words, without it.

    python -m recipes.embedded.align MODEL OUT --pack DIR --minutes 25
    python -m recipes.embedded.align OUT WORDS --pack DIR --minutes 30 --words --seed 1

What a visual token can say is a vector in the language model's space, and the language model copies
a name that stands there after a hundred steps (`tried.md`). So tower and connector are trained to
put it there: the mean visual token of a view of a drawing has to point at its name among all names,
by the cosine of whitened embeddings (`names.py`), as in contrastive training with a frozen text
side. Such a step costs half of one through the language model. MODEL should have small tiles
(`sides.py`); its position table is frozen, so the tower goes back to full tiles unchanged.

That teaches the tower names quickly, but not in the language model's words: a whitened direction is
no embedding. `--words` goes on from there: every token whose cell the drawing covers has to be the
name's embedding itself, and every other one the mean of all names.

The result is a model folder, the base for `smolvlm train`. Drawings by one artist of every fifth
concept are held out for the figures in the log.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from recipes.embedded.command import exit_code
from recipes.embedded.materials import Drawings
from recipes.embedded.names import PEOPLE, Names, Plain, Whitened
from recipes.embedded.pack import AssetPack
from recipes.embedded.tower_steps import TowerSteps, rate_factor
from recipes.embedded.views import covered_view
from smolvlm.config import ImageRules
from smolvlm.errors import InputError
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.pixels import normalize
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.training.adapter_files import save_merged, trained_tensors
from smolvlm.weights.reader import open_checkpoint

LOG_EVERY, LOOK_EVERY = 10, 100  # steps
HELD_OUT_ARTIST, HELD_OUT_CONCEPTS = "twemoji", 5  # one concept in so many
CHUNK = 16  # tiles through the tower together: their activations stay in the processor's cache
CENTRED_ON = 64  # tiles
SCALES = 10.0, 30.0  # of cosines, at first: in the second phase they are already apart
WHOLE = 0.3  # share of its cell that a drawing has to cover for the token to say all of its name
ENDLESS = 2**40


@dataclass(frozen=True)
class Settings:
    """Every number of the stage; written beside its result."""

    minutes: float = 25.0
    words: bool = False  # the second phase: tokens become embeddings of names
    batch: int = 32
    frozen_layers: int = 4  # first blocks of the tower that stay as they are
    tower_rate: float = 1.5e-4  # of the last block; times `layer_decay` for each one before it
    layer_decay: float = 0.85
    connector_rate: float = 5e-6  # 6144 inputs: a larger one undoes the start
    scale_rate: float = 1e-2
    weight_decay: float = 0.05
    token_weight: float = 1.0  # of the loss of tokens: as large as words, or the words themselves
    warm_up: float = 0.05  # share of the run
    clip: float = 1.0
    seed: int = 0


class Shown(NamedTuple):
    """Views of drawings, and the rows of the pack they show.

    tiles: uint8 (B, S, S, 3). covers: float32 (B, T), how far each token's place is the drawing's,
    from 0 (background) to 1.
    """

    tiles: NDArray[np.uint8]
    covers: NDArray[np.float32]
    rows: list[int]

    def pieces(self) -> Iterator[Shown]:
        """As many as go through the tower together."""
        for at in range(0, len(self.rows), CHUNK):
            part = slice(at, at + CHUNK)
            yield Shown(self.tiles[part], self.covers[part], self.rows[part])


class Views(Dataset[Shown]):
    """Views of drawings without end: item i, a single one, is a function of (seed, i).

    side: of a tile in pixels; cells: visual tokens a side.
    """

    def __init__(
        self, pack: AssetPack, rows: list[int], *, side: int, cells: int, seed: int
    ) -> None:
        self.pack, self.rows, self.seed = pack, rows, seed
        self.side, self.cells = side, cells

    def __getitem__(self, index: int) -> Shown:
        passed, place = divmod(index, len(self.rows))
        order = np.random.default_rng((self.seed, passed)).permutation(len(self.rows))
        row = self.rows[int(order[place])]
        tile, alpha = covered_view(self.pack.image(row), side=self.side, seed=index)
        return Shown(tile[None], covered(alpha, self.cells)[None], [row])


def covered(alpha: NDArray[np.uint8], cells: int) -> NDArray[np.float32]:
    """How far each token's place is a drawing's that is so opaque, uint8 (S, S): float32 (T,)."""
    side = len(alpha) // cells
    shares = alpha.reshape(cells, side, cells, side).mean((1, 3)) / 255  # (cells, cells)
    covers: NDArray[np.float32] = np.minimum(shares / WHOLE, 1).astype(np.float32).ravel()
    return covers


class Stage:
    """The network and what is trained of it."""

    def __init__(self, model: Path, names: Names, settings: Settings) -> None:
        self.settings, self.names = settings, names
        self.base = open_checkpoint(model)
        self.rules = ImageRules.from_folder(model)
        self.network = SmolVLM.from_checkpoint(self.base, dtype=torch.float32)
        tokenizer = Tokenizer.from_folder(model)
        self.words = names.words(self.network, tokenizer)  # (N, H)
        scale = SCALES[settings.words]
        self.plain = Plain(self.words, scale=scale)
        start = self.plain.mean if settings.words else torch.zeros_like(self.plain.mean)
        # The last one judges.
        self.pointers = nn.ModuleList([Whitened(self.words, start, scale=scale)])
        if settings.words:
            self.pointers.append(self.plain)
        self.steps = TowerSteps(
            self.network,
            [([*self.pointers.parameters()], settings.scale_rate)],
            settings,
        )

    @torch.no_grad()
    def centre(self, shown: Shown) -> None:
        """Let patch vectors have mean 0 and size 1 in every channel, and the connector undo it.

        Only the part that all pictures share is lost. A rate then moves all directions alike.
        """
        norm = self.network.vision_model.post_layernorm
        projection = self.network.connector.modality_projection.proj
        patches = torch.cat([self._patches(piece) for piece in shown.pieces()])  # (N, P, D)
        spread, mean = torch.std_mean(patches.float().flatten(0, 1), dim=0)  # (D,), (D,)
        norm.weight.div_(spread)
        norm.bias.copy_((norm.bias - mean) / spread)
        blocks = projection.in_features // len(spread)
        projection.weight *= spread.repeat(blocks)
        self.steps.narrow()

    def loss(self, shown: Shown) -> tuple[Tensor, Tensor]:
        """Mean loss, and whether each row's name came first: bool (B,)."""
        tokens = self._tokens(shown)  # (B, T, H)
        if self.settings.words:
            cover = torch.from_numpy(shown.covers)[..., None]  # (B, T, 1)
            pooled = (tokens * cover).sum(1) / cover.sum(1)  # (B, H)
            away = (tokens - self._targets(shown)).square().mean() / self.plain.variance
        else:
            pooled = tokens.mean(1)  # (B, H)
            size = (tokens.square().mean((1, 2)) / self.plain.variance).sqrt()  # (B,)
            away = (size - 1).square().mean()
        loss = self.settings.token_weight * away
        labels, others = self.names.right(shown.rows)
        for pointer in self.pointers:
            scores = pointer(pooled)  # (B, N)
            loss = loss + F.cross_entropy(scores.masked_fill(others, float("-inf")), labels)
        return loss, scores.argmax(-1) == labels

    def _targets(self, shown: Shown) -> Tensor:
        """What each token should be: float32 (B, T, H)."""
        labels, _ = self.names.right(shown.rows)
        own = (self.words[labels] - self.plain.mean)[:, None]  # (B, 1, H)
        return self.plain.mean + torch.from_numpy(shown.covers)[..., None] * own  # (B, T, H)

    def _tokens(self, shown: Shown) -> Tensor:
        tokens: Tensor = self.network.connector(self._patches(shown).float())  # (B, T, H)
        return tokens

    def _patches(self, shown: Shown) -> Tensor:
        pixels = torch.from_numpy(normalize(shown.tiles, self.rules))  # (B, 3, S, S)
        patches: Tensor = self.steps.copy(pixels)  # (B, P, D)
        return patches

    def step(self, shown: Shown, factor: float) -> tuple[float, float]:
        """One update; the loss and the share of names that came first."""
        total, right = 0.0, 0.0
        for piece in shown.pieces():
            loss, hits = self.loss(piece)
            share = len(hits) / len(shown.rows)
            (loss * share).backward()  # type: ignore[no-untyped-call]
            total, right = total + float(loss.detach()) * share, right + float(hits.sum())
        self.steps.descend(factor)
        return total, right / len(shown.rows)

    @torch.no_grad()
    def look(self, views: Views, count: int = 200) -> float | None:
        """The share of held-out views whose name comes first; None without any."""
        hits, count = 0, min(count, len(views.rows))
        for piece in _stack([views[i] for i in range(count)]).pieces() if count else ():
            hits += int(self.loss(piece)[1].sum())
        return round(hits / count, 4) if count else None

    def save(self, out: Path) -> None:
        """The model folder as it stands now."""
        save_merged(out, self.base, trained_tensors(self.network))


def _stack(items: Sequence[Shown]) -> Shown:
    tiles, covers, rows = zip(*items, strict=True)
    return Shown(np.concatenate(tiles), np.concatenate(covers), [*chain.from_iterable(rows)])


def _batches(views: Views, size: int) -> Iterator[Shown]:
    """Batches without end, made ahead in a process of their own."""
    return iter(
        DataLoader(views, batch_size=size, sampler=range(ENDLESS), num_workers=1, collate_fn=_stack)
    )


def split_rows(pack: Drawings) -> tuple[list[int], list[int]]:
    """Rows to train on and rows held out: named things; of people and faces there are none."""
    said = {i: pack.row(i) for i in pack.indices("train")}
    rows = [i for i, row in said.items() if row["label"] and row["group"] not in PEOPLE]
    artists = [i for i in rows if said[i]["source"] == HELD_OUT_ARTIST]
    concepts = sorted({said[i]["concept"] for i in artists})[::HELD_OUT_CONCEPTS]
    held = [i for i in artists if said[i]["concept"] in concepts]
    if len(rows) == len(held):
        raise InputError("the pack has no named thing to train on; build it as README.md says")
    return sorted({*rows} - {*held}), held


def fit(model: Path, out: Path, pack: AssetPack, settings: Settings) -> None:
    """Train until the minutes are over; a line of JSON now and then."""
    train, held = split_rows(pack)
    stage = Stage(model, Names(pack, [*train, *held]), settings)
    vision = stage.network.config.vision
    cells = vision.grid // stage.network.config.scale_factor
    views, held_out = (
        Views(pack, rows, side=vision.image_size, cells=cells, seed=settings.seed)
        for rows in (train, held)
    )
    if not settings.words:
        stage.centre(_stack([views[i] for i in range(CENTRED_ON)]))
    print(json.dumps({"step": 0, "held_out": stage.look(held_out)}), flush=True)
    started, recent = time.time(), list[tuple[float, float]]()
    budget = settings.minutes * 60
    for step, shown in enumerate(_batches(views, settings.batch), start=1):
        if (spent := time.time() - started) >= budget:
            break
        recent.append(stage.step(shown, rate_factor(spent / budget, settings.warm_up)))
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
    record = json.dumps({"stage": "align", **asdict(settings), **final}, indent=1) + "\n"
    (out / "stage.json").write_text(record, encoding="utf-8")
    print(json.dumps(final), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=Settings.minutes)
    parser.add_argument("--words", action="store_true", help="the second phase")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    args = parser.parse_args(arguments)
    settings = Settings(minutes=args.minutes, words=args.words, seed=args.seed)
    return exit_code(lambda: fit(args.model, args.out, AssetPack(args.pack), settings))


if __name__ == "__main__":
    sys.exit(main())
