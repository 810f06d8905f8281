"""Broken and hostile data files, made from a seed: JSON, JSON lines, tars, captions, and what lies in their place.

Each is a folder that one data set is asked to read. `hostile_data()` names them all and writes none before it is asked.
"""

from __future__ import annotations

import io
import json
import os
import random
import struct
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.datasets.data_fakes import image_bytes
from tests.hostile.images import CHANGES

SEED = 20
FILES = {"image_jsonl": "captions.jsonl", "llava_instruct": "conversations.json", "cc_sbu_align": "filter_cap.json",
         "webdataset": "x.tar", "plain_text": "texts.jsonl"}
"""data set -> the file that it reads in its folder"""


@dataclass(frozen=True)
class HostileData:
    """A folder for one data set."""

    name: str
    builder: str
    make: Callable[[Path], None]
    """writes the file to a path that does not exist; images stand beside it already"""


def hostile_data() -> list[HostileData]:
    """All of them, always the same, in the same order."""
    return [*_changed_bytes(), *_changed_values(), *_texts(), *_tars(), *_no_files()]


def folder_with_images(folder: Path) -> None:
    """What every data set finds beside its file."""
    (folder / "image").mkdir(parents=True)
    for name in ("0.png", "1.png", "image/0.png", "image/1.png"):
        (folder / name).write_bytes(image_bytes())


def sound_files() -> dict[str, bytes]:
    """The file of each data set as it should be."""
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A rose."}]
    lines = [{"image": f"{number}.png", "caption": "A red rose. 一朵玫瑰"} for number in range(2)]
    lines.append({"image": "0.png", "conversations": turns, "id": 7})
    align = {"annotations": [{"image_id": str(number), "caption": "A red rose."} for number in range(2)]}
    return {
        "image_jsonl": "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode(),
        "llava_instruct": json.dumps([{"id": "a", "image": "0.png", "conversations": turns}] * 2, indent=1).encode(),
        "cc_sbu_align": json.dumps(align).encode(), "webdataset": sound_tar(),
        "plain_text": "\n".join(json.dumps({"text": text}) for text in ("A rose.", "Zwei Rosen.")).encode(),
    }


