"""What is a clip and what is a picture: told by the bytes, whatever the name says."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from smolvlm.media.video_kinds import has_video_signature, is_video
from tests.clips import write_clip, write_sound

KINDS = {
    "mp4": "libx264", "mov": "libx264", "mkv": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4",
    "gif": "gif", "ts": "libx264", "flv": "flv1", "mpg": "mpeg2video", "wmv": "wmv2",
}  # fmt: skip


@pytest.mark.parametrize("suffix", KINDS)
def test_every_kind_of_clip_is_known_under_any_name(tmp_path, suffix):
    written = write_clip(tmp_path / f"clip.{suffix}", 4, codec=KINDS[suffix])
    path = written.rename(tmp_path / "holiday.jpg")
    data = path.read_bytes()
    with path.open("rb") as stream:
        for source in (path, str(path), data, bytearray(data), io.BytesIO(data), stream):
            assert is_video(source)
        assert stream.tell() == 0


def saved(kind: str, frames: int = 1, **options: object) -> bytes:
    buffer = io.BytesIO()
    first, *rest = [Image.new("RGB", (9, 9), (50 * number, 0, 0)) for number in range(frames)]
    animated = {"save_all": True, "append_images": rest, "duration": 100} if rest else {}
    first.save(buffer, kind, **animated, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_animations_are_clips_and_stills_are_not(kind):
    assert is_video(saved(kind, 3))
    assert not is_video(saved(kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "AVIF", "ICO", "PPM"])
def test_pictures_are_no_clips(kind):
    assert not is_video(saved(kind))


def test_data_uris(tmp_path):
    clip = base64.b64encode(saved("GIF", 3)).decode()
    assert is_video(f"data:image/gif;base64,{clip}")
    assert not is_video("data:image/gif;base64," + base64.b64encode(saved("GIF")).decode())
    assert is_video("data:video/mp4;base64,AAAA")
    assert not is_video("data:image/gif;base64,!!!")
    assert not is_video("data:image/png;base64,AAAA")


@pytest.mark.parametrize(
    ("url", "clip"),
    [
        ("https://example.org/a.mp4", True),
        ("HTTP://example.org/a.WebM?start=3#t", True),
        ("https://example.org/a.png", False),
        ("https://example.org/watch?v=a.mp4", False),
    ],
)
def test_an_address_is_judged_by_its_name(url, clip):
    assert is_video(url) is clip


@pytest.mark.parametrize(
    "source", ["gone.mp4", "", "a\0b", "x" * 5000, Path(), b"", b"hello", 3, None, ["a.mp4"]]
)
def test_what_cannot_be_read_is_no_clip(source):
    assert not is_video(source)


def test_sound_and_text_are_no_clips(tmp_path):
    assert not is_video(write_sound(tmp_path / "a.m4a"))
    (tmp_path / "list.mp4").write_text("#EXTM3U\nhttp://example.org/a.ts\n")
    assert not is_video(tmp_path / "list.mp4")
    assert not is_video(io.StringIO("text"))


def test_signatures_end_where_the_bytes_end():
    """Every beginning of every kind is answered, however short."""
    heads = (b"RIFF....AVI ", b"\0\0\0\x18ftypmp42", b"OggS")
    for data in (saved("WEBP", 3), saved("GIF", 3), *heads):
        for length in range(min(len(data), 40)):
            assert has_video_signature(data[:length]) in (True, False)
