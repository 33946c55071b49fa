"""Clips to prompts and tiles: against the published words, pixels and ids, for every checkpoint."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import jinja2
import numpy as np
import pytest
from PIL import Image
from transformers import PreTrainedTokenizerFast
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE, SmolVLMProcessor

from smolvlm.errors import ContextLengthError, InputError, MediaError
from smolvlm.media.videos import Frame, open_video
from smolvlm.processing.clips import Clip
from smolvlm.processing.messages import parse_messages
from smolvlm.processing.pixels import normalize
from smolvlm.processing.processor import Processor
from smolvlm.processing.split import ReferencePolicy
from smolvlm.types import ImagePart, Message, TextPart, VideoOptions, VideoPart
from tests.clips import number_of, numbered, write_clip

NAMES = (
    "SmolVLM2-256M-Video-Instruct",
    "SmolVLM2-500M-Video-Instruct",
    "SmolVLM2-2.2B-Instruct",
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of numbered frames at 25 a second."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", 75)


@pytest.fixture(scope="module", params=NAMES)
def folder(request, official_folder) -> Path:
    return official_folder(request.param)


@pytest.fixture(scope="module")
def small(official_folder) -> Processor:
    return Processor.from_folder(official_folder(NAMES[0]))


@pytest.fixture(scope="module")
def first_generation(official_folder) -> Processor:
    return Processor.from_folder(official_folder("SmolVLM-Instruct"))


def ask(*parts) -> tuple[Message, ...]:
    return (Message("user", tuple(p if not isinstance(p, str) else TextPart(p) for p in parts)),)


def opened(processor: Processor, part: VideoPart, *others: VideoPart) -> Clip:
    (message,) = processor.open(ask(part, *others))
    source = message.parts[0].source
    assert isinstance(source, Clip)
    return source


def prompt(processor: Processor, messages) -> str:
    """The whole prompt, the runs of `<image>` shortened."""
    ids = processor([processor.open(messages)]).tokens(0)
    text = processor.tokenizer.decode(ids, skip_special_tokens=False)
    return text.replace("<image>" * processor.config.tokens_per_tile, "[T]").replace(
        "<fake_token_around_image><global-img>[T]<fake_token_around_image>", "(T)"
    )


def published_ids(folder: Path, conversation, indices, fps, duration) -> list[int]:
    """Template, expansion and tokens of the published processor, for one clip."""
    length = json.loads((folder / "processor_config.json").read_text())["image_seq_len"]
    names = SimpleNamespace(
        image_seq_len=length,
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
    )
    metadata = SimpleNamespace(fps=fps, duration=duration, timestamps=[i / fps for i in indices])
    shown = {
        "pixel_values": SimpleNamespace(shape=(1, len(indices))),
        "video_metadata": [metadata],
    }
    text = jinja2.Template(DEFAULT_CHAT_TEMPLATE, trim_blocks=True, lstrip_blocks=True).render(
        messages=conversation, add_generation_prompt=True
    )
    text = text.replace("<video>", SmolVLMProcessor.replace_video_token(names, shown, 0))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    ids: list[int] = tokenizer(text)["input_ids"]
    return ids


@pytest.mark.parametrize("policy", [None, ReferencePolicy()])
def test_prompts_equal_the_published_processor(folder, clip, policy):
    raw = [
        {"role": "system", "content": [{"type": "text", "text": "Watch."}]},
        {
            "role": "user",
            "content": [
                {"type": "video", "path": str(clip)},
                {"type": "text", "text": "What happens?"},
            ],
        },
    ]
    processor = Processor.from_folder(folder, policy)
    inputs = processor([processor.open(parse_messages(raw))])
    wanted = published_ids(folder, raw, [0, 37, 74], 25.0, 3.0)
    assert inputs.input_ids[0].tolist() == wanted
    assert inputs.tile_counts == (3,)
    length = {64: 273, 81: 324}[processor.config.tokens_per_tile]
    alone = processor([processor.open(parse_messages(raw[1:]))])
    assert alone.input_ids.shape[1] == length


def test_frames_equal_the_published_pixels(folder, clip):
    """By way of the longest edge, then squashed: what the published processors do to a frame."""
    processor = Processor.from_folder(folder, ReferencePolicy())
    found = opened(processor, VideoPart(clip))
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    theirs = Idefics3ImageProcessorPil(**settings)
    with open_video(clip) as video:
        frames = video.read([0.0, 37 / 25, 74 / 25])
    assert [number_of(frame.picture) for frame in frames] == [0, 37, 74]
    wanted = theirs([[f.picture for f in frames]], do_image_splitting=False, return_tensors="np")[
        "pixel_values"
    ][0]
    assert np.array_equal(normalize(found.tiles, processor.rules), wanted)


def test_the_budget_never_enlarges_on_the_way(small, clip):
    found = opened(small, VideoPart(clip))
    assert found.plan.resizes == ((512, 512),)
    assert found.tiles.shape == (3, 512, 512, 3)
    assert [number_of(Image.fromarray(tile)) for tile in found.tiles] == [0, 37, 74]


def test_a_clip_and_a_picture_stand_where_they_were_put(small, clip):
    text = prompt(small, ask(VideoPart(clip), "and", ImagePart(numbered(0)), "same?"))
    assert text == (
        "<|im_start|>User: You are provided the following series of three frames from a 0:00:03"
        " [H:MM:SS] video.\n\nFrame from 00:00:(T)\nFrame from 00:01:(T)\nFrame from 00:02:(T)\n\n"
        "and(T)same?<end_of_utterance>\nAssistant:"
    )
    text = prompt(small, ask(ImagePart(numbered(0)), VideoPart(clip), "same?"))
    assert text.startswith("<|im_start|>User:(T)You are provided")


def test_tiles_come_in_the_order_of_the_prompt(small, clip):
    messages = ask(
        ImagePart(numbered(9)), VideoPart(clip), ImagePart(numbered(8)), "?",
        VideoPart(clip, VideoOptions("uniform", max_frames=2)),
    )  # fmt: skip
    inputs = small([small.open(messages)])
    assert [number_of(Image.fromarray(tile)) for tile in inputs.tiles] == [9, 0, 37, 74, 8, 18, 56]
    assert (len(inputs.plans[0]), inputs.clips[0]) == (2, (3, 2))


def test_clips_of_one_message_share_the_frames(small, tmp_path):
    long = write_clip(tmp_path / "long.mp4", 80, rate=Fraction(1))
    one = opened(small, VideoPart(long))
    assert len(one) == 64
    assert len(opened(small, VideoPart(long), VideoPart(long))) == 32
    # Each message for itself: an earlier turn must not change with a later one.
    messages = small.open([*ask(VideoPart(long)), *ask(VideoPart(long))])
    assert [len(message.parts[0].source) for message in messages] == [64, 64]
    own = VideoPart(long, VideoOptions(max_frames=10))
    assert len(opened(small, own, VideoPart(long))) == 10


def test_what_a_user_types_is_no_clip(small, clip):
    typed = prompt(small, ask(VideoPart(clip), "Is <video> <image> a \U000f0000 token?"))
    assert typed.endswith("Is <video> <image> a \U000f0000 token?<end_of_utterance>\nAssistant:")
    assert typed.count("(T)") == 3


def test_the_first_generation_sees_frames_without_words(first_generation, clip):
    """The script published for it: frames as pictures, 1 a second, 384 and the middle square."""
    found = opened(first_generation, VideoPart(clip))
    assert (found.times, found.worded) == ((0.0, 1.0, 2.0), False)
    assert (found.plan.height, found.plan.width) == (384, 384)
    text = prompt(first_generation, ask("Answer briefly.", VideoPart(clip), "What?"))
    assert text == ("<|im_start|>User: Answer briefly.(T)(T)(T)What?<end_of_utterance>\nAssistant:")
    alone = prompt(first_generation, ask(VideoPart(clip), "What?"))
    assert alone.startswith("<|im_start|>User:(T)")


def test_the_cinepile_square_is_the_middle(first_generation):
    """A frame twice as wide as high keeps its middle half."""
    left, middle = np.zeros((384, 192, 3), np.uint8), np.full((384, 384, 3), 200, np.uint8)
    wide = np.concatenate([left, middle, left], axis=1)
    found = opened(first_generation, VideoPart([wide]))
    assert (found.tiles == 200).all()


def test_averaging_takes_the_mean_of_neighbours(small):
    greys = [np.full((8, 8, 3), value, np.uint8) for value in (0, 10, 100, 105, 250)]
    found = opened(small, VideoPart(greys, VideoOptions("fps", fps=1, average=2)))
    # fps 1 with pairs looks at two moments a second, but there is one frame a second.
    assert [int(tile[0, 0, 0]) for tile in found.tiles] == [5, 102, 250]
    assert found.times == (0.0, 2.0, 4.0)
    assert len(opened(small, VideoPart(greys, VideoOptions("fps", fps=1)))) == 5


def test_a_long_frame_is_shown_once(small):
    frames = [Frame(Image.new("RGB", (9, 9)), 0.0), Frame(Image.new("RGB", (9, 9)), 0.2)]
    still = opened(small, VideoPart([*frames, Frame(Image.new("RGB", (9, 9)), 30.0)]))
    assert len(set(still.times)) == len(still.times) == len(still)


def test_stamps_are_the_exact_times_of_a_variable_rate(small, tmp_path):
    """Frame times 0, 10.5, 11, 11.5, ... : the published formula would say number / mean rate."""
    pts = [0, *range(10_500, 15_500, 500)]
    path = write_clip(tmp_path / "vfr.mkv", len(pts), pts=pts)
    found = opened(small, VideoPart(path, VideoOptions("fps", fps=2)))
    assert found.times == tuple(time / 1000 for time in pts)
    assert found.stamps[:4] == ("00:00", "00:10", "00:11", "00:11")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24), Fraction(30)])
def test_stamps_of_a_constant_rate_are_the_published_ones(small, tmp_path, suffix, rate):
    """Whole seconds are the hard ones: containers round their clocks."""
    count = int(rate * 3)
    path = write_clip(tmp_path / f"c.{suffix}", count, rate=rate)
    found = opened(small, VideoPart(path, VideoOptions("fps", fps=float(rate), max_frames=500)))
    wanted = [index / float(rate) for index in range(count)]
    assert found.stamps == tuple(f"00:{int(time):02d}" for time in wanted)


def test_a_plan_says_what_the_inputs_will_be(small, clip):
    messages = small.open(ask(ImagePart(numbered(1)), VideoPart(clip), "What happens?"))
    plan, inputs = small.plan(messages), small([messages])
    assert plan.prompt_tokens == inputs.input_ids.shape[1]
    assert (plan.tiles, plan.visual_tokens) == (len(inputs.tiles), 4 * 64)
    (one,) = plan.clips
    assert (one.name, one.frames, one.times) == (str(clip), 3, (0.0, 37 / 25, 74 / 25))
    assert (one.stamps, one.duration) == (("00:00", "00:01", "00:02"), 3.0)
    assert (one.plan.height, one.plan.width) == (48, 128)
    # All but "User: ", the question, the picture and the end of the turn.
    assert plan.text_tokens == plan.prompt_tokens - one.prompt_tokens - 67 > 0


def test_too_many_frames_say_how_many_would_fit(small, clip):
    options = VideoOptions("fps", fps=25)
    inputs = small([small.open(ask(VideoPart(clip, options), "What?"))])
    with pytest.raises(ContextLengthError, match=r"1 clip took 64 frames .*max_frames to") as told:
        small.check_context(inputs, max_new_tokens=10, max_positions=2000)
    most = int(str(told.value).split("max_frames to ")[1].split()[0])
    fewer = VideoOptions("fps", fps=25, max_frames=most)
    followed = small([small.open(ask(VideoPart(clip, fewer), "What?"))])
    small.check_context(followed, max_new_tokens=10, max_positions=2000)
    with pytest.raises(ContextLengthError, match="give fewer clips"):
        small.check_context(inputs, max_new_tokens=10, max_positions=60)


def test_an_opened_clip_is_not_opened_again(small, first_generation, clip):
    found = opened(small, VideoPart(clip))
    assert opened(small, VideoPart(found)) is found
    with pytest.raises(InputError, match="was opened for another model"):
        first_generation.open(ask(VideoPart(found)))


def test_a_video_of_the_caller_stays_open(small, clip):
    with open_video(clip) as video:
        assert len(opened(small, VideoPart(video))) == 3
        assert number_of(video.read([1.0])[0].picture) == 25


def test_a_clip_that_cannot_be_opened_is_named(small, clip):
    with pytest.raises(MediaError, match=r"gone\.mp4 does not exist"):
        small.open(ask(VideoPart("gone.mp4")))
    with pytest.raises(InputError, match=r"is 3\.00 s long and start is 5 s"):
        small.open(ask(VideoPart(clip, VideoOptions(start=5))))
