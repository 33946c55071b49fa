"""Conversations to `ModelInputs`: the one place where words, plans and pixels come together.

Reads a model folder's small files and never its weights, so `plan` can explain a prompt before
anything large is opened. Opening pictures is left to `media/` (and `messages.load_pictures`),
running the model to the engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smolvlm.config import ImageRules, ModelConfig, read_json
from smolvlm.errors import CheckpointError, ContextLengthError, InputError
from smolvlm.processing.pixels import cut_tiles
from smolvlm.processing.prompt import ChatTemplate, expand, image_text
from smolvlm.processing.split import BudgetPolicy, SplitPolicy, plan_split
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.types import ImagePart, ImagePlan, Message, ModelInputs

Conversation = Sequence[Message]


@dataclass(frozen=True)
class PicturePlan:
    """One picture of a prompt.

    visual_tokens: its `<image>` tokens; prompt_tokens: those and the tile names and line breaks.
    """

    plan: ImagePlan
    visual_tokens: int
    prompt_tokens: int


@dataclass(frozen=True)
class PromptPlan:
    """What a conversation will cost, known without weights."""

    pictures: tuple[PicturePlan, ...]
    prompt_tokens: int
    max_positions: int

    @property
    def tiles(self) -> int:
        """Tiles of all pictures, global views included."""
        return sum(picture.plan.num_tiles for picture in self.pictures)

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of all pictures."""
        return sum(picture.visual_tokens for picture in self.pictures)

    @property
    def text_tokens(self) -> int:
        """Tokens of the prompt that belong to no picture."""
        return self.prompt_tokens - sum(picture.prompt_tokens for picture in self.pictures)


