"""What stands in a document: invented receipts, invoices, letters, forms, cards, menus and more.

A `Record` is the truth: its `fields` are what can be asked for, word for word as they are printed,
and its `blocks` are what is drawn, from top to bottom. Drawing is left to `layouts`, asking to
`documents`. The test split differs by layout and seed, not by the kind of thing invented.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass

from faker import Faker

from recipes.embedded.generators import values
from recipes.embedded.generators.record_words import (
    DRINKS,
    EVENTS,
    GOODS,
    HALLS,
    MAINS,
    OPTIONS,
    PAYMENTS,
    PLANS,
    SHOPS,
    STARTERS,
    SWEETS,
    WORKS,
)
from recipes.embedded.materials import Materials, Split

LONGEST = 26  # characters of an invented name, street or address


@dataclass(frozen=True)
class Head:
    """The name of the document or of who sends it."""

    text: str


@dataclass(frozen=True)
class Lines:
    """Plain lines; `centred` where the layout centres its head too."""

    lines: tuple[str, ...]
    centred: bool = False


@dataclass(frozen=True)
class Pairs:
    """Labels with values; `sums` are set apart, the last of them bold; `by_hand` filled in."""

    pairs: tuple[tuple[str, str], ...]
    sums: bool = False
    by_hand: bool = False


@dataclass(frozen=True)
class Goods:
    """Rows under column names; a column name "" is not printed."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Ticks:
    """Boxes with a label, ticked or not."""

    boxes: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Prose:
    """A text that is broken into lines where it is drawn."""

    text: str


Block = Head | Lines | Pairs | Goods | Ticks | Prose


