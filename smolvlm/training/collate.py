"""Conversations to batches: which tokens are learned, and how samples share a batch.

Loss is taken on assistant turns only, the token that ends them included: the published training
masks user and system turns. Where a turn begins is found by asking the processor for the prompt
that comes before it, so the chat template stays the only statement of the grammar. The targets of a
batch are already shifted: position t holds the token that position t should say next.

Three layouts: "packed" puts the samples one behind another in a row without padding
(`model/segments.py`), "right" and "left" pad to the longest. All three give the same losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smolvlm.errors import CheckpointError, ContextLengthError
from smolvlm.processing.processor import Processor
from smolvlm.training.stages import Layout
from smolvlm.types import Message, Sample

NO_LOSS = -100  # what `cross_entropy` leaves out


@dataclass(frozen=True)
class Item:
    """One sample, ready to be put into a batch.

    ids: int64 (L,). learned: bool (L,), True on tokens an assistant's turn teaches. tiles: uint8
    (n, S, S, 3).
    """

    ids: NDArray[np.int64]
    learned: NDArray[np.bool_]
    tiles: NDArray[np.uint8]
    task: str
    key: str

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Batch:
    """Samples that go through the network together.

    ids, targets: int64 (B, L), or (1, L) when packed; targets are shifted, -100 where no loss is
    taken. owners: int64 (n,), which sample each learned target belongs to, in reading order.
    attention_mask: int64 (B, L), only where samples are padded on the left. tiles: uint8 (N, S, S,
    3). lengths, tasks, keys: one for each sample, in the order they stand.
    """

    ids: Tensor
    targets: Tensor
    owners: Tensor
    attention_mask: Tensor | None
    tiles: Tensor
    lengths: tuple[int, ...]
    packed: bool
    tasks: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def learned(self) -> int:
        """Tokens that loss is taken on."""
        return len(self.owners)

    @property
    def tokens(self) -> int:
        """Tokens of the samples, padding not counted."""
        return sum(self.lengths)

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        mask = self.attention_mask
        return replace(
            self,
            ids=self.ids.to(device, non_blocking=True),
            targets=self.targets.to(device, non_blocking=True),
            owners=self.owners.to(device, non_blocking=True),
            attention_mask=None if mask is None else mask.to(device, non_blocking=True),
            tiles=self.tiles.to(device, non_blocking=True),
        )


def encode(processor: Processor, sample: Sample, *, max_length: int) -> Item:
    """A sample as tokens and tiles; its pictures and clips are opened here.

    `MediaError` for one that cannot be opened, `ContextLengthError` for a sample of more than
    `max_length` tokens: cutting it would teach answers that never end.
    """
    messages = processor.open(sample.messages)
    inputs = processor([messages], add_generation_prompt=False)
    ids = inputs.tokens(0)  # (L,)
    if len(ids) > max_length:
        raise ContextLengthError(
            f"{sample.key} has {len(ids)} tokens; the stage allows {max_length} (length)"
        )
    learned = np.zeros(len(ids), dtype=np.bool_)  # (L,)
    for start, stop in answer_spans(processor, messages, ids.tolist()):
        learned[start:stop] = True
    return Item(ids, learned, inputs.tiles, sample.task, sample.key)


def answer_spans(
    processor: Processor, messages: Sequence[Message], ids: Sequence[int]
) -> list[tuple[int, int]]:
    """Where each assistant's turn stands in the ids: from its first word to past its end token."""
    spans = []
    for turn, message in enumerate(messages):
        if message.role != "assistant":
            continue
        prompt = processor.ids(messages[:turn])
        start = len(prompt)
        ends = [at for at in range(start, len(ids)) if ids[at] in processor.config.eos_token_ids]
        if list(ids[:start]) != prompt or not ends:
            raise CheckpointError(
                "the chat template does not write an assistant's turn as its generation prompt"
                " begins it and its end token ends it; training needs one that does"
            )
        spans.append((start, ends[0] + 1))
    return spans


def collate(items: Sequence[Item], layout: Layout, *, pad: int) -> Batch:
    """Items as one batch; `pad` is the id that fills up shorter samples."""
    assert items, "a batch needs a sample"
    rows = [_shifted(item) for item in items]
    width = max(map(len, items))
    if layout == "packed":
        ids = torch.from_numpy(np.concatenate([item.ids for item in items]))[None]  # (1, L)
        targets = torch.from_numpy(np.concatenate(rows))[None]  # (1, L)
    else:
        ids = _padded([item.ids for item in items], width, pad, left=layout == "left")  # (B, L)
        targets = _padded(rows, width, NO_LOSS, left=layout == "left")  # (B, L)
    counts = torch.tensor([int((row != NO_LOSS).sum()) for row in rows])  # (B,)
    lengths = tuple(map(len, items))
    return Batch(
        ids=ids,
        targets=targets,
        owners=torch.arange(len(items)).repeat_interleave(counts),  # (n,)
        # Padding behind the samples is hidden by the causal mask.
        attention_mask=_left_mask(lengths) if layout == "left" else None,
        tiles=torch.from_numpy(np.concatenate([item.tiles for item in items])),  # (N, S, S, 3)
        lengths=lengths,
        packed=layout == "packed",
        tasks=tuple(item.task for item in items),
        keys=tuple(item.key for item in items),
    )


def _shifted(item: Item) -> NDArray[np.int64]:
    """What each position should say next: int64 (L,), -100 where nothing is learned."""
    targets = np.full(len(item), NO_LOSS, dtype=np.int64)  # (L,)
    targets[:-1] = np.where(item.learned[1:], item.ids[1:], NO_LOSS)
    return targets


def _padded(rows: Sequence[NDArray[np.int64]], width: int, filler: int, *, left: bool) -> Tensor:
    """Ragged rows to int64 (B, L)."""
    table = torch.full((len(rows), width), filler)  # (B, L)
    for line, row in zip(table, rows, strict=True):
        start = width - len(row) if left else 0
        line[start : start + len(row)] = torch.from_numpy(row)
    return table


def _left_mask(lengths: Sequence[int]) -> Tensor:
    """1 on the samples, 0 on the padding before them: int64 (B, L)."""
    width = max(lengths)
    starts = width - torch.tensor(lengths)  # (B,)
    return (torch.arange(width) >= starts[:, None]).long()  # (B, L)
