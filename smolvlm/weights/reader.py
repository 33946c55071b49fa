"""A model folder's weights, as tensors under our names.

Opens one `model.safetensors` or the shards of its index, memory-mapped: opening reads headers only.
Before anything is handed out, every tensor the config asks for must be there in its shape, and no
other. Pickled weights are refused by name, since opening them runs code. `shard.py` knows the file
format, `names.py` the names; what a network does with the tensors is no business of this module.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolvlm.config import ModelConfig, read_json
from smolvlm.errors import CheckpointError
from smolvlm.weights.names import EMBEDDING, HEAD, PATCH_WEIGHT, Shape, expected_shapes, map_names
from smolvlm.weights.packed import FLOATS, Bits, Packed
from smolvlm.weights.quantized import InputRange, QuantizedTensors, is_quantized, separate
from smolvlm.weights.shard import Dtype, Entry, Shard, to_f32
from smolvlm.weights.writer import INDEX_NAME, SINGLE_NAME

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# How many names an error lists before it only counts.
_NAMED = 3


class Checkpoint:
    """The tensors of a model folder under our names; use `open_checkpoint` to make one.

    `head_name` says which tensor the head is: `lm_head.weight`, or the embedding matrix where the
    head is tied to it or absent. `lm_head.weight` can be read either way.
    """

    def __init__(
        self, folder: Path, config: ModelConfig, shards: Sequence[Shard], *, quantized: bool = False
    ) -> None:
        self.folder = folder
        self.config = config
        self._shards = shards
        self._home = _homes(shards)
        mapped = map_names(self._home)
        plain, weights, inputs = separate(mapped.stored if quantized else {})
        self._stored = plain if quantized else mapped.stored
        self._packed = QuantizedTensors(self._home, weights, inputs)
        unknown = [*mapped.unknown, *self._packed.astray]
        self._shapes = _check_names(folder, config, {*self._stored, *weights}, unknown)
        for name, shape in self._shapes.items():
            if name in self._packed:
                self._packed.check(name, shape)
            else:
                self._check_shape(name)
        self._check_tied_head()
        self.head_name = HEAD if HEAD in self._shapes else EMBEDDING

    def names(self) -> tuple[str, ...]:
        """Our names of the tensors; without `lm_head.weight` where it is tied or absent."""
        return tuple(self._shapes)

    def shape(self, name: str) -> Shape:
        """The shape of a tensor, as the network wants it."""
        return self._shapes[self._resolve(name)]

    @property
    def is_quantized(self) -> bool:
        """Whether some matrices are stored in few bits; `packed` gives them, `raw` does not."""
        return len(self._packed) > 0

    def require_values(self) -> None:
        """`CheckpointError` for a quantised folder: one cannot be trained or quantised again."""
        if self.is_quantized:
            raise CheckpointError(
                f"{self.folder} is quantised, which is good for answering only; "
                "use the checkpoint it was made from"
            )

    def dtype(self, name: str) -> Dtype:
        """How a tensor is stored: "F32", "BF16" or "F16"."""
        return self._parts(self._plain(name))[0].dtype

    def raw(self, name: str) -> NDArray[Any]:
        """The stored values (float32, float16, or uint16 bit patterns of bfloat16), read-only.

        No copy is made, except of matrices with added rows and of a channels-last patch weight.
        `CheckpointError` for a matrix that is quantised.
        """
        name = self._plain(name)
        parts = [self._home[stored].raw(stored) for stored in self._stored[name]]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)  # (rows + added, H)
        if whole.shape != self._shapes[name]:
            # (D, p, p, 3) -> (D, 3, p, p)
            whole = np.ascontiguousarray(whole.transpose(0, 3, 1, 2))
        return whole

    def packed(self, name: str) -> Packed | None:
        """A matrix in few bits, its codes not copied; None where it is stored as values."""
        name = self._resolve(name)
        return self._packed.matrix(name, self._shapes[name]) if name in self._packed else None

    def bits(self, name: str) -> Bits | None:
        """How many bits a quantised matrix is stored in; None where values are stored."""
        return self._packed.bits(self._resolve(name))

    def input_range(self, name: str) -> InputRange | None:
        """How the inputs of the layer with this weight become codes; None where they do not."""
        return self._packed.input_range(self._resolve(name))

    def f32(self, name: str) -> NDArray[np.float32]:
        """The values as float32, exact for every stored type; float32 is not copied."""
        packed = self.packed(name)
        return to_f32(self.raw(name), self.dtype(name)) if packed is None else packed.f32()

    def f32_blocks(self, name: str, rows: int) -> Iterator[NDArray[np.float32]]:
        """The values of a matrix that is not quantised, as float32, so many rows at a time."""
        raw, dtype = self.raw(name), self.dtype(name)
        for start in range(0, len(raw), rows):
            yield to_f32(raw[start : start + rows], dtype)

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

    def _plain(self, name: str) -> str:
        """The name of a tensor that is stored as values."""
        name = self._resolve(name)
        if name in self._packed:
            self.require_values()
        return name

    def _parts(self, name: str) -> list[Entry]:
        return [self._home[stored].entries[stored] for stored in self._stored[name]]

    def _check_shape(self, name: str) -> None:
        """The stored parts of a tensor, joined, have the shape the config asks for."""
        parts, wanted = self._parts(name), self._shapes[name]
        where = f"{self.folder}: tensor {name}"
        if parts[0].dtype not in FLOATS:
            raise CheckpointError(
                f"{where} has dtype {parts[0].dtype!r}; only {', '.join(FLOATS)} can be read, "
                "convert the weights to one of them"
            )
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
        if HEAD in self._packed or EMBEDDING in self._packed:
            same = False  # two quantised copies of a matrix are nobody's file
        else:
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
    quantized = is_quantized(read_json(folder / "config.json"), str(folder / "config.json"))
    shards = [Shard(path) for path in weight_files(folder)]
    return Checkpoint(folder, config, shards, quantized=quantized)


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
    folder: Path, config: ModelConfig, stored: Set[str], unknown: Sequence[str]
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