@dataclass(frozen=True)
class Record:
    """The truth about one document.

    kind: what it is called. fields: name in a question -> text as printed. items: name -> columns
    of that row ("price", "quantity", "time"). ticks: box -> ticked.
    """

    kind: str
    fields: Mapping[str, str]
    blocks: tuple[Block, ...]
    items: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ticks: Mapping[str, bool] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Every text that is printed, for choosing a face; some layouts add colons."""
        return ": ".join(_strings(self.blocks))


CURRENCIES = ("${}", "${}", "{}", "€{}", "£{}")  # braces are replaced by the amount


def _strings(thing: object) -> Iterator[str]:
    """Every string in blocks, tuples and tuples of tuples."""
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, tuple):
        for part in thing:
            yield from _strings(part)
    elif is_dataclass(thing):
        yield from _strings(tuple(vars(thing).values()))


def _currency(materials: Materials, rng: random.Random, split: Split) -> str:
    """A currency that some face of the split can draw."""
    fonts = materials.fonts(split)
    drawable = [form for form in CURRENCIES if any(font.covers(form) for font in fonts)]
    return rng.choice(drawable)


def _fitting(make: Callable[[], str]) -> str:
    """An invented text that is short enough."""
    while True:
        text = make().replace("\n", ", ")
        if len(text) <= LONGEST and text.isascii():
            return text


FORMS = (  # of a date
    "{d:02}/{m:02}/{y}", "{m}/{d}/{y}", "{y}-{m:02}-{d:02}", "{d} {n} {y}", "{n} {d}, {y}",
    "{d:02}.{m:02}.{y}",
)  # fmt: skip


def date(
    rng: random.Random, *, years: tuple[int, int] = (2012, 2029), form: str | None = None
) -> str:
    """A date in one of the usual forms."""
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(*years)
    name = values.MONTHS[month - 1]
    return (form or rng.choice(FORMS)).format(d=day, m=month, y=year, n=name)


def clock(rng: random.Random) -> str:
    """A time of day."""
    return f"{rng.randint(7, 21)}:{rng.choice((0, 15, 30, 45)):02}"


def money(rng: random.Random, currency: str, cents: int) -> str:
    """An amount as printed."""
    return currency.format(f"{cents // 100}.{cents % 100:02}")


def _phone(rng: random.Random) -> str:
    return f"{rng.randint(200, 999)}-{rng.randint(1000, 9999)}"


def _shop(rng: random.Random, fake: Faker) -> str:
    return _fitting(lambda: f"{fake.last_name()} {rng.choice(SHOPS)}")


def receipt(materials: Materials, rng: random.Random, split: Split) -> Record:
    """A till receipt."""
    fake, currency = values.people(rng), _currency(materials, rng, split)
    names = rng.sample(GOODS, rng.randint(2, 5))
    prices = [rng.randint(60, 2400) for _ in names]
    counts = [rng.choice((1, 1, 1, 2, 3)) for _ in names]
    total = sum(p * c for p, c in zip(prices, counts, strict=True))
    tax = round(total * rng.choice((0.05, 0.08, 0.1)))
    fields = {
        "name of the shop": _shop(rng, fake),
        "date": date(rng),
        "time": clock(rng),
        "subtotal": money(rng, currency, total),
        "tax": money(rng, currency, tax),
        "total": money(rng, currency, total + tax),
        "payment method": rng.choice(PAYMENTS),
    }
    amounts = [money(rng, currency, p * c) for p, c in zip(prices, counts, strict=True)]
    rows = [(str(c), n, a) for c, n, a in zip(counts, names, amounts, strict=True)]
    label = rng.choice(("Total", "TOTAL", "Amount due"))
    blocks: tuple[Block, ...] = (
        Head(fields["name of the shop"]),
        Lines((_fitting(fake.street_address), f"{fields['date']}  {fields['time']}"), centred=True),
        Goods(("Qty", "Item", "Price"), tuple(rows)),
        Pairs(
            (("Subtotal", fields["subtotal"]), ("Tax", fields["tax"]), (label, fields["total"])),
            sums=True,
        ),
        Pairs((("Paid by", fields["payment method"]),)),
        Lines((rng.choice(("Thank you!", "Please come again", "Have a nice day")),), centred=True),
    )
    items = {
        n: {"price": a, "quantity": str(c)} for c, n, a in zip(counts, names, amounts, strict=True)
    }
    return Record("receipt", fields, blocks, items)


def invoice(materials: Materials, rng: random.Random, split: Split) -> Record:
    """A bill with number, dates and addressee."""
    fake, currency = values.people(rng), _currency(materials, rng, split)
    names = rng.sample(WORKS, rng.randint(2, 4))
    prices = [rng.randint(10, 400) * 100 for _ in names]
    counts = [rng.randint(1, 9) for _ in names]
    total, form_ = sum(p * c for p, c in zip(prices, counts, strict=True)), rng.choice(FORMS)
    fields = {
        "invoice number": f"{rng.choice(('INV-', 'No. ', '#', ''))}{rng.randint(1000, 99999)}",
        "date": date(rng, years=(2012, 2019), form=form_),
        "due date": date(rng, years=(2020, 2029), form=form_),
        "name of the customer": _fitting(fake.name),
        "company": _fitting(fake.company),
        "total": money(rng, currency, total),
    }
    amounts = [money(rng, currency, p * c) for p, c in zip(prices, counts, strict=True)]
    each = [money(rng, currency, p) for p in prices]
    rows = tuple(zip(names, map(str, counts), each, amounts, strict=True))
    blocks: tuple[Block, ...] = (
        Head(fields["company"]),
        Lines(("INVOICE",), centred=True),
        Pairs(
            (
                (rng.choice(("Invoice", "Number", "Invoice no.")), fields["invoice number"]),
                ("Date", fields["date"]),
                ("Due date", fields["due date"]),
                (rng.choice(("Bill to", "Customer", "To")), fields["name of the customer"]),
            )
        ),
        Goods(("Item", "Qty", "Price", "Amount"), rows),
        Pairs(((rng.choice(("Total", "TOTAL", "Total due")), fields["total"]),), sums=True),
    )
    items = {n: {"quantity": c, "price": e, "amount": a} for n, c, e, a in rows}
    return Record("invoice", fields, blocks, items)


def letter(materials: Materials, rng: random.Random, split: Split) -> Record:
    """A short letter or memo."""
    fake = values.people(rng)
    addressee = _fitting(fake.name)
    fields = {
        "name of the sender": _fitting(fake.name),
        "name of the addressee": addressee,
        "date": date(rng),
        "city of the sender": _fitting(fake.city),
        "subject": rng.choice(
            ("Your order", "Our meeting", "Annual report", "Change of address", "Thank you",
             "Your application", "Summer plans", "Missing parcel", "New opening hours")
        ),
    }  # fmt: skip
    bodies = [s for s in materials.sentences(split) if len(s) <= 110]
    blocks: tuple[Block, ...] = (
        Lines((fields["name of the sender"], fields["city of the sender"])),
        Lines((fields["date"],)),
        Pairs((("Subject", fields["subject"]),)),
        Lines((f"Dear {addressee},",)),
        Prose(rng.choice(bodies)),
        Lines(
            (
                rng.choice(("Yours sincerely,", "Best wishes,", "Kind regards,")),
                fields["name of the sender"],
            )
        ),
    )
    return Record("letter", fields, blocks)


def form(materials: Materials, rng: random.Random, split: Split) -> Record:
    """A filled-in form with boxes to tick."""
    fake = values.people(rng)
    every = {
        "name": ("Name", _fitting(fake.name)),
        "date of birth": ("Date of birth", date(rng, years=(1940, 2008))),
        "phone number": ("Phone", _phone(rng)),
        "city": ("City", _fitting(fake.city)),
        "street": ("Street", _fitting(fake.street_address)),
        "email address": ("Email", _fitting(fake.email)),
        "occupation": ("Occupation", _fitting(fake.job)),
    }
    chosen = ["name", *rng.sample([name for name in every if name != "name"], rng.randint(2, 4))]
    title = rng.choice(
        ("Application Form", "Registration", "Member Form", "Hotel Check-in", "Library Card",
         "Visitor Form", "Order Form", "Survey")
    )  # fmt: skip
    ticks = {name: rng.random() < 0.5 for name in rng.sample(OPTIONS, rng.randint(2, 4))}
    blocks: tuple[Block, ...] = (
        Head(title),
        Pairs(tuple(every[name] for name in chosen), by_hand=True),
        Ticks(tuple(ticks.items())),
    )
    fields = {"title": title, **{name: every[name][1] for name in chosen}}
    return Record("form", fields, blocks, ticks=ticks)


def business_card(materials: Materials, rng: random.Random, split: Split) -> Record:
    """A business card."""
    fake = values.people(rng)
    fields = {
        "name": _fitting(fake.name),
        "job title": _fitting(fake.job),
        "company": _fitting(fake.company),
        "phone number": f"{rng.randint(200, 999)}-{_phone(rng)}",
        "email address": _fitting(fake.email),
    }
    reach = [("Phone", fields["phone number"]), ("Email", fields["email address"])]
    blocks: tuple[Block, ...] = (
        Head(fields["name"]),
        Lines((fields["job title"], fields["company"]), centred=True),
        Pairs(tuple(reach)),
    )
    return Record("business card", fields, blocks)


def menu(materials: Materials, rng: random.Random, split: Split) -> Record:
    """The menu of a restaurant with two or three parts."""
    fake, currency = values.people(rng), _currency(materials, rng, split)
    name = _fitting(
        lambda: f"{rng.choice(('Cafe', 'Chez', 'Bistro', 'The Old'))} {fake.last_name()}"
    )
    parts = [("Starters", STARTERS), ("Mains", MAINS), ("Desserts", SWEETS), ("Drinks", DRINKS)]
    chosen = sorted(rng.sample(range(4), rng.randint(2, 3)))
    blocks: list[Block] = [Head(name)]
    items: dict[str, Mapping[str, str]] = {}
    for part, pool in (parts[i] for i in chosen):
        dishes = rng.sample(pool, rng.randint(2, 3))
        prices = {dish: money(rng, currency, rng.randint(4, 60) * 50) for dish in dishes}
        blocks += [Lines((part,), centred=True), Goods(("", ""), tuple(prices.items()))]
        items |= {dish: {"price": price} for dish, price in prices.items()}
    return Record("menu", {"name of the restaurant": name}, tuple(blocks), items)


def ticket(materials: Materials, rng: random.Random, split: Split) -> Record:
    """A ticket for an event."""
    fields = {
        "event": rng.choice(EVENTS),
        "venue": rng.choice(HALLS),
        "date": date(rng),
        "time": clock(rng),
        "seat": f"{rng.choice('ABCDEFGHJK')}{rng.randint(1, 40)}",
        "price": money(rng, _currency(materials, rng, split), rng.randint(5, 120) * 100),
        "ticket number": f"{rng.randint(10**5, 10**7)}",
    }
    labels = {"venue": "Venue", "date": "Date", "time": "Time", "seat": "Seat", "price": "Price"}
    pairs = tuple((label, fields[name]) for name, label in labels.items())
    blocks: tuple[Block, ...] = (
        Head(fields["event"]),
        Pairs(pairs),
        Lines((f"No. {fields['ticket number']}",), centred=True),
    )
    return Record("ticket", fields, blocks)


def schedule(materials: Materials, rng: random.Random, split: Split) -> Record:
    """A programme of a day."""
    title = rng.choice(("Timetable", "Programme", "Schedule", "Agenda", "Course plan"))
    day = date(rng)
    plans = rng.sample(PLANS, rng.randint(3, 6))
    starts = sorted(rng.sample(range(8 * 4, 20 * 4), len(plans)))
    times = [f"{start // 4}:{start % 4 * 15:02}" for start in starts]
    room = [f"Room {rng.randint(1, 30)}" for _ in plans] if rng.random() < 0.4 else None
    rows = [
        (t, p, *([room[i]] if room else []))
        for i, (t, p) in enumerate(zip(times, plans, strict=True))
    ]
    columns = ("Time", "Activity", "Room")[: len(rows[0])]
    blocks: tuple[Block, ...] = (
        Head(title),
        Lines((day,), centred=True),
        Goods(columns, tuple(rows)),
    )
    items = {p: {"time": t} for t, p in zip(times, plans, strict=True)}
    return Record("schedule", {"title": title, "date": day}, blocks, items)


RECORDS: Mapping[str, Callable[[Materials, random.Random, Split], Record]] = {
    "receipt": receipt,
    "invoice": invoice,
    "letter": letter,
    "form": form,
    "business_card": business_card,
    "menu": menu,
    "ticket": ticket,
    "schedule": schedule,
}
