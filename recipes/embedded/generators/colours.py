"""The eleven basic colours: drawing them with some spread, and naming what pixels show.

Two directions of one table. `sample` draws a colour that anyone would call by its name; `measure`
names the colour of a drawing, or says None where a person would hesitate (several colours, or one
between two names). Colour words are never taken from labels, since artists differ (data-sources.md
1.1).
"""

from __future__ import annotations

import colorsys
import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RGB = tuple[int, int, int]

# name -> ranges of hue in degrees (may pass 360), saturation and value that are drawn
_DRAWN: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((352, 365), (0.85, 1.0), (0.75, 0.95)),
    "orange": ((25, 34), (0.9, 1.0), (0.95, 1.0)),
    "yellow": ((51, 58), (0.85, 1.0), (0.93, 1.0)),
    "green": ((105, 140), (0.65, 1.0), (0.5, 0.75)),
    "blue": ((212, 236), (0.75, 1.0), (0.7, 1.0)),
    "purple": ((270, 286), (0.6, 0.9), (0.5, 0.72)),
    "pink": ((322, 342), (0.35, 0.58), (0.96, 1.0)),
    "brown": ((20, 28), (0.6, 0.8), (0.35, 0.48)),
    "black": ((0, 360), (0.0, 0.2), (0.0, 0.09)),
    "white": ((0, 360), (0.0, 0.01), (0.98, 1.0)),
    "grey": ((0, 360), (0.0, 0.04), (0.45, 0.6)),
}
COLOURS: tuple[str, ...] = tuple(_DRAWN)

# name -> hue, saturation and value ranges that are called by it; what lies in none is not named
_NAMED: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "red": ((345, 370), (0.68, 1.0), (0.55, 1.0)),
    "orange": ((19, 35), (0.72, 1.0), (0.88, 1.0)),
    "yellow": ((45, 62), (0.5, 1.0), (0.85, 1.0)),
    "green": ((80, 160), (0.35, 1.0), (0.25, 0.95)),
    "blue": ((198, 245), (0.42, 1.0), (0.4, 1.0)),
    "purple": ((262, 298), (0.3, 1.0), (0.3, 0.95)),
    "pink": ((308, 350), (0.18, 0.62), (0.85, 1.0)),
    "brown": ((10, 36), (0.35, 0.9), (0.2, 0.62)),
    "black": ((0, 360), (0.0, 1.0), (0.0, 0.17)),
    "white": ((0, 360), (0.0, 0.06), (0.93, 1.0)),
    "grey": ((0, 360), (0.0, 0.13), (0.35, 0.8)),
}
MAIN_SHARE = 0.6  # of the opaque pixels that the named colour must take
OTHER_SHARE = 0.12  # that no other named colour may pass
_MEASURED_SIDE = 48  # pixels; enough for shares


def sample(name: str, rng: random.Random) -> RGB:
    """Some colour that is plainly `name`."""
    hue, saturation, value = (rng.uniform(*span) for span in _DRAWN[name])
    red, green, blue = colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def distance(one: RGB, other: RGB) -> float:
    """Euclidean distance of two colours, 0 to 441."""
    return float(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5)


def shares(drawing: Image.Image) -> dict[str, float]:
    """Share of the opaque pixels of an RGBA drawing that is called by each colour name."""
    small = drawing.copy()
    small.thumbnail((_MEASURED_SIDE, _MEASURED_SIDE), Image.Resampling.BOX)
    opaque = np.asarray(small.getchannel("A")) > 200  # (H, W)
    hsv = np.asarray(small.convert("RGB").convert("HSV"))[opaque].astype(np.float64)  # (K, 3)
    if not len(hsv):
        return dict.fromkeys(COLOURS, 0.0)
    hue, saturation, value = hsv[:, 0] * 360 / 255, hsv[:, 1] / 255, hsv[:, 2] / 255  # (K,) each
    found = {}
    for name, ((low, high), spread, light) in _NAMED.items():
        inside = _within(hue, low, high) | _within(hue + 360, low, high)  # (K,)
        inside &= _within(saturation, *spread) & _within(value, *light)
        found[name] = float(inside.mean())
    return found


def measure(drawing: Image.Image) -> str | None:
    """The one colour an RGBA drawing has, or None when it has several or none that is plain."""
    ranked = sorted(shares(drawing).items(), key=lambda item: -item[1])
    (name, main), (_, second) = ranked[:2]
    return name if main >= MAIN_SHARE and second <= OTHER_SHARE else None


def _within(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((values >= low) & (values <= high))
