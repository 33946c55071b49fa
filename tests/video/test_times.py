"""Times as people and subtitle players write them."""

from __future__ import annotations

import pytest

from smolvlm.errors import InputError
from smolvlm.video.times import clock, parse_length, parse_time, span, stamp


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("0", 0), ("2.5", 2.5), ("10s", 10), ("1m30s", 90), ("1m", 60), ("1.5h", 5400),
        ("1h2m3.5s", 3723.5), ("500ms", 0.5), ("1s500ms", 1.5), ("1:30", 90), ("90:00", 5400),
        ("00:01:30", 90), ("1:00:00.25", 3600.25), ("00:00:01,5", 1.5), (" 10S ", 10),
    ],
)  # fmt: skip
def test_every_way_to_write_a_time(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "s", "10x", "-5s", "1:60", "1:60:00", "1::2", "30s1m", "1e3", "inf", "nan", "ten",
     "1:2:3:4", "\N{ARABIC-INDIC DIGIT ONE}s", "10 s 5", "9" * 400],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InputError, match="is no time"):
        parse_time(text)


@pytest.mark.parametrize("text", ["0", "0s", "0:00"])
def test_a_length_is_above_nothing(text: str) -> None:
    with pytest.raises(InputError, match=f"--every is {text}"):
        parse_length(text, "--every")


def test_times_for_people() -> None:
    assert [clock(s) for s in (0, 5, 5.44, 59.96, 754.5, 3723, 360000)] == [
        "0:00", "0:05", "0:05.4", "1:00", "12:34.5", "1:02:03", "100:00:00",
    ]  # fmt: skip
    assert span(5, 10.5) == "0:05–0:10.5"


def test_stamps_carry_over_and_may_exceed_a_hundred_hours() -> None:
    assert stamp(59.9996, ",") == "00:01:00,000"
    assert stamp(3599.0005, ".") in ("00:59:59.000", "00:59:59.001")  # half a millisecond
    assert stamp(360_000.25, ".") == "100:00:00.250"


@pytest.mark.parametrize("seconds", [0.0, 7.0, 61.5, 3725.3])
def test_what_is_written_can_be_read(seconds: float) -> None:
    assert parse_time(clock(seconds)) == pytest.approx(seconds)
    assert parse_time(stamp(seconds, ",")) == pytest.approx(seconds)
