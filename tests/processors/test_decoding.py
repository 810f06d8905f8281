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
from minigpt4.processors.decoding import ImageError, kind_of_bytes, open_image
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
