"""Broken and hostile images of all formats, made from a seed: what is cut, changed, disguised, or much too large.

`hostile_images()` names them all; each is written into a folder when it is asked for, so none is kept in memory.
"""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, features

SEED = 20
Change = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class HostileImage:
    """One input; `refused` = it must never become an image."""

    name: str
    make: Callable[[Path], None]
    """writes it to a path that does not exist"""
    refused: bool = False


def hostile_images() -> list[HostileImage]:
    """All of them, always the same, in the same order."""
    return [*_changed(), *_disguised(), *_claims(), *_descriptions(), *_polyglots(), *_no_files()]


# --- sound images, and what is done to their bytes ---


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sound_images() -> dict[str, bytes]:
    """One of every format and of every variant that is decoded by other code."""
    noise = Image.fromarray(np.random.default_rng(SEED).integers(0, 255, (24, 20, 3), dtype=np.uint8))
    grey, palette = noise.convert("L"), noise.convert("P")
    deep = Image.fromarray(np.random.default_rng(SEED).integers(0, 65535, (24, 20), dtype=np.uint16))
    frames = [Image.new("RGB", (20, 24), colour) for colour in ("red", "green", "blue")]
    more = {"save_all": True, "append_images": frames[1:]}
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {
        "jpeg": _saved(noise, "JPEG", exif=exif), "progressive": _saved(noise, "JPEG", progressive=True),
        "cmyk": _saved(noise.convert("CMYK"), "JPEG"), "mpo": _saved(frames[0], "MPO", **more),
        "png": _saved(noise, "PNG", exif=exif), "png16": _saved(deep, "PNG"),
        "pngp": _saved(palette, "PNG", transparency=0), "apng": _saved(frames[0], "PNG", **more),
        "gif": _saved(palette, "GIF"), "gifs": _saved(frames[0], "GIF", **more),
        "webp": _saved(noise, "WEBP", exif=exif), "lossless": _saved(noise.convert("RGBA"), "WEBP", lossless=True),
        "webps": _saved(frames[0], "WEBP", **more), "bmp": _saved(noise, "BMP"), "bmpp": _saved(palette, "BMP"),
        "tiff": _saved(noise, "TIFF"), "lzw": _saved(noise, "TIFF", compression="tiff_lzw"),
        "tiffjpeg": _saved(noise, "TIFF", compression="jpeg"), "fax": _saved(grey.convert("1"), "TIFF",
                                                                            compression="group4"),
    }
    if features.check("avif"):
        found["avif"] = _saved(noise, "AVIF")
    return found


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(1, len(content))]


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 3, 20))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _head_flipped(content: bytes, chance: random.Random) -> bytes:
    return _flipped(content[:64], chance) + content[64:]


def _filled(content: bytes, chance: random.Random) -> bytes:
    start, length = chance.randrange(len(content)), chance.randrange(1, 40)
    return content[:start] + bytes([chance.choice((0, 255))]) * length + content[start + length :]


def _doubled(content: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.sample(range(len(content)), 2))
    return content[:end] + content[start:end] + content[end:]


def _without_middle(content: bytes, chance: random.Random) -> bytes:
    start, end = sorted(chance.sample(range(len(content)), 2))
    return content[:start] + content[end:]


