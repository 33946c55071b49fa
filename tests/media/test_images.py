"""Pictures that must work, and pictures that must be refused in one clear line; all made here."""

from __future__ import annotations

import base64
import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from smolvlm.errors import InputError, MediaError
from smolvlm.media.images import load_image, to_rgb
from smolvlm.media.limits import ImageLimits

RED, WHITE = (255, 0, 0), (255, 255, 255)


def photo(height: int = 20, width: int = 30) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def same(left: Image.Image, right: Image.Image) -> bool:
    assert left.mode == right.mode == "RGB"
    return left.size == right.size and left.tobytes() == right.tobytes()


# Sources


def test_every_kind_of_source_gives_the_same_picture(tmp_path):
    image, data = photo(), encoded(photo())
    path = tmp_path / "a.png"
    path.write_bytes(data)
    text = base64.b64encode(data).decode()
    with path.open("rb") as stream:
        sources = [
            *(path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), stream),
            *(image, np.asarray(image), np.asarray(image)[::-1][::-1]),
            *(f"data:image/png;base64,{text}", f"DATA:;BASE64,{text[:40]}%0A{text[40:]}"),
            "data:image/png," + "".join(f"%{byte:02x}" for byte in data),
        ]
        for source in sources:
            assert same(load_image(source), image)


def test_a_file_is_known_by_its_content_not_its_name(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(photo(), "WEBP", lossless=True))
    assert same(load_image(path), photo())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "PPM", "TGA", "ICO"])
def test_lossless_formats(kind):
    image = photo(32, 32) if kind == "ICO" else photo()
    if kind == "GIF":
        image = image.quantize(64).convert("RGB")
    assert same(load_image(encoded(image, kind)), image)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "JPEG2000"])
def test_lossy_formats(kind):
    data = encoded(photo(), kind)
    assert same(load_image(data), Image.open(io.BytesIO(data)).convert("RGB"))


# Modes


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (3, 1))
    image.putpixel((0, 0), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    for source in (image, encoded(image), np.asarray(image)):
        loaded = load_image(source)
        assert [loaded.getpixel((x, 0)) for x in range(3)] == [RED, WHITE, (127, 127, 127)]


def test_grey_with_alpha():
    image = Image.new("LA", (2, 1), (10, 255))
    image.putpixel((1, 0), (10, 0))
    loaded = load_image(encoded(image))
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(10, 10, 10), WHITE]


@pytest.mark.parametrize("mode", ["P", "RGB", "L", "1"])
def test_a_transparent_colour_is_laid_on_white(mode):
    """PNG's other way to be transparent: one colour (or palette entry) that is not painted."""
    if mode == "P":
        image = Image.new("P", (2, 1), 0)
        image.putpalette([255, 0, 0, 0, 0, 255])
        key, kept = 1, RED
    elif mode == "RGB":
        image, key, kept = Image.new("RGB", (2, 1), RED), (0, 0, 255), RED
    else:
        image, key, kept = Image.new(mode, (2, 1), 0), 255, (0, 0, 0)
    image.putpixel((1, 0), key)
    loaded = load_image(encoded(image, transparency=key))
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [kept, WHITE]


def test_palette_without_transparency():
    image = photo().quantize(16)
    assert same(load_image(encoded(image)), image.convert("RGB"))


def test_one_bit():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    loaded = load_image(encoded(image))
    assert [loaded.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), WHITE]


def test_cmyk():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert load_image(encoded(image, "TIFF")).getpixel((0, 0)) == RED
    red, green, blue = load_image(encoded(image, "JPEG")).getpixel((4, 4))
    assert red > 240 and green < 15 and blue < 15


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind):
    values = np.array([[0, 257, 0x8000, 65535]], np.uint16)
    loaded = np.asarray(load_image(encoded(Image.fromarray(values), kind)))
    assert loaded[0].tolist() == [[0] * 3, [1] * 3, [128] * 3, [255] * 3]


