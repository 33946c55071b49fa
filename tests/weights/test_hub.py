"""Names to folders, with the hub's client replaced or kept off the network.

The fakes raise the client's real exceptions; two tests run the real client on a cache made by hand.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import constants, errors
from huggingface_hub.utils.tqdm import are_progress_bars_disabled
from tiny_folders import write_folder

from smolvlm.errors import (
    CacheError,
    CheckpointError,
    DownloadError,
    InputError,
    SmolVLMError,
    UnknownNameError,
)
from smolvlm.weights.hub import find_model

REPO = "HuggingFaceTB/SmolVLM2-256M-Video-Instruct"


def model_folder(folder: Path) -> Path:
    write_folder(folder, max_shard_bytes=4000)
    (folder / "tokenizer.json").write_text("{}")
    return folder


class FakeHub:
    """Stands in for `snapshot_download`: a cache that may be empty, and a network that may fail."""

    def __init__(self, cached: Path | None = None, online: Path | Exception | None = None) -> None:
        self.cached, self.online = cached, online
        self.calls: list[dict[str, Any]] = []

    def __call__(self, repo: str, **options: Any) -> str:
        self.calls.append({"repo": repo, **options, "bars": not are_progress_bars_disabled()})
        if options["local_files_only"]:
            if self.cached is None:
                raise errors.LocalEntryNotFoundError("Cannot find an appropriate snapshot folder")
            return str(self.cached)
        if isinstance(self.online, Exception):
            raise self.online
        return str(self.online)

    @property
    def went_online(self) -> bool:
        return not all(call["local_files_only"] for call in self.calls)


@pytest.fixture(autouse=True)
def online_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    def use(fake: Any) -> Any:
        monkeypatch.setattr(huggingface_hub, "snapshot_download", fake)
        return fake

    return use


def answer(kind: type[errors.HfHubHTTPError], status: int = 404) -> errors.HfHubHTTPError:
    response = httpx2.Response(status, request=httpx2.Request("GET", "https://hub.invalid"))
    return kind("a long message\nof several lines", response=response)


def test_a_folder_is_used_as_it_is(
    tmp_path: Path, use: Callable[[Any], FakeHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = use(FakeHub())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine" / "deep").mkdir(parents=True)
    for name in (str(tmp_path / "mine"), "mine", "./mine", "mine/deep", "~/mine"):
        assert find_model(name) == Path(name).expanduser()
    assert fake.calls == []


def test_a_folder_called_like_a_model(
    tmp_path: Path, use: Callable[[Any], FakeHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model_folder(tmp_path / "hub")
    use(FakeHub(cached=whole))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "256m").mkdir()
    assert find_model("256m") == whole
    assert find_model("./256m") == Path("256m")
    (tmp_path / "256m" / "config.json").write_text("{}")
    assert find_model("256m") == Path("256m")


@pytest.mark.parametrize("name", ["./x", "../x", "~/x", "/no/such/folder", "a\\b"])
def test_a_missing_path_is_not_taken_for_a_name(name: str) -> None:
    with pytest.raises(CheckpointError, match="does not exist; wanted the folder of a model"):
        find_model(name)


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="is a file; wanted the folder"):
        find_model(str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-of-this-name/x"])
def test_an_impossible_path(name: str) -> None:
    with pytest.raises(CheckpointError, match="cannot be a model folder"):
        find_model(name)


def test_unknown_names(use: Callable[[Any], FakeHub]) -> None:
    fake = use(FakeHub())
    for name in ("", "7b", "two words/x", "org/name/more", "org/"):
        with pytest.raises(UnknownNameError, match="Known: embedded, 256m"):
            find_model(name)
    assert fake.calls == []


def test_a_cached_model_needs_no_network(tmp_path: Path, use: Callable[[Any], FakeHub]) -> None:
    fake = use(FakeHub(cached=model_folder(tmp_path)))
    assert find_model("256m") == tmp_path
    assert not fake.went_online


def test_refresh_asks_the_hub(tmp_path: Path, use: Callable[[Any], FakeHub]) -> None:
    old, new = model_folder(tmp_path / "old"), model_folder(tmp_path / "new")
    use(FakeHub(cached=old, online=new))
    assert find_model("256m", refresh=True) == new
    assert find_model("256m", refresh=True, offline=True) == old


def test_what_is_asked_of_the_hub(tmp_path: Path, use: Callable[[Any], FakeHub]) -> None:
    fake = use(FakeHub(online=model_folder(tmp_path)))
    assert find_model("256m", revision="v1") == tmp_path
    assert find_model("org/my.model-1", progress=False) == tmp_path
    cached, fetched, *_, other = fake.calls
    assert (cached["local_files_only"], fetched["local_files_only"]) == (True, False)
    assert (fetched["repo"], fetched["revision"], fetched["bars"]) == (REPO, "v1", True)
    assert fetched["allow_patterns"] == ["*.json", "*.jinja", "*.txt", "*.safetensors"]
    assert (other["repo"], other["revision"], other["bars"]) == ("org/my.model-1", None, False)
    assert not are_progress_bars_disabled()


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_offline_mode(
    by: str, use: Callable[[Any], FakeHub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", by == "environment")
    fake = use(FakeHub())
    message = f"{REPO} is not .* in the cache and offline mode is on; run `smolvlm pull"
    with pytest.raises(DownloadError, match=message):
        find_model("256m", offline=True if by == "argument" else None)
    assert not fake.went_online


def test_embedded_is_assembled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(assemble=lambda **_: tmp_path)
    monkeypatch.setattr("smolvlm.weights.embedded", fake, raising=False)
    assert find_model("embedded") == find_model("160m") == tmp_path
    with pytest.raises(InputError, match="embedded has no revisions"):
        find_model("embedded", revision="main")


ERRORS: list[tuple[Exception, type[SmolVLMError], str]] = [
    (answer(errors.RevisionNotFoundError), DownloadError, f"{REPO} has no revision 'v9'"),
    (answer(errors.GatedRepoError, 403), DownloadError, "is gated; accept its terms"),
    (answer(errors.RepositoryNotFoundError, 401), DownloadError, f"the hub has no model {REPO}"),
    (answer(errors.HfHubHTTPError, 503), DownloadError, "the hub answered with status 503"),
    (errors.HFValidationError("Repo id"), DownloadError, "is not a name the hub can have"),
    (errors.LocalEntryNotFoundError("no\nnetwork"), DownloadError, "check the network and run it"),
    (errors.OfflineModeIsEnabled("off"), DownloadError, "OfflineModeIsEnabled: off"),
    (httpx2.ConnectError("name not known"), DownloadError, "ConnectError: name not known"),
    (httpx2.ReadTimeout("too slow"), DownloadError, "ReadTimeout: too slow"),
    (errors.XetDownloadError("broke off."), DownloadError, "XetDownloadError: broke off)"),
    (ValueError(), DownloadError, "ValueError: )"),
    (OSError(errno.ENOSPC, "No space left"), CacheError, "the disk is full while fetching"),
    (
        PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/cache/hub"),
        CacheError,
        "/cache/hub cannot be written (Permission denied); set HF_HOME",
    ),
    (
        OSError(errno.EROFS, "Read-only file system"),
        CacheError,
        "the hub's cache cannot be written",
    ),
]


@pytest.mark.parametrize(("error", "kind", "message"), ERRORS, ids=lambda v: type(v).__name__)
def test_errors_of_the_hub_say_what_to_do(
    error: Exception, kind: type[SmolVLMError], message: str, use: Callable[[Any], FakeHub]
) -> None:
    use(FakeHub(online=error))
    with pytest.raises(kind) as caught:
        find_model("256m", revision="v9")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lost", ["config.json", "tokenizer.json", "model-00002-of-*"])
def test_an_incomplete_folder_is_never_handed_out(
    lost: str, tmp_path: Path, use: Callable[[Any], FakeHub]
) -> None:
    """Clients before 2.0 return what an interrupted download left in the cache."""
    partial, whole = model_folder(tmp_path / "partial"), model_folder(tmp_path / "whole")
    for path in partial.glob(lost):
        path.unlink()
    fake = use(FakeHub(cached=partial, online=whole))
    with pytest.raises(DownloadError, match="not wholly"):
        find_model("256m", offline=True)
    assert find_model("256m") == whole and fake.went_online
    use(FakeHub(cached=partial, online=partial))
    with pytest.raises(DownloadError, match=f"{REPO} (lacks|cannot be used)"):
        find_model("256m")


def test_an_interrupted_download_starts_again(tmp_path: Path, use: Callable[[Any], Any]) -> None:
    whole = model_folder(tmp_path / "whole")
    cache = tmp_path / "cache"
    cache.mkdir()
    interrupt = [True]

    def download(repo: str, **options: Any) -> str:
        if not options["local_files_only"]:
            for path in sorted(whole.iterdir()):
                (cache / path.name).write_bytes(path.read_bytes())
                if interrupt and path.name.startswith("model-00001"):
                    raise KeyboardInterrupt
        return str(cache)

    use(download)
    with pytest.raises(KeyboardInterrupt):
        find_model("256m")
    with pytest.raises(DownloadError, match="not wholly"):
        find_model("256m", offline=True)
    interrupt.clear()
    assert find_model("256m") == cache
    assert find_model("256m", offline=True) == cache


def hub_cache(root: Path) -> Path:
    """A model in the layout of the hub's cache; returns its snapshot folder."""
    commit = "0123456789abcdef" * 2 + "01234567"
    repo = root / "models--org--name"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    return model_folder(repo / "snapshots" / commit)


def test_the_real_client_on_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = hub_cache(tmp_path)
    assert find_model("org/name", offline=True) == snapshot
    next(snapshot.glob("model-00002-*")).unlink()
    with pytest.raises(DownloadError, match=r"org/name is not .* in the cache"):
        find_model("org/name", offline=True)
    with pytest.raises(DownloadError, match=r"org/name is not .* in the cache"):
        find_model("org/name", revision="other", offline=True)


def test_the_real_client_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"could not be fetched .*; check the network"):
        find_model("org/name")


def test_importing_hub_does_not_import_the_client() -> None:
    code = "import sys, smolvlm.weights.hub; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
