"""Qt resource collections for tests, written by the format's description."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping


def make_collection(
    files: Mapping[str, bytes], *, version: int = 1, packed: bool = False, flags: int | None = None
) -> bytes:
    """A collection of files; `packed` compresses them, `flags` overrides what the nodes say."""
    tree: dict[str, object] = {}
    for path, data in files.items():
        *folders, name = path.split("/")
        here = tree
        for folder in folders:
            here = here.setdefault(folder, {})  # type: ignore[assignment]
        here[name] = data
    nodes, names, blobs = [b""], b"", b""
    waiting: list[tuple[int, str, object]] = [(0, "", tree)]
    while waiting:
        place, name, node = waiting.pop(0)
        at = len(names)
        text = name.encode("utf-16-be")
        names += struct.pack(">HI", len(name), 0) + text
        if isinstance(node, dict):
            first = len(nodes)
            nodes += [b""] * len(node)
            waiting += [(first + i, *child) for i, child in enumerate(node.items())]
            body = struct.pack(">IHII", at, 2, len(node), first)
        else:
            assert isinstance(node, bytes)
            raw = struct.pack(">I", len(node)) + zlib.compress(node) if packed else node
            marks = flags if flags is not None else int(packed)
            body = struct.pack(">IHHHI", at, marks, 0, 0, len(blobs))
            blobs += struct.pack(">I", len(raw)) + raw
        nodes[place] = body + (b"\0" * 8 if version >= 2 else b"")
    joined = b"".join(nodes)
    start = 20
    offsets = (start, start + len(joined), start + len(joined) + len(blobs))
    head = b"qres" + struct.pack(">IIII", version, offsets[0], offsets[1], offsets[2])
    return head + joined + blobs + names
