"""Every kind of source opens, and everything that is no clip is refused in one clear line."""

from __future__ import annotations

import base64
import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from smolvlm.errors import InputError, MediaError
from smolvlm.media import videos
from smolvlm.media.limits import ImageLimits, VideoLimits
from smolvlm.media.videos import open_video
from tests.clips import number_of, numbered, write_clip, write_sound


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("videos") / "clip.mp4", 50)


def ends(source, **options) -> list[int]:
    """The first and the last frame of a clip."""
    with open_video(source, **options) as video:
        return [number_of(frame.picture) for frame in video.read([0.0, video.duration])]


def refusal(source, **options) -> str:
    """What a user is told; always one line."""
    with pytest.raises((MediaError, InputError)) as caught:
        open_video(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_kind_of_source(clip):
    data = clip.read_bytes()
    uri = f"data:video/mp4;base64,{base64.b64encode(data).decode()}"
    with clip.open("rb") as stream:
        for source in (clip, str(clip), data, memoryview(data), io.BytesIO(data), stream, uri):
            assert ends(source) == [0, 49]
    with open_video(clip) as video:
        assert open_video(video) is video


def test_the_name_does_not_matter(clip, tmp_path):
    names = ("clip.jpg", "clip", "ünïcödé 漢字 🎬.avi", "a:b%20 c?.mp4", "-i.mp4", "concat:a|b")
    for name in names:
        path = tmp_path / name
        path.write_bytes(clip.read_bytes())
        assert ends(path) == [0, 49]


def test_a_very_long_path(clip, tmp_path):
    folder = tmp_path
    while len(str(folder)) < 1500:
        folder = folder / ("long" * 40)
    folder.mkdir(parents=True)
    path = folder / "clip.mp4"
    path.write_bytes(clip.read_bytes())
    assert ends(path) == [0, 49]
    assert "cannot be read" in refusal("x" * 5000 + ".mp4")


def test_urls_need_to_be_allowed(clip, monkeypatch):
    asked = []

    def fetched(url: str, limits: ImageLimits, accept: str) -> bytes:
        asked.append((url, limits.max_bytes, accept))
        return clip.read_bytes()

    monkeypatch.setattr(videos, "fetch", fetched)
    url = "https://example.org/clip.mp4"
    assert "nothing is fetched unasked; allow it" in refusal(url)
    assert asked == []
    assert ends(url, allow_url=True) == [0, 49]
    assert asked == [(url, 2**30, "video/*, image/*")]
    for other in ("rtsp://example.org/a", "file:///etc/passwd", "ftp://example.org/a.mp4"):
        assert "wanted http, https, data: or a path" in refusal(other, allow_url=True)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("gone.mp4", "gone.mp4 does not exist; wanted a clip"),
        ("a\0b.mp4", "cannot be read"),
        (b"", "the clip is empty"),
        (b"hello " * 99, "the clip is not a clip; wanted mp4, webm"),
        (io.BytesIO(b""), "the stream is empty"),
        (io.StringIO("text"), "gives text; open it in binary mode"),
        ("data:video/mp4;base64,!!!", "the data: URI is broken"),
        ("data:video/mp4", "the data: URI is broken"),
        (3, "a clip cannot be a int; wanted a path"),
        (None, "a clip cannot be a NoneType"),
        (Image.new("RGB", (3, 3)), "a clip cannot be a Image"),
    ],
)
def test_what_is_no_clip(source, words):
    assert words in refusal(source)


