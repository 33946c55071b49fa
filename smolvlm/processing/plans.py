"""What a prompt will cost, known without weights: each picture, each clip, the whole.

Plain numbers for `--explain` and for those who split their work; `processor.py` works them out.
"""

from __future__ import annotations

from dataclasses import dataclass

from smolvlm.types import ImagePlan


@dataclass(frozen=True)
class PicturePlan:
    """One picture of a prompt.

    visual_tokens: its `<image>` tokens; prompt_tokens: those and the tile names and line breaks.
    """

    plan: ImagePlan
    visual_tokens: int
    prompt_tokens: int


@dataclass(frozen=True)
class ClipPlan:
    """One clip of a prompt.

    plan: how each frame becomes a tile. times: when the chosen frames begin, in seconds; stamps:
    the same as the prompt says it; duration: of the whole clip. visual_tokens: its `<image>`
    tokens; prompt_tokens: those and the words around them.
    """

    name: str
    plan: ImagePlan
    times: tuple[float, ...]
    stamps: tuple[str, ...]
    duration: float
    visual_tokens: int
    prompt_tokens: int

    @property
    def frames(self) -> int:
        """How many frames were chosen; each is one tile."""
        return len(self.times)


@dataclass(frozen=True)
class PromptPlan:
    """What a conversation will cost, known without weights.

    expected_ms: to the first token, where a budget in milliseconds was given.
    """

    pictures: tuple[PicturePlan, ...]
    prompt_tokens: int
    max_positions: int
    clips: tuple[ClipPlan, ...] = ()
    expected_ms: float | None = None

    @property
    def tiles(self) -> int:
        """Tiles of all pictures, global views included, and of all clips."""
        pictures = sum(picture.plan.num_tiles for picture in self.pictures)
        return pictures + sum(clip.frames for clip in self.clips)

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of all pictures and clips."""
        pictures = sum(picture.visual_tokens for picture in self.pictures)
        return pictures + sum(clip.visual_tokens for clip in self.clips)

    @property
    def text_tokens(self) -> int:
        """Tokens of the prompt that belong to no picture and no clip."""
        pictures = sum(picture.prompt_tokens for picture in self.pictures)
        clips = sum(clip.prompt_tokens for clip in self.clips)
        return self.prompt_tokens - pictures - clips