def _large_number(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(max(1, min(len(content) - 4, 200)))
    number = chance.choice(("ffffffff", "7fffffff", "ffffff7f", "00000000", "ffff0000"))
    return content[:start] + bytes.fromhex(number) + content[start + 4 :]


CHANGES: tuple[tuple[Change, int], ...] = (
    (_cut, 3), (_flipped, 4), (_head_flipped, 4), (_filled, 3), (_doubled, 2), (_without_middle, 2), (_large_number, 4),
)
"""what is done to each sound image, and how often"""


def _bytes(name: str, content: bytes, *, refused: bool = False) -> HostileImage:
    return HostileImage(name, lambda path: path.write_bytes(content) and None, refused)


def _changed() -> Iterator[HostileImage]:
    for kind, content in sound_images().items():
        for change, times in CHANGES:
            for number in range(times):
                chance = random.Random(f"{SEED} {kind} {change.__name__} {number}")
                yield _bytes(f"{kind}{change.__name__}_{number}", change(content, chance))


# --- formats that are not read, under the name of one that is ---

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(started) (w) file closefile showpage\n%%EOF\n"
STARTS = {
    "psd": b"8BPS\0\1" + b"\0" * 6 + struct.pack(">HIIHH", 3, 9, 9, 8, 3), "xcf": b"gimp xcf v011\0",
    "heic": struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic", "jxl": b"\xff\x0a" + b"\0" * 9,
    "mp4": struct.pack(">I", 24) + b"ftypisom\0\0\0\0isommp42", "zip": b"PK\3\4" + b"\0" * 30, "gzip": b"\x1f\x8b\x08",
    "eps": POSTSCRIPT, "ps": POSTSCRIPT[:11] + b"\n" + POSTSCRIPT, "wmf": b"\xd7\xcd\xc6\x9a" + b"\0" * 90,
    "emf": b"\1\0\0\0" + b"\0" * 36 + b" EMF" + b"\0" * 90, "fits": b"SIMPLE  =" + b" " * 2880,
    "hdf": b"\x89HDF\r\n\x1a\n",
    "grib": b"GRIB\0\0\0\1", "mpeg": b"\0\0\1\xb3\1\0\x10", "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "html": b"<!DOCTYPE html><html><img src=x>", "pdf": b"%PDF-1.7\n", "xpm": b"/* XPM */\nstatic char *x[] = {};",
    "xbm": b"#define im_width 9\n#define im_height 9\nstatic char im_bits[] = {0};",
    "fpx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "elf": b"\x7fELF\2\1\1", "pickle": b"\x80\4\x95\n\0\0\0\0\0\0\0", "empty": b"", "one": b"\xff",
    "bom": b"\xef\xbb\xbf",
    "lfs": b"version https://git-lfs.github.com/spec/v1\n", "mat": b"MATLAB 5.0", "dicom": b"\0" * 128 + b"DICM",
    "iptc": b"\x1c\2\0\0\2\0\1", "qoi": b"qoif\0\0\0\x09\0\0\0\x09\3\0", "flif": b"FLIF",
}
SAVED = ("EPS", "ICO", "ICNS", "PCX", "PPM", "TGA", "SGI", "DDS", "JPEG2000", "IM", "SPIDER", "PDF", "QOI", "MSP")


def _disguised() -> Iterator[HostileImage]:
    for name, content in STARTS.items():
        yield _bytes(f"disguised_{name}", content, refused=True)
        yield _bytes(f"disguised_long_{name}", content + b"\0" * 4096, refused=True)
    image = Image.new("RGB", (32, 32), "red")
    for kind in SAVED:
        mode = {"SPIDER": "F", "MSP": "1"}.get(kind, "RGB")
        yield _bytes(f"disguised_saved_{kind.lower()}", _saved(image.convert(mode), kind), refused=True)


# --- headers that claim too much ---


def chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, pixels: bytes = b"") -> bytes:
    """A PNG of any claims."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def tiff(*entries: tuple[int, int, int, int], order: str = "<", following: int = 0, rest: bytes = b"") -> bytes:
    """A TIFF of one directory: (tag, type, count, value) each."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return head + struct.pack(order + "H", len(entries)) + body + struct.pack(order + "I", following) + rest


