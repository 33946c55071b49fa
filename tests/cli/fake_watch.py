"""The real program whose model sees nothing but brightness, also as a process of its own:

python -m tests.cli.fake_watch watch clip.mp4 --when "Is it light?"
"""

from __future__ import annotations

from typing import Any

from smolvlm.cli import watching
from smolvlm.cli.main import main
from tests.video.fake_sight import FakeSight


def install(patch: Any) -> list[FakeSight]:
    """Put the fake in place of the model, by `patch(object, name, value)`; returns what is made."""
    made: list[FakeSight] = []

    def sight(assistant: None, *, max_new_tokens: int) -> FakeSight:
        made.append(FakeSight())
        return made[-1]

    patch(watching, "open_model", lambda model, load: None)
    patch(watching, "AssistantSight", sight)
    return made


if __name__ == "__main__":
    install(setattr)
    main()
