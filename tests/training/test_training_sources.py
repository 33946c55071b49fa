"""Rows of files and generators by index."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from smolvlm.errors import InputError
from smolvlm.training.sources import GeneratorSource, JsonlSource, ParquetSource, open_rows
from smolvlm.types import Message, Sample, TextPart


def row(number: int) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": f"<image>What is {number}?"},
            {"role": "assistant", "content": f"It is {number}."},
        ],
        "images": [f"{number}.png"],
    }


def png(colour: tuple[int, int, int] = (9, 8, 7)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (5, 4), colour).save(stream, "PNG")
    return stream.getvalue()


def answer(sample: Sample) -> str:
    part = sample.messages[-1].parts[0]
    assert isinstance(part, TextPart)
    return part.text


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_any_line_can_be_read_in_any_order(tmp_path: Path) -> None:
    lines = [json.dumps(row(0)), "", "  ", *(json.dumps(row(n)) for n in (1, 2))]
    source = JsonlSource(write_lines(tmp_path / "a.jsonl", lines))
    assert source.size == 3
    assert [answer(source[i]) for i in (2, 0, 1)] == ["It is 2.", "It is 0.", "It is 1."]
    assert source[1].key == "a.jsonl:4"  # a line of the file, as an editor counts
    assert source[1].task == "a"
    assert source[1].messages[0].parts[0].source == tmp_path / "1.png"  # type: ignore[union-attr]


def test_a_broken_line_is_named_and_the_others_stay_readable(tmp_path: Path) -> None:
    lines = [json.dumps(row(0)), '{"messages": [', json.dumps(row(2)), "[1]", '{"text": "x"}']
    source = open_rows(write_lines(tmp_path / "a.jsonl", lines))
    with pytest.raises(InputError, match=r"a\.jsonl line 2 is not JSON"):
        source[1]
    with pytest.raises(InputError, match=r"a\.jsonl:4 is a list"):
        source[3]
    with pytest.raises(InputError, match=r"a\.jsonl:5.*wanted 'messages'"):
        source[4]
    assert answer(source[2]) == "It is 2."


def test_parquet_rows_read_like_the_same_rows_as_json(tmp_path: Path) -> None:
    rows = [{**row(n), "images": [{"bytes": png((n, 0, 0)), "path": None}]} for n in range(7)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet", row_group_size=3)
    source = open_rows(tmp_path / "b.parquet", task="paint")
    assert isinstance(source, ParquetSource)
    assert (source.size, source.blocks) == (7, (3, 3, 1))
    for index in (6, 0, 3, 2):
        sample = source[index]
        assert answer(sample) == f"It is {index}."
        assert (sample.key, sample.task) == (f"b.parquet:{index + 1}", "paint")
        assert sample.messages[0].parts[0].source == png((index, 0, 0))  # type: ignore[union-attr]


def test_base64_and_absolute_paths_stay_what_they_are(tmp_path: Path) -> None:
    uri = "data:image/png;base64," + base64.b64encode(png()).decode()
    for picture in (uri, str(tmp_path / "far" / "x.png")):
        lines = [json.dumps({**row(0), "images": [picture]})]
        source = JsonlSource(
            write_lines(tmp_path / "c.jsonl", lines), images=tmp_path / "elsewhere"
        )
        assert str(source[0].messages[0].parts[0].source) == picture  # type: ignore[union-attr]


def test_generators_are_asked_by_seed() -> None:
    def generate(seed: int) -> Sample:
        return Sample((Message("assistant", (TextPart(str(seed)),)),), "count", f"count:{seed}")

    source = GeneratorSource(generate)
    assert source.size is None
    assert source[2**40].key == f"count:{2**40}"


@pytest.mark.parametrize("name", ["missing.jsonl", "folder.jsonl", "rows.csv", "bad.parquet"])
def test_what_cannot_be_rows_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "rows.csv").write_text("a,b")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=name):
        open_rows(tmp_path / name)
