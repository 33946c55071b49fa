"""What an open stream gives, against decoding every packet of it."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from smolvlm.errors import BrokenShotError, MediaError
from smolvlm.media import shots
from smolvlm.media.limits import DEFAULT_VIDEO_LIMITS, VideoLimits
from smolvlm.media.shots import shots_of
from smolvlm.media.video_file import upright
from tests.clips import number_of, numbered, write_clip
from tests.media.live_servers import jpeg


def motion_jpeg(pictures: list[bytes]) -> av.container.InputContainer:
    return av.open(io.BytesIO(b"".join(pictures)), format="mjpeg")


def numbered_jpegs(count: int) -> list[bytes]:
    return [jpeg(Image.fromarray(numbered(number))) for number in range(count)]


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
def test_the_pictures_are_those_of_the_plain_way(tmp_path, codec):
    options = {"pix_fmt": "yuvj420p"} if codec == "mjpeg" else {"bf": "0", "tune": "zerolatency"}
    path = write_clip(tmp_path / "a.mkv", 12, codec=codec, **options)
    with av.open(path) as container:
        plain = [np.asarray(upright(frame)) for frame in container.decode(video=0)]
    found = list(shots_of(av.open(path), "the camera", DEFAULT_VIDEO_LIMITS))
    assert [number_of(picture()) for _, picture in found] == list(range(12))
    for (_, picture), wanted in zip(found, plain, strict=True):
        np.testing.assert_array_equal(picture(), wanted)


def test_what_is_dropped_is_not_decoded(monkeypatch):
    """But for the first, which shows that the stream is one."""
    decoded = []
    alone = shots._decode_alone

    def counting(packet, *rest):
        decoded.append(packet)
        return alone(packet, *rest)

    monkeypatch.setattr(shots, "_decode_alone", counting)
    given = list(shots_of(motion_jpeg(numbered_jpegs(20)), "the camera", DEFAULT_VIDEO_LIMITS))
    assert len(given) == 20 and not decoded
    assert number_of(given[13][1]()) == 13 and len(decoded) == 1


def test_a_damaged_picture_is_one_picture():
    pictures = numbered_jpegs(3)
    pictures[1] = pictures[1][:40] + bytes(len(pictures[1]) - 42) + pictures[1][-2:]
    container = motion_jpeg(pictures)
    found = [picture for _, picture in shots_of(container, "the camera", DEFAULT_VIDEO_LIMITS)]
    with pytest.raises(BrokenShotError, match="the camera sends pictures that cannot be decoded"):
        found[1]()
    assert number_of(found[2]()) == 2


def test_pictures_that_grow_too_large_are_refused():
    """The first says what the stream is, each is looked at when it is taken."""
    pictures = [*numbered_jpegs(1), jpeg(Image.new("RGB", (640, 480)))]
    limits = VideoLimits(max_pixels=128 * 48)
    found = [picture for _, picture in shots_of(motion_jpeg(pictures), "the camera", limits)]
    assert number_of(found[0]()) == 0
    with pytest.raises(MediaError, match=r"the camera is 640x480; the limit is 6144 pixels"):
        found[1]()


def test_nothing_but_broken_packets_ends_the_stream(monkeypatch, tmp_path):
    monkeypatch.setattr(shots, "MAX_BROKEN", 3)
    path = write_clip(tmp_path / "a.mkv", 30, bf="0")
    monkeypatch.setattr(shots, "_packets", lambda *arguments: iter([Broken()] * 5))
    with pytest.raises(MediaError, match="sends no video, or of a kind that is not read"):
        list(shots_of(av.open(path), "the camera", DEFAULT_VIDEO_LIMITS))


class Broken:
    """A packet that no decoder takes."""

    def decode(self):
        raise av.error.InvalidDataError(1, "invalid data")
