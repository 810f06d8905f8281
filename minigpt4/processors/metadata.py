"""Encoded images without what only describes them, so that no description can stop the pixels.

Pillow refuses a PNG with a text or a colour profile of more than 1 MiB once unpacked, and a JPEG with a damaged index
of its further pictures, though the pixels of both are sound. What neither pixels nor the upright position hang on is
taken away before Pillow sees the file; a file that cannot be followed is handed on as it is, and judged by Pillow.
"""

from __future__ import annotations

import struct
import zlib

MAX_KEPT = 1 << 20
"""bytes of a text, unpacked, that is kept because it may say how the image is turned"""

_PNG = b"\x89PNG\r\n\x1a\n"
_PROFILE = b"iCCP"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_PNG_END = b"IEND"
_TURNING_TEXTS = (b"Raw profile type exif", b"XML:com.adobe.xmp")
"""texts in which Pillow looks for the orientation"""

_JPEG = b"\xff\xd8"
_START_OF_SCAN, _END_OF_IMAGE, _COMMENT = 0xDA, 0xD9, 0xFE
_PIXEL_SEGMENTS = frozenset((0xE0, 0xE1, 0xEE))
"""JFIF, EXIF or XMP, and Adobe's colour transform: with these the image looks as it does"""


def without_descriptions(encoded: bytes) -> bytes:
    """The same image without texts, comments and colour profiles; other formats than PNG and JPEG unchanged."""
    if encoded.startswith(_PNG):
        return _bare_png(encoded)
    return _bare_jpeg(encoded) if encoded.startswith(_JPEG) else encoded


def _bare_png(encoded: bytes) -> bytes:
    """Without chunks of text and colour profile, but with short texts that hold the orientation."""
    kept, start, kept_text = [], 0, 0
    place = len(_PNG)
    while place + 12 <= len(encoded):
        length, kind = struct.unpack_from(">I4s", encoded, place)
        end = place + 12 + length
        if end > len(encoded) or kind == _PNG_END:
            break
        text_size = _size_of_turning_text(kind, encoded[place + 8 : end - 4]) if kind in _TEXTS else None
        if kind == _PROFILE or (kind in _TEXTS and (text_size is None or kept_text + text_size > MAX_KEPT)):
            kept.append(encoded[start:place])
            start = end
        kept_text += text_size or 0
        place = end
    return b"".join([*kept, encoded[start:]]) if kept else encoded


def _size_of_turning_text(kind: bytes, content: bytes) -> int | None:
    """Bytes, unpacked, of a text that may hold the orientation; None for other, damaged and very long texts."""
    keyword, _, rest = content.partition(b"\0")
    if keyword not in _TURNING_TEXTS:
        return None
    packed = kind == b"zTXt" or (kind == b"iTXt" and rest[:1] == b"\1")
    if not packed:
        return len(content)
    body = rest[1:] if kind == b"zTXt" else rest[2:].split(b"\0", 2)[-1]
    unpacker = zlib.decompressobj()
    try:
        size = len(unpacker.decompress(body, MAX_KEPT))
    except zlib.error:
        return None
    return None if unpacker.unconsumed_tail else size


def _bare_jpeg(encoded: bytes) -> bytes:
    """Without comments and application segments that hold neither orientation nor colour transform."""
    kept, start, place = [], 0, len(_JPEG)
    while place + 4 <= len(encoded):
        mark, code = struct.unpack_from(">BB", encoded, place)
        if mark != 0xFF or code in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        if code == 0xFF or code in range(0xD0, 0xD9):  # filling, or a marker without a length
            place += 1 if code == 0xFF else 2
            continue
        end = place + 2 + struct.unpack_from(">H", encoded, place + 2)[0]
        if end > len(encoded):
            break
        if code == _COMMENT or (0xE0 <= code <= 0xEF and code not in _PIXEL_SEGMENTS):
            kept.append(encoded[start:place])
            start = end
        place = end
    return b"".join([*kept, encoded[start:]]) if kept else encoded
