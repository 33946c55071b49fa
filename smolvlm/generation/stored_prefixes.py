"""Beginnings of prompts on the disk: a later process need not read the same picture again.

What is kept of a prompt ends with its last picture: the words after it change from question to
question, and words alone are read faster than a file. A prompt takes over the longest such
beginning it shares, compared by the digests of its tiles and the words between them. How entries
are written, bounded and passed over is `engines/disk_cache.py`'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from smolvlm.engines.base import Engine, KVArrays, PortableState
from smolvlm.engines.disk_cache import DiskCache
from smolvlm.generation.memory import Memory


class StoredPrefixes:
    """The `prefixes.Shelf` of one engine. Engines without `PortableState` keep and find nothing."""

    def __init__(self, engine: Engine, disk: DiskCache) -> None:
        self._engine = engine
        self._disk = disk

    def find(self, keys: Sequence[int], *, beyond: int) -> Memory | None:
        """A memory of more than `beyond` positions of a prompt with these keys, the longest."""
        for end, name in reversed(list(_beginnings(keys))):
            if end <= beyond:
                return None
            arrays = self._disk.get(name)
            if arrays is not None and self._fits(arrays, end):
                return self._open(arrays, list(keys[:end]))
        return None

    def put(self, memory: Memory) -> None:
        """Keep what this memory holds of its prompt, up to the last picture."""
        held = min(memory.prompt, len(memory.keys))
        end, name = max(_beginnings(memory.keys[:held]), default=(0, ""))
        if not end or self._disk.has(name) or not isinstance(memory.state, PortableState):
            return
        self._disk.put(name, memory.state.export(end))

    def _open(self, arrays: KVArrays, keys: list[int]) -> Memory | None:
        state = self._engine.open_state()
        if not isinstance(state, PortableState):
            state.close()
            return None
        state.restore(arrays)
        return Memory(state, keys, prompt=len(keys))

    def _fits(self, arrays: KVArrays, length: int) -> bool:
        """Whether these can be the keys and values of so many positions."""
        text = self._engine.config.text
        names = {f"{n}.{side}" for n in range(text.num_hidden_layers) for side in _SIDES}
        shape = (text.num_key_value_heads, length, text.head_dim)
        return arrays.keys() == names and all(a.shape == shape for a in arrays.values())


_SIDES = ("keys", "values")


def _beginnings(keys: Sequence[int]) -> Iterator[tuple[int, str]]:
    """The places behind each run of visual tokens, and the names of what stands before them."""
    digest = hashlib.sha256()
    for place, key in enumerate(keys):
        if key >= 0 and place and keys[place - 1] < 0:
            yield place, f"prefix {digest.hexdigest()}"
        digest.update(f"{key} ".encode())
