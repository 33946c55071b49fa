"""A clip's container, opened through PyAV with nothing but the clip itself in reach.

FFmpeg's readers include playlists that name other files and addresses; only the formats listed here
are opened, and of the protocols only the local file. What the headers say is judged by
`video_facts.py`; seeking and decoding is left to `video_seek.py`, pixels to `video_file.py`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smolvlm.errors import MediaError
from smolvlm.media.video_kinds import HEAD_BYTES, has_video_signature

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

# Names of FFmpeg's readers: mp4 and mov, mkv and webm, avi, gif, transport and program streams,
# wmv, flash, ogg; none of them opens a second file. Bare streams (.h264) are not among them: they
# have no clock.
FORMATS = (
    *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "gif", "mpegts", "mpeg"),
    *("asf", "flv", "ogg", "mxf", "nut", "ivf"),
)


@dataclass
class Work:
    """What reading a clip has cost so far.

    packets: read from the file, of `bytes` bytes in all. decoded: those of them that went to the
    decoder. pictures: frames that came out of it.
    """

    packets: int = 0
    bytes: int = 0
    decoded: int = 0
    pictures: int = 0


def read_packets(
    container: InputContainer, stream: VideoStream, work: Work
) -> Iterator[Packet[VideoStream]]:
    """Packets from where a container stands to the end of the file, be it whole or not."""
    import av

    try:
        for packet in container.demux(stream):
            work.packets += packet.size > 0
            work.bytes += packet.size
            if packet.size:
                yield packet
    except av.error.FFmpegError:  # the file ends here: what came before it counts
        return


def open_container(source: Path | bytes, name: str) -> tuple[InputContainer, VideoStream]:
    """A container and its first stream of pictures; `MediaError` when there is none."""
    import av

    file = io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}"
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    try:
        container = av.open(file, mode="r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise MediaError(_why_not(source, name, error)) from None
    # The cover of a song is a stream of pictures too, but no video.
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if streams:
        for other in container.streams:
            if other is not streams[0]:
                other.discard = av.stream.Discard.all  # sound is not even read
        streams[0].thread_type = "AUTO"
        return container, streams[0]
    sound = ", only sound" if container.streams.audio else ""
    container.close()
    raise MediaError(f"{name} has no video stream{sound}; wanted a clip with pictures")


def _why_not(source: Path | bytes, name: str, error: Exception) -> str:
    """What is wrong with a file that FFmpeg does not open."""
    head = source[:HEAD_BYTES] if isinstance(source, bytes) else _head(source)
    known = has_video_signature(head) or head[:4] == b"GIF8"
    if head[4:8] == b"ftyp" and known:
        return (
            f"{name} is a truncated mp4: its table of contents (moov) is missing, so no frame can"
            " be found; copy or record it again"
        )
    if known:
        return f"{name} is a broken or truncated clip: {getattr(error, 'strerror', None) or error}"
    return f"{name} is not a clip; wanted mp4, webm, mkv, mov, avi, gif or animated webp"


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return b""
