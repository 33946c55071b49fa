"""What an engine has computed, kept in a folder of the user's choice, for later processes.

An entry is one safetensors file, whole or not there at all, that says what it was computed from and
by what: anything else in the folder (another version's entries, half-written ones, files of others)
is passed over. Beyond a number of bytes the entries unused for longest go; files of others are
never touched. Nobody has to have such a folder: what is kept in it tells of the pictures it was
computed from. What entries mean is their owners' business: `StoredFeatures` here, keys and values
in `generation/stored_prefixes.py`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from smolvlm.errors import CacheError

Arrays = dict[str, NDArray[np.float32]]

MIB = 2**20
_PREFIX, _SUFFIX = "smolvlm-", ".safetensors"
# A file that was being written so long ago never will be whole.
_ABANDONED_SECONDS = 3600

_LOG = logging.getLogger(__name__)


def prepare_folder(folder: str | Path) -> Path:
    """The folder of a `DiskCache`, made if absent; `CacheError` when it cannot be written."""
    path = Path(folder).expanduser()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CacheError(
            f"the folder {path} cannot be made ({error.strerror}); give another disk_cache"
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise CacheError(f"the folder {path} is read-only; give another disk_cache")
    return path


class DiskCache:
    """Entries of float32 arrays by key, in one folder (see `prepare_folder`), of one origin.

    identity: everything the values depend on besides the key: weights, rules, engine, versions.
    Entries of other identities are not seen, but count among the bytes. A disk that fills up only
    ends the keeping.
    """

    def __init__(self, folder: Path, identity: str, *, max_bytes: int) -> None:
        self.folder = folder
        self._identity = hashlib.sha256(identity.encode()).hexdigest()
        self._max_bytes = max_bytes
        self._is_writable = True

    def has(self, key: str) -> bool:
        """Whether there is an entry; it may turn out to be damaged."""
        return self._path(key).exists()

    def get(self, key: str) -> Arrays | None:
        """The arrays of an entry, bit for bit; None when there is none that can be used."""
        path = self._path(key)
        try:
            with safe_open(path, framework="np") as file:
                if file.metadata() != self._metadata(key):
                    return None
                arrays = {name: _widen(file.get_tensor(name)) for name in file.offset_keys()}
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, ValueError) as error:
            _LOG.info("%s cannot be used and will be replaced: %s", path, error)
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):  # only for the order in which entries go
            os.utime(path)
        return arrays

    def put(self, key: str, arrays: Arrays) -> None:
        """Keep an entry, unless it alone is larger than the cache may be."""
        packed = {name: _narrow(array) for name, array in arrays.items()}
        size = sum(array.nbytes for array in packed.values())
        if not self._is_writable or size > self._max_bytes:
            return
        path = self._path(key)
        new = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            save_file(packed, new, metadata=self._metadata(key))
            with new.open("rb") as file:
                os.fsync(file.fileno())  # its bytes before its name
            new.replace(path)
            self._trim()
        except (OSError, SafetensorError) as error:  # the library's word for a full disk
            self._is_writable = False
            _LOG.warning("nothing more is kept in %s: %s", self.folder, error)
        finally:
            new.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(f"{self._identity} {key}".encode()).hexdigest()
        return self.folder / f"{_PREFIX}{name[:40]}{_SUFFIX}"

    def _metadata(self, key: str) -> dict[str, str]:
        return {"smolvlm": self._identity, "key": key}

    def _trim(self) -> None:
        """Remove the entries unused for longest until the rest fits, and what was abandoned."""
        for left in self.folder.glob(f"{_PREFIX}*{_SUFFIX}.*.new"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                    left.unlink()
        found = []
        for path in self.folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            with suppress(FileNotFoundError):  # another process was faster
                found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size


class StoredFeatures:
    """Visual features float32 (T, H) by `feature_cache.tile_key`, in a `DiskCache`."""

    def __init__(self, disk: DiskCache) -> None:
        self._disk = disk

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """The features of a tile; None when they are not here."""
        arrays = self._disk.get(f"features {key.hex()}")
        return None if arrays is None else arrays.get("features")

    def put(self, key: bytes, features: NDArray[np.float32]) -> None:
        """Keep the features of a tile."""
        self._disk.put(f"features {key.hex()}", {"features": features})


def _narrow(array: NDArray[np.float32]) -> NDArray[np.float32] | NDArray[np.uint16]:
    """The bits of bfloat16 where that loses nothing, as an engine that computes in it leaves it."""
    array = np.ascontiguousarray(array)
    bits = array.view(np.uint32)
    return array if (bits & 0xFFFF).any() else (bits >> 16).astype(np.uint16)


def _widen(array: NDArray[np.float32] | NDArray[np.uint16]) -> NDArray[np.float32]:
    if array.dtype == np.float32:
        return array.view(np.float32)
    if array.dtype != np.uint16:
        raise ValueError(f"it holds {array.dtype}")
    wide: NDArray[np.float32] = (array.astype(np.uint32) << 16).view(np.float32)
    return wide
