"""Training: what is learnt, from what, and that it is learnt."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from recipes.embedded import train
from recipes.embedded.adapters import adapt
from recipes.embedded.features import BLANK, FeatureStore
from recipes.embedded.pack import AssetPack
from recipes.embedded.samples import EMPTY_ANSWER, name_answer
from recipes.embedded.train import (
    HELD_OUT_EVERY,
    NO_LOSS,
    PAD,
    Batch,
    Collator,
    Phase,
    Run,
    Settings,
    loss_of,
    rate_factor,
)
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.processor import Processor
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.types import ImagePart, Message, TextPart
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.recipes.small_pack import LABELS, make_pack, make_row, write_features

TILE, TOKENS = 512, 64  # of the tiny model
RECORDS = 60
NAMES = Phase(until=0.5, batch=8, shown=4, fine_share=0.5, talk=False)
TALK = Phase(until=0.8, batch=8, shown=5, fine_share=0.5, talk=True)
WHOLE = Phase(until=1.0, batch=8, shown=None, fine_share=1.0, talk=True)


@dataclass(frozen=True)
class Bench:
    """A tiny model, a pack, and a folder of random features of its drawings."""

    folder: Path
    pack: AssetPack
    features: Path
    tokenizer: Tokenizer

    @property
    def store(self) -> FeatureStore:
        return FeatureStore.open(self.features)

    @property
    def collate(self) -> Collator:
        return Collator(self.pack, self.tokenizer)

    def model(self) -> SmolVLM:
        return SmolVLM.from_checkpoint(open_checkpoint(self.folder))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    root: Path = tmp_path_factory.mktemp("train")
    name = "SmolVLM2-256M-Video-Instruct"
    folder = make_tiny(name, root / "tiny", tied=True, tokenizer=True)
    pack = make_pack(root / "pack", [make_row(label) for label in LABELS])
    torch.manual_seed(0)
    codes = torch.randn(len(LABELS) + 1, 1, 768)  # the last one is what a blank tile looks like
    rows = [BLANK, *(record % len(LABELS) for record in range(1, RECORDS))]
    tiles = codes[rows] + 0.1 * torch.randn(RECORDS, TOKENS, 768)
    write_features(root / "features", rows, tiles)
    return Bench(folder, pack, root / "features", Tokenizer.from_folder(folder))


# --- batches ---


def answers_of(batch: Batch, sample: int, tokenizer: Tokenizer) -> list[str]:
    """The runs of tokens with a loss, as text."""
    targets = batch.targets[sample].tolist()
    runs: list[list[int]] = [[]]
    for target in targets:
        if target != NO_LOSS:
            runs[-1].append(target)
        elif runs[-1]:
            runs.append([])
    return [tokenizer.decode(run, skip_special_tokens=False) for run in runs if run]


@pytest.mark.parametrize("seed", range(8))
def test_targets_are_the_answers_and_their_ends(seed: int, bench: Bench) -> None:
    batch = bench.collate(bench.store, range(10), TALK, seed=seed)
    for sample in range(10):
        ids, targets = batch.ids[sample], batch.targets[sample]
        text = bench.tokenizer.decode(ids.tolist(), skip_special_tokens=False)
        said = re.findall(r"Assistant:( .+?<end_of_utterance>)", text)
        assert said and answers_of(batch, sample, bench.tokenizer) == said
        judged = targets != NO_LOSS
        assert torch.equal(ids[judged], targets[judged])


def test_a_name_stands_right_behind_its_picture(bench: Bench) -> None:
    batch = bench.collate(bench.store, range(10), NAMES, seed=0)
    for record, ids in enumerate(batch.ids.tolist()):
        row = bench.store.rows[record]
        label = None if row == BLANK else bench.pack.row(row)["label"]
        name = name_answer(label) if label else EMPTY_ANSWER
        picture = train.FAKE + train.GLOBAL + train.IMAGE * 4 + train.FAKE
        text = bench.tokenizer.decode(ids, skip_special_tokens=False)
        assert text.replace("<|im_end|>", "") == f"{picture} {name}{train.END}"
        assert answers_of(batch, record, bench.tokenizer) == [f" {name}{train.END}"]


def test_padding_is_on_the_right_and_has_no_loss(bench: Bench) -> None:
    batch = bench.collate(bench.store, range(10), TALK, seed=0)
    ends = [max(i for i, t in enumerate(row) if t != NO_LOSS) for row in batch.targets.tolist()]
    assert min(ends) < batch.ids.shape[1] - 1 == max(ends)
    for row, end in zip(batch.ids.tolist(), ends, strict=True):
        assert bench.tokenizer.decode([row[end]], skip_special_tokens=False) == train.END
        assert set(row[end + 1 :]) <= {PAD}


def test_shown_tokens_are_some_of_the_tile_in_order(bench: Bench) -> None:
    batch = bench.collate(bench.store, [3, 4], TALK, seed=0)
    image = bench.tokenizer.image_token_id
    assert (batch.ids == image).sum(1).tolist() == [5, 5]
    for sample, record in enumerate((3, 4)):
        tile = bench.store.tile(record)
        shown = batch.features[5 * sample : 5 * sample + 5]
        places = [int((tile == row).all(1).nonzero()) for row in shown]
        assert places == sorted(set(places))
    whole = bench.collate(bench.store, [3], WHOLE, seed=0)
    assert torch.equal(whole.features, bench.store.tile(3))


def test_the_prompt_is_the_one_the_processor_writes(bench: Bench) -> None:
    batch = bench.collate(bench.store, range(8), WHOLE, seed=3)
    processor = Processor.from_folder(bench.folder)
    picture = Image.new("RGB", (TILE, TILE))
    for ids, targets in zip(batch.ids, batch.targets, strict=True):
        start = int((targets != NO_LOSS).nonzero()[0])
        text = bench.tokenizer.decode(ids[:start].tolist())
        question = text.partition("User:")[2].partition("\nAssistant:")[0]
        message = Message("user", (ImagePart(picture), TextPart(question)))
        assert processor([[message]]).tokens(0).tolist() == ids[:start].tolist()


def test_a_batch_is_a_pure_function_of_its_seed(bench: Bench) -> None:
    first, again, other = (
        bench.collate(bench.store, range(6), TALK, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(first.ids, again.ids) and torch.equal(first.features, again.features)
    assert not torch.equal(first.features, other.features)


# --- the loss ---


def test_loss_is_that_of_a_plain_forward_pass(bench: Bench) -> None:
    batch = bench.collate(bench.store, range(4), TALK, seed=0)
    plain, adapted = bench.model(), bench.model()
    embedding = adapt(adapted, rank=4, scale=1.0, new_rows=(49189, 49152, 49279))
    loss, count = loss_of(adapted, embedding, batch)
    features = plain.connector.modality_projection(batch.features.float())
    logits = plain(batch.ids, features=features)  # (B, L, V)
    wanted = F.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch.targets[:, 1:].flatten(), ignore_index=NO_LOSS
    )
    assert count == int((batch.targets != NO_LOSS).sum())
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-5)


def test_rate_warms_up_then_falls_to_a_tenth() -> None:
    rates = [rate_factor(step / 100, 0.03) for step in range(101)]
    assert rates[0] == 0.0 and rates[3] == 1.0
    assert rates[:4] == sorted(rates[:4]) and rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)


# --- a run ---


@pytest.fixture
def run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run over the bench, all of whose features are both coarse and fine."""
    monkeypatch.setattr(train, "assemble", lambda: bench.folder)
    torch.manual_seed(0)
    phases = (NAMES, TALK, WHOLE)
    settings = Settings(minutes=0.02, phases=phases, rank=4, connector_rate=1e-3)
    made = Run(settings, bench.pack, bench.features, bench.features)
    made.refresh()
    return made


