"""Small tables of real values out of the data packages: what charts and tables are drawn from.

Each `Recipe` names a file, the column that labels the rows, and the number columns with the names
they get. Rows with a gap are dropped; labels are kept unique and short. Packing the result is left
to `material_sources`, choosing rows and columns for one picture to the generators.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipes.embedded.materials import Table, Value

LONGEST_LABEL = 22  # characters; a longer one does not fit under a bar
MOST_ROWS = 120
VEGA, BOKEH = "package/data", "bokeh_sampledata/_data"


@dataclass(frozen=True)
class Recipe:
    """How one table is read.

    source: key of the package. label: (column, name it gets). numbers: column -> name it gets.
    only: column -> the value a row must have there. digits: decimals kept.
    """

    name: str
    title: str
    source: str
    file: str
    label: tuple[str, str]
    numbers: Mapping[str, str]
    only: Mapping[str, str] = field(default_factory=dict)
    digits: int = 1
    words: Mapping[str, str] = field(default_factory=dict)  # further text columns


_ELEMENTS = {
    "atomic number": "Number",
    "atomic mass": "Mass",
    "melting point": "Melting Point",
    "boiling point": "Boiling Point",
    "year discovered": "Discovered",
}
_CARS = {
    "Miles_per_Gallon": "MPG",
    "Cylinders": "Cylinders",
    "Horsepower": "Power",
    "Weight_in_lbs": "Weight",
    "Acceleration": "Acceleration",
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SECTORS = {
    "construction": "Construction",
    "manufacturing": "Manufacturing",
    "retail_trade": "Retail",
    "information": "Information",
    "government": "Government",
}
_DEGREES = ("Agriculture", "Biology", "Business", "Computer Science", "Engineering", "Psychology")
_SOURCES = ("Fossil Fuels", "Nuclear Energy", "Renewables")
RECIPES: tuple[Recipe, ...] = (
    *(
        Recipe(
            f"countries-{year}",
            f"Countries in {year}",
            "vega",
            f"{VEGA}/countries.json",
            ("country", "Country"),
            {"fertility": "Fertility", "life_expect": "Life Expectancy"},
            only={"year": str(year)},
        )
        for year in (1960, 1980, 2000)
    ),
    *(
        Recipe(
            f"barley-{year}",
            f"Barley Yield at Waseca, {year}",
            "vega",
            f"{VEGA}/barley.json",
            ("variety", "Variety"),
            {"yield": "Yield"},
            only={"year": str(year), "site": "Waseca"},
        )
        for year in (1931, 1932)
    ),
    *(
        Recipe(
            f"iowa-{source.split()[0].lower()}",
            f"{source} in Iowa",
            "vega",
            f"{VEGA}/iowa-electricity.csv",
            ("year", "Year"),
            {"net_generation": "Generation"},
            only={"source": source},
        )
        for source in _SOURCES
    ),
    Recipe(
        "wheat",
        "Wheat Prices and Wages",
        "vega",
        f"{VEGA}/wheat.json",
        ("year", "Year"),
        {"wheat": "Wheat", "wages": "Wages"},
    ),
    Recipe(
        "cars",
        "Cars of the Seventies",
        "vega",
        f"{VEGA}/cars.json",
        ("Name", "Model"),
        _CARS,
        words={"Origin": "Origin"},
    ),
    Recipe(
        "hurricanes",
        "Hurricanes by State",
        "vega",
        f"{VEGA}/population_engineers_hurricanes.csv",
        ("state", "State"),
        {"population": "Population", "hurricanes": "Hurricanes"},
    ),
    Recipe(
        "income",
        "Income and Health",
        "vega",
        f"{VEGA}/gapminder-health-income.csv",
        ("country", "Country"),
        {"income": "Income", "health": "Health"},
    ),
    Recipe(
        "weather",
        "Weather in Seattle",
        "vega",
        f"{VEGA}/seattle-weather.csv",
        ("date", "Date"),
        {"temp_max": "High", "temp_min": "Low", "wind": "Wind", "precipitation": "Rain"},
        words={"weather": "Sky"},
    ),
    Recipe(
        "jobs",
        "US Employment",
        "vega",
        f"{VEGA}/us-employment.csv",
        ("month", "Month"),
        _SECTORS,
    ),
    Recipe(
        "deaths",
        "Deaths in Disasters",
        "vega",
        f"{VEGA}/disasters.csv",
        ("Year", "Year"),
        {"Deaths": "Deaths"},
        only={"Entity": "All natural disasters"},
    ),
    Recipe(
        "elements",
        "Chemical Elements",
        "bokeh",
        f"{BOKEH}/elements.csv",
        ("name", "Element"),
        _ELEMENTS,
        words={"symbol": "Symbol", "metal": "Kind"},
    ),
    Recipe(
        "browsers",
        "Browser Market Share",
        "bokeh",
        f"{BOKEH}/browsers_nov_2013.csv",
        ("Browser Version", "Browser"),
        {"Market Share Perc. (Nov 2013)": "Share"},
        digits=2,
    ),
    Recipe(
        "sprint",
        "Sprint Results",
        "bokeh",
        f"{BOKEH}/sprint.csv",
        ("Name", "Name"),
        {"Time": "Time", "Year": "Year"},
        digits=2,
        words={"Country": "Country", "Medal": "Medal"},
    ),
    Recipe(
        "marriages",
        "Marriages and Divorces",
        "bokeh",
        f"{BOKEH}/us_marriages_divorces.csv",
        ("Year", "Year"),
        {"Marriages_per_1000": "Marriages", "Divorces_per_1000": "Divorces"},
    ),
    Recipe(
        "unemployment",
        "US Unemployment Rate",
        "bokeh",
        f"{BOKEH}/unemployment1948.csv",
        ("Year", "Year"),
        {month: month for month in _MONTHS},
    ),
    Recipe(
        "degrees",
        "Degrees Earned by Women",
        "bokeh",
        f"{BOKEH}/percent-bachelors-degrees-women-usa.csv",
        ("Year", "Year"),
        {name: name for name in _DEGREES},
    ),
    Recipe(
        "olympics",
        "Winter Olympics 2014",
        "bokeh",
        f"{BOKEH}/olympics2014.json",
        ("name", "Country"),
        {"gold": "Gold", "silver": "Silver", "bronze": "Bronze", "total": "Total"},
    ),
    Recipe(
        "altitude",
        "Airports",
        "bokeh",
        f"{BOKEH}/airports.csv",
        ("City", "City"),
        {"Altitude": "Altitude"},
        words={"IATA": "Code"},
    ),
    Recipe(
        "antibiotics",
        "Antibiotics",
        "bokeh",
        f"{BOKEH}/antibiotics.csv",
        ("bacteria", "Bacteria"),
        {"penicillin": "Penicillin", "streptomycin": "Streptomycin", "neomycin": "Neomycin"},
        digits=3,
        words={"gram": "Gram"},
    ),
)


def read_table(recipe: Recipe, folder: Path) -> Table:
    """The table of `recipe` from its unpacked package."""
    names = (recipe.label[1], *recipe.words.values(), *recipe.numbers.values())
    rows: dict[str, tuple[Value, ...]] = {}
    for record in _records(folder / recipe.file):
        if any(str(record.get(key, "")) != value for key, value in recipe.only.items()):
            continue
        row = _row(record, recipe)
        if row is not None:
            rows.setdefault(str(row[0]), row)
    kept = list(rows.values())
    step = max(1, len(kept) // MOST_ROWS)
    return Table(recipe.name, recipe.title, names, tuple(kept[::step][:MOST_ROWS]))


def _row(record: Mapping[str, Any], recipe: Recipe) -> tuple[Value, ...] | None:
    """The cells of one record, or None when one is missing or does not fit."""
    words = [str(record.get(key) or "").strip() for key in (recipe.label[0], *recipe.words)]
    words[0] = _label(words[0], recipe.label[1])
    numbers = [_number(record.get(key), recipe.digits) for key in recipe.numbers]
    if not all(w and len(w) <= LONGEST_LABEL and w.isascii() for w in words) or None in numbers:
        return None
    return (*words, *(number for number in numbers if number is not None))


def _label(text: str, column: str) -> str:
    """A label as one would print it: years of dates in a year column, models in title case."""
    if column == "Year":
        return text[:4]
    return text.title() if column == "Model" else text


def _number(text: object, digits: int) -> float | None:
    try:
        value = round(float(str(text)), digits)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _records(path: Path) -> Iterable[Mapping[str, Any]]:
    """The records of a CSV or JSON file; nested objects are laid flat."""
    text = path.read_text("utf-8-sig")
    if path.suffix == ".json":
        made = json.loads(text)
        for record in made["data"] if isinstance(made, dict) else made:
            flat = {k: v for k, v in record.items() if not isinstance(v, dict)}
            for inner in (v for v in record.values() if isinstance(v, dict)):
                flat.update(inner)
            yield flat
        return
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    yield from csv.DictReader(io.StringIO("\n".join(lines)), skipinitialspace=True)
