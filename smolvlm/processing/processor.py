"""Conversations to `ModelInputs`: the one place where words, plans and pixels come together.

Reads a model folder's small files and never its weights, so `plan` can explain a prompt before
anything large is opened. How pictures are opened is left to `media/`, how clips are sampled to
`clips.py`, running the model to the engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smolvlm.config import ImageRules, ModelConfig, VideoRules, read_json
from smolvlm.errors import CheckpointError, ContextLengthError, InputError
from smolvlm.media.limits import DEFAULT_LIMITS, DEFAULT_VIDEO_LIMITS, ImageLimits, VideoLimits
from smolvlm.media.videos import open_video
from smolvlm.processing.budget import Allotter, Budget, Costs, Question
from smolvlm.processing.clips import Clip, open_clip
from smolvlm.processing.context import advise, advise_on_clips
from smolvlm.processing.messages import load_pictures
from smolvlm.processing.pixels import cut_all
from smolvlm.processing.plans import ClipPlan, PicturePlan, PromptPlan
from smolvlm.processing.prompt import ChatTemplate, expand, image_text
from smolvlm.processing.split import BudgetPolicy, SplitPolicy, plan_split
from smolvlm.processing.tokenizer import Tokenizer
from smolvlm.types import ImagePart, ImagePlan, Message, ModelInputs, VideoOptions, VideoPart

Conversation = Sequence[Message]


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
        video: VideoRules | None = None,
    ) -> None:
        """video: how clips are sampled; None for a checkpoint made for pictures only."""
        if rules.tile != config.vision.image_size:
            raise CheckpointError(
                f"preprocessor_config.json cuts tiles of {rules.tile} pixels, config.json has a"
                f" vision tower for {config.vision.image_size}; they are of different models"
            )
        self.config = config
        self.rules = rules
        self.video = video
        self.tokenizer = tokenizer
        self.template = template
        policy = BudgetPolicy() if policy is None else policy
        if isinstance(policy, BudgetPolicy):
            policy = policy.in_tiles(config.tokens_per_tile)
        self.policy: SplitPolicy = policy
        self._allotter: Allotter | None = None
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
            video=VideoRules.from_folder(folder),
        )

    def keep_to(self, budget: Budget, costs: Costs | None = None) -> None:
        """From now on, split the pictures of each message so that it keeps to a budget.

        The limits of the policy, which must be a `BudgetPolicy`, hold as well. costs: needed for a
        budget in milliseconds.
        """
        assert isinstance(self.policy, BudgetPolicy), self.policy
        self._allotter = Allotter(
            budget,
            self.policy,
            self.rules,
            tokens_per_tile=self.config.tokens_per_tile,
            picture_tokens=self.picture_tokens,
            costs=costs,
        )

    def open(
        self,
        messages: Conversation,
        *,
        limits: ImageLimits = DEFAULT_LIMITS,
        video_limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
        allow_url: bool = False,
    ) -> tuple[Message, ...]:
        """The same conversation with every picture an RGB PIL image and every clip a `Clip`.

        The clips of one message share the number of frames that the checkpoint names. What is open
        already stays as it is. `MediaError` or `InputError` for what cannot be used.
        """
        return tuple(
            self._with_clips(message, video_limits, allow_url=allow_url)
            for message in load_pictures(messages, limits=limits, allow_url=allow_url)
        )

    def _with_clips(self, message: Message, limits: VideoLimits, *, allow_url: bool) -> Message:
        share = sum(isinstance(part, VideoPart) for part in message.parts)
        parts = (
            VideoPart(self._clip(part, share, limits, allow_url=allow_url), part.options)
            if isinstance(part, VideoPart)
            else part
            for part in message.parts
        )
        return Message(message.role, tuple(parts))

    def _clip(self, part: VideoPart, share: int, limits: VideoLimits, *, allow_url: bool) -> Clip:
        if isinstance(part.source, Clip):
            if (part.source.plan.tile, part.source.worded) != (self.rules.tile, bool(self.video)):
                raise InputError(f"{part.source.name} was opened for another model; open it again")
            return part.source
        options = part.options or VideoOptions()
        video = open_video(part.source, rate=options.rate, limits=limits, allow_url=allow_url)
        try:
            return open_clip(
                video,
                options,
                rules=self.rules,
                video_rules=self.video,
                policy=self.policy,
                share=share,
            )
        finally:
            if video is not part.source:  # whoever opened it closes it
                video.close()

    def __call__(
        self, conversations: Sequence[Conversation], *, add_generation_prompt: bool = True
    ) -> ModelInputs:
        """A batch, padded on the left; the conversations have gone through `open`."""
        if not conversations:
            raise InputError("there is no conversation; give at least one")
        shown = [self._shown(conversation) for conversation in conversations]
        ids = [
            self._encode(conversation, own, add_generation_prompt=add_generation_prompt)
            for conversation, own in zip(conversations, shown, strict=True)
        ]
        input_ids, mask = _pad_left(ids, self.config.pad_token_id)  # (B, L), (B, L)
        everything = [one for own in shown for one in own]
        cut = iter(cut_all([one for one in everything if not isinstance(one, Clip)], self.rules))
        tiles = [one.tiles if isinstance(one, Clip) else next(cut) for one in everything]
        side = self.rules.tile
        empty = np.empty((0, side, side, 3), dtype=np.uint8)  # (0, S, S, 3)
        return ModelInputs(
            input_ids=input_ids,
            attention_mask=mask,
            tiles=np.concatenate(tiles) if tiles else empty,  # (N, S, S, 3)
            tile_counts=tuple(sum(map(_tile_count, own)) for own in shown),
            plans=tuple(tuple(_picture_plans(own)) for own in shown),
            clips=tuple(tuple(map(len, _clips(own))) for own in shown),
        )

    def plan(self, messages: Conversation, *, add_generation_prompt: bool = True) -> PromptPlan:
        """What a conversation would cost; pictures are looked at for their size only."""
        shown = self._shown(messages)
        ids = self._encode(messages, shown, add_generation_prompt=add_generation_prompt)
        per_tile = self.config.tokens_per_tile
        pictures = tuple(
            PicturePlan(plan, plan.num_tiles * per_tile, self.picture_tokens(plan))
            for plan in _picture_plans(shown)
        )
        clips = tuple(
            ClipPlan(
                *(clip.name, clip.plan, clip.times, clip.stamps, clip.duration),
                visual_tokens=len(clip) * per_tile,
                prompt_tokens=self.clip_tokens(clip),
            )
            for clip in _clips(shown)
        )
        expected = None
        if self._allotter is not None:
            plans = [picture.plan for picture in pictures]
            expected = self._allotter.expected_ms(self._question(shown, len(ids)), plans)
        window = self.config.text.max_position_embeddings
        return PromptPlan(pictures, len(ids), window, clips, expected)

    def ids(self, messages: Conversation, *, add_generation_prompt: bool = True) -> list[int]:
        """The token ids of a conversation; pictures are looked at for their size only."""
        shown = self._shown(messages)
        return self._encode(messages, shown, add_generation_prompt=add_generation_prompt)

    def picture_tokens(self, plan: ImagePlan) -> int:
        """Prompt tokens one picture takes, tile names and line breaks included, in any prompt."""
        grid = (plan.rows, plan.cols)
        if grid not in self._picture_tokens:
            text = image_text(*grid, self.config.tokens_per_tile)
            self._picture_tokens[grid] = len(self.tokenizer.encode(text))
        return self._picture_tokens[grid]

    def clip_tokens(self, clip: Clip) -> int:
        """Prompt tokens of a clip, the words around its frames included."""
        return len(self.tokenizer.encode(clip.text(self._frame_text())))

    def check_context(
        self, inputs: ModelInputs, *, max_new_tokens: int, max_positions: int | None = None
    ) -> None:
        """Raise `ContextLengthError` when a prompt and its answer do not fit.

        `max_positions` is the model's own unless given. When pictures or clips are to blame the
        message says how many of their tiles or frames would fit.
        """
        limit = self.config.text.max_position_embeddings if max_positions is None else max_positions
        for sample in range(len(inputs)):
            tokens = int(inputs.attention_mask[sample].sum())
            if tokens + max_new_tokens > limit:
                advice = self._advice(inputs, sample, tokens, limit - max_new_tokens)
                raise ContextLengthError(
                    f"the prompt has {tokens} tokens and the answer may have {max_new_tokens},"
                    f" but the context holds {limit}; {advice}"
                )

    def _advice(self, inputs: ModelInputs, sample: int, tokens: int, room: int) -> str:
        plans = inputs.plans[sample]
        frames = inputs.clips[sample] if inputs.clips else ()
        if not frames:
            cost = self.picture_tokens
            return advise(plans, cost, self.rules, tokens=tokens, room=room)
        # The words around a frame: its run as a picture, and a line with its time.
        line = len(self.tokenizer.encode("\nFrame from 00:00:" + self._frame_text()))
        return advise_on_clips(frames, sum(frames) * line, tokens=tokens, room=room)

    def _frame_text(self) -> str:
        return image_text(0, 0, self.config.tokens_per_tile)

    def _shown(self, messages: Conversation) -> list[_Shown]:
        """What a conversation shows, in its order.

        A budget is kept by each message for itself: what follows later changes none of its tiles.
        """
        shown = []
        for message in messages:
            parts = _visual_parts(message)
            policy = self._policy_for(message, parts) if parts else self.policy
            shown += [self._look_at(part, policy) for part in parts]
        return shown

    def _policy_for(self, message: Message, parts: Sequence[ImagePart | VideoPart]) -> SplitPolicy:
        if self._allotter is None:
            return self.policy
        least = [self._look_at(part, BudgetPolicy(max_tiles=1)) for part in parts]
        ids = self._encode([message], least, add_generation_prompt=True)
        return self._allotter.policy_for(self._question(least, len(ids)))

    def _question(self, shown: Sequence[_Shown], prompt_tokens: int) -> Question:
        """A prompt of so many tokens, for the budget."""
        plans = _picture_plans(shown)
        return Question(
            sizes=tuple((plan.height, plan.width) for plan in plans),
            frames=sum(map(len, _clips(shown))),
            other_tokens=prompt_tokens - sum(map(self.picture_tokens, plans)),
        )

    def _look_at(self, part: ImagePart | VideoPart, policy: SplitPolicy) -> _Shown:
        if isinstance(part, VideoPart):
            assert isinstance(part.source, Clip), f"open clips first; got {type(part.source)}"
            return part.source
        image = part.source
        assert isinstance(image, Image.Image), f"open pictures first; got {type(image)}"
        return image, plan_split(image.height, image.width, self.rules, policy)

    def _encode(
        self, messages: Conversation, shown: Sequence[_Shown], *, add_generation_prompt: bool
    ) -> list[int]:
        if not messages:
            raise InputError("the conversation is empty; give at least one message")
        if not all(message.parts for message in messages):
            raise InputError("a message is empty; give it text or a picture")
        pieces = self.template.render(
            messages, self.tokenizer, add_generation_prompt=add_generation_prompt
        )
        plans = [plan for one in shown for plan in _marked_plans(one)]
        words = [clip.text(self._frame_text()) for clip in _clips(shown) if clip.worded]
        ids = self.tokenizer.encode(expand(pieces, plans, self.config.tokens_per_tile, words))
        wanted = sum(map(_tile_count, shown)) * self.config.tokens_per_tile
        assert ids.count(self.config.image_token_id) == wanted, (wanted, plans)
        return ids


# A picture with its plan, or a clip.
_Shown = tuple[Image.Image, ImagePlan] | Clip


def _visual_parts(message: Message) -> list[ImagePart | VideoPart]:
    return [part for part in message.parts if isinstance(part, ImagePart | VideoPart)]


def _picture_plans(shown: Sequence[_Shown]) -> list[ImagePlan]:
    return [one[1] for one in shown if not isinstance(one, Clip)]


def _clips(shown: Sequence[_Shown]) -> list[Clip]:
    return [one for one in shown if isinstance(one, Clip)]


def _tile_count(one: _Shown) -> int:
    return len(one) if isinstance(one, Clip) else one[1].num_tiles


def _marked_plans(one: _Shown) -> list[ImagePlan]:
    """A plan for each `<image>` that the template writes; a clip with words of its own has none."""
    if isinstance(one, Clip):
        return [] if one.worded else [one.plan] * len(one)
    return [one[1]]


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
