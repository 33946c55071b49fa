"""A watch step by step: what the model is asked, what is told, and what is remembered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from smolvlm.errors import InputError
from smolvlm.media.camera import Signal
from smolvlm.media.video_frames import Frame
from smolvlm.video.events import Event
from smolvlm.video.hysteresis import Thresholds
from smolvlm.video.story import MAX_LINES
from smolvlm.video.watch import DESCRIBE, Plan, State, Watcher, step
from tests.video.fake_sight import FakeSight, frame

WHEN, ASK = "Is it light?", "What is there?"


def play(plan: Plan, values: list[int], begin: float = 0.0) -> tuple[State, list[Event], FakeSight]:
    """One frame a second of these brightnesses."""
    sight, state, told = FakeSight(), State(), []
    for time, value in enumerate(values):
        state, events = step(state, frame(begin + time, value), plan, sight)
        told += events
    return state, told, sight


def brief(events: list[Event]) -> list[tuple[float, str, str]]:
    return [(event.time, event.kind, event.answer) for event in events]


def test_an_unchanged_scene_asks_the_model_nothing() -> None:
    state, events, sight = play(Plan(when=WHEN), [200] * 50)
    assert sight.calls == [
        ("see", 0.0, 200),
        ("probability", [200], WHEN),
        ("answer", [200], DESCRIBE),
    ]
    assert brief(events) == [(0.0, "decision", "yes"), (0.0, "description", "It is 200.")]
    assert (state.steps, state.looks) == (50, 1)


def test_noise_is_unchanged_too() -> None:
    rng, sight, state = np.random.default_rng(0), FakeSight(), State()
    for time in range(20):
        pixels = (128 + rng.normal(0, 15, (240, 320, 3))).clip(0, 255).astype(np.uint8)
        state, _ = step(state, Frame(Image.fromarray(pixels), time), Plan(when=WHEN), sight)
    assert (state.steps, state.looks) == (20, 1)


def test_decisions_do_not_flicker() -> None:
    plan = Plan(when=WHEN, describe=False, thresholds=Thresholds(0.6, 0.4), sensitivity=0.0)
    values = [0, 140, 160, 140, 120, 140, 90, 130, 250]  # yes from 153, no from 102
    _, events, _ = play(plan, values)
    assert brief(events) == [
        (0, "decision", "no"), (2, "decision", "yes"), (6, "decision", "no"),
        (8, "decision", "yes"),
    ]  # fmt: skip
    assert events[1] == Event(2, "decision", "yes", WHEN, pytest.approx(160 / 255))


def test_a_held_answer_changes_when_it_may_even_if_nothing_moves() -> None:
    plan = Plan(when=WHEN, describe=False, thresholds=Thresholds(0.6, 0.4, hold=4.0))
    _, events, sight = play(plan, [250, 250, 0, 0, 0, 0, 0])
    assert brief(events) == [(0, "decision", "yes"), (4, "decision", "no")]
    assert sum(call[0] == "probability" for call in sight.calls) == 2


def test_the_window_slides_and_every_frame_is_seen_once() -> None:
    values = [0, 40, 80, 80, 120, 160, 200]
    state, _, sight = play(Plan(when=WHEN, ask=ASK, describe=False, window=3), values)
    seen = [call[2] for call in sight.calls if call[0] == "see"]
    assert seen == [0, 40, 80, 120, 160, 200]
    shown = [call[1] for call in sight.calls if call[0] == "answer"]
    assert shown == [[0], [0, 40], [0, 40, 80], [40, 80, 120], [80, 120, 160], [120, 160, 200]]
    asked = [call[1] for call in sight.calls if call[0] == "probability"]
    assert asked == [[value] for value in seen]  # the question is about now
    assert len(state.window) == 3


def test_what_was_seen_before_is_told_to_ask_and_not_to_when() -> None:
    _, events, sight = play(Plan(when=WHEN, ask=ASK), [0, 90, 180])
    questions = [call[2] for call in sight.calls if call[0] == "answer"]
    assert questions[:4] == [ASK, DESCRIBE, f"Seen before:\n0:00 It is 0.\n\n{ASK}", DESCRIBE]
    assert "0:00 It is 0.\n0:01 It is 90." in questions[4]  # type: ignore[operator]
    assert [event.kind for event in events if event.time == 2] == [
        "decision", "answer", "description",
    ]  # fmt: skip
    assert {call[2] for call in sight.calls if call[0] == "probability"} == {WHEN}


def test_times_are_the_sources_and_the_model_counts_from_the_beginning() -> None:
    _, events, sight = play(Plan(ask=ASK), [0, 90], begin=1.7e9)
    assert [event.time for event in events] == [1.7e9, 1.7e9, 1.7e9 + 1, 1.7e9 + 1]
    assert [call[1] for call in sight.calls if call[0] == "see"] == [0.0, 1.0]
    assert "\n0:00 It is 0." in str(sight.calls[-2][2])


def test_the_same_words_again_are_no_event() -> None:
    class Dull(FakeSight):
        def answer(self, window: Any, question: str) -> str:
            return "Nothing."

    state, told = State(), []
    for time, value in enumerate([0, 90, 180]):
        state, events = step(state, frame(time, value), Plan(), Dull())
        told += events
    assert brief(told) == [(0, "description", "Nothing.")]
    assert state.looks == 3


def test_a_step_changes_nothing_but_what_it_returns() -> None:
    state = State()
    first = step(state, frame(0, 10), Plan(when=WHEN), FakeSight())
    assert state == State()
    again = step(state, frame(0, 10), Plan(when=WHEN), FakeSight())
    assert first[1] == again[1]


def test_memory_is_bounded() -> None:
    rng = np.random.default_rng(0)
    plan = Plan(when=WHEN, ask=ASK, window=3)
    state, _, _ = play(plan, rng.integers(0, 256, 500).tolist())
    assert state.looks > 300
    assert len(state.window) == 3 and len(state.story.lines) <= MAX_LINES
    assert sum(clip.tiles.nbytes for clip in state.window) == 3 * 2 * 2 * 3


def test_sensitivity_0_looks_at_every_frame() -> None:
    _, _, sight = play(Plan(when=WHEN, describe=False, sensitivity=0.0), [7, 7, 7])
    assert len(sight.calls) == 6
    _, _, sight = play(Plan(when=WHEN, describe=False, sensitivity=1.0), [0, 255, 0])
    assert len(sight.calls) == 2


def test_losses_and_returns_are_events_and_no_steps() -> None:
    watcher = Watcher(Plan(when=WHEN, describe=False), FakeSight(), now=lambda: 12.0)
    assert watcher.take(Signal("lost", 11.0, "the cable")) == [Event(11.0, "lost", "the cable")]
    assert watcher.state.steps == 0
    [decision] = watcher.take(frame(11.5, 200))
    assert decision.kind == "decision"
    assert watcher.take(Signal("back", 12.0, "it was away for 1 s"))[0].kind == "back"
    assert watcher.oldest == 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"when": ""}, "when is empty"),
        ({"ask": " \n"}, "ask is empty"),
        ({"describe": False}, "nothing to watch for"),
        ({"window": 0}, "the window is 0 frames"),
        ({"sensitivity": 1.5}, "the sensitivity is 1.5; wanted 0 to 1"),
        ({"sensitivity": float("nan")}, "the sensitivity is nan"),
    ],
)
def test_plans_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Plan(**options)