def test_pictures_and_sound_are_no_clips(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    assert "is not a clip; wanted mp4" in refusal(tmp_path / "a.png")
    sound = write_sound(tmp_path / "s.mp4")
    assert "has no video stream, only sound; wanted a clip" in refusal(sound)


def test_the_cover_of_a_song_is_no_video(tmp_path):
    import av

    cover = io.BytesIO()
    Image.new("RGB", (16, 16)).save(cover, "JPEG")
    song, path = write_sound(tmp_path / "song.m4a"), tmp_path / "covered.mkv"
    with av.open(song) as source, av.open(path, "w") as out:
        track = out.add_stream_from_template(source.streams.audio[0])
        picture = out.add_stream("mjpeg", rate=1)
        picture.width = picture.height = 16
        picture.pix_fmt = "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = track
                out.mux(packet)
        out.mux(picture.encode(av.VideoFrame.from_image(Image.new("RGB", (16, 16)))))
        out.mux(picture.encode())
    with av.open(path) as written:
        dispositions = [stream.disposition for stream in written.streams.video]
    if dispositions and dispositions[0] & av.stream.Disposition.attached_pic:
        assert "only sound" in refusal(path)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile 'clip.mp4'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    ],
)
def test_lists_of_other_files_are_not_followed(clip, tmp_path, text):
    (tmp_path / "clip.mp4").write_bytes(clip.read_bytes())
    for name in ("list.mp4", "list.m3u8", "list.ffconcat", "list.sdp"):
        (tmp_path / name).write_text(text)
        assert "is not a clip" in refusal(tmp_path / name)


def test_an_mp4_without_its_table_of_contents(clip, tmp_path):
    path = tmp_path / "cut.mp4"
    data = clip.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    assert "is a truncated mp4: its table of contents (moov) is missing" in refusal(path)
    assert "truncated mp4" in refusal(data[: data.index(b"moov") - 4])


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [
        ("mp4", "libx264", {"movflags": "faststart"}),
        ("mkv", "libx264", None),
        ("webm", "libvpx-vp9", None),
        ("avi", "mpeg4", None),
    ],
)
def test_a_missing_tail_is_warned_about_and_the_rest_is_used(tmp_path, suffix, codec, container):
    whole = write_clip(tmp_path / f"whole.{suffix}", 300, codec=codec, container=container)
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    with pytest.warns(UserWarning, match=rf"cut\.{suffix} is truncated: .* s of it are there"):
        video = open_video(path)
    assert 2 < video.duration < 11
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        last = video.read([0.0, video.duration / 2, video.duration])[-1]
        assert open_video(whole).duration == 12.0
    assert last.time == pytest.approx(video.duration, abs=0.2)
    assert number_of(last.picture) == pytest.approx(last.time * 25, abs=3)


def test_a_clip_that_ends_in_its_first_frame(tmp_path):
    """The table of contents is there, the pictures are not."""
    whole = write_clip(tmp_path / "whole.mp4", 20, container={"movflags": "faststart"})
    data = whole.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: data.index(b"mdat") + 30])
    assert "no frame of it can be decoded" in refusal(tmp_path / "cut.mp4")


def test_a_stream_without_a_frame(tmp_path):
    import av

    with av.open(tmp_path / "empty.mkv", "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
    said = refusal(tmp_path / "empty.mkv")
    assert "no frame of it can be decoded" in said or "broken or truncated" in said


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "gif"])
def test_a_clip_of_one_frame(tmp_path, suffix):
    codec = "gif" if suffix == "gif" else "libx264"
    with open_video(write_clip(tmp_path / f"one.{suffix}", 1, codec=codec)) as video:
        assert (video.frame_count, len(list(video))) == (1, 1)
        assert video.duration > 0 and video.rate > 0
        assert [f.time for f in video.read([-1.0, 0.0, 9.0])] == [0.0] * 3


def patched(path: Path, box: bytes, offset: int, value: int) -> Path:
    """An mp4 with a number of its headers changed, and without its edit list."""
    data = bytearray(path.read_bytes())
    edits = data.index(b"edts")
    data[edits : edits + 4] = b"free"
    place = data.index(box) + offset
    data[place : place + 4] = struct.pack(">I", value)
    out = path.with_name(f"{box.decode()}{value}.mp4")
    out.write_bytes(data)
    return out


