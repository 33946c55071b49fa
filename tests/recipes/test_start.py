"""The start of the connector: where a picture determines its name, its visual tokens say it."""

from __future__ import annotations

from pathlib import Path

import torch

from recipes.embedded.features import BLANK, FeatureStore
from recipes.embedded.start import start_connector
from smolvlm.model.smolvlm import SmolVLM
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.weights.reader import open_checkpoint
from tests.checkpoints import make_tiny
from tests.recipes.small_pack import LABELS, make_pack, make_row, write_features

TOKENS = 4


def test_visual_tokens_point_at_the_right_name(tmp_path: Path) -> None:
    folder = make_tiny("SmolVLM2-256M-Video-Instruct", tmp_path / "tiny", tied=True, tokenizer=True)
    model = SmolVLM.from_checkpoint(open_checkpoint(folder))
    tokenizer = Tokenizer.from_folder(folder)
    drawn = [make_row(label, number) for number in range(3) for label in LABELS]
    pack = make_pack(tmp_path / "pack", drawn)
    torch.manual_seed(0)
    codes = {label: torch.randn(model.config.vision.hidden_size) for label in LABELS}  # (D,)
    blocks = model.config.scale_factor**2
    seen = torch.stack([codes[label] for _ in range(3) for label in LABELS])  # (n, D)
    seen = seen.repeat(1, blocks)[:, None].expand(-1, TOKENS, -1)  # (n, T, blocks * D)
    seen = seen + 0.1 * torch.randn(seen.shape)
    noise = torch.randn(1, *seen.shape[1:])  # a blank tile teaches nothing
    write_features(tmp_path / "out", [BLANK, *range(len(drawn))], torch.cat([noise, seen]))
    store = FeatureStore.open(tmp_path / "out")
    start_connector(model, pack, store, tokenizer, ridge=0.003)

    table = model.text_model.embed_tokens.weight.detach()
    words = torch.stack([table[tokenizer.encode(f" {label}")].mean(0) for label in LABELS])
    centred = words - words.mean(0)
    for record in range(1, len(store.rows)):
        visual = model.connector.modality_projection(store.tile(record).float())  # (T, H)
        likeness = torch.cosine_similarity(
            (visual.detach() - words.mean(0))[:, None], centred[None], dim=-1
        )  # (T, names)
        right = (record - 1) % len(LABELS)
        assert (likeness.argmax(1) == right).all()
        assert (likeness[:, right] > 0.5).all()
    assert model.connector.modality_projection.proj.weight.requires_grad
