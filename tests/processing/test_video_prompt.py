"""The words around frames, against the published processor and num2words, which it uses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from num2words import num2words
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

from smolvlm.processing.prompt import image_text
from smolvlm.processing.video_prompt import clip_text, clock, number_words, stamp


def published(indices: list[int], fps: float, duration: float | None) -> str:
    """What the published processor writes for a clip."""
    names = SimpleNamespace(
        image_seq_len=64,
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
    )
    metadata = SimpleNamespace(
        fps=fps, duration=duration, timestamps=[index / fps for index in indices]
    )
    inputs = {
        "pixel_values": SimpleNamespace(shape=(1, len(indices))),
        "video_metadata": [metadata],
    }
    text: str = SmolVLMProcessor.replace_video_token(names, inputs, 0)
    return text


@pytest.mark.parametrize(
    ("indices", "fps", "duration"),
    [
        ([0, 37, 74], 25, 3.0),
        ([0], 30, 0.33),
        ([30, 114, 5370], 30, 180.0),
        ([0, 107_970], 29.97, 3602.7),
        ([0, 90_000 * 30], 30, 90_061.5),
        (list(range(101)), 1, 101.0),
    ],
)
def test_the_words_are_the_published_ones(indices, fps, duration):
    stamps = [stamp(index / fps) for index in indices]
    assert clip_text(stamps, duration, image_text(0, 0, 64)) == published(indices, fps, duration)


def test_the_worked_example():
    assert clip_text(["00:00", "00:01"], 3.9, "[T]") == (
        "You are provided the following series of two frames from a 0:00:03 [H:MM:SS] video.\n"
        "\nFrame from 00:00:[T]\nFrame from 00:01:[T]\n\n"
    )


def test_numbers_are_spelt_as_the_published_package_does():
    for number in (*range(1200), *range(1200, 1_000_000, 997)):
        assert number_words(number) == num2words(number)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "00:00"), (59.99, "00:59"), (60.0, "01:00"), (3661.0, "61:01")]
)
def test_stamps_cut_and_never_show_hours(seconds, said):
    assert stamp(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(2.999, "0:00:02"), (3600, "1:00:00"), (86_400, "1 day, 0:00:00")]
)
def test_durations(seconds, said):
    assert clock(seconds) == said
