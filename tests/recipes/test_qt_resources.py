"""Reading Qt resource collections."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.embedded.qt_resources import members
from smolvlm.errors import InputError
from tests.recipes.qt_collections import make_collection

FILES = {
    "a/one.txt": b"first",
    "a/deep/er/two.bin": bytes(range(256)) * 4,
    "b.txt": b"",
    "a/\u00fcmlaut.txt": b"named",
}


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("packed", [False, True])
def test_every_file_is_found_with_its_path(tmp_path: Path, version: int, packed: bool) -> None:
    path = tmp_path / "some.rcc"
    path.write_bytes(make_collection(FILES, version=version, packed=packed))
    assert dict(members(path)) == FILES


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (b"PK\3\4" + b"\0" * 30, "does not begin with qres"),
        (b"qres", "does not begin with qres"),
        (make_collection(FILES, version=1).replace(b"\0\0\0\1", b"\0\0\0\7", 1), "version 7"),
        (make_collection({"a": b"x"}, flags=4), "some.rcc: a is compressed with zstd"),
    ],
)
def test_what_is_no_collection_is_refused(tmp_path: Path, blob: bytes, words: str) -> None:
    path = tmp_path / "some.rcc"
    path.write_bytes(blob)
    with pytest.raises(InputError, match=words):
        list(members(path))
