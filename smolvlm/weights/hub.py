"""A name → the folder of a model: a folder of one's own, the embedded model, or the model hub.

The hub's own client keeps the files, resumes what was interrupted and shows the progress. A model
that is already in its cache is opened without touching the network; only `refresh` asks whether
there is a newer one. Weights are fetched as safetensors or not at all. What lies in the folder is
read by `reader.py`; this module only sees to it that the folder is there and complete.
"""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smolvlm import catalog
from smolvlm.errors import (
    CacheError,
    CheckpointError,
    DownloadError,
    InputError,
    SmolVLMError,
    UnknownNameError,
)
from smolvlm.weights.reader import weight_files

FETCHED = ("*.json", "*.jinja", "*.txt", "*.safetensors")
# Exports for other runtimes lie in folders of the same repositories.
NOT_FETCHED = ("*/*",)
# Without these, and weights, a folder is no model.
NEEDED = ("config.json", "tokenizer.json")

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


def find_model(
    name_or_path: str,
    *,
    revision: str | None = None,
    offline: bool | None = None,
    progress: bool = True,
    refresh: bool = False,
) -> Path:
    """The folder of a model: a path, a name of the catalogue, or a hub id such as `org/name`.

    revision: a branch, tag or commit of the hub repository.
    offline: True never touches the network; None lets the variable `HF_HUB_OFFLINE` decide.
    progress: show the hub client's progress bars, or what is being assembled, on stderr.
    refresh: look for a newer version even if the model is in the cache.

    `DownloadError` when the model cannot be fetched, `CacheError` when the hub's cache cannot be
    written, `UnknownNameError` and `CheckpointError` when nothing has that name or path.
    """
    folder = _own_folder(name_or_path)
    if folder is not None:
        return folder
    repo = _repository(name_or_path)
    if repo is None:
        if revision is not None:
            raise InputError(f"{name_or_path} has no revisions; leave out revision {revision!r}")
        from smolvlm.weights import embedded, packages

        return embedded.assemble(offline=offline, progress=_tell if progress else packages.quiet)
    return _snapshot(repo, revision, offline=offline, progress=progress, refresh=refresh)


def _tell(message: str) -> None:
    """Say what takes so long."""
    print(f"{message} ...", file=sys.stderr, flush=True)


def _own_folder(name_or_path: str) -> Path | None:
    """The folder meant by a path; None when it is a name rather than a path."""
    try:
        path = Path(name_or_path).expanduser()
        # The empty path would be the folder one happens to stand in.
        is_folder, is_file = bool(name_or_path) and path.is_dir(), path.is_file()
    except (OSError, RuntimeError) as error:  # too long a name, no such user's home
        raise CheckpointError(f"{name_or_path!r} cannot be a model folder: {error}") from None
    if is_folder:
        # A folder that happens to be called like a model of the catalogue is not one by that alone.
        if _looks_like_path(name_or_path) or (path / "config.json").exists():
            return path
        return None if _in_catalog(name_or_path) else path
    if is_file:
        raise CheckpointError(f"{path} is a file; wanted the folder with config.json and weights")
    if _looks_like_path(name_or_path):
        raise CheckpointError(f"{path} does not exist; wanted the folder of a model")
    return None


def _looks_like_path(name: str) -> bool:
    return name.startswith(("/", "./", "../", "~")) or name in (".", "..") or "\\" in name


def _in_catalog(name: str) -> bool:
    try:
        catalog.find(name)
    except UnknownNameError:
        return False
    return True


def _repository(name: str) -> str | None:
    """The hub repository of a name; None for the embedded model."""
    try:
        return catalog.find(name).repo
    except UnknownNameError:
        if _HUB_ID.fullmatch(name):
            return name
        raise


def _snapshot(
    repo: str, revision: str | None, *, offline: bool | None, progress: bool, refresh: bool
) -> Path:
    """The cached folder of a repository, fetched if it is not there or not whole."""
    from huggingface_hub import constants, errors

    offline = constants.HF_HUB_OFFLINE if offline is None else offline
    if offline or not refresh:
        try:
            folder = _fetch(repo, revision, offline=True, progress=progress)
            _check_complete(folder, repo)
            return folder
        except (errors.LocalEntryNotFoundError, DownloadError):
            if offline:
                raise DownloadError(
                    f"{repo} is not (or not wholly) in the cache and offline mode is on; "
                    f"run `smolvlm pull {repo}` once with a network"
                ) from None
    try:
        folder = _fetch(repo, revision, offline=False, progress=progress)
    except errors.LocalEntryNotFoundError as error:
        raise _unreachable(repo, error) from None
    _check_complete(folder, repo)
    return folder


def _fetch(repo: str, revision: str | None, *, offline: bool, progress: bool) -> Path:
    """Ask the hub's client for a repository; all errors in our words, but "not in the cache"."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        with _progress_bars(progress):
            return Path(
                huggingface_hub.snapshot_download(
                    repo,
                    revision=revision,
                    local_files_only=offline,
                    allow_patterns=list(FETCHED),
                    ignore_patterns=list(NOT_FETCHED),
                )
            )
    except errors.LocalEntryNotFoundError:
        raise
    except Exception as error:
        # The client passes on errors of several libraries; whatever it was, the model is not there.
        raise _in_our_words(error, repo, revision) from error


def _in_our_words(error: Exception, repo: str, revision: str | None) -> SmolVLMError:
    """What an error of the hub's client means for the user. Narrow classes come first."""
    from huggingface_hub import errors

    if isinstance(error, errors.RevisionNotFoundError):
        return DownloadError(f"{repo} has no revision {revision!r}; see the tags on its hub page")
    if isinstance(error, errors.GatedRepoError):
        return DownloadError(
            f"{repo} is gated; accept its terms on its hub page, then run `hf auth login`"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return DownloadError(
            f"the hub has no model {repo}, or it is private; check the name or run `hf auth login`"
        )
    if isinstance(error, errors.HfHubHTTPError):
        return DownloadError(
            f"the hub answered with status {error.response.status_code} for {repo}; try again later"
        )
    if isinstance(error, errors.HFValidationError):
        return DownloadError(f"{repo!r} is not a name the hub can have; wanted org/name")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return CacheError(
            f"the disk is full while fetching {repo}; free some space, or move the hub's cache "
            "with HF_HOME, and run it again: it goes on where it stopped"
        )
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        where = error.filename or "the hub's cache"
        return CacheError(f"{where} cannot be written ({error.strerror}); set HF_HOME elsewhere")
    return _unreachable(repo, error)


def _unreachable(repo: str, error: Exception) -> DownloadError:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return DownloadError(
        f"{repo} could not be fetched ({type(error).__name__}: {reason.rstrip('.')}); "
        "check the network and run it again, or use a folder or the model `embedded`"
    )


def _check_complete(folder: Path, repo: str) -> None:
    """Older clients hand out what an interrupted download left; such a folder is not a model."""
    missing = [name for name in NEEDED if not (folder / name).exists()]
    if missing:
        raise DownloadError(f"{repo} lacks {', '.join(missing)}; wanted a SmolVLM checkpoint")
    try:
        weight_files(folder)
    except CheckpointError as error:
        raise DownloadError(f"{repo} cannot be used: {error}") from None


@contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:
    """Switch the client's bars off for a while; they are a setting of the whole process."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
