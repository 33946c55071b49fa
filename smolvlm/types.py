"""The words everyone shares: messages, model inputs, generation settings, answers.

Plain frozen dataclasses of numpy arrays and Python values; no engine, no file format, no torch.

Letters: B samples, L tokens, N tiles, S tile side in pixels, T visual tokens per tile,
H text width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from smolvlm.errors import InputError

Role = Literal["system", "user", "assistant"]
SamplingRule = Literal["reference", "uniform", "fps", "scene", "cinepile"]
FinishReason = Literal["stop", "length", "stop_string", "context", "repetition", "cancelled"]
# Longest guess of a step: more is never right often enough to pay for its work.
MAX_LOOKUP = 32


@dataclass(frozen=True)
class TextPart:
    """Words of a message."""

    text: str


@dataclass(frozen=True)
class ImagePart:
    """A picture of a message.

    source: a path, `data:` URI, URL, bytes, `PIL.Image.Image` or RGB uint8 array
    (height, width, 3).
    """

    source: Any


@dataclass(frozen=True)
class VideoOptions:
    """Which frames of a clip are looked at; None leaves a choice to the rule or the checkpoint.

    sampling: "reference" is the published rule of the checkpoint; "uniform" takes `max_frames`
    frames, evenly spread; "fps" takes `fps` a second, thinned evenly to `max_frames`; "scene" keeps
    those where something changed, at most `max_frames`; "cinepile" is the published protocol of
    that benchmark (1 a second, thinned to 50, shorter side to 384, centre crop).
    start, end: seconds; only this part of the clip is looked at. average: so many neighbouring
    sampled frames become one, the mean of their pixels. crop: shorter side to so many pixels, then
    the square in the middle. rate: frames a second of a folder or list of pictures, which have no
    clock of their own (None: 1).

    `InputError` for values out of range and for those that contradict each other.
    """

    sampling: SamplingRule = "reference"
    fps: float | None = None
    max_frames: int | None = None
    start: float | None = None
    end: float | None = None
    average: int = 1
    crop: int | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        if self.sampling not in get_args(SamplingRule):
            known = ", ".join(get_args(SamplingRule))
            raise InputError(f"there is no sampling rule {self.sampling!r}; known: {known}")
        for name in ("fps", "rate"):
            self._check_number(name, above=0.0, wanted="a number above 0")
        for name in ("start", "end"):
            self._check_number(name, above=-1e-9, wanted="seconds from 0 on")
        for name in ("max_frames", "average", "crop"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            if not whole and (value is not None or name == "average"):
                raise InputError(f"{name} is {value!r}; wanted a whole number of at least 1")
        self._check_contradictions()

    def _check_number(self, name: str, *, above: float, wanted: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not above < value < float("inf"):
            raise InputError(f"{name} is {value!r}; wanted {wanted}")

    def _check_contradictions(self) -> None:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise InputError(
                f"start ({self.start:g} s) is not before end ({self.end:g} s); wanted a part of the"
                " clip"
            )
        if self.sampling == "uniform" and self.fps is not None:
            raise InputError(
                "uniform sampling takes max_frames frames whatever the clip's length and has no"
                " fps; leave fps out or choose sampling 'fps'"
            )
        if self.sampling == "fps" and self.fps is None:
            raise InputError("sampling 'fps' needs to know how many frames a second: give fps")


@dataclass(frozen=True)
class VideoPart:
    """A clip of a message: frames with times.

    source: whatever `media.videos.open_video` takes (the path of a clip or of a folder of pictures,
    a URL, bytes, a list of frames or pictures, an open `Video`), or an opened
    `processing.clips.Clip`. options: which frames are looked at; None takes the defaults.
    """

    source: Any
    options: VideoOptions | None = None


Part = TextPart | ImagePart | VideoPart


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class ImagePlan:
    """What the splitter decides for one picture: pure integers, no pixels (`processing/split.py`).

    `rows == cols == 0` means: not split, the global view is the only tile.
    """

    height: int
    width: int
    resizes: tuple[tuple[int, int], ...]  # (height, width) of each successive resize before cutting
    rows: int
    cols: int
    tile: int

    @property
    def num_tiles(self) -> int:
        """Tiles the model sees: rows x cols, and the global view."""
        return self.rows * self.cols + 1


@dataclass(frozen=True)
class ModelInputs:
    """A batch ready for any engine.

    input_ids: int64 (B, L), padded on the left.
    attention_mask: int64 (B, L), 0 on padding.
    tiles: uint8 (N, S, S, 3), RGB; the tiles of all samples one after the other, in prompt order.
    tile_counts: how many of the N tiles belong to each sample; sums to N.
    plans: the splitting of each picture of each sample, for explanations.
    clips: how many frames each clip of each sample has, for the same.
    """

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    tiles: NDArray[np.uint8]
    tile_counts: tuple[int, ...]
    plans: tuple[tuple[ImagePlan, ...], ...] = ()
    clips: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        assert self.input_ids.shape == self.attention_mask.shape, (
            self.input_ids.shape,
            self.attention_mask.shape,
        )
        assert len(self.tile_counts) == len(self.input_ids), (
            self.tile_counts,
            self.input_ids.shape,
        )
        assert sum(self.tile_counts) == len(self.tiles), (self.tile_counts, self.tiles.shape)

    def __len__(self) -> int:
        return len(self.input_ids)

    def tokens(self, sample: int) -> NDArray[np.int64]:
        """The token ids of one sample without its padding: int64 (L',)."""
        return np.asarray(self.input_ids[sample][self.attention_mask[sample] == 1])

    def sample_tiles(self, sample: int) -> NDArray[np.uint8]:
        """The tiles of one sample: uint8 (n, S, S, 3)."""
        start = sum(self.tile_counts[:sample])
        return self.tiles[start : start + self.tile_counts[sample]]


@dataclass(frozen=True)
class GenerationSettings:
    """How tokens are chosen and when to stop; the default is greedy, as in the published configs.

    temperature 0 is greedy. top_k 0, top_p 1.0, min_p 0.0 and repetition_penalty 1.0 switch each
    filter off. seed None draws fresh numbers every time. stop: strings that end the answer; they
    are looked for in the answer's own text, and are not part of it.

    lookup: most tokens a step that are guessed from what was read and said (`generation/lookup.py`;
    0 guesses none). The answer stays the same, and comes sooner where it repeats what was read.
    keep_repeating: do not end an answer that repeats itself without end (`generation/loops.py`).
    """

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    lookup: int = 0
    keep_repeating: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        wanted: Sequence[tuple[str, bool, str]] = (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", 0.0 <= self.temperature <= 100.0, "0 (greedy) to 100"),
            ("top_k", self.top_k >= 0, "0 (off) or more"),
            ("top_p", 0.0 < self.top_p <= 1.0, "above 0, at most 1 (off)"),
            ("min_p", 0.0 <= self.min_p < 1.0, "0 (off) to below 1"),
            ("repetition_penalty", 0.0 < self.repetition_penalty <= 100.0, "above 0, 1 is off"),
            ("seed", self.seed is None or self.seed >= 0, "0 or more, or None"),
            ("stop", all(self.stop), "non-empty strings"),
            ("lookup", 0 <= self.lookup <= MAX_LOOKUP, f"0 (off) to {MAX_LOOKUP}"),
        )
        for name, good, range_ in wanted:
            if not good:
                raise InputError(f"{name} is {getattr(self, name)!r}; wanted {range_}")

    def _check_types(self) -> None:
        """Settings may come from JSON, so their types are not taken on trust."""
        for name in ("max_new_tokens", "top_k", "seed", "lookup"):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole and not (name == "seed" and value is None):
                raise InputError(f"{name} is {value!r}; wanted a whole number")
        for name in ("temperature", "top_p", "min_p", "repetition_penalty"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise InputError(f"{name} is {value!r}; wanted a number")
        if not isinstance(self.stop, tuple) or not all(isinstance(s, str) for s in self.stop):
            raise InputError(f"stop is {self.stop!r}; wanted a tuple of strings")
        if not isinstance(self.keep_repeating, bool):
            raise InputError(f"keep_repeating is {self.keep_repeating!r}; wanted true or false")


@dataclass(frozen=True)
class Timings:
    """Where the time of one answer went, in milliseconds; token counts beside them.

    new_tokens counts the end-of-turn token. reused_tokens are prompt tokens whose keys and values
    were still held from an earlier answer; visual_tokens counts all of the prompt's. guessed_tokens
    were proposed by lookup, and right_guesses of them needed no step of their own.
    """

    preprocess_ms: float = 0.0
    vision_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0  # from the first token to the last
    prompt_tokens: int = 0
    visual_tokens: int = 0
    new_tokens: int = 0
    reused_tokens: int = 0
    guessed_tokens: int = 0
    right_guesses: int = 0

    @property
    def ttft_ms(self) -> float:
        """Time to first token: pictures, vision and prefill."""
        return self.preprocess_ms + self.vision_ms + self.prefill_ms

    @property
    def tpot_ms(self) -> float:
        """Mean time per output token after the first; 0.0 for a single token."""
        return self.decode_ms / (self.new_tokens - 1) if self.new_tokens > 1 else 0.0

    @property
    def tokens_per_s(self) -> float:
        """Decoding speed after the first token; 0.0 for a single token."""
        return 1000.0 / self.tpot_ms if self.tpot_ms else 0.0


@dataclass(frozen=True)
class Answer:
    """A finished answer: its text, its tokens, why it ended and what it cost.

    tokens holds every token chosen, the end-of-turn token included; text leaves that token, the
    stop string and leading white space out.
    """

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True)
class Sample:
    """One conversation to learn from or to be judged by.

    messages: pictures are `ImagePart`s whose source is a PIL image or a path; the last turn is
    the assistant's.
    task: the family it belongs to ("caption", "read", "count", ...), for losses and scores.
    key: says where it came from (generator and seed, or file and row); unique within a source.
    """

    messages: tuple[Message, ...]
    task: str
    key: str