def bmp(width: int, height: int, bits: int = 24, compression: int = 0, colours: int = 0) -> bytes:
    """A BMP of any claims and 64 bytes of pixels."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 64, 0, 0, 54) + info + b"\0" * 64


def _claims() -> Iterator[HostileImage]:
    bomb = zlib.compress(b"\0" * 30_000_000, 9)
    for number, (width, height) in enumerate(((60_000, 60_000), (1 << 31, 1 << 31), (0, 0), (1, 1 << 30), (65_535, 1))):
        yield _bytes(f"claims_png_{number}", png(width, height, pixels=bomb), refused=height != 1)
    for depth, colour in ((3, 2), (16, 3), (8, 7), (255, 255)):
        yield _bytes(f"claims_png_depth_{depth}_{colour}", png(4, 4, depth=depth, colour=colour), refused=True)
    yield _bytes("claims_png_bomb_behind_small", png(4, 4, pixels=bomb))
    yield _bytes("claims_png_chunk", png(4, 4)[:33] + b"\xff\xff\xff\xffIDAT", refused=True)
    for width, height in ((1 << 30, 1 << 30), (-4, 4), (4, -(1 << 31)), (0, 4), (60_000, 60_000)):
        yield _bytes(f"claims_bmp_{width}_{height}", bmp(width, height), refused=True)
    for bits, compression, colours in ((1, 0, 1 << 30), (8, 1, 256), (4, 2, 16), (32, 3, 0), (255, 0, 0), (8, 9, 0)):
        yield _bytes(f"claims_bmp_bits_{bits}_{compression}", bmp(4, 4, bits, compression, colours))
    frame_of_gif = b",\0\0\0\0\xff\xff\xff\xff\0\x08\1\0\0;"
    yield _bytes("claims_gif", b"GIF89a\xff\xff\xff\xff\xf7\0\0" + b"\0" * 768 + frame_of_gif, refused=True)
    yield _bytes("claims_gif_frame_outside", b"GIF89a\4\0\4\0\0\0\0,\xff\xff\xff\xff\xff\xff\xff\xff\0\2\1\0\0;")
    yield _bytes("claims_webp", b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\2\0\0\0\xff\xff\xff\xff\xff\xff", refused=True)
    yield _bytes("claims_webp_lossless", b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\xff" + b"\0" * 9,
                 refused=True)
    jpeg = sound_images()["jpeg"]
    frame = jpeg.index(b"\xff\xc0")
    for width, height in ((65_500, 65_500), (0, 0), (1, 65_535)):
        sized = jpeg[: frame + 5] + struct.pack(">HH", height, width) + jpeg[frame + 9 :]
        yield _bytes(f"claims_jpeg_{width}_{height}", sized, refused=width != 1)
    size = ((256, 4, 1, 9), (257, 4, 1, 9))
    plain = (*size, (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, 9), (279, 4, 1, 81))
    huge = ((256, 4, 1, 1 << 31), (257, 4, 1, 1 << 31))
    for number, content in enumerate((
        tiff(*huge), tiff(*size, following=8), tiff(*plain, (330, 4, 1 << 28, 8)), tiff(*size, (273, 4, 1 << 30, 8)),
        tiff(*plain[:4], (322, 4, 1, 1 << 30), (323, 4, 1, 1 << 30), (324, 4, 1, 8), (325, 4, 1, 9)),
        tiff(*plain, (277, 3, 1, 65_535)), tiff(*plain, order=">"), tiff(*plain, (34665, 4, 1, 8)), tiff(),
        tiff(*plain, (700, 7, 1 << 31, 8)), tiff(*plain, (34675, 7, 1 << 31, 8)), tiff(*[(65_000, 2, 9, 8)] * 4000),
        tiff(*size, (259, 3, 1, 7), *plain[4:], rest=b"\xff\xd8\xff"), b"II+\0\x08\0\0\0" + b"\xff" * 40,
        b"II*\0\xff\xff\xff\xff",
    )):
        yield _bytes(f"claims_tiff_{number}", content)


# --- descriptions that are larger than the image ---


def _descriptions() -> Iterator[HostileImage]:
    much = b"x" * (8 << 20)
    packed = zlib.compress(b"\0" * (64 << 20), 9)
    plain = sound_images()["png"]
    for name, content in {
        "ztxt": chunk(b"zTXt", b"a\0\0" + packed), "itxt": chunk(b"iTXt", b"a\0\1\0\0\0" + packed),
        "iccp": chunk(b"iCCP", b"a\0\0" + packed), "text": chunk(b"tEXt", b"a\0" + much),
        "exif": chunk(b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 999), "many": chunk(b"tEXt", b"a\0b") * 20_000,
        "raw": chunk(b"zTXt", b"Raw profile type exif\0\0" + packed),
        "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + much), "trns": chunk(b"tRNS", much),
        "plte": chunk(b"PLTE", b"\0" * 3000), "frames": chunk(b"acTL", b"\xff" * 8), "unknown": chunk(b"abCd", much),
    }.items():
        yield _bytes(f"describes_png_{name}", plain[:33] + content + plain[33:])
    jpeg = sound_images()["jpeg"]
    for code in (0xE1, 0xE2, 0xED, 0xEE, 0xFE):
        name = b"Exif\0\0" if code == 0xE1 else b"MPF\0II"
        segment = struct.pack(">BBH", 0xFF, code, 65_002) + name + b"\xff" * 64_994
        yield _bytes(f"describes_jpeg_{code:x}", jpeg[:2] + segment * 60 + jpeg[2:])
    loop = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)
    yield _bytes("describes_jpeg_exif_loop", jpeg[:2] + struct.pack(">BBH", 255, 0xE1, len(loop) + 2) + loop + jpeg[2:])
    gif = sound_images()["gifs"]
    yield _bytes("describes_gif_comments", gif[:-1] + b"!\xfe\xff" + b"c" * 255 + b"\0" + b";")
    frames = b"!\xf9\4\4\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0" * 20_000
    yield _bytes("describes_gif_frames", gif[:-1] + frames + b";")


# --- one file, two formats ---


def _polyglots() -> Iterator[HostileImage]:
    sound = sound_images()
    heads = {"php": b"<?php system($_GET[0]); ?>", "html": b"<html><script>alert(1)</script>",
             "zip": b"PK\5\6" + b"\0" * 18, "pdf": b"%PDF-1.4\n%%EOF", "eps": POSTSCRIPT, "tail": b"\0" * 70_000}
    for kind in ("jpeg", "png", "gif", "bmp", "webp"):
        for name, other in heads.items():
            yield _bytes(f"polyglot_{kind}_{name}", sound[kind] + other)
        yield _bytes(f"polyglot_eps_{kind}", POSTSCRIPT + sound[kind], refused=True)
    yield _bytes("polyglot_jpeg_png", sound["jpeg"] + sound["png"])
    yield _bytes("polyglot_png_start", b"\x89PNG\r\n\x1a\n" + sound["jpeg"], refused=True)
    yield _bytes("polyglot_gif_start", b"GIF89a" + sound["png"])


# --- what lies where a file should be ---


def _socket(path: Path) -> None:
    place = os.getcwd()
    os.chdir(path.parent)  # the name of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(place)


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 42)


def _no_files() -> Iterator[HostileImage]:
    kinds: dict[str, Callable[[Path], None]] = {
        "pipe": lambda path: os.mkfifo(path), "socket": _socket, "folder": lambda path: path.mkdir(),
        "absent": lambda path: None, "sparse": _sparse, "itself": lambda path: path.symlink_to(path),
    }
    links = {"gone": "nothing.png", "zero": "/dev/zero", "null": "/dev/null", "random": "/dev/urandom",
             "tty": "/dev/tty", "stdin": "/dev/stdin", "mem": "/proc/self/mem", "maps": "/proc/self/maps", "root": "/"}
    for name, make in kinds.items():
        yield HostileImage(f"no_file_{name}", make, refused=True)
    for name, target in links.items():
        yield HostileImage(f"no_file_link_{name}", lambda path, target=target: path.symlink_to(target), refused=True)
