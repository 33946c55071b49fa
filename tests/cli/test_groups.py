"""Groups of options: all are shown, those that were given arrive together."""

from __future__ import annotations

import typer
from typer.testing import CliRunner

from smolvlm.cli import flags
from smolvlm.cli.groups import ANSWER, ENGINE, SAMPLING, URLS, Given, takes

calls: list[tuple[str, Given, Given]] = []
app = typer.Typer(rich_markup_mode=None)


@app.command()
@takes(load={**ENGINE, **URLS}, sampling=SAMPLING)
def look(clip: flags.Clip, *, load: Given, sampling: Given) -> None:
    """Look at a clip."""
    calls.append((clip, load, sampling))


def run(*arguments: str) -> tuple[str, Given, Given]:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return calls.pop()


def test_what_was_given_arrives_in_its_group() -> None:
    found = run("a.mp4", "--frames", "3", "--threads", "2", "--start", "1s", "--allow-url")
    assert found == ("a.mp4", {"threads": 2, "allow_urls": True}, {"max_frames": 3, "start": "1s"})
    assert run("a.mp4") == ("a.mp4", {}, {})


def test_every_option_of_a_group_is_in_the_help() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    assert "Look at a clip." in said
    for option in ("--engine", "--precision", "--threads", "--allow-url", "--frames", "--rate"):
        assert option in said
    assert "--load" not in said and "--sampling RULE" in said


def test_keywords_are_those_of_their_takers() -> None:
    from smolvlm.options import Options
    from smolvlm.types import GenerationSettings, VideoOptions

    for group, taker in ((ENGINE, Options), (ANSWER, GenerationSettings), (SAMPLING, VideoOptions)):
        assert set(group) <= set(taker.__dataclass_fields__)
