"""Opening: the stream of pictures, nothing else, and reading to the end of what is there."""

from __future__ import annotations

import pytest

from smolvlm.errors import MediaError
from smolvlm.media.video_container import Work, open_container, read_packets
from tests.clips import write_clip, write_sound


def test_sound_is_not_read(tmp_path):
    """Opening looks at a few packets of everything; seeking forgets what they were."""
    container, _ = open_container(write_clip(tmp_path / "a.mp4", 50, sound=True), "a clip")
    with container:
        container.seek(0)
        assert {packet.stream.type for packet in container.demux() if packet.size} == {"video"}


def test_only_sound(tmp_path):
    with pytest.raises(MediaError, match="a clip has no video stream, only sound"):
        open_container(write_sound(tmp_path / "a.mp4"), "a clip")


def test_what_is_read_is_counted(tmp_path):
    path = write_clip(tmp_path / "a.mp4", 50, container={"movflags": "faststart"})
    container, stream = open_container(path, "a clip")
    with container:
        work = Work()
        sizes = [packet.size for packet in read_packets(container, stream, work)]
    assert (work.packets, work.bytes) == (50, sum(sizes)) and all(sizes)
    path.write_bytes(path.read_bytes()[:-100])
    container, stream = open_container(path, "a clip")
    with container:
        assert 1 <= len(list(read_packets(container, stream, Work()))) <= 50


def test_bare_streams_have_no_clock_and_are_refused(tmp_path):
    import av

    path = tmp_path / "a.h264"
    with av.open(write_clip(tmp_path / "a.mp4", 10, bf="0")) as clip:
        context = clip.streams.video[0].codec_context
        path.write_bytes(b"".join(bytes(packet) for packet in clip.demux(video=0)))
        assert context.name == "h264"
    with pytest.raises(MediaError, match="a clip is not a clip; wanted mp4"):
        open_container(path, "a clip")