@pytest.mark.parametrize("phase", [NAMES, WHOLE])
def test_a_few_steps_lower_the_held_out_loss(phase: Phase, run: Run) -> None:
    before = run.validate(phase)
    assert run.validate(phase) == before, "always the same questions"
    for _ in range(12):
        run.step(phase.until - 0.1)
    assert run.validate(phase) < 0.9 * before


@dataclass
class Watched:
    """A collator that tells what it was asked for."""

    collate: Collator
    asked: list[tuple[FeatureStore, set[int], Phase]]

    def __call__(
        self, store: FeatureStore, records: Sequence[int], phase: Phase, *, seed: int
    ) -> Batch:
        self.asked.append((store, set(records), phase))
        return self.collate(store, records, phase, seed=seed)


@pytest.fixture
def watched(run: Run, monkeypatch: pytest.MonkeyPatch) -> Watched:
    made = Watched(run.collate, [])
    monkeypatch.setattr(run, "collate", made)
    return made


def test_phases_follow_one_another(run: Run, watched: Watched) -> None:
    for progress in (0.0, 0.49, 0.5, 0.79, 0.8, 0.99):
        run.step(progress)
    assert [phase for _, _, phase in watched.asked] == [NAMES, NAMES, TALK, TALK, WHOLE, WHOLE]
    assert [store for store, _, _ in watched.asked][-2:] == [run.stores[1]] * 2
    assert run.samples == 6 * 8


def test_held_out_records_are_never_trained_on(run: Run, watched: Watched) -> None:
    for _ in range(10):
        run.step(0.1)
    held_out = set(range(0, RECORDS, HELD_OUT_EVERY))
    trained = set.union(*(records for _, records, _ in watched.asked))
    assert len(trained) > RECORDS // 2 and not trained & held_out
    watched.asked.clear()
    run.validate(NAMES)
    assert set.union(*(records for _, records, _ in watched.asked)) == held_out


def test_fit_leaves_a_state_that_says_what_it_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "LOG_EVERY", 1)
    run.fit(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["state.pt"]
    state = torch.load(tmp_path / "out" / "state.pt", weights_only=True)
    assert set(state) == {"tensors", "settings", "steps", "samples", "held_out"}
    assert state["settings"] == asdict(run.settings)
    json.dumps(state["settings"])  # as `publish` keeps them
    assert state["samples"] == 8 * state["steps"] > 0
    kinds = {key.partition(":")[0] for key in state["tensors"]}
    assert kinds == {"lora_a", "lora_b", "rows", "rows_index", "set"}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["step"] for line in lines] == list(range(1, state["steps"] + 1))
    assert lines[0]["records"] == [RECORDS, RECORDS]
