"""The one door for images: what is repaired, what is refused, and by which sentence."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.processors.decoding import ImageError, is_animated, open_image
from minigpt4.processors.file_formats import kind_of_bytes
from minigpt4.records.images import ImageRef


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> ImageRef:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return ImageRef(data=buffer.getvalue(), name="test image")


def png_claiming(width: int, height: int) -> ImageRef:
    """A PNG of a few bytes whose header claims any size."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 10)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return ImageRef(data=data, name="bomb.png")


def test_u17_alpha_is_laid_over_white_and_dropped_in_the_original() -> None:
    half_red = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert open_image(encoded(half_red)).getpixel((0, 0)) == (255, 127, 127)
    assert open_image(encoded(half_red), "original").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "CMYK", "I;16", "I"])
@pytest.mark.parametrize("opening", ["standard", "original"])
def test_u17_every_mode_becomes_rgb(mode: str, opening: str) -> None:
    image = Image.new("I;16", (5, 4), 300) if mode == "I;16" else Image.new("RGB", (5, 4), "white").convert(mode)
    kind = "TIFF" if mode in ("CMYK", "I") else "PNG"
    opened = open_image(encoded(image, kind), opening)
    assert (opened.mode, opened.size) == ("RGB", (5, 4))


def test_u17_palette_with_transparency_lies_over_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    assert open_image(encoded(image, transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_u17_16_bit_grey_is_scaled_not_clipped() -> None:
    levels = np.array([[0, 257 * 100], [257 * 200, 65535]], dtype=np.uint16)
    opened = open_image(encoded(Image.fromarray(levels)))
    assert np.asarray(opened)[..., 0].tolist() == [[0, 100], [200, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_u17_exif_orientation_is_undone(orientation: int) -> None:
    from PIL import ImageOps

    stored = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    ref = encoded(stored, exif=exif.tobytes())
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(ref.data or b"")))
    assert np.array_equal(np.asarray(open_image(ref)), np.asarray(upright))
    assert open_image(ref, "original").size == stored.size


def test_damaged_exif_does_not_lose_the_image() -> None:
    ref = encoded(Image.new("RGB", (4, 4), "blue"), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert open_image(ref).size == (4, 4)


def test_200_megapixels_are_refused_before_decoding() -> None:
    with pytest.raises(ImageError, match="bomb.png: image has 200000000 pixels, more than 178956970"):
        open_image(png_claiming(20000, 10000))
    with pytest.raises(ImageError, match=r"1000x900 = 900000 pixels, more than 500000"):
        open_image(png_claiming(1000, 900), max_pixels=500_000)


def test_a_large_image_below_the_limit_is_no_crash_by_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match="bomb.png: image data"):  # its pixels are missing, its size is legal
            open_image(png_claiming(10_000, 10_000))


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "empty image file"),
    (b"<!DOCTYPE html><html></html>", r"not an image \(HTML text\)"),
    (b"<svg xmlns='x'/>", r"not an image \(SVG or XML text\)"),
    (b"%PDF-1.7", r"not an image \(PDF\)"),
    (b"404: not found", r"not an image \(text\)"),
    (b"\x00\xff\x01\xfe", r"not an image \(unknown bytes 00 ff 01 fe …\)"),
])
def test_what_is_no_image_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=f"^x.jpg: {reason}"):
        open_image(ImageRef(data=content, name="x.jpg"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_every_cut_is_refused_never_half_an_image(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8))
    whole = encoded(noise, kind).data or b""
    for length in range(1, int(len(whole) * 0.9), max(1, len(whole) // 40)):
        with pytest.raises(ImageError):
            open_image(ImageRef(data=whole[:length], name="cut"))


@pytest.mark.parametrize("opening", ["standard", "original"])
def test_truncated_images_say_so(opening: str) -> None:
    whole = encoded(Image.effect_noise((64, 64), 50), "JPEG").data or b""
    with pytest.raises(ImageError, match="image data ends early"):
        open_image(ImageRef(data=whole[: len(whole) // 2], name="cut"), opening)


def test_tracking_pixel_is_refused_in_standard_only() -> None:
    pixel = encoded(Image.new("RGB", (1, 1)))
    with pytest.raises(ImageError, match="image is 1x1, below the minimum side"):
        open_image(pixel)
    assert open_image(pixel, "original").size == (1, 1)


def test_missing_file_and_byte_range(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone.jpg: image file is missing"):
        open_image(ImageRef(path=tmp_path / "gone.jpg"))
    inner = encoded(Image.new("RGB", (3, 2))).data or b""
    (tmp_path / "pack").write_bytes(b"before" + inner + b"after")
    assert open_image(ImageRef(path=tmp_path / "pack", offset=6, length=len(inner))).size == (3, 2)


def test_kind_of_bytes_of_plain_text() -> None:
    assert kind_of_bytes(b"hello") == "text"


# --- which formats are read ---


@pytest.mark.parametrize(("kind", "called"), [
    ("EPS", "an EPS"), ("ICO", "an ICO"), ("PPM", "a PPM"), ("PCX", "a PCX"), ("TGA", "a TGA"), ("SGI", "an SGI"),
    ("ICNS", "an ICNS"), ("DDS", "a DDS"), ("JPEG2000", "a JPEG 2000"), ("IM", None), ("PDF", None), ("QOI", "a QOI"),
])
def test_formats_that_are_not_read_are_named_whatever_the_file_is_called(kind: str, called: str | None) -> None:
    ref = ImageRef(data=encoded(Image.new("RGB", (32, 32), "red"), kind).data, name="a.png")
    sentence = f"is {called} file, which is not read here; save it as PNG or JPEG$" if called else "not an image"
    with pytest.raises(ImageError, match=f"^a.png: {sentence}"):
        open_image(ref)


@pytest.mark.parametrize(("start", "called"), [
    (b"8BPS\0\1", "a PSD"), (b"gimp xcf v011\0", "an XCF"), (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "an MP4 or MOV"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"), (b"RIFF\0\0\0\0AVI LIST", "an AVI or WAV"), (b"PK\3\4", "a ZIP"),
])
def test_other_starts_are_named(start: bytes, called: str) -> None:
    with pytest.raises(ImageError, match=f"is {called} file, which is not read here"):
        open_image(ImageRef(data=start + b"\0" * 64, name="a.jpg"))


def test_heic_is_named_and_what_to_do() -> None:
    heic = struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + b"\0" * 64
    with pytest.raises(ImageError, match=r"p.heic: is a HEIC file, which is not read here; save it as JPEG \(phones:"):
        open_image(ImageRef(data=heic, name="p.heic"))


def test_a_pointer_of_git_lfs_is_named() -> None:
    with pytest.raises(ImageError, match="git lfs pull"):
        open_image(ImageRef(data=b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", name="a.png"))


def test_text_whose_first_kilobyte_ends_within_a_character_is_text() -> None:
    assert kind_of_bytes(b"a" + "猫".encode() * 400) == "text"


def test_no_other_decoder_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(ImageError, match="is an EPS"):
        open_image(encoded(Image.new("RGB", (8, 8)), "EPS"))


def test_avif_is_read_where_pillow_has_it() -> None:
    from PIL import features

    if features.check("avif"):
        assert open_image(encoded(Image.new("RGB", (16, 16), "red"), "AVIF")).size == (16, 16)


# --- descriptions never stop the pixels ---


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(png: bytes, *chunks: bytes) -> ImageRef:
    """A PNG with more chunks behind its header."""
    return ImageRef(data=png[:33] + b"".join(chunks) + png[33:], name="a.png")


MUCH = b"x" * (3 << 20)


@pytest.mark.parametrize("described", [
    chunk(b"zTXt", b"parameters\0\0" + zlib.compress(MUCH)),
    chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(MUCH)),
    chunk(b"tEXt", b"prompt\0" + MUCH * 30),
    chunk(b"iCCP", b"profile\0\0" + zlib.compress(MUCH)),
    chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(MUCH)),
    chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(MUCH)),
    chunk(b"zTXt", b"parameters\0\0no zlib"), chunk(b"tEXt", b"a\0b")[:-1] + b"\0", chunk(b"iTXt", b""),
    chunk(b"tEXt", b"XML:com.adobe.xmp\0" + MUCH) * 40,
], ids=["zTXt", "iTXt", "tEXt", "iCCP", "exif", "xmp", "damaged", "checksum", "empty", "many"])
@pytest.mark.parametrize("opening", ["standard", "original"])
def test_texts_and_profiles_of_any_size_leave_the_pixels(described: bytes, opening: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8))
    png = encoded(noise).data or b""
    assert np.array_equal(np.asarray(open_image(with_chunk(png, described), opening)), np.asarray(noise))


def test_texts_behind_the_pixels_and_behind_the_end_too() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8))
    png = encoded(noise).data or b""
    text = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(MUCH))
    for data in (png[:-12] + text + png[-12:], png + text, png + b"\0\1\2"):
        assert np.array_equal(np.asarray(open_image(ImageRef(data=data))), np.asarray(noise))


def test_a_short_text_still_says_how_the_image_is_turned() -> None:
    png = encoded(Image.new("RGB", (6, 4))).data or b""
    for said in (chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'),
                 chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b'<x tiff:Orientation="6"/>'))):
        assert open_image(with_chunk(png, chunk(b"tEXt", b"a\0b"), said)).size == (4, 6)


def segment(code: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


@pytest.mark.parametrize("described", [
    segment(0xE2, b"MPF\0II*\0\x08\0\0\0\1\0\1\xb0\4\0\1\0\0\0\2\0\0\0\0\0\0\0"),
    segment(0xE2, b"ICC_PROFILE\0\1\xff" + b"x" * 60_000) * 200,
    segment(0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\xff\xff\xff\xff"), segment(0xFE, b"x" * 65_000) * 300,
], ids=["MPF", "ICC", "Photoshop", "comments"])
def test_descriptions_of_a_jpeg_leave_the_pixels(described: bytes) -> None:
    plain = encoded(Image.effect_noise((16, 16), 50), "JPEG").data or b""
    opened = open_image(ImageRef(data=plain[:2] + described + plain[2:]))
    assert np.array_equal(np.asarray(opened), np.asarray(open_image(ImageRef(data=plain))))


def test_a_jpeg_of_several_pictures_shows_its_first() -> None:
    first, second = (Image.new("RGB", (16, 12), colour) for colour in ("red", "blue"))
    ref = encoded(first, "MPO", save_all=True, append_images=[second])
    red, green, blue = open_image(ref).getpixel((3, 3))
    assert red > 240 and green < 10 and blue < 10
    assert not is_animated(ref)


def test_is_animated() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    assert is_animated(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert not is_animated(encoded(frames[0], "GIF"))
    with pytest.raises(ImageError, match="is an EPS"):
        is_animated(encoded(frames[0], "EPS"))


@pytest.mark.parametrize("error", [RuntimeError("odd"), AssertionError(), RecursionError("deep"), AttributeError("x")])
def test_any_exception_of_a_decoder_is_an_unreadable_image(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise error

    ref = encoded(Image.new("RGB", (4, 4)))
    monkeypatch.setattr(Image.Image, "convert", fails)
    with pytest.raises(ImageError, match=f"image data is damaged .{str(error) or type(error).__name__}"):
        open_image(ref)


def test_lack_of_memory_is_no_fault_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    ref = encoded(Image.new("RGB", (4, 4)))
    monkeypatch.setattr(Image.Image, "convert", fails)
    with pytest.raises(MemoryError):
        open_image(ref)


# --- what is opened at all ---


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    import os
    import socket

    os.mkfifo(tmp_path / "pipe.png")
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / "socket.png"))
    (tmp_path / "folder.png").mkdir()
    for name, said in (("pipe.png", "is a named pipe, not a file"), ("socket.png", "is a socket, not a file"),
                       ("folder.png", "is a folder")):
        with pytest.raises(ImageError, match=f"{name}: {said}$"):
            open_image(ImageRef(path=tmp_path / name))
    with pytest.raises(ImageError, match="zero: is a device, not a file"):
        open_image(ImageRef(path=Path("/dev/zero")))
    bound.close()


def test_links_to_nothing_and_impossible_names_are_missing(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to("gone.png")
    for name in ("link.png", "nul\0l.png", "half \ud800 pair.png", "C:\\data\\a.png"):
        with pytest.raises(ImageError, match="image file is missing") as told:
            open_image(ImageRef(path=tmp_path / name))
        str(told.value).encode("utf-8")
    assert str(told.value).endswith("backslashes do not separate folders here: write /")
    with pytest.raises(ImageError, match=r"cannot be read \(File name too long\)"):
        open_image(ImageRef(path=tmp_path / ("x" * 300)))


def test_a_huge_file_is_not_read_into_memory(tmp_path: Path) -> None:
    with open(tmp_path / "a.png", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ImageError, match="image file has 1099511627776 bytes, more than"):
        open_image(ImageRef(path=tmp_path / "a.png"))


def test_names_that_are_no_utf8_are_escaped(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as told:
        open_image(ImageRef(path=tmp_path / "b\udcb0\udcd7.jpg"))
    assert r"b\xb0\xd7.jpg" in told.value.where
