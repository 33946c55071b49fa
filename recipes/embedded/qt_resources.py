"""Files inside Qt resource collections (`*.rcc`), the form in which GCompris ships its pictures.

Format (all numbers big endian): the header is `qres`, version, and the offsets of tree, data and
names. A node of the tree is its name's offset (u32) and flags (u16); then a folder has the number
and the index of its children (two u32), a file has country, language (two u16) and its data's
offset (u32). Nodes are 14 bytes, and 22 from version 2 on, which adds a time. A name is its length
(u16), a hash (u32) and UTF-16BE text; data is its length (u32) and the bytes, where compressed by
zlib after four bytes of plain length. What the files show is left to those who ask for them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from smolvlm.errors import InputError

COMPRESSED, FOLDER, COMPRESSED_ZSTD = 1, 2, 4
NODE_BYTES = {1: 14, 2: 22, 3: 22}  # by version of the format


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Path within the collection and contents of every file; `InputError` when it is none."""
    blob = path.read_bytes()
    if blob[:4] != b"qres" or len(blob) < 20:
        raise InputError(f"{path.name} is no Qt resource collection: it does not begin with qres")
    version, tree, data, names = struct.unpack(">4I", blob[4:20])
    if version not in NODE_BYTES:
        raise InputError(
            f"{path.name} is of version {version}; known: {', '.join(map(str, NODE_BYTES))}"
        )
    nodes = [("", 0)]  # the root has no name
    while nodes:
        parent, index = nodes.pop()
        start = tree + index * NODE_BYTES[version]
        name_at, flags = struct.unpack_from(">IH", blob, start)
        name = parent + (_name(blob, names + name_at) if index else "")
        if flags & FOLDER:
            count, first = struct.unpack_from(">II", blob, start + 6)
            prefix = f"{name}/" if name else ""
            nodes += [(prefix, first + number) for number in reversed(range(count))]
        else:
            [place] = struct.unpack_from(">I", blob, start + 10)
            yield name, _contents(blob, data + place, flags, f"{path.name}: {name}")


def _name(blob: bytes, start: int) -> str:
    [length] = struct.unpack_from(">H", blob, start)
    return blob[start + 6 : start + 6 + 2 * length].decode("utf-16-be")


def _contents(blob: bytes, start: int, flags: int, where: str) -> bytes:
    [length] = struct.unpack_from(">I", blob, start)
    raw = blob[start + 4 : start + 4 + length]
    if flags & COMPRESSED_ZSTD:
        raise InputError(f"{where} is compressed with zstd, which is not read here")
    return zlib.decompress(raw[4:]) if flags & COMPRESSED else raw
