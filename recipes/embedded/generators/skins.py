"""Drawing a fake window in one of seven skins, and saying where each control came to lie.

What the window holds and what is asked about it is left to `screens`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from recipes.embedded.generators import canvas, lettering
from recipes.embedded.generators.colours import RGB
from recipes.embedded.materials import Materials, Split

SIZES = ((448, 448), (448, 360), (400, 448))  # (width, height)
COLOURS: Mapping[str, RGB] = {
    "blue": (30, 100, 215),
    "green": (30, 140, 60),
    "red": (205, 40, 40),
    "orange": (235, 125, 0),
    "purple": (120, 60, 170),
}
MARGIN = 18  # pixels
SMALLEST = 11  # pixels per em


@dataclass(frozen=True)
class Control:
    """One thing of a window.

    kind: "field", "box", "switch", "radio" or "button". text: what a field holds, or the chosen one
    of `options`. on: ticked, switched on, or (a button) ready to be pressed.
    """

    kind: str
    name: str
    text: str = ""
    on: bool = True
    colour: str | None = None
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Window:
    """The truth about a window: controls from top to bottom, buttons from left to right."""

    title: str
    rows: tuple[Control, ...]
    buttons: tuple[Control, ...]

    @property
    def text(self) -> str:
        """Every character that may be drawn."""
        controls = (*self.rows, *self.buttons)
        names = [text for c in controls for text in (c.name, c.text, *c.options)]
        return ": ".join([self.title, *names])


@dataclass(frozen=True)
class Placed:
    """A control and the middle of it as shares of the picture's width and height."""

    control: Control
    centre: tuple[float, float]


@dataclass(frozen=True)
class Skin:
    """How a window looks: colours, corner radius and where the buttons stand."""

    back: RGB
    face: RGB
    ink: RGB
    bar: RGB
    bar_ink: RGB
    radius: int
    buttons: str = "right"  # or "left", "center", "wide"


SKINS: Mapping[str, Skin] = {
    "light": Skin((245, 245, 245), (255, 255, 255), (20, 20, 20), (225, 225, 228), (20, 20, 20), 4),
    "flat": Skin(
        (255, 255, 255), (255, 255, 255), (40, 44, 52), (33, 110, 190), (255, 255, 255), 0
    ),
    "classic": Skin(
        (212, 208, 200), (236, 233, 216), (0, 0, 0), (10, 36, 106), (255, 255, 255), 0, "center"
    ),
    "dark": Skin((43, 43, 46), (62, 62, 66), (235, 235, 235), (28, 28, 30), (235, 235, 235), 6),
    "round": Skin(
        (250, 250, 252), (240, 240, 245), (28, 28, 30), (250, 250, 252), (28, 28, 30), 12, "wide"
    ),
    "warm": Skin(
        (250, 245, 235), (255, 252, 245), (60, 45, 30), (190, 95, 40), (255, 255, 255), 5, "left"
    ),
    "teal": Skin(
        (232, 240, 240), (255, 255, 255), (20, 50, 50), (0, 105, 105), (255, 255, 255), 8, "center"
    ),
}
HELD_OUT = "teal"  # drawn for the test split only
GREY: RGB = (150, 150, 150)


def draw(
    materials: Materials, rng: random.Random, window: Window, skin: Skin, split: Split
) -> tuple[Image.Image, list[Placed]]:
    """The picture of a window, and where its fields, boxes, switches and buttons are."""
    width, height = rng.choice(SIZES)
    font = lettering.choose_font(
        materials, rng, window.text, categories=("sans-serif",), split=split
    )
    picture = Image.new("RGB", (width, height), skin.back)
    inset = rng.choice((0, 0, 10, 22))
    if inset:
        around = canvas.photo_part(materials, rng, width, height, split)
        picture = around or Image.new("RGB", (width, height), (90, 110, 130))
    frame = (inset, inset, width - inset - 1, height - inset - 1)
    lines = len(window.rows) + sum(c.kind == "field" for c in window.rows) + 3
    size = min(rng.randint(16, 20), round((height - 2 * inset) / lines / 1.6))
    while size > SMALLEST and _widest(window, materials.font(font.name, size), size) > (
        width - 2 * inset - 2 * MARGIN
    ):
        size -= 1
    painter = Painter(ImageDraw.Draw(picture), skin, materials.font(font.name, size), frame, size)
    return picture, painter.window(window)


def _widest(window: Window, face: ImageFont.FreeTypeFont, size: int) -> float:
    """Pixels that the longest row of choices, or the row of buttons, needs."""
    rows = [
        face.getlength(f"{c.name}:{''.join(c.options)}") + len(c.options) * (1.66 * size + 5) + size
        for c in window.rows
        if c.kind == "radio"
    ]
    buttons = sum(max(size * 3.6, face.getlength(b.name) + size * 1.6) for b in window.buttons)
    return max([buttons + size * (len(window.buttons) - 1), *rows])


