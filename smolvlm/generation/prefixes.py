"""Which memory is lent to a new prompt: those of earlier answers are kept while there is room.

The second question about a picture shares everything up to the question with the first, so neither
the tower nor the language model has to read it again. A memory is lent to one answer at a time. The
longest unused are given up beyond a number of bytes; what is kept on the disk beside them is
`stored_prefixes.py`'s business, what is common to two prompts `memory.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from smolvlm.config import ModelConfig
from smolvlm.engines.base import Engine
from smolvlm.generation.memory import Memory

# Reading a visual token costs its share of the tower as well: about eight words (measured on the
# 256M). So a long question does not outweigh the picture it was asked about.
VISUAL_WORTH = 8
MIB = 2**20


class Shelf(Protocol):
    """Where beginnings of prompts outlive the process (`stored_prefixes.py`)."""

    def find(self, keys: Sequence[int], *, beyond: int) -> Memory | None:
        """A memory of more than `beyond` positions of a prompt with these keys."""
        ...

    def put(self, memory: Memory) -> None:
        """Keep what this memory holds of its prompt's pictures."""
        ...


class Prefixes:
    """The memories of one engine's earlier answers, the one used last at the end.

    max_bytes: most bytes of keys and values kept, counted as float32, the widest an engine holds
    them in. The memory used last stays whatever its size, so that a conversation never starts
    anew; 0 keeps none at all. shelf: where beginnings are looked for that are no longer here.
    """

    def __init__(self, engine: Engine, *, max_bytes: int, shelf: Shelf | None = None) -> None:
        self._engine = engine
        self._max_bytes = max_bytes
        self._shelf = shelf
        self._kept: list[Memory] = []
        self._new: list[Memory] = []  # of those kept, the ones `settle` has not seen

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def size(self) -> int:
        """Bytes of the memories kept here, as float32."""
        return position_bytes(self._engine.config) * sum(len(m.keys) for m in self._kept)

    def lend(self, keys: Sequence[int]) -> Memory:
        """A memory for a prompt with these keys; it may hold other positions after common ones.

        It is no longer here: it comes back with `keep`, or is closed by whoever has it.
        """
        paying = [memory for memory in reversed(self._kept) if _pays(memory, keys)]
        best = max(paying, key=lambda memory: memory.common(keys), default=None)
        common = best.common(keys) if best else 0
        stored = self._shelf.find(keys, beyond=common) if self._shelf else None
        if stored is not None:
            return stored
        if best is None:
            return Memory(self._engine.open_state())
        self._kept.remove(best)
        return best

    def keep(self, memory: Memory) -> None:
        """Take a memory back; `settle` comes when there is time."""
        self._kept.append(memory)
        self._new.append(memory)

    def settle(self) -> None:
        """Put what came back onto the shelf, and give up the longest unused beyond the bytes."""
        for memory in self._new:
            if self._shelf is not None and memory in self._kept:
                self._shelf.put(memory)
        self._new.clear()
        spared, most = (1, self._max_bytes) if self._max_bytes else (0, -1)
        while len(self._kept) > spared and self.size > most:
            self._kept.pop(0).close()

    def close(self) -> None:
        """Give all of the engine's memory back."""
        while self._kept:
            self._kept.pop().close()


def position_bytes(config: ModelConfig) -> int:
    """Bytes of the keys and values of one position, as float32."""
    text = config.text
    return 2 * 4 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim


def _pays(memory: Memory, keys: Sequence[int]) -> bool:
    """Whether taking a memory over spares more than it forgets of the prompt it was made for.

    Every prompt begins with the same few words. Without this rule a question about another picture
    would cost the first picture its memory and gain nothing. What was answered does not count.
    """
    common = memory.common(keys)
    spared, forgotten = memory.keys[:common], memory.keys[common : memory.prompt]
    return _worth(spared) >= max(_worth(forgotten), 1)


def _worth(keys: Sequence[int]) -> int:
    return len(keys) + (VISUAL_WORTH - 1) * sum(key < 0 for key in keys)
