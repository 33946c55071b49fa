"""Fake windows: buttons, boxes to tick, fields, choices and switches; what they say and do.

Row 6 of the mixture. A `Window` is the truth; `skins` draws it and says where everything is. Points
are asked for in hundredths of the picture: `x,y` from its top left corner.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from recipes.embedded.generators import canvas, skins, values
from recipes.embedded.generators.questions import Generator, Turn, sample, yes_no
from recipes.embedded.generators.skins import HELD_OUT, SKINS, Control, Placed, draw
from recipes.embedded.generators.wordings import ask
from recipes.embedded.materials import Materials, Split
from smolvlm.types import Sample

UNANSWERABLE = 0.05  # share of the questions
TITLES = (
    "Settings", "Sign in", "Preferences", "New account", "Print", "Find and replace", "Export",
    "Save as", "Network", "Sound", "Display", "Account", "Connect", "Options", "Search",
    "Add contact", "Booking", "Checkout", "Backup", "Filters", "Profile", "Updates",
)  # fmt: skip
BUTTONS = ("OK", "Cancel", "Apply", "Save", "Close", "Next", "Back", "Help", "Delete", "Print",
           "Browse", "Send", "Reset", "Retry", "Connect", "Sign in", "Search", "Add", "Edit",
           "Export", "Upload", "Skip", "Yes", "No", "Stop", "Copy")  # fmt: skip
BOXES = ("Remember me", "Show hidden files", "Send reports", "Use proxy", "Keep a copy", "Mute",
         "Match case", "Whole words", "Auto save", "Spell check", "Full screen", "Read only",
         "Notify me", "Accept terms", "Two-sided", "Black and white", "Open at start")  # fmt: skip
SWITCHES = ("Wi-Fi", "Bluetooth", "Dark mode", "Location", "Flight mode", "Sound", "Backup",
            "Night light", "Sync", "Vibration", "Hotspot", "Battery saver")  # fmt: skip
FIELDS = ("Name", "Email", "City", "User name", "File name", "Phone", "Search", "Company", "Host",
          "Port", "Address", "Title")  # fmt: skip
CHOICES: Mapping[str, tuple[str, ...]] = {
    "Size": ("Small", "Medium", "Large"),
    "Quality": ("Low", "Normal", "High"),
    "Paper": ("A4", "A5", "Letter"),
    "Theme": ("Light", "Dark", "System"),
    "Language": ("English", "French", "German"),
    "Order": ("Name", "Date", "Type"),
    "Speed": ("Slow", "Fast", "Auto"),
}
COLOURED = ("blue", "green", "red", "orange", "purple")


def screen(materials: Materials, seed: int, *, split: Split = "train") -> Sample:
    """A window with one to four questions."""
    rng = random.Random(f"screen/{seed}")
    window = _window(rng)
    names = [HELD_OUT] if split == "test" else [name for name in SKINS if name != HELD_OUT]
    picture, placed = draw(materials, rng, window, SKINS[rng.choice(names)], split)
    return sample("screen", seed, [canvas.finish(picture, rng)], about(rng, window, placed))


def _window(rng: random.Random) -> skins.Window:
    """A title, two to five controls and one to three buttons."""
    fake = values.people(rng)
    rows: list[Control] = []
    for name in rng.sample(FIELDS, rng.randint(0, 2)):
        text = {
            "Email": fake.email(), "Phone": f"{rng.randint(200, 999)}-{rng.randint(1000, 9999)}",
            "Port": str(rng.randint(80, 9999)), "City": fake.city(), "Company": fake.last_name(),
        }.get(name, fake.first_name())  # fmt: skip
        rows.append(Control("field", name, text if rng.random() < 0.8 else ""))
    rows += [
        Control("box", name, on=rng.random() < 0.5) for name in rng.sample(BOXES, rng.randint(0, 3))
    ]
    rows += [
        Control("switch", name, on=rng.random() < 0.5)
        for name in rng.sample(SWITCHES, rng.randint(0, 2))
    ]
    for name in rng.sample(list(CHOICES), rng.randint(0 if rows else 1, 1)):
        chosen = rng.choice(CHOICES[name])
        rows.append(Control("radio", name, chosen, options=CHOICES[name]))
    rng.shuffle(rows)
    colours = rng.sample(COLOURED, 3)
    buttons = [
        Control(
            "button",
            name,
            on=rng.random() > 0.15,
            colour=colours[i] if rng.random() < 0.45 else None,
        )
        for i, name in enumerate(rng.sample(BUTTONS, rng.randint(1, 3)))
    ]
    return skins.Window(rng.choice(TITLES), tuple(rows[:5]), tuple(buttons))


def about(rng: random.Random, window: skins.Window, placed: Sequence[Placed]) -> list[Turn]:
    """One to four questions about a window."""
    turns = [
        Turn(ask(rng, "window title"), window.title),
        Turn(ask(rng, "buttons"), str(len(window.buttons))),
    ]
    for control in window.rows:
        turns += _about_row(rng, control)
    for number, control in enumerate(window.buttons):
        turns += _about_button(rng, control, number, len(window.buttons))
    turns += [_where(rng, spot) for spot in placed if spot.control.kind != "radio"]
    rng.shuffle(turns)
    chosen = list({turn.question: turn for turn in turns}.values())[: rng.randint(1, 4)]
    if rng.random() < UNANSWERABLE * len(chosen):
        chosen.append(_missing(rng, window))
    return chosen


def _about_row(rng: random.Random, control: Control) -> list[Turn]:
    name = control.name
    if control.kind == "field":
        return [Turn(ask(rng, "field says", name), control.text or f"The {name} field is empty.")]
    if control.kind == "box":
        return [Turn(ask(rng, "is ticked", name), yes_no(control.on))]
    if control.kind == "switch":
        return [Turn(ask(rng, "is on", name), yes_no(control.on))]
    return [Turn(ask(rng, "selected", name), control.text)]


def _about_button(rng: random.Random, button: Control, number: int, count: int) -> list[Turn]:
    """What it says, asked by its colour or place, and whether it can be pressed."""
    turns = [Turn(ask(rng, "is disabled", button.name), yes_no(not button.on))]
    if button.colour and button.on:
        turns += [Turn(ask(rng, "button says", button.colour), button.name)] * 2
    if count > 1:
        place = "left" if number == 0 else "right" if number == count - 1 else "middle"
        turns.append(Turn(ask(rng, "button says", place), button.name))
    return turns


def _where(rng: random.Random, spot: Placed) -> Turn:
    """The middle of a control in hundredths of the picture."""
    kinds = {"button": "button", "field": "field", "box": "checkbox", "switch": "switch"}
    x, y = (round(100 * value) for value in spot.centre)
    return Turn(ask(rng, "where", f"{spot.control.name} {kinds[spot.control.kind]}"), f"{x},{y}")


def _missing(rng: random.Random, window: skins.Window) -> Turn:
    """A button that is not there."""
    here = {button.name for button in window.buttons}
    name = rng.choice([name for name in BUTTONS if name not in here])
    return Turn(ask(rng, "where", f"{name} button"), f"There is no {name} button in the window.")


GENERATORS: Mapping[str, Generator] = {"screen": screen}