class Processor:
    """Everything between a conversation and an engine, for one checkpoint and one policy."""

    def __init__(
        self,
        config: ModelConfig,
        rules: ImageRules,
        tokenizer: Tokenizer,
        *,
        template: ChatTemplate,
        policy: SplitPolicy | None = None,
    ) -> None:
        if rules.tile != config.vision.image_size:
            raise CheckpointError(
                f"preprocessor_config.json cuts tiles of {rules.tile} pixels, config.json has a"
                f" vision tower for {config.vision.image_size}; they are of different models"
            )
        self.config = config
        self.rules = rules
        self.tokenizer = tokenizer
        self.template = template
        policy = BudgetPolicy() if policy is None else policy
        if isinstance(policy, BudgetPolicy):
            policy = policy.in_tiles(config.tokens_per_tile)
        self.policy: SplitPolicy = policy
        self._picture_tokens: dict[tuple[int, int], int] = {}

    @classmethod
    def from_folder(cls, folder: Path, policy: SplitPolicy | None = None) -> Processor:
        """Read a model folder's small files; `CheckpointError` where they disagree."""
        config = ModelConfig.from_folder(folder)
        settings = folder / "processor_config.json"
        length = read_json(settings).get("image_seq_len") if settings.exists() else None
        if length is not None and length != config.tokens_per_tile:
            raise CheckpointError(
                f"{settings} has image_seq_len {length}, config.json makes {config.tokens_per_tile}"
                " visual tokens of a tile; the two files are of different models"
            )
        return cls(
            config,
            ImageRules.from_folder(folder),
            Tokenizer.from_folder(folder, config),
            template=ChatTemplate.from_folder(folder),
            policy=policy,
        )

    def __call__(
        self, conversations: Sequence[Conversation], *, add_generation_prompt: bool = True
    ) -> ModelInputs:
        """A batch, padded on the left; the conversations' pictures are already RGB PIL images."""
        if not conversations:
            raise InputError("there is no conversation; give at least one")
        plans = [self._plans(conversation) for conversation in conversations]
        ids = [
            self._encode(conversation, own, add_generation_prompt=add_generation_prompt)
            for conversation, own in zip(conversations, plans, strict=True)
        ]
        input_ids, mask = _pad_left(ids, self.config.pad_token_id)  # (B, L), (B, L)
        tiles = [
            cut_tiles(image, plan, self.rules)
            for conversation, own in zip(conversations, plans, strict=True)
            for image, plan in zip(_pictures(conversation), own, strict=True)
        ]
        side = self.rules.tile
        empty = np.empty((0, side, side, 3), dtype=np.uint8)  # (0, S, S, 3)
        return ModelInputs(
            input_ids=input_ids,
            attention_mask=mask,
            tiles=np.concatenate(tiles) if tiles else empty,  # (N, S, S, 3)
            tile_counts=tuple(sum(plan.num_tiles for plan in own) for own in plans),
            plans=tuple(plans),
        )

    def plan(self, messages: Conversation, *, add_generation_prompt: bool = True) -> PromptPlan:
        """What a conversation would cost; pictures are looked at for their size only."""
        plans = self._plans(messages)
        ids = self._encode(messages, plans, add_generation_prompt=add_generation_prompt)
        pictures = tuple(
            PicturePlan(
                plan, plan.num_tiles * self.config.tokens_per_tile, self.picture_tokens(plan)
            )
            for plan in plans
        )
        return PromptPlan(pictures, len(ids), self.config.text.max_position_embeddings)

    def ids(self, messages: Conversation, *, add_generation_prompt: bool = True) -> list[int]:
        """The token ids of a conversation; pictures are looked at for their size only."""
        plans = self._plans(messages)
        return self._encode(messages, plans, add_generation_prompt=add_generation_prompt)

    def picture_tokens(self, plan: ImagePlan) -> int:
        """Prompt tokens one picture takes, tile names and line breaks included, in any prompt."""
        grid = (plan.rows, plan.cols)
        if grid not in self._picture_tokens:
            text = image_text(*grid, self.config.tokens_per_tile)
            self._picture_tokens[grid] = len(self.tokenizer.encode(text))
        return self._picture_tokens[grid]

    def check_context(
        self, inputs: ModelInputs, *, max_new_tokens: int, max_positions: int | None = None
    ) -> None:
        """Raise `ContextLengthError` when a prompt and its answer do not fit.

        `max_positions` is the model's own unless given. When pictures are to blame the message says
        how many of their tiles would fit.
        """
        limit = self.config.text.max_position_embeddings if max_positions is None else max_positions
        for sample, plans in enumerate(inputs.plans):
            tokens = int(inputs.attention_mask[sample].sum())
            if tokens + max_new_tokens > limit:
                advice = self._advice(plans, tokens, limit - max_new_tokens)
                raise ContextLengthError(
                    f"the prompt has {tokens} tokens and the answer may have {max_new_tokens},"
                    f" but the context holds {limit}; {advice}"
                )

    def _advice(self, plans: Sequence[ImagePlan], tokens: int, room: int) -> str:
        """What to do about a prompt of `tokens` tokens where `room` would fit."""
        text = tokens - sum(map(self.picture_tokens, plans))
        single = self.picture_tokens(plan_split(1, 1, self.rules, BudgetPolicy(1)))
        if not plans or text + single > room:
            return "shorten the conversation or allow a shorter answer"
        pictures = f"{len(plans)} picture{'s' if len(plans) > 1 else ''}"
        used = sum(plan.num_tiles for plan in plans)
        seen = f"{pictures} took {used} tiles ({tokens - text} tokens)"
        for max_tiles in range(max(plan.num_tiles for plan in plans), 0, -1):
            budget = [
                plan_split(p.height, p.width, self.rules, BudgetPolicy(max_tiles)) for p in plans
            ]
            if text + sum(map(self.picture_tokens, budget)) <= room:
                tiles = sum(plan.num_tiles for plan in budget)
                return f"{seen}, {tiles} would fit: set max_tiles to {max_tiles} a picture"
        fitting = (room - text) // single
        return (
            f"{seen}, at most {fitting} would fit: give {fitting} or fewer pictures at max_tiles 1"
        )

    def _plans(self, messages: Conversation) -> tuple[ImagePlan, ...]:
        return tuple(
            plan_split(image.height, image.width, self.rules, self.policy)
            for image in _pictures(messages)
        )

    def _encode(
        self, messages: Conversation, plans: Sequence[ImagePlan], *, add_generation_prompt: bool
    ) -> list[int]:
        if not messages:
            raise InputError("the conversation is empty; give at least one message")
        if not all(message.parts for message in messages):
            raise InputError("a message is empty; give it text or a picture")
        pieces = self.template.render(
            messages, self.tokenizer, add_generation_prompt=add_generation_prompt
        )
        ids = self.tokenizer.encode(expand(pieces, plans, self.config.tokens_per_tile))
        wanted = sum(plan.num_tiles for plan in plans) * self.config.tokens_per_tile
        assert ids.count(self.config.image_token_id) == wanted, (wanted, plans)
        return ids


def _pictures(messages: Conversation) -> list[Image.Image]:
    pictures = [
        part.source for message in messages for part in message.parts if isinstance(part, ImagePart)
    ]
    for picture in pictures:
        assert isinstance(picture, Image.Image), f"open pictures first; got {type(picture)}"
    return pictures


def _pad_left(
    rows: Sequence[Sequence[int]], pad: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ragged rows to input_ids (B, L) and attention_mask (B, L), both int64."""
    length = max(map(len, rows))
    ids = np.full((len(rows), length), pad, dtype=np.int64)  # (B, L)
    mask = np.zeros((len(rows), length), dtype=np.int64)  # (B, L)
    for index, row in enumerate(rows):
        ids[index, length - len(row) :] = row
        mask[index, length - len(row) :] = 1
    return ids, mask
