"""Clips that were opened already, so that another question about one does not decode it again.

Decoding and resizing the frames of a clip takes longer than answering a second question about them.
A file counts as the same while its place, size and time of change are; whatever else a clip may
come from (bytes, a URL, an open `Video`) is opened every time, as there is nothing cheap to know it
by. What it costs to look at the frames again is spared by `engines/feature_cache.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from smolvlm.processing.clips import Clip
from smolvlm.types import Message, Part, VideoPart

MAX_BYTES = 64 * 2**20  # the 64 frames of one clip for the family's largest tile, and some more

Conversation = Sequence[Message]
Key = tuple[Any, ...]


class ClipMemory:
    """The clips opened last, `max_bytes` of tiles at most; of one processor, for one thread."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.size = 0  # bytes of all tiles held
        self._max_bytes = max_bytes
        self._held: OrderedDict[Key, Clip] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def open(
        self, messages: Conversation, opening: Callable[[Conversation], Conversation]
    ) -> Conversation:
        """What `opening` makes of a conversation, with the clips in it that are known put in."""
        # Before anything is read: a file that changes meanwhile must not be taken for this one.
        keys = [_key(part, share) for part, share in _parts(messages)]
        known = [None if key is None else self._recall(key) for key in keys]
        opened = opening(_with_clips(messages, known))
        for key, (part, _) in zip(keys, _parts(opened), strict=True):
            if key is not None and isinstance(part, VideoPart) and isinstance(part.source, Clip):
                self._keep(key, part.source)
        return opened

    def _recall(self, key: Key) -> Clip | None:
        clip = self._held.get(key)
        if clip is not None:
            self._held.move_to_end(key)
        return clip

    def _keep(self, key: Key, clip: Clip) -> None:
        if key in self._held or clip.tiles.nbytes > self._max_bytes:
            return
        self._held[key] = clip
        self.size += clip.tiles.nbytes
        while self.size > self._max_bytes:
            _, oldest = self._held.popitem(last=False)
            self.size -= oldest.tiles.nbytes


def _parts(messages: Conversation) -> Iterator[tuple[Part, int]]:
    """Every part, and how many clips share its message: that decides how many frames they get."""
    for message in messages:
        share = sum(isinstance(part, VideoPart) for part in message.parts)
        yield from ((part, share) for part in message.parts)


def _key(part: Part, share: int) -> Key | None:
    """What a clip is known by; None for what is none, or cannot be known."""
    if not isinstance(part, VideoPart) or not isinstance(part.source, str | Path):
        return None
    try:
        path = Path(part.source)
        if not path.is_file():
            return None
        found = path.stat()
    except (OSError, ValueError):  # whoever opens it says what is wrong
        return None
    same = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    return (str(path), *same, part.options, share)


def _with_clips(messages: Conversation, known: Sequence[Clip | None]) -> Conversation:
    """The same messages; a clip for each part that has one in `known`, which counts all parts."""
    left = iter(known)
    return tuple(
        Message(message.role, tuple(_with_clip(part, next(left)) for part in message.parts))
        for message in messages
    )


def _with_clip(part: Part, clip: Clip | None) -> Part:
    return VideoPart(clip, part.options) if clip and isinstance(part, VideoPart) else part