def test_thirty_two_bit_and_float_grey():
    ints = Image.fromarray(np.array([[0, 65535]], np.int32))
    wide = Image.fromarray(np.array([[-1000, 0, 1000]], np.int32))
    unit = Image.fromarray(np.array([[0, 0.5, 0.25]], np.float32))
    flat = Image.fromarray(np.array([[7, 7]], np.float32))
    assert np.asarray(to_rgb(ints))[0, :, 0].tolist() == [0, 255]
    assert np.asarray(to_rgb(wide))[0, :, 0].tolist() == [0, 128, 255]
    assert np.asarray(to_rgb(unit))[0, :, 0].tolist() == [0, 128, 64]
    assert np.asarray(to_rgb(flat))[0, :, 0].tolist() == [0, 0]
    with pytest.raises(MediaError, match="not numbers"):
        to_rgb(Image.fromarray(np.array([[np.nan]], np.float32)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_is_its_first_frame(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert load_image(data).getpixel((0, 0)) == RED


@pytest.mark.parametrize("orientation", range(1, 9))
def test_files_are_turned_upright_and_pil_images_are_not(orientation):
    turn = {
        2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
        6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90",
    }  # fmt: skip
    image = photo()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(image, "PNG", exif=exif)
    upright = image.transpose(Image.Transpose[turn[orientation]]) if orientation > 1 else image
    assert same(load_image(data), upright)
    assert same(load_image(Image.open(io.BytesIO(data))), image)


@pytest.mark.parametrize("size", [(1, 1), (20000, 1), (1, 20000)])
def test_extreme_shapes_work(size):
    assert load_image(encoded(Image.new("RGB", size))).size == size


# Refusals


def test_missing_file(tmp_path):
    with pytest.raises(MediaError, match=r"none\.png does not exist"):
        load_image(tmp_path / "none.png")


def test_directory(tmp_path):
    with pytest.raises(MediaError, match="is a directory"):
        load_image(str(tmp_path))


def test_name_that_no_file_can_have():
    with pytest.raises(MediaError, match=r"cannot be read|does not exist"):
        load_image("a\0b.png")


@pytest.mark.parametrize("source", [b"", io.BytesIO(b""), "data:image/png;base64,"])
def test_empty(source):
    with pytest.raises(MediaError, match="is empty"):
        load_image(source)


def test_empty_file(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(MediaError, match=r"a\.png is empty"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize("content", ["hello\n" * 50, "<svg xmlns='http://www.w3.org/2000/svg'/>"])
def test_text_renamed_to_png(tmp_path, content):
    (tmp_path / "a.png").write_text(content)
    with pytest.raises(MediaError, match=r"a\.png is not a picture"):
        load_image(tmp_path / "a.png")


def test_formats_that_start_other_programs_are_refused():
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    with pytest.raises(MediaError, match="not a picture"):
        load_image(postscript)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_truncated(tmp_path, kind, share):
    data = encoded(photo(200, 300), kind)
    path = tmp_path / "a.bin"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(MediaError, match=r"a\.bin is (a broken|not a picture)"):
        load_image(path)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "TGA", "JPEG2000"])
def test_damaged_bytes_never_raise_anything_else(kind):
    data = bytearray(encoded(photo(16, 16), kind))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(120):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 4):
            broken[at] = rng.integers(0, 256)
        try:
            assert load_image(bytes(broken), limits=ImageLimits(max_pixels=10**6)).mode == "RGB"
        except MediaError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 0


def bomb(width: int, height: int) -> bytes:
    """A valid PNG header that promises more pixels than anyone has."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [14143, 50_000, 500_000])
def test_decompression_bomb_names_the_limit(side):
    with pytest.raises(MediaError, match=rf"{side}x{side}.*the limit is 200000000 \(max_pixels\)"):
        load_image(bomb(side, side))


@pytest.mark.parametrize("source", [photo(), np.asarray(photo()), encoded(photo())])
def test_the_pixel_limit_holds_for_every_source(source):
    assert load_image(source, limits=ImageLimits(max_pixels=600)).size == (30, 20)
    with pytest.raises(MediaError, match="30x20, 600 pixels; the limit is 599"):
        load_image(source, limits=ImageLimits(max_pixels=599))


def test_our_limit_stands_above_and_below_that_of_the_library(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert load_image(encoded(photo())).size == (30, 20)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_the_byte_limit_names_itself(tmp_path):
    data = encoded(photo())
    (tmp_path / "a.png").write_bytes(data)
    uri = "data:;base64," + base64.b64encode(data).decode()
    limits = ImageLimits(max_bytes=len(data) - 1)
    for source in (data, io.BytesIO(data), tmp_path / "a.png", uri):
        with pytest.raises(MediaError, match=f"larger than the limit of {len(data) - 1} bytes"):
            load_image(source, limits=limits)


@pytest.mark.parametrize(
    ("uri", "match"),
    [
        ("data:image/png;base64", "no comma"),
        ("data:image/png;base64,####", "broken base64"),
        ("data:image/png;base64,abc", "broken base64"),
        ("data:image/png;base64,aGVsbG8=", "the data: URI is not a picture"),
        ("data:,hello", "the data: URI is not a picture"),
    ],
)
def test_bad_data_uris(uri, match):
    with pytest.raises(MediaError, match=match):
        load_image(uri)


@pytest.mark.parametrize("url", ["http://example.org/a.png", "HTTPS://example.org/a.png"])
def test_urls_need_the_flag(url):
    with pytest.raises(MediaError, match="nothing is fetched unasked"):
        load_image(url)


@pytest.mark.parametrize("url", ["ftp://example.org/a.png", "file:///etc/passwd"])
def test_other_schemes_are_refused_even_with_the_flag(url):
    with pytest.raises(MediaError, match="wanted http, https, data: or a path"):
        load_image(url, allow_url=True)


@pytest.mark.parametrize("source", [None, 3, ["a.png"], {"url": "a.png"}])
def test_what_is_no_source_at_all(source):
    with pytest.raises(MediaError, match="a picture cannot be a"):
        load_image(source)


def test_text_stream():
    with pytest.raises(MediaError, match="binary mode"):
        load_image(io.StringIO("hello"))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 3), np.float32),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros(3, np.uint8),
    ],
)
def test_arrays_that_are_no_pictures(array):
    with pytest.raises(MediaError):
        load_image(array)


def test_grey_arrays():
    for shape in ((2, 3), (2, 3, 1)):
        assert load_image(np.full(shape, 9, np.uint8)).getpixel((2, 1)) == (9, 9, 9)


@pytest.mark.parametrize("name", ["max_pixels", "max_bytes", "seconds"])
def test_impossible_limits(name):
    with pytest.raises(InputError, match=name):
        ImageLimits(**{name: 0})


def test_standard_input(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(photo()))
    code = (
        "import sys; from smolvlm.media.images import load_image;"
        "print(load_image(sys.stdin.buffer).size)"
    )
    with (tmp_path / "a.png").open("rb") as stream:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=stream, capture_output=True, text=True
        )
    assert done.stdout.strip() == "(30, 20)", done.stderr