def sound_tar(format: int = tarfile.USTAR_FORMAT, names: tuple[str, ...] = ("0", "1", "2")) -> bytes:
    """A tar of pairs with a JSON and a text each."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name in names:
            members = {"png": image_bytes(), "json": b'{"caption": "A rose."}', "txt": b"A rose."}
            for ending, content in members.items():
                info = tarfile.TarInfo(f"{name}.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _written(name: str, builder: str, content: bytes) -> HostileData:
    return HostileData(f"{builder}_{name}", builder, lambda path: path.write_bytes(content) and None)


def _changed_bytes() -> Iterator[HostileData]:
    for builder, content in sound_files().items():
        for change, times in CHANGES:
            for number in range(times):
                chance = random.Random(f"{SEED} {builder} {change.__name__} {number}")
                yield _written(f"bytes{change.__name__}_{number}", builder, change(content, chance))


# --- values that nobody expects ---

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1e308, float("nan"), "", " ", [], {}, [[]], [None], {"a": {"b": []}}, "x" * 100_000, "\0",
    "\ud83d", "\ud83d\ude00", "‮txt", "<image>" * 50, "<ImageHere>", "<image>\n<ImageHere>", "</s><s>",
    "../../etc/passwd", "/dev/zero", "0.png\n", "https://example.org/0.png", "C:\\0.png", ["0.png"] * 999,
    {"url": "0.png"}, 10**400,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _places(child, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = _replaced(copied[path[0]], path[1:], new)
    return copied


def _renamed(value: Any, path: tuple[Any, ...]) -> Any:
    if len(path) > 1:
        return _replaced(value, path[:1], _renamed(value[path[0]], path[1:]))
    return {(f"{key}_\ud83d" if key == path[0] else key): each for key, each in value.items()}


def _changed_values() -> Iterator[HostileData]:
    for builder, content in sound_files().items():
        if builder == "webdataset":
            continue
        lines = FILES[builder].endswith("l")
        values = [json.loads(line) for line in content.splitlines()] if lines else json.loads(content)
        places = [place for place in _places(values) if place and (not lines or len(place) > 1)]
        for number in range(32):
            chance = random.Random(f"{SEED} {builder} value {number}")
            place = chance.choice(places)
            if number % 8 == 7 and isinstance(place[-1], str):
                changed = _renamed(values, place)
            else:
                changed = _replaced(values, place, chance.choice(VALUES))
            text = "\n".join(map(json.dumps, changed)) if lines else json.dumps(changed)
            yield _written(f"value_{number}", builder, text.encode())


# --- texts of every encoding and shape ---


def _texts() -> Iterator[HostileData]:
    for builder, content in sound_files().items():
        if builder == "webdataset":
            continue
        text = content.decode()
        shapes = {
            "utf16": text.encode("utf-16"), "utf16le": text.encode("utf-16-le"), "utf32": text.encode("utf-32"),
            "gbk": text.replace("rose", "玫瑰").encode("gbk"),
            "latin": text.replace("rose", "Röse").encode("latin-1", "replace"),
            "bom": b"\xef\xbb\xbf" + content, "boms": b"\xef\xbb\xbf" * 3 + content,
            "cr": content.replace(b"\n", b"\r"),
            "nul": content.replace(b"rose", b"\0"), "empty": b"", "blank": b" \n\t\r\n" * 99,
            "comma": content[:-1] + b",]",
            "list": b"[" + content.replace(b"\n", b",\n") + b"]", "twice": content + content,
            "deep": b"[" * 99_999,
            "deeper": b'{"a":' * 99_999 + b"1" + b"}" * 99_999, "digits": b"9" * 9_999, "quote": b'"' * 9_999,
            "escape": text.replace("rose", "\\ud83d").encode(), "bad": b"\xff\xfe\xfd" * 99,
            "gzip": b"\x1f\x8b\x08" + content,
            "single": text.replace('"', "'").encode(), "yaml": b"- image: 0.png\n  caption: x\n",
            "csv": b"image,caption\n",
            "long": b'{"text": "' + b"x" * (5 << 20) + b'"}', "comment": b"// texts\n" + content,
            "nan": b"NaN", "word": b"null",
        }
        for name, shape in shapes.items():
            yield _written(f"text_{name}", builder, shape)


# --- tars ---


def header(name: str = "0.png", size: bytes = b"00000000010\0", kind: bytes = b"0") -> bytes:
    """A tar header of any claims, with its checksum."""
    block = bytearray(512)
    block[: len(name.encode())] = name.encode()
    block[100:136] = b"0000644\0" + b"0000000\0" * 2 + size
    block[136:148] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257:265] = b"ustar\00000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _tars() -> Iterator[HostileData]:
    end, sound = b"\0" * 1024, sound_tar()
    sizes = {"below": b"\xff" * 10 + b"\xfc\0", "huge": b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7,
             "nines": b"77777777777\0",
             "minus": b"-0000001000\0", "text": b"not a size\0\0", "none": b"\0" * 12, "spaces": b" " * 12}
    for name, size in sizes.items():
        yield _written(f"size_{name}", "webdataset", header(size=size) + sound)
        yield _written(f"size_behind_{name}", "webdataset", sound[:-10_240].rstrip(b"\0") + header(size=size) + end)
    for kind in (b"L", b"K", b"x", b"g", b"S", b"1", b"2", b"3", b"5", b"6", b"7", b"\xff"):
        yield _written(f"kind_{kind.hex()}", "webdataset", header(kind=kind) + b"x" * 512 + sound)
    pax = {"endless": b"99999 path=" + b"a" * 400, "zero": b"0 path=a\n", "words": b"x path=a\n", "empty": b"",
           "size": b"20 size=99999999999\n", "bytes": b"11 path=\xff\xfe\n"}
    for name, content in pax.items():
        block = header("pax", b"%011o\0" % len(content), b"x") + content.ljust(512, b"\0")
        yield _written(f"pax_{name}", "webdataset", block + sound)
    half_pair = "\ud83d".encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    names = ("../../0", "/etc/0", "a" * 5000, half_pair, "", ".", "0.0", "a\\b", "c\nd", "‮", " ", "0", "con")
    for number, name in enumerate(names):
        for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            yield _written(f"name_{number}_{kind}", "webdataset", sound_tar(kind, (name, "ok", name)))
    yield _written("compressed", "webdataset", b"\x1f\x8b" + sound)
    yield _written("zip", "webdataset", b"PK\3\4" + sound)
    yield _written("zeros", "webdataset", b"\0" * 5120)
    yield _written("one_block", "webdataset", b"\0" * 512)
    yield _written("no_end", "webdataset", sound.rstrip(b"\0"))
    for number, (image, record, text) in enumerate((
        (b"", b"", b""), (image_bytes(), b"[]", b""), (image_bytes(), b'{"caption": 3}', b"\xff"),
        (b"x", b"{", b"A rose."),
        (image_bytes(), b"[" * 99_999, b"x"), (image_bytes(), b"9" * 9_999, b""),
        (image_bytes(), b'{"caption": "\\ud83d"}', b""),
        (image_bytes(), "{}".encode("utf-16"), "A rose".encode("utf-16")),
        (b"%!PS-Adobe", b"{}", b"A rose"),
    )):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for ending, content in (("png", image), ("json", record), ("txt", text)):
                info = tarfile.TarInfo(f"0.{ending}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        yield _written(f"content_{number}", "webdataset", buffer.getvalue())
    yield _written("random", "webdataset", random.Random(SEED).randbytes(9_999))
    yield _written("numbers", "webdataset", struct.pack("<128I", *range(128)) * 20)


# --- what lies where the file should be ---


def _no_files() -> Iterator[HostileData]:
    targets = {"gone": "nothing", "zero": "/dev/zero", "random": "/dev/urandom", "stdin": "/dev/stdin",
               "mem": "/proc/self/mem"}
    for builder in FILES:
        yield HostileData(f"{builder}_pipe", builder, lambda path: os.mkfifo(path))
        yield HostileData(f"{builder}_folder", builder, lambda path: path.mkdir())
        yield HostileData(f"{builder}_absent", builder, lambda path: None)
        yield HostileData(f"{builder}_itself", builder, lambda path: path.symlink_to(path))
        for name, target in targets.items():
            yield HostileData(f"{builder}_link_{name}", builder, lambda path, target=target: path.symlink_to(target))
