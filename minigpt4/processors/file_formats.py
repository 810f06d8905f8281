"""Which file formats are images here, and what to call the bytes of all others.

Pillow knows more than forty formats. Some start other programs (EPS: Ghostscript), most are rarely attacked and rarely
mended; so only those of this list are ever handed to it, whatever a file's name says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image

READ_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Pillow's names; JPEG includes the several pictures in one file that phones write (MPO)"""

READ_ENDINGS = frozenset("jpg jpeg jpe jfif mpo png webp bmp gif tif tiff avif".split())
"""under which names these formats lie; the content decides what a file is"""

UNREAD_ENDINGS = frozenset("heic heif hif jp2 j2k jxl psd eps ico icns tga pcx dds svg ppm pgm pbm pnm xcf qoi sgi xbm "
                           "xpm dng cr2 cr3 nef arw orf rw2 raf".split())
"""of images that are not read here: they are named and counted, never left out in silence"""

SAVE_AS = "save it as PNG or JPEG"
_SAVE_HEIC = "save it as JPEG (phones: choose the most compatible format in the settings of the camera)"

_AVIF_FIX = "save it as PNG or JPEG, or install Pillow 11.3 or newer"

_START = 64
"""bytes that tell a format"""


@dataclass(frozen=True)
class UnreadFormat:
    """An image format (or a video) that is not read: what a sentence calls it, and what to do."""

    name: str
    fix: str = SAVE_AS


_BY_START: Sequence[tuple[bytes, str]] = (
    (b"%!PS", "an EPS"), (b"\xc5\xd0\xd3\xc6", "an EPS"), (b"8BPS", "a PSD"), (b"gimp xcf", "an XCF"),
    (b"\0\0\1\0", "an ICO"), (b"\0\0\2\0\1\0", "a CUR"), (b"icns", "an ICNS"), (b"DDS ", "a DDS"), (b"qoif", "a QOI"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000"), (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL"), (b"\xff\x0a", "a JPEG XL"), (b"BLP1", "a BLP"), (b"BLP2", "a BLP"),
    (b"SIMPLE  =", "a FITS"), (b"\x89HDF\r\n\x1a\n", "an HDF5"), (b"GRIB", "a GRIB"), (b"BUFR", "a BUFR"),
    (b"/* XPM */", "an XPM"), (b"\xd7\xcd\xc6\x9a", "a WMF"), (b"\x01\xda\0", "an SGI"), (b"\x01\xda\1", "an SGI"),
    (b"\x59\xa6\x6a\x95", "a Sun raster"), (b"\x0a\0\1", "a PCX"), (b"\x0a\2\1", "a PCX"), (b"\x0a\3\1", "a PCX"),
    (b"\x0a\5\1", "a PCX"), (b"\x3a\xde\x68\xb1", "a DCX"), (b"FUJIFILMCCD-RAW", "a RAW photograph"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office or FlashPix"), (b"P7 332", "an XV thumbnail"),
    (b"\0\0\1\xb3", "an MPEG"), (b"\0\0\1\xba", "an MPEG"), (b"\x1a\x45\xdf\xa3", "a Matroska or WebM"),
    (b"PK\3\4", "a ZIP"), (b"\x1f\x8b", "a gzip"), (b"FTEX", "an FTEX"), (b"\x80\xe8\0\0", "a PIXAR"),
)
"""how a file starts -> what it is, with its article"""

_HEIC_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif"))
_AVIF_BRANDS = frozenset((b"avif", b"avis"))


@cache
def open_formats() -> tuple[str, ...]:
    """Those of `READ_FORMATS` that this Pillow can read; the argument `formats` of `Image.open`."""
    Image.init()
    return tuple(name for name in READ_FORMATS if name in Image.OPEN)


def unread_format(encoded: bytes) -> UnreadFormat | None:
    """The format of bytes that are an image, a video or an archive, but none that is read; None for anything else."""
    start = encoded[:_START]
    if start[4:8] == b"ftyp":
        return _of_brands({start[8:12], *(start[place : place + 4] for place in range(16, _START, 4))})
    if start[:4] == b"RIFF" and start[8:12] != b"WEBP":
        return UnreadFormat("an AVI or WAV")
    if start[:1] == b"P" and start[1:2] in b"1234567" and start[2:3].isspace():
        return UnreadFormat("a PPM")
    if encoded.endswith(b"TRUEVISION-XFILE.\0"):
        return UnreadFormat("a TGA")
    if start[40:44] == b" EMF":
        return UnreadFormat("an EMF")
    return next((UnreadFormat(name) for magic, name in _BY_START if start.startswith(magic)), None)


def _of_brands(brands: set[bytes]) -> UnreadFormat | None:
    """Of a file in boxes, as HEIC, AVIF and videos are."""
    if brands & _AVIF_BRANDS:
        return None if "AVIF" in open_formats() else UnreadFormat("an AVIF", _AVIF_FIX)
    if brands & _HEIC_BRANDS:
        return UnreadFormat("a HEIC", _SAVE_HEIC)
    return UnreadFormat("a RAW photograph" if b"crx " in brands else "an MP4 or MOV")


def kind_of_bytes(encoded: bytes) -> str:
    """A word for bytes that are not an image: downloads often save an error page under an image's name."""
    start = encoded[:1024].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start:
        return "HTML text"
    if start.startswith((b"<?xml", b"<svg")):
        return "SVG or XML text"
    if start.startswith(b"%pdf"):
        return "PDF"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; fetch the file itself with: git lfs pull"
    try:
        encoded[:1024].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.end < len(encoded[:1024]) or error.reason != "unexpected end of data":
            return f"unknown bytes {encoded[:4].hex(' ')} …"
    return "text"
