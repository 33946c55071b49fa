"""The sight of a real, tiny model: one pass of the tower a frame, and the prompts it is shown."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import smolvlm
from smolvlm.api import Assistant
from smolvlm.engines.base import Engine
from smolvlm.engines.feature_cache import CachingEngine
from smolvlm.errors import InputError
from smolvlm.media.video_frames import Frame
from smolvlm.video.sight import BRIEFLY, AssistantSight, join
from smolvlm.video.story import Story
from smolvlm.video.watch import Plan, State, step
from tests.checkpoints import make_tiny
from tests.video.fake_sight import frame

NAME = "SmolVLM2-256M-Video-Instruct"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_gen2_folder: Path) -> Path:
    path = make_tiny(NAME, tmp_path_factory.mktemp("tiny"))
    shutil.copy(tokenizer_gen2_folder / "tokenizer.json", path)
    return path


@pytest.fixture
def assistant(folder: Path) -> Assistant:
    return smolvlm.load(folder, engine="torch", feature_cache=8)


class Counted:
    """The engine inside the cache, with the number of tiles of each of its passes."""

    def __init__(self, assistant: Assistant) -> None:
        caching = assistant.engine
        assert isinstance(caching, CachingEngine)
        self.passes: list[int] = []
        self._inner: Engine = caching.engine
        self._encode = caching.engine.encode_tiles
        caching.engine.encode_tiles = self.encode_tiles  # type: ignore[method-assign]

    def encode_tiles(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.passes.append(len(tiles))
        return self._encode(tiles)


def test_one_pass_of_the_tower_for_a_new_frame_and_none_for_the_rest(assistant: Assistant) -> None:
    counted, state = Counted(assistant), State()
    plan = Plan(when="Is it light?", ask="What is it?", window=3)
    sight = AssistantSight(assistant, max_new_tokens=2)
    told = []
    for time, value in enumerate([0, 0, 80, 80, 160, 240, 240, 80]):
        state, events = step(state, frame(time, value), plan, sight)
        told.append((len(counted.passes), len(events) > 0))
    # The last frame is one that was seen before: its features are still there.
    assert [passes for passes, _ in told] == [1, 1, 2, 2, 3, 4, 4, 4]
    assert counted.passes == [1, 1, 1, 1]
    assert (state.steps, state.looks, len(state.window)) == (8, 5, 3)


def test_probability_is_the_share_of_yes(assistant: Assistant) -> None:
    sight = AssistantSight(assistant, max_new_tokens=2)
    window = [sight.see(frame(3.0, 50))]
    shares = assistant.choose([join(window)], f"Light?\n{BRIEFLY}", ["Yes", "Yes.", "No", "No."])
    probability = sight.probability(window, "Light?")
    assert probability == pytest.approx(shares[0] + shares[1]) and 0 < probability < 1


def test_answers_are_those_of_the_clip(assistant: Assistant) -> None:
    sight = AssistantSight(assistant, max_new_tokens=4)
    window = [sight.see(frame(time, 10 * time)) for time in (2, 5, 65)]
    answer = sight.answer(window, "What?")
    assert answer == assistant.ask([join(window)], "What?", max_new_tokens=4).text.strip()


def test_a_window_is_shown_as_a_clip_with_its_times(assistant: Assistant) -> None:
    sight = AssistantSight(assistant, max_new_tokens=4)
    seen = [sight.see(frame(time, value)) for time, value in ((2.5, 1), (65.0, 200))]
    clip = join(seen)
    assert clip.times == (2.5, 65.0) and clip.stamps == ("00:02", "01:05")
    assert (clip.duration, len(clip), clip.worded) == (65.0, 2, True)
    np.testing.assert_array_equal(clip.tiles[1], seen[1].tiles[0])
    assert clip.tiles[1].min() == clip.tiles[1].max() == 200
    assert "two frames from a 0:01:05" in clip.text("")


def test_a_window_that_will_not_fit_is_known_before_it_is_full(assistant: Assistant) -> None:
    sight = AssistantSight(assistant, max_new_tokens=48)
    plan = Plan(ask="What is it?", window=60)
    sight.check_room(plan.window, plan.longest_question())
    with pytest.raises(InputError, match=r"a window of 200 frames may need 1\d{4} tokens"):
        sight.check_room(200, plan.longest_question())


def test_no_story_takes_more_room_than_the_longest(assistant: Assistant) -> None:
    def tokens(story: Story) -> int:
        return len(assistant.processor.tokenizer.encode(story.before("?")))

    rng, story = np.random.default_rng(0), Story()
    for number in range(60):
        letters = rng.choice(list("aeX 0.-"), 120)
        story = story.add(3600.0 * number, "".join(letters))
        assert tokens(story) <= tokens(Story.longest())


def test_a_frame_is_seen_whole(tokenizer_gen1_folder: Path) -> None:
    """Clips of the first generation are cropped; a camera's edges are as good as its middle."""
    from smolvlm.processing.processor import Processor

    processor = Processor.from_folder(tokenizer_gen1_folder)
    assistant = Assistant(processor, pytest.fail, folder=tokenizer_gen1_folder)
    picture = frame(0.0, 0, (300, 100)).picture
    picture.paste((255, 255, 255), (0, 0, 20, 100))
    clip = AssistantSight(assistant, max_new_tokens=4).see(Frame(picture, 7.0))
    side = processor.rules.tile
    assert clip.tiles.shape == (1, side, side, 3) and clip.times == (7.0,)
    assert clip.tiles[0, :, 2].min() > 200 and clip.tiles[0, :, side // 2].max() == 0
