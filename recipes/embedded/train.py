"""The first training of the embedded model: connector, low-rank adapters, three token rows.

    python -m recipes.embedded.train --pack DIR --coarse DIR --fine DIR --out DIR --minutes 60

The tower is frozen and its features come from `features`; the connector starts from the closed form
of `start`. What a step costs is tokens, so the run begins with the shortest sequences that teach a
name (a few of a tile's visual tokens and the answer right behind them) and ends with what will be
asked of the model: `PHASES`. `state.pt` is replaced every two minutes and at the end; `publish`
makes of it what the package carries.

Letters: B samples, L tokens, K visual tokens of the batch, C width of a feature, H text width,
n answer tokens, V vocabulary.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from recipes.embedded.adapters import RowEmbedding, adapt, restore_trained, trained_tensors
from recipes.embedded.features import BLANK, FeatureStore
from recipes.embedded.pack import AssetPack, Row
from recipes.embedded.samples import EMPTY_ANSWER, Turn, name_answer, turns
from recipes.embedded.start import start_connector
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.tokenizer import END_OF_UTTERANCE as END
from smolvlm.processing.tokenizer import FAKE, GLOBAL, IMAGE, Tokenizer
from smolvlm.weights.embedded import assemble
from smolvlm.weights.reader import open_checkpoint

TWO_TURNS_SHARE = 0.2
PAD, NO_LOSS = 2, -100  # the published pad id; the id cross-entropy leaves out
HELD_OUT_EVERY = 40  # one record in so many is never trained on: its loss is the held-out loss
ADAM_BETAS = (0.9, 0.98)  # a shorter memory of squares than the customary 0.999: the run is short
LOG_EVERY, LOOK_EVERY = 20, 200  # steps
SAVE_SECONDS = 120


@dataclass(frozen=True)
class Phase:
    """A part of the run: which form of sample, and how much of a tile it shows."""

    until: float  # share of the run that is over when it ends
    batch: int
    shown: int | None  # visual tokens of a tile, at random; None: all
    fine_share: float  # of the steps; the others read the coarse features
    talk: bool  # questions and answers; otherwise the name right behind the picture


PHASES = (
    Phase(until=0.55, batch=48, shown=4, fine_share=0.2, talk=False),
    Phase(until=0.85, batch=24, shown=16, fine_share=0.3, talk=True),
    Phase(until=1.0, batch=16, shown=None, fine_share=1.0, talk=True),
)
# Going on from a finished run: more of the same, with more of the fine features.
MORE_PHASES = (
    Phase(until=0.5, batch=48, shown=4, fine_share=0.25, talk=False),
    Phase(until=0.75, batch=24, shown=16, fine_share=0.4, talk=True),
    Phase(until=1.0, batch=16, shown=None, fine_share=1.0, talk=True),
)


@dataclass(frozen=True)
class Settings:
    """Every number of the run; written beside its result."""

    minutes: float = 60.0
    phases: tuple[Phase, ...] = PHASES
    rank: int = 16
    scale: float = 1.0
    connector_rate: float = 5e-6  # 6144 inputs that all lean one way: more soon undoes the start
    adapter_rate: float = 1e-3
    rows_rate: float = 1e-3
    warm_up: float = 0.04  # share of the run
    ridge: float = 0.003  # relative to the mean square of the features
    clip: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """Padded on the right: ids and targets int64 (B, L), target -100 where no loss is taken.

    features: bfloat16 (K, C), one row for each `<image>` id.
    """

    ids: Tensor
    targets: Tensor
    features: Tensor


class Collator:
    """Records and seeds -> padded batches."""

    def __init__(self, pack: AssetPack, tokenizer: Tokenizer) -> None:
        self.pack, self.tokenizer = pack, tokenizer
        names = {pack.row(i)["label"] for i in pack.indices("train")}
        self.labels = sorted(name for name in names if name)

    def __call__(
        self, store: FeatureStore, records: Sequence[int], phase: Phase, *, seed: int
    ) -> Batch:
        """A batch in the form of `phase`; visual tokens keep their order.

        The same arguments give the same batch.
        """
        shown = min(phase.shown or store.tokens, store.tokens)
        rng = random.Random(seed)
        samples, features = [], []
        second = rng.random() < TWO_TURNS_SHARE  # of a whole batch: mixed lengths would be padding
        for record in records:
            row = store.rows[record]
            about = None if row == BLANK else self.pack.row(row)
            if phase.talk:
                qa = turns(about, self.labels, seed=rng.getrandbits(32), second=second)
                samples.append(self._conversation(qa, shown))
            else:
                samples.append(self._name(about, shown))
            keep = sorted(rng.sample(range(store.tokens), shown))
            features.append(store.tile(record)[keep])  # (shown, C)
        length = max(len(ids) for ids, _ in samples)
        return Batch(
            ids=_padded([ids for ids, _ in samples], length, PAD),
            targets=_padded([targets for _, targets in samples], length, NO_LOSS),
            features=torch.cat(features),  # (B * shown, C)
        )

    def _name(self, about: Row | None, shown: int) -> tuple[list[int], list[int]]:
        """The picture and, right behind it, what it is called."""
        name = (
            EMPTY_ANSWER
            if about is None
            else name_answer(about["label"] or about["sentence"] or "")
        )
        prompt = self.tokenizer.encode(FAKE + GLOBAL + IMAGE * shown + FAKE)
        reply = self.tokenizer.encode(f" {name}{END}")
        return [*prompt, *reply], [*[NO_LOSS] * len(prompt), *reply]

    def _conversation(self, qa: Sequence[Turn], shown: int) -> tuple[list[int], list[int]]:
        """The published prompt of one unsplit tile; targets only on answers and their end."""
        picture = FAKE + GLOBAL + IMAGE * shown + FAKE
        ids: list[int] = []
        targets: list[int] = []
        for number, turn in enumerate(qa):
            start = f"<|im_start|>User:{picture}" if number == 0 else "\nUser: "
            prompt = self.tokenizer.encode(f"{start}{turn.question}{END}\nAssistant:")
            reply = self.tokenizer.encode(f" {turn.answer}{END}")
            ids += [*prompt, *reply]
            targets += [*[NO_LOSS] * len(prompt), *reply]
        return ids, targets


def _padded(rows: Sequence[list[int]], length: int, filler: int) -> Tensor:
    return torch.tensor([row + [filler] * (length - len(row)) for row in rows])  # (B, L)


def loss_of(model: SmolVLM, embedding: RowEmbedding, batch: Batch) -> tuple[Tensor, int]:
    """Mean cross-entropy over answer tokens, and how many there are.

    Says what `SmolVLM.forward` would, but computes logits only where they are judged.
    """
    features = model.connector.modality_projection(batch.features.float())  # (K, H)
    x = embedding(batch.ids)  # (B, L, H)
    is_image = (batch.ids == model.config.image_token_id).unsqueeze(-1)
    x = x.masked_scatter(is_image, features.to(x.dtype))
    hidden = model.text_model(x)  # (B, L, H)
    wanted = batch.targets[:, 1:]  # token t + 1 is what position t should say
    mask = wanted != NO_LOSS
    logits = embedding.logits(hidden[:, :-1][mask])  # (n, V)
    return nn.functional.cross_entropy(logits.float(), wanted[mask]), int(mask.sum())


def rate_factor(progress: float, warm_up: float) -> float:
    """Linear warm-up, then a cosine to a tenth; `progress` is the share of the run that is over."""
    if progress < warm_up:
        return progress / warm_up
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


class Run:
    """One training run; `step` is the whole of it, `Settings` its numbers.

    `coarse` and `fine` are folders of features: of smaller tiles, which are cheap and make up most
    of the run, and of tiles at the model's own side. Both may still be growing.
    """

    def __init__(self, settings: Settings, pack: AssetPack, coarse: Path, fine: Path) -> None:
        folder = assemble()
        checkpoint = open_checkpoint(folder)
        tokenizer = Tokenizer.from_folder(folder)
        self.settings, self.coarse, self.fine = settings, coarse, fine
        self.collate = Collator(pack, tokenizer)
        self.model = SmolVLM.from_checkpoint(checkpoint, dtype=torch.bfloat16)
        del self.model.vision_model  # frozen, and its features are on disk
        self.model.connector.float()
        start = FeatureStore.open(coarse)
        start_connector(self.model, pack, start, tokenizer, settings.ridge)
        new_rows = tuple(tokenizer.encode(FAKE + GLOBAL + END))
        self.embedding = adapt(
            self.model, rank=settings.rank, scale=settings.scale, new_rows=new_rows
        )
        self.optimizer = torch.optim.AdamW(self._groups(), betas=ADAM_BETAS, weight_decay=0.0)
        self.rng = random.Random(settings.seed)
        self.samples = 0

    def _groups(self) -> list[dict[str, object]]:
        adapters = [p for n, p in self.model.named_parameters() if "lora_" in n]
        return [
            {"params": [*self.model.connector.parameters()], "peak": self.settings.connector_rate},
            {"params": adapters, "peak": self.settings.adapter_rate},
            {"params": [self.embedding.rows], "peak": self.settings.rows_rate},
        ]

    def refresh(self) -> None:
        """See the features that were computed since the last look."""
        self.stores = [FeatureStore.open(self.coarse), FeatureStore.open(self.fine)]

    def step(self, progress: float) -> float:
        """One update at this share of the run; returns the loss."""
        phase = next(p for p in self.settings.phases if progress < p.until)
        store = self.stores[self.rng.random() < phase.fine_share]
        records = [i for i in range(len(store.rows)) if i % HELD_OUT_EVERY]
        chosen = self.rng.sample(records, phase.batch)
        batch = self.collate(store, chosen, phase, seed=self.rng.getrandbits(32))
        loss, _ = loss_of(self.model, self.embedding, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate_factor(progress, self.settings.warm_up)
            nn.utils.clip_grad_norm_(group["params"], self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.samples += phase.batch
        return float(loss.detach())

    @torch.no_grad()
    def validate(self, phase: Phase) -> float:
        """Mean loss over the held-out fine records in the form of `phase`, always the same."""
        store, total, count = self.stores[1], 0.0, 0
        held_out = range(0, len(store.rows), HELD_OUT_EVERY)
        for at in range(0, len(held_out), phase.batch):
            chosen = held_out[at : at + phase.batch]
            batch = self.collate(store, chosen, phase, seed=at)
            loss, n = loss_of(self.model, self.embedding, batch)
            total, count = total + float(loss) * n, count + n
        return total / count

    def save(self, out: Path, log: dict[str, object]) -> None:
        """Replace `state.pt` by what is trained now."""
        out.mkdir(parents=True, exist_ok=True)
        state = {"tensors": trained_tensors(self.model), "settings": asdict(self.settings), **log}
        torch.save(state, out / "state.part")
        (out / "state.part").replace(out / "state.pt")

    def fit(self, out: Path) -> None:
        """Train until the minutes are over; `out` gets `state.pt`."""
        self.refresh()
        started = saved = time.time()
        losses: list[float] = []
        budget = self.settings.minutes * 60
        while (spent := time.time() - started) < budget:
            losses.append(self.step(spent / budget))
            steps = len(losses)
            if steps % LOOK_EVERY == 0:
                self.refresh()
            if steps % LOG_EVERY == 0:
                self._log(losses, spent)
            if time.time() - saved > SAVE_SECONDS:
                self.save(out, {"steps": steps})
                saved = time.time()
        held_out = self.validate(self.settings.phases[-1])
        self.save(out, {"steps": len(losses), "samples": self.samples, "held_out": held_out})

    def _log(self, losses: Sequence[float], spent: float) -> None:
        """One line of JSON: the mean loss since the last one, now and then the held-out loss."""
        steps = len(losses)
        recent = losses[-LOG_EVERY:]
        line: dict[str, object] = {"step": steps, "s": round(spent)}
        line["loss"] = round(sum(recent) / len(recent), 4)
        if steps % LOOK_EVERY == 0:
            line["held_out"] = [round(self.validate(p), 4) for p in self.settings.phases]
        line["records"] = [len(store.rows) for store in self.stores]
        print(json.dumps(line), flush=True)


def main() -> None:
    """Command line of the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--coarse", type=Path, required=True, help="features at half the side")
    parser.add_argument("--fine", type=Path, required=True, help="features at the model's side")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=Settings.minutes)
    parser.add_argument("--go-on", type=Path, help="the state.pt of a run to go on from")
    args = parser.parse_args()
    torch.manual_seed(0)
    settings = Settings(minutes=args.minutes)
    if args.go_on:
        settings = Settings(
            minutes=args.minutes, phases=MORE_PHASES, connector_rate=2e-6, warm_up=0.05, seed=1
        )
    run = Run(settings, AssetPack(args.pack), args.coarse, args.fine)
    if args.go_on:
        state = torch.load(args.go_on, weights_only=True)
        restore_trained(run.model, state["tensors"])
    run.fit(args.out)


if __name__ == "__main__":
    main()
