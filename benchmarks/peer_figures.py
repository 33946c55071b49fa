"""What is timed of one engine of `peers.py`, in a process of its own.

    python -m benchmarks.peer_figures NAME FOLDER           answers the figures named on its input
    python -m benchmarks.peer_figures NAME FOLDER --cold    one question, timed from PEERS_START

The figures are the same for every engine, and so are tiles, prompts and numbers of tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.peer_engines import Ids, Ours, Peer, open_peer
from smolvlm.config import ModelConfig

NEW_TOKENS, DECODED, HELD = 64, 128, 900
WORDS = 20  # of a question
CHECKED = 12


class Figures:
    """What is timed, the same for every engine. Times in milliseconds."""

    def __init__(self, peer: Peer, config: ModelConfig) -> None:
        self._peer = peer
        self._config = config
        self._side = config.vision.image_size
        self._tiles: dict[int, Any] = {}

    def run(self, name: str) -> dict[str, Any]:
        """`vision13`, `prefill900`, `decode`, `e2e1`, `second`, `check`; others are a KeyError."""
        kind = name.rstrip("0123456789")
        number = int(name[len(kind) :] or 0)
        call = {"vision": self._vision, "prefill": self._prefill, "e2e": self._whole}.get(kind)
        if call is not None:
            return call(number)
        return {"decode": self._decode, "second": self._second, "check": self._check}[name]()

    def seen(self, count: int) -> Any:
        """The same random tiles every time, in the engine's form."""
        if count not in self._tiles:
            shape = (count, self._side, self._side, 3)
            pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            self._tiles[count] = self._peer.tiles(pixels)
        return self._tiles[count]

    def prompt(self, tiles: int) -> Ids:
        """Visual tokens with two marks before each tile, then a question."""
        image, count = self._config.image_token_id, self._config.tokens_per_tile
        shown = [100, 101, *[image] * count] * tiles
        return np.array([1, 9690, 198, *shown, *range(200, 200 + WORDS)])

    def first_token(self) -> None:
        """One tile and a question, up to the first word."""
        self._peer.prefill(self.prompt(1), self._peer.vision(self.seen(1)))

    def _vision(self, count: int) -> dict[str, Any]:
        tiles = self.seen(count)
        start = perf_counter()
        self._peer.vision(tiles)
        return {"ms": since(start)}

    def _prefill(self, length: int) -> dict[str, Any]:
        ids = words(length)
        start = perf_counter()
        self._peer.prefill(ids, None)
        return {"ms": since(start)}

    def _decode(self) -> dict[str, Any]:
        token = self._peer.prefill(words(HELD), None)
        start = perf_counter()
        for _ in range(DECODED):
            token = self._peer.step(token)
        return {"tokens_per_s": DECODED / since(start) * 1e3}

    def _whole(self, count: int) -> dict[str, Any]:
        tiles, ids = self.seen(count), self.prompt(count)
        start = perf_counter()
        token = self._peer.prefill(ids, self._peer.vision(tiles))
        first = since(start)
        for _ in range(NEW_TOKENS - 1):
            token = self._peer.step(token)
        return {"ttft_ms": first, "total_ms": since(start)}

    def _second(self) -> dict[str, Any]:
        """A second question about 13 tiles; an engine that keeps nothing begins anew."""
        tiles, ids = self.seen(13), self.prompt(13)
        self._peer.prefill(ids, self._peer.vision(tiles))
        question = np.arange(300, 300 + WORDS)
        start = perf_counter()
        if isinstance(self._peer, Ours):
            self._peer.again(len(ids) - WORDS, question)
        else:
            whole = np.concatenate([ids[:-WORDS], question])  # (L,)
            self._peer.prefill(whole, self._peer.vision(tiles))
        return {"ttft_ms": since(start)}

    def _check(self) -> dict[str, Any]:
        """Greedy words after "The capital of France is", and the features of a tile."""
        tokens = [self._peer.prefill(np.array([504, 3575, 282, 4649, 314]), None)]
        while len(tokens) < CHECKED:
            tokens.append(self._peer.step(tokens[-1]))
        features: Any = self._peer.vision(self.seen(1))
        values = features.float().numpy() if hasattr(features, "float") else features
        return {"tokens": tokens, "features": [round(float(v), 4) for v in values.ravel()[::9]]}


def words(length: int) -> Ids:
    """Words without a meaning: int64 (length,)."""
    places = np.arange(length)
    return (7 * places * places + 13 * places) % 40000 + 100


def since(start: float) -> float:
    """Milliseconds."""
    return (perf_counter() - start) * 1e3


def serve(name: str, folder: Path) -> None:
    """Answer every figure named on the input with a line of JSON."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        figures = Figures(open_peer(name, folder), ModelConfig.from_folder(folder))
        print(json.dumps({"ready": True}), file=out)
        for line in sys.stdin:
            print(json.dumps(figures.run(line.strip())), file=out)
    except Exception as error:  # whatever keeps a peer from running is told, and skips it
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}), file=out)


def cold(name: str, folder: Path) -> None:
    """One tile and a question in a fresh process; seconds since the variable PEERS_START."""
    figures = Figures(open_peer(name, folder), ModelConfig.from_folder(folder))
    loaded = time.time()
    figures.first_token()
    start = float(os.environ["PEERS_START"])
    print(json.dumps({"load_s": loaded - start, "first_s": time.time() - start}))


def main() -> None:
    """Run as `peers.py` starts it."""
    parser = argparse.ArgumentParser(description="One engine of peers.py")
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    (cold if options.cold else serve)(options.name, options.folder)


if __name__ == "__main__":
    main()
