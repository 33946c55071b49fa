"""Watching: a frame comes in, events come out, and what is remembered never grows beyond bounds.

    state, events = step(state, frame, plan, sight)

A frame in which nothing changed costs a glance and asks the model nothing. One in which something
did joins the window, and the model is asked: how likely yes is, what is seen now, and whatever else
was to be asked. The state is a value and the clock is the frame's own, so a watch can be played
again step by step. Frames come from `media/camera.py`, whose losses and returns are events too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from smolvlm.errors import InputError
from smolvlm.media.camera import Signal
from smolvlm.media.video_frames import Frame
from smolvlm.processing.clips import Clip
from smolvlm.video.change import Glance, difference, glance
from smolvlm.video.events import Event
from smolvlm.video.hysteresis import Decision, Thresholds, decide
from smolvlm.video.sight import Sight
from smolvlm.video.story import Story

DESCRIBE = "Describe in one short sentence what is happening."


@dataclass(frozen=True)
class Plan:
    """What is watched for.

    when: a yes/no question about the newest frame, put at every change; thresholds make its answer
    steady. ask: a free question about the window. describe: whether every change is put into words,
    which are remembered and told to `ask`. window: how many changed frames are looked at together.
    sensitivity: how different a scene must be to count as changed, up to 1 (`change.py`); 0 looks
    at every frame.
    """

    when: str | None = None
    ask: str | None = None
    describe: bool = True
    thresholds: Thresholds = field(default_factory=Thresholds)
    window: int = 4
    sensitivity: float = 0.05

    def __post_init__(self) -> None:
        for name in ("when", "ask"):
            question = getattr(self, name)
            if question is not None and not question.strip():
                raise InputError(f"{name} is empty; wanted a question, or nothing")
        if not (self.when or self.ask or self.describe):
            raise InputError("there is nothing to watch for; give when, ask, or let it describe")
        if self.window < 1:
            raise InputError(f"the window is {self.window} frames; wanted at least 1")
        if not 0.0 <= self.sensitivity <= 1.0:
            raise InputError(f"the sensitivity is {self.sensitivity:g}; wanted 0 to 1")

    def longest_question(self) -> str:
        """The longest that is ever asked about a whole window."""
        if self.ask is None:
            return DESCRIBE
        return Story.longest().before(self.ask) if self.describe else self.ask


@dataclass(frozen=True)
class State:
    """What a watch knows after some frames.

    begun: when the first one was taken. scene: of the newest frame that was looked at; window: that
    frame and those looked at before it. steps: frames so far; looks: those the model was shown.
    """

    begun: float | None = None
    scene: Glance | None = None
    window: tuple[Clip, ...] = ()
    probability: float | None = None
    decision: Decision | None = None
    story: Story = field(default_factory=Story)
    steps: int = 0
    looks: int = 0


def step(state: State, frame: Frame, plan: Plan, sight: Sight) -> tuple[State, list[Event]]:
    """Take one frame; a state to go on with, and what happened."""
    state = replace(state, steps=state.steps + 1)
    scene = glance(frame.picture)
    unchanged = state.scene is not None and difference(state.scene, scene) < plan.sensitivity
    if unchanged:
        return _decided(state, frame.time, plan)  # an answer that was held back may be free now
    begun = frame.time if state.begun is None else state.begun
    seen = sight.see(Frame(frame.picture, frame.time - begun))
    window = (*state.window, seen)[-plan.window :]
    state = replace(state, begun=begun, scene=scene, window=window, looks=state.looks + 1)
    if plan.when is not None:
        state = replace(state, probability=sight.probability(window[-1:], plan.when))
    state, events = _decided(state, frame.time, plan)
    state, words = _put_into_words(state, frame.time, plan, sight)
    return state, events + words


def _decided(state: State, time: float, plan: Plan) -> tuple[State, list[Event]]:
    """The answer to `when` at a moment; an event if it is another one than before."""
    if state.probability is None:
        return state, []
    decision = decide(state.decision, state.probability, time, plan.thresholds)
    if decision is state.decision:
        return state, []
    answer = "yes" if decision.yes else "no"
    event = Event(time, "decision", answer, plan.when, state.probability)
    return replace(state, decision=decision), [event]


def _put_into_words(
    state: State, time: float, plan: Plan, sight: Sight
) -> tuple[State, list[Event]]:
    """Answer `ask` from the window and what was seen before; then remember what is seen now."""
    events = []
    if plan.ask is not None:
        answer = sight.answer(state.window, state.story.before(plan.ask))
        events.append(Event(time, "answer", answer, plan.ask, state.probability))
    if plan.describe:
        words = sight.answer(state.window, DESCRIBE)
        assert state.begun is not None
        story = state.story.add(time - state.begun, words)
        if story is not state.story:
            events.append(Event(time, "description", words, None, state.probability))
        state = replace(state, story=story)
    return state, events


class Watcher:
    """A watch as it goes on: the state, and the age of the oldest frame that it took.

    now: the clock of the frames. oldest: seconds between a frame and the moment it was taken.
    """

    def __init__(self, plan: Plan, sight: Sight, *, now: Callable[[], float]) -> None:
        self.state = State()
        self.oldest = 0.0
        self._plan, self._sight, self._now = plan, sight, now

    def take(self, item: Frame | Signal) -> list[Event]:
        """The events of what a camera gives."""
        if isinstance(item, Signal):
            return [Event(item.time, item.kind, item.reason)]
        self.oldest = max(self.oldest, self._now() - item.time)
        self.state, events = step(self.state, item, self._plan, self._sight)
        return events
