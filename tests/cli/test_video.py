"""The options of `smolvlm video` and `smolvlm highlights`: what they say of themselves.

What the commands do is in test_video_answers.py and test_video_highlights.py.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from smolvlm.types import VideoOptions
from smolvlm.video.highlights import Wish
from smolvlm.video.times import parse_time
from tests.cli.conftest import Cli
from tests.cli.test_main import HEAVY


@pytest.mark.parametrize("command", ["video", "highlights"])
def test_help_imports_nothing_heavy(command: str) -> None:
    script = (
        "import sys; from smolvlm.cli.main import main\n"
        "try: main()\n"
        f"finally: print([m for m in {(*HEAVY, 'av')} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, command, "--help"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")


@pytest.mark.parametrize("command", ["video", "highlights"])
def test_each_is_listed_with_a_whole_sentence(cli: Cli, command: str) -> None:
    lines = cli.run("--help").stdout.splitlines()
    [line] = [line for line in lines if line.startswith(f"  {command} ")]
    assert line.endswith(".") and not line.endswith("...")


def help_of(cli: Cli, command: str) -> str:
    return " ".join(cli.run(command, "--help").stdout.split())


def test_the_defaults_in_the_help_are_the_real_ones(cli: Cli) -> None:
    said = help_of(cli, "highlights")
    wish = Wish("x")
    assert f"shows it. [default: {wish.threshold:g}]" in said
    assert f"segment. [default: {wish.every:g}s]" in said and parse_time("10s") == wish.every
    assert wish.keep is None and "[default: all above the threshold]" in said
    assert f"[default: {VideoOptions().sampling}]" in help_of(cli, "video")


def test_wrong_usage_exits_with_2(cli: Cli) -> None:
    assert cli.run("video").exit_code == 2
    assert cli.run("highlights", "a.mp4").exit_code == 2  # no --about
    assert cli.run("video", "a.mp4", "--frames", "many").exit_code == 2
