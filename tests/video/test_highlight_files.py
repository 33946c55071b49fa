"""The folder of a highlight run: the list, the page, the clip, and what stands in their way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from smolvlm.errors import InputError
from smolvlm.media.video_frames import Video
from smolvlm.media.videos import open_video
from smolvlm.video.highlight_files import HighlightFolder, thumbnail
from smolvlm.video.highlights import Criteria, Highlights, Wish
from smolvlm.video.picking import Run, Scored
from smolvlm.video.segments import Segment
from tests.video.stand_in import BLUE, RED, make_clip, names_in

SETTINGS = {"model": "embedded"}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("film") / "film.mp4", [BLUE, RED, BLUE, RED], each=2)


def found(*cuts: tuple[float, float], wish: Wish | None = None) -> Highlights:
    segments = tuple(Scored(s, s + 2.0, 0.9 if s in (2, 6) else 0.1) for s in (0.0, 2.0, 4.0, 6.0))
    chosen = Criteria(("red",), (0.1, 0.9, 0.1, 0.9))
    runs = tuple(Run(tuple(s for s in segments if a <= s.start < b)) for a, b in cuts)
    return Highlights(
        wish or Wish("red <things>", every=2.0), "Red & blue.", (chosen, chosen), chosen, segments,
        runs, tuple(f"Cut {n}." for n in range(len(runs))), ((Segment(8, 9), "a hole"),),
    )  # fmt: skip


def write(folder: Path, source: Path, highlights: Highlights) -> dict[str, Any]:
    place = HighlightFolder(folder, source)
    with open_video(source) as video:
        place.write(highlights, video, SETTINGS)
    told: dict[str, Any] = json.loads((folder / "cuts.json").read_text("utf-8"))
    return told


def test_the_list_says_everything(film: Path, tmp_path: Path) -> None:
    told = write(tmp_path / "out", film, found((2, 4), (6, 8)))
    assert (told["about"], told["duration"], told["description"]) == (
        "red <things>", 8.0, "Red & blue.",
    )  # fmt: skip
    assert told["settings"] == {
        "model": "embedded", "every": 2.0, "threshold": 0.5, "keep": None, "seed": 0,
    }  # fmt: skip
    assert told["cuts"] == [
        {"start": 2.0, "end": 4.0, "score": 0.9, "reason": "Cut 0."},
        {"start": 6.0, "end": 8.0, "score": 0.9, "reason": "Cut 1."},
    ]
    assert told["copy"] == "highlights.mp4" and told["copy_lacks"] is None
    assert [c["first"] for c in told["copied"]] == [2.0, 6.0]
    assert told["tried"][0] == {"criteria": ["red"], "share": 0.5}
    assert len(told["segments"]) == 4 and told["unread"][0]["problem"] == "a hole"
    assert "keyframe" in told["note"]


def test_the_clip_holds_the_cuts(film: Path, tmp_path: Path) -> None:
    write(tmp_path, film, found((2, 4), (6, 8)))
    with av.open(tmp_path / "highlights.mp4") as container:
        seen = [frame.to_ndarray(format="rgb24").mean(axis=(0, 1)) for frame in container.decode()]
    assert len(seen) == 20 and all(red > blue for red, _, blue in seen)


def test_the_page_shows_the_cuts(film: Path, tmp_path: Path) -> None:
    write(tmp_path, film, found((2, 4)))
    page = (tmp_path / "highlights.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 1 and "red &lt;things&gt;" in page
    assert 'src="highlights.mp4"' in page and "0:02–0:04" in page


def test_where_there_is_nothing_to_cut_the_rest_is_written(film: Path, tmp_path: Path) -> None:
    write(tmp_path, film, found((2, 4)))
    told = write(tmp_path, film, found())
    assert told["copy"] is None and told["copy_lacks"] == "no segment reached the threshold"
    assert names_in(tmp_path) == ["cuts.json", "highlights.html"]  # the old clip is gone
    assert "<video" not in (tmp_path / "highlights.html").read_text("utf-8")


def test_a_folder_of_pictures_has_no_packets(tmp_path: Path) -> None:
    source = tmp_path / "pictures"
    source.mkdir()
    for number in range(8):
        Image.new("RGB", (8, 8), RED).save(source / f"{number}.png")
    told = write(tmp_path / "out", source, found((2, 4)))
    assert told["copy"] is None and "no file whose packets could be copied" in told["copy_lacks"]


def test_a_clip_that_cannot_be_copied_says_why(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (number * 30, 0, 0)) for number in range(8)]
    source = tmp_path / "moving.webp"
    frames[0].save(source, save_all=True, append_images=frames[1:], duration=1000)
    told = write(tmp_path / "out", source, found((2, 4)))
    assert told["copy"] is None and told["copy_lacks"]
    assert names_in(tmp_path / "out") == ["cuts.json", "highlights.html"]


def test_places_that_cannot_be(film: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        HighlightFolder(tmp_path / "file", film)
    (tmp_path / "cuts.json").mkdir()
    with pytest.raises(InputError, match=r"cuts\.json is a folder"):
        HighlightFolder(tmp_path, film)


def test_the_source_is_never_written_over(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "highlights.mp4", [RED])
    before = source.read_bytes()
    with pytest.raises(InputError, match="is the clip itself"):
        HighlightFolder(tmp_path, source)
    assert source.read_bytes() == before


def test_a_thumbnail_is_of_the_best_moment(film: Path) -> None:
    video: Video
    with open_video(film) as video:
        seen = thumbnail(video, Run((Scored(0, 2, 0.2), Scored(2, 4, 0.9))))
    assert seen.time == 3.0
    red, _, blue = seen.picture.getpixel((5, 5))  # type: ignore[misc]
    assert red > blue