@dataclass
class Painter:
    """Draws controls into a frame and remembers their middles."""

    pen: ImageDraw.ImageDraw
    skin: Skin
    face: ImageFont.FreeTypeFont
    frame: tuple[int, int, int, int]
    size: int

    def window(self, window: Window) -> list[Placed]:
        """Everything; returns the places as shares of the whole picture."""
        left, top, right, bottom = self.frame
        self.pen.rounded_rectangle(self.frame, self.skin.radius, self.skin.back, GREY)
        bar = top + round(self.size * 2.0)
        self.pen.rounded_rectangle((left, top, right, bar), self.skin.radius, self.skin.bar)
        self._say(window.title, left + MARGIN, (top + bar) / 2, self.skin.bar_ink)
        self._cross(right - MARGIN, (top + bar) / 2)
        room = bottom - bar - round(self.size * 3.2)
        heights = [self.size * (3.1 if c.kind == "field" else 1.9) for c in window.rows]
        gap = max(0.0, min(self.size * 0.9, (room - sum(heights)) / (len(heights) + 1)))
        y, found = bar + gap + self.size * 0.3, []
        for control, height in zip(window.rows, heights, strict=True):
            found.append((control, getattr(self, f"_{control.kind}")(control, y, height)))
            y += height + gap
        found += self._buttons(window.buttons, bottom - round(self.size * 2.6))
        width, tall = right + left + 1, bottom + top + 1
        return [Placed(control, (x / width, y / tall)) for control, (x, y) in found]

    def _say(self, text: str, left: float, middle: float, ink: RGB | None = None) -> float:
        """A line whose middle is at the height `middle`; returns where it ends."""
        self.pen.text((left, middle), text, ink or self.skin.ink, self.face, anchor="lm")
        return left + self.face.getlength(text)

    def _cross(self, x: float, y: float) -> None:
        arm = self.size * 0.28
        for one, other in (
            ((x - arm, y - arm), (x + arm, y + arm)),
            ((x - arm, y + arm), (x + arm, y - arm)),
        ):
            self.pen.line((*one, *other), self.skin.bar_ink, 2)

    def _field(self, control: Control, top: float, height: float) -> tuple[float, float]:
        left, right = self.frame[0] + MARGIN, self.frame[2] - MARGIN
        self._say(control.name, left, top + self.size * 0.6)
        box = (left, top + self.size * 1.3, right, top + height)
        self.pen.rounded_rectangle(box, min(self.skin.radius, 8), self.skin.face, GREY)
        middle = (box[1] + box[3]) / 2
        self._say(control.text, left + 8, middle)
        return (left + right) / 2, middle

    def _box(self, control: Control, top: float, height: float) -> tuple[float, float]:
        left, side = self.frame[0] + MARGIN, self.size
        high = top + (height - side) / 2
        fill = COLOURS["blue"] if control.on and self.skin.radius else self.skin.face
        self.pen.rounded_rectangle(
            (left, high, left + side, high + side), min(self.skin.radius, 4), fill, GREY, 2
        )
        if control.on:
            ink: RGB = (255, 255, 255) if self.skin.radius else self.skin.ink
            marks = [
                (left + side * x, high + side * y)
                for x, y in ((0.2, 0.5), (0.42, 0.75), (0.82, 0.25))
            ]
            self.pen.line(marks, ink, max(2, side // 7))
        self._say(control.name, left + side + 9, top + height / 2)
        return left + side / 2, top + height / 2

    def _switch(self, control: Control, top: float, height: float) -> tuple[float, float]:
        right, middle = self.frame[2] - MARGIN, top + height / 2
        self._say(control.name, self.frame[0] + MARGIN, middle)
        wide, half = self.size * 2.1, self.size * 0.55
        fill = COLOURS["green"] if control.on else GREY
        self.pen.rounded_rectangle((right - wide, middle - half, right, middle + half), half, fill)
        knob = right - half if control.on else right - wide + half
        arm = half - 3
        self.pen.ellipse((knob - arm, middle - arm, knob + arm, middle + arm), "white")
        return right - wide / 2, middle

    def _radio(self, control: Control, top: float, height: float) -> tuple[float, float]:
        middle, arm = top + height / 2, self.size * 0.48
        x = self._say(f"{control.name}:", self.frame[0] + MARGIN, middle) + self.size * 0.6
        for option in control.options:
            self.pen.ellipse((x, middle - arm, x + 2 * arm, middle + arm), self.skin.face, GREY, 2)
            if option == control.text:
                inner = arm * 0.5
                dot = (x + arm - inner, middle - inner, x + arm + inner, middle + inner)
                self.pen.ellipse(dot, COLOURS["blue"] if self.skin.radius else self.skin.ink)
            x = self._say(option, x + 2 * arm + 5, middle) + self.size * 0.7
        return x, middle

    def _buttons(
        self, buttons: tuple[Control, ...], top: float
    ) -> list[tuple[Control, tuple[float, float]]]:
        left, right = self.frame[0] + MARGIN, self.frame[2] - MARGIN
        widths = [
            max(self.size * 3.6, self.face.getlength(b.name) + self.size * 1.6) for b in buttons
        ]
        gap = float(self.size)
        if self.skin.buttons == "wide":
            widths = [(right - left - gap * (len(buttons) - 1)) / len(buttons)] * len(buttons)
        spare = right - left - sum(widths) - gap * (len(buttons) - 1)
        x = left + spare * {"left": 0.0, "center": 0.5, "wide": 0.0}.get(self.skin.buttons, 1.0)
        found = []
        for button, width in zip(buttons, widths, strict=True):
            box = (x, top, x + width, top + self.size * 1.9)
            found.append((button, self._button(button, box)))
            x += width + gap
        return found

    def _button(
        self, button: Control, box: tuple[float, float, float, float]
    ) -> tuple[float, float]:
        fill: RGB = COLOURS[button.colour] if button.colour else self.skin.face
        ink: RGB = (255, 255, 255) if button.colour else self.skin.ink
        if not button.on:
            fill = tuple(
                round(0.25 * f + 0.75 * b)
                for f, b in zip(self.skin.face, self.skin.back, strict=True)
            )  # type: ignore[assignment]
            ink = GREY
        self.pen.rounded_rectangle(box, min(self.skin.radius, 10), fill, GREY)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        self.pen.text(centre, button.name, ink, self.face, anchor="mm")
        return centre