@pytest.mark.parametrize(
    ("box", "offset", "value"), [(b"mdhd", 16, 0x7FFFFFFF), (b"stts", 16, 0)],
    ids=["every frame in a nanosecond", "every frame at once"],
)  # fmt: skip
def test_a_clock_without_sense_is_replaced_by_counting(clip, tmp_path, box, offset, value):
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes())
    with pytest.warns(UserWarning, match="no usable clock; its frames are taken to be 24 a second"):
        video = open_video(patched(tmp_path / "a.mp4", box, offset, value))
    assert (video.frame_count, video.rate, video.duration) == (50, 24.0, 50 / 24)
    found = video.read([0.0, 1.0, 99.0])
    assert [(number_of(f.picture), f.time) for f in found] == [(0, 0), (24, 1.0), (49, 49 / 24)]
    assert [frame.time for frame in video] == [number / 24 for number in range(50)]


@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF])
def test_a_slow_clock_is_believed(clip, tmp_path, value):
    """A time base of one second makes frames of minutes, as in a time lapse."""
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes())
    video = open_video(patched(tmp_path / "a.mp4", b"mdhd", 16, value))
    assert video.rate < 0.01
    assert [number_of(f.picture) for f in video.read([0.0, video.duration])] == [0, 49]


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "ffv1"), ("avi", "mjpeg")])
def test_frames_of_twenty_thousand_by_twenty(tmp_path, suffix, codec):
    wide = np.zeros((20, 20_000, 3), np.uint8)
    wide[:, 10_000:] = 255
    path = write_clip(tmp_path / f"wide.{suffix}", [wide] * 2, codec=codec)
    with open_video(path) as video:
        assert video.size == (20, 20_000)
        picture = video.read([0.0])[0].picture
        assert picture.getpixel((5, 5))[0] < 20 and picture.getpixel((19_990, 5))[0] > 235
    said = refusal(path, limits=VideoLimits(max_pixels=100_000))
    assert "has frames of 20000x20 pixels; the limit is 100000 (max_pixels)" in said


def gif_of(frames: int) -> bytes:
    """A GIF of single black pixels, a tenth of a second each."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    control = b"\x21\xf9\x04\x00\x0a\x00\x00\x00"
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + (control + image) * frames + b"\x3b"


def test_a_million_frames_are_bounded_work(tmp_path):
    (tmp_path / "long.gif").write_bytes(gif_of(1_000_000))
    limits = VideoLimits(max_decoded=500)
    with pytest.warns(UserWarning, match="has 1000000 frames .* the first 500 are used"):
        video = open_video(tmp_path / "long.gif", limits=limits)
    assert (video.frame_count, video.duration) == (500, 50.0)
    assert video.read([10.0, 1e6])[-1].time == pytest.approx(49.9)
    assert video.work.decoded <= 501
    assert len(list(video)) == 500


def test_an_array_of_frames_is_a_clip():
    array = np.stack([numbered(number) for number in range(4)])  # (4, height, width, 3)
    with open_video(array, rate=2) as video:
        assert (video.frame_count, video.duration) == (4, 2.0)
        assert [number_of(frame.picture) for frame in video.read([0.0, 1.2])] == [0, 2]
    assert "a clip cannot be a ndarray" in refusal(array[0])
    assert "has no pictures" in refusal(array[:0])


def test_bytes_are_bounded(clip):
    limits = VideoLimits(max_bytes=1000)
    for source in (clip.read_bytes(), io.BytesIO(clip.read_bytes())):
        assert "is larger than the limit of 1000 bytes" in refusal(source, limits=limits)
    assert ends(clip, limits=limits) == [0, 49]  # a file is read piece by piece


@pytest.mark.parametrize("name", ["max_pixels", "max_bytes", "seconds", "max_decoded"])
def test_limits_are_numbers_above_0(name):
    with pytest.raises(InputError, match=name):
        VideoLimits(**{name: 0})
