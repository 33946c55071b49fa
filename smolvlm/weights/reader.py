"""A model folder's weights, as tensors under our names.

Opens one `model.safetensors` or the shards of its index, memory-mapped: opening reads headers only.
Before anything is handed out, every tensor the config asks for must be there in its shape, and no
other. Pickled weights are refused by name, since opening them runs code. `shard.py` knows the file
format, `names.py` the names; what a network does with the tensors is no business of this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig, read_json
from smolvlm.errors import CheckpointError
from smolvlm.weights.names import EMBEDDING, HEAD, PATCH_WEIGHT, Shape, expected_shapes, map_names
from smolvlm.weights.shard import Dtype, Entry, Shard
from smolvlm.weights.writer import INDEX_NAME, SINGLE_NAME

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# How many names an error lists before it only counts.
_NAMED = 3


class Checkpoint:
    """The tensors of a model folder under our names; use `open_checkpoint` to make one.

    `head_name` says which tensor the head is: `lm_head.weight`, or the embedding matrix where the
    head is tied to it or absent. `lm_head.weight` can be read either way.
    """

    def __init__(self, folder: Path, config: ModelConfig, shards: Sequence[Shard]) -> None:
        self.folder = folder
        self.config = config
        self._shards = shards
        self._home = _homes(shards)
        mapped = map_names(self._home)
        self._stored = mapped.stored
        self._shapes = _check_names(folder, config, mapped.stored, mapped.unknown)
        for name in self._shapes:
            self._check_shape(name)
        self._check_tied_head()
        self.head_name = HEAD if HEAD in self._shapes else EMBEDDING

    def names(self) -> tuple[str, ...]:
        """Our names of the tensors; without `lm_head.weight` where it is tied or absent."""
        return tuple(self._shapes)

    def shape(self, name: str) -> Shape:
        """The shape of a tensor, as the network wants it."""
        return self._shapes[self._resolve(name)]

    def dtype(self, name: str) -> Dtype:
        """How a tensor is stored: "F32", "BF16" or "F16"."""
        return self._parts(self._resolve(name))[0].dtype

    def raw(self, name: str) -> NDArray[Any]:
        """The stored values (float32, float16, or uint16 bit patterns of bfloat16), read-only.

        No copy is made, except of matrices with added rows and of a channels-last patch weight.
        """
        name = self._resolve(name)
        parts = [self._home[stored].raw(stored) for stored in self._stored[name]]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)  # (rows + added, H)
        if whole.shape != self._shapes[name]:
            # (D, p, p, 3) -> (D, 3, p, p)
            whole = np.ascontiguousarray(whole.transpose(0, 3, 1, 2))
        return whole

    def f32(self, name: str) -> NDArray[np.float32]:
        """The values as float32, exact for every stored type; float32 is not copied."""
        raw = self.raw(name)
        if self.dtype(name) == "BF16":
            bits = raw.astype(np.uint32)
            bits <<= 16  # in place: the largest tensors are hundreds of megabytes
            return bits.view(np.float32)
        return raw.astype(np.float32, copy=False)

    @property
    def fingerprint(self) -> str:
        """Changes when the config or a weight file does: names, sizes, times, headers; no data."""
        digest = hashlib.sha256(repr(self.config).encode())
        for shard in self._shards:
            digest.update(f"\n{shard.path.name} {shard.size} {shard.modified_ns}\n".encode())
            digest.update(shard.header)
        return digest.hexdigest()

    def _resolve(self, name: str) -> str:
        return self.head_name if name == HEAD else name

    def _parts(self, name: str) -> list[Entry]:
        return [self._home[stored].entries[stored] for stored in self._stored[name]]

    def _check_shape(self, name: str) -> None:
        """The stored parts of a tensor, joined, have the shape the config asks for."""
        parts, wanted = self._parts(name), self._shapes[name]
        where = f"{self.folder}: tensor {name}"
        if len({part.dtype for part in parts}) > 1:
            types = " and ".join(part.dtype for part in parts)
            raise CheckpointError(f"{where} has parts of types {types}; store both in one type")
        seen = parts[0].shape
        if len(parts) > 1:
            seen = (sum(part.shape[0] for part in parts if part.shape), *seen[1:])
        # MLX keeps the channels of the patch convolution last; `raw` moves them.
        if name == PATCH_WEIGHT and seen == tuple(wanted[axis] for axis in (0, 2, 3, 1)):
            return
        if seen != wanted or any(part.shape[1:] != wanted[1:] for part in parts[1:]):
            raise CheckpointError(
                f"{where} has shape {seen}, config.json asks for {wanted}; "
                "the config belongs to other weights"
            )

    def _check_tied_head(self) -> None:
        """A head stored beside a config that ties it must be the embedding matrix itself."""
        if HEAD not in self._stored or HEAD in self._shapes:
            return
        head, embedding = (self._parts(name)[0] for name in (HEAD, EMBEDDING))
        same = (head.dtype, head.shape) == (embedding.dtype, embedding.shape)
        (stored,) = self._stored[HEAD]
        if not same or not np.array_equal(self._home[stored].raw(stored), self.raw(EMBEDDING)):
            raise CheckpointError(
                f"{self.folder}: {HEAD} differs from {EMBEDDING}, but config.json has "
                "tie_word_embeddings = true; set it to false"
            )


def open_checkpoint(folder: Path) -> Checkpoint:
    """Open a model folder: `config.json` and its weights; reads headers only.

    `CheckpointError` names what is missing, damaged, of the wrong shape or type, or unexpected.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; a model is a folder with config.json")
    config = ModelConfig.from_folder(folder)
    return Checkpoint(folder, config, [Shard(path) for path in weight_files(folder)])


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder: the single one, or those its index names."""
    single, index = folder / SINGLE_NAME, folder / INDEX_NAME
    if single.exists():
        return [single]
    if not index.exists():
        raise CheckpointError(_no_weights(folder))
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, Mapping) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map; download it again")
    names = sorted({str(name) for name in weight_map.values()})
    for name in names:
        # A name with folders in it could point anywhere on the machine.
        if not name.endswith(".safetensors") or Path(name).name != name:
            raise CheckpointError(
                f"{index} names {name!r}; wanted safetensors files of the same folder"
            )
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of {len(names)} weight files: {_some(missing)}; "
            "download them again"
        )
    return [folder / name for name in names]


def _no_weights(folder: Path) -> str:
    """Why a folder without readable weights cannot be used, from what lies there instead."""
    files = sorted(path.name for path in folder.iterdir())
    pickled = [name for name in files if name.endswith(_PICKLED)]
    gguf = [name for name in files if name.endswith(".gguf")]
    other = [name for name in files if name.endswith(".safetensors")]
    wanted = f"wanted {SINGLE_NAME} or {INDEX_NAME}"
    if pickled:
        return (
            f"{folder} has only pickled weights ({_some(pickled)}), which run code when opened; "
            "convert them to safetensors"
        )
    if gguf:
        return (
            f"{folder} has only GGUF weights ({_some(gguf)}), which llama.cpp reads; "
            "use the model's safetensors folder"
        )
    if other:
        return f"{folder} has {_some(other)}; {wanted}"
    return f"{folder} has no weights; {wanted}"


def _homes(shards: Sequence[Shard]) -> dict[str, Shard]:
    """The file of each stored tensor; no tensor may be in two."""
    homes: dict[str, Shard] = {}
    for shard in shards:
        for name in shard.entries:
            if name in homes:
                raise CheckpointError(
                    f"{shard.path.parent}: tensor {name} is both in {homes[name].path.name} and in "
                    f"{shard.path.name}; the shards are of different checkpoints"
                )
            homes[name] = shard
    return homes


def _check_names(
    folder: Path, config: ModelConfig, stored: Mapping[str, Any], unknown: Sequence[str]
) -> dict[str, Shape]:
    """The shapes of the tensors to hand out: just those the config asks for must be there."""
    shapes = expected_shapes(config)
    missing = [name for name in shapes if name not in stored and name != HEAD]
    if missing:
        raise CheckpointError(
            f"{folder}: the weights lack {len(missing)} of {len(shapes)} tensors: "
            f"{_some(missing)}; the download is incomplete or config.json belongs to other weights"
        )
    unexpected = [name for name in stored if name not in shapes and name != HEAD]
    if unexpected or unknown:
        names = sorted([*unexpected, *unknown])
        raise CheckpointError(
            f"{folder}: the weights hold {len(names)} tensors that config.json does not ask for: "
            f"{_some(names)}; the config belongs to other weights"
        )
    if HEAD not in stored:
        shapes.pop(HEAD, None)
    return shapes


def _some(names: Sequence[str]) -> str:
    """The first few names, and that there are more."""
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
