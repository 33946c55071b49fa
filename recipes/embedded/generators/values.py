"""Real and invented values for tables and charts, and how numbers are written.

A piece of a real table (`Materials.tables`) or an invented one of the same form. What is drawn with
them is left to `tables` and `charts`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from faker import Faker

from recipes.embedded.materials import Materials, Split, Table, Value

REAL_SHARE = 0.6  # of the tables that come from real data
GOODS = (
    "Pens", "Paper", "Lamps", "Chairs", "Tables", "Cups", "Bowls", "Knives", "Spoons", "Towels",
    "Soap", "Bread", "Milk", "Eggs", "Rice", "Apples", "Pears", "Grapes", "Onions", "Carrots",
    "Shirts", "Socks", "Shoes", "Hats", "Coats", "Books", "Maps", "Toys", "Bikes", "Tyres",
)  # fmt: skip
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
PLACES = (
    "London", "Paris", "Rome", "Berlin", "Madrid", "Oslo", "Vienna", "Athens", "Dublin", "Lisbon",
    "Prague", "Warsaw", "Cairo", "Lima", "Tokyo", "Delhi", "Sydney", "Boston", "Denver", "Miami",
)  # fmt: skip
TEAMS = ("North", "South", "East", "West", "Centre", "Red", "Blue", "Green", "Gold", "Silver")
KEYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Product", GOODS),
    ("Month", MONTHS),
    ("Day", DAYS),
    ("City", PLACES),
    ("Team", TEAMS),
)
FIGURES: tuple[tuple[str, float, float, int], ...] = (  # name, least, most, decimals
    ("Sales", 10, 990, 0),
    ("Price", 1, 99, 2),
    ("Qty", 1, 60, 0),
    ("Stock", 0, 500, 0),
    ("Visitors", 100, 9900, 0),
    ("Score", 0, 100, 0),
    ("Points", 1, 90, 0),
    ("Cost", 5, 950, 0),
    ("Profit", 1, 400, 1),
    ("Rain", 0, 120, 1),
    ("Weight", 1, 90, 1),
    ("Hours", 1, 48, 1),
    ("Orders", 5, 300, 0),
    ("Rating", 1, 5, 1),
)
TITLES = ("{1} by {0}", "{1} per {0}", "{1} and More", "Report on {1}", "{1} of Each {0}")


def table(
    materials: Materials,
    rng: random.Random,
    *,
    rows: int,
    columns: int,
    split: Split = "train",
    words: bool = True,
) -> Table:
    """A table of at most `rows` rows and `columns` columns (at least two), its first the key.

    Keys are unique. `words` False leaves out text columns other than the key.
    """
    if rng.random() < REAL_SHARE:
        found = _real(rng, rng.choice(materials.tables(split)), rows, columns, words)
        if len(found.rows) >= 3:
            return found
    return _invented(rng, rows, columns, words)


def _real(rng: random.Random, source: Table, rows: int, columns: int, words: bool) -> Table:
    """Some rows in a row, and some columns beside the first."""
    numeric = source.numeric()
    others = [i for i in range(1, len(source.columns)) if words or i in numeric]
    chosen = [0, *sorted(rng.sample(others, min(columns - 1, len(others))))]
    start = rng.randint(0, max(0, len(source.rows) - rows))
    part = source.rows[start : start + rows]
    return Table(
        source.name,
        source.title,
        tuple(source.columns[i] for i in chosen),
        tuple(tuple(row[i] for i in chosen) for row in part),
    )


def _invented(rng: random.Random, rows: int, columns: int, words: bool) -> Table:
    key, names = rng.choice(KEYS) if rng.random() < 0.75 else ("Name", _names(rng, rows))
    count = min(rows, len(names))
    start = rng.randint(0, len(names) - count)
    ordered = key in ("Month", "Day")
    labels = names[start : start + count] if ordered else tuple(rng.sample(names, count))
    figures = rng.sample(FIGURES, columns - 1)
    made: list[tuple[Value, ...]] = [
        (label, *(round(rng.uniform(low, high), digits) for _, low, high, digits in figures))
        for label in labels
    ]
    heads = [key, *(name for name, *_ in figures)]
    if words and columns > 2 and rng.random() < 0.3:
        heads[-1] = "City" if key != "City" else "Team"
        pool = PLACES if key != "City" else TEAMS
        made = [(*row[:-1], rng.choice(pool)) for row in made]
    title = rng.choice(TITLES).format(key, heads[1])
    return Table("invented", title, tuple(heads), tuple(made))


def _names(rng: random.Random, count: int) -> tuple[str, ...]:
    """Different first names."""
    fake = people(rng)
    found: dict[str, None] = {}
    while len(found) < count:
        found[fake.first_name()] = None
    return tuple(found)


_FAKER = Faker("en_US")  # making one takes a tenth of a second


def people(rng: random.Random) -> Faker:
    """The inventor of names and addresses, seeded from `rng`; use it before the next call."""
    _FAKER.seed_instance(rng.getrandbits(64))
    return _FAKER


def written(values: Sequence[Value], *, commas: bool = True) -> list[str]:
    """A column of cells as text: one number of decimals, thousands parted where they are large."""
    numbers = [v for v in values if isinstance(v, float | int)]
    digits = max((_decimals(v) for v in numbers), default=0)
    large = commas and any(abs(v) >= 10_000 for v in numbers)
    mark = "," if large else ""
    return [v if isinstance(v, str) else f"{v:{mark}.{digits}f}" for v in values]


def _decimals(value: float) -> int:
    text = f"{value:.3f}".rstrip("0")
    return len(text) - text.index(".") - 1
