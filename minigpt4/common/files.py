"""Files that are whole or absent, and their digests.

Only regular files are opened for reading: opening a named pipe waits for a writer, perhaps for ever.

Everything is written beside its final place and moved there at the end, so that a kill or a full disk leaves the old
file or none, never half of one.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import psutil

from minigpt4.common.errors import UserError, printable

_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "is a folder"), (stat.S_ISFIFO, errno.EINVAL, "is a named pipe, not a file"),
    (stat.S_ISSOCK, errno.EINVAL, "is a socket, not a file"), (stat.S_ISCHR, errno.EINVAL, "is a device, not a file"),
    (stat.S_ISBLK, errno.EINVAL, "is a device, not a file"),
)


_LINE_ENDS = re.compile("[\t\n\u2028\u2029]")
"""fine in a sentence, odd in a name"""


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading bytes.

    Raises:
        OSError: as `open` does, and for a folder, named pipe, socket or device; `strerror` says which.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a null character, or half a surrogate pair
        raise FileNotFoundError(errno.ENOENT, "no file can have this name", str(path)) from error
    for is_kind, number, said in _KINDS:
        if is_kind(mode):
            raise OSError(number, said, str(path))
    return open(path, "rb")


def is_regular(path: str | Path) -> bool:
    """True for a regular file; False for anything else, also for a name that no file can have."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def shown(path: str | Path) -> str:
    """A path as text to be printed and written as UTF-8; what is no UTF-8, and what steers a terminal, escaped."""
    try:
        text = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair, which no file name holds
        text = str(path).encode("utf-8", "backslashreplace").decode("utf-8")
    return _LINE_ENDS.sub(lambda found: ascii(found[0])[1:-1], printable(text))


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it becomes `path` when the block ends well, else it is removed.

    Raises `UserError` (code `file.write`) where the disk is full or the folder is not writable.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_prefix(path), suffix=PART, dir=path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        _flush_to_disk(part)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_file` for a folder of files; an existing folder at `path` is replaced at the end."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clear_litter(path.parent, path.name)
        part = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=PART, dir=path.parent))
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield part
        for file in part.rglob("*"):
            if file.is_file():
                _flush_to_disk(file)
        os.chmod(part, 0o755)
        _replace_folder(part, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


PART, OLD = ".part", ".old"
"""endings of what is being written, and of what is being replaced"""
_LITTER = re.compile(r"\.(?P<name>.+)\.(?P<host>[^.]+)-(?P<pid>\d+)-[^.]*(?:\.part|\.old)$")


def clear_litter(folder: Path, name: str | None = None) -> None:
    """Remove what writers that were killed left beside their targets, and put back what one was about to replace.

    Args:
        folder: where to look.
        name: only of this target, and only if its writer was a process of this machine that is gone; None = everything:
            the caller knows that nobody writes there.
    """
    for litter in sorted(folder.glob(f".{glob.escape(name)}.*" if name else ".*")):
        found = _LITTER.fullmatch(litter.name)
        if found is None or name not in (None, found["name"]):
            continue
        if name is not None and (found["host"] != _host() or psutil.pid_exists(int(found["pid"]))):
            continue
        kept = litter / found["name"]
        if litter.name.endswith(OLD) and kept.exists() and not (folder / found["name"]).exists():
            os.replace(kept, folder / found["name"])
        shutil.rmtree(litter) if litter.is_dir() else litter.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.name}.{_host()}-{os.getpid()}-"


def _host() -> str:
    return socket.gethostname().partition(".")[0][:40] or "host"


def refuse_taken(target: Path) -> None:
    """Raise `UserError` if a folder is to be written and something is already there; an empty one is accepted."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError("weights.target_taken", where=str(target), what="already exists and is not empty",
                        fix="choose a new folder, or check this one: minigpt4 weights verify")


ReadBytes = Callable[[Path], bytes]
"""gives the content of a file: `Path.read_bytes`, or a reader that caches it"""


def write_json(path: Path, value: object) -> None:
    """Write readable JSON atomically."""
    with atomic_file(path) as part:
        part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _replace_folder(part: Path, path: Path) -> None:
    if not path.exists():
        os.replace(part, path)
        return
    old = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=OLD, dir=path.parent))
    os.replace(path, old / path.name)
    os.replace(part, path)
    shutil.rmtree(old, ignore_errors=True)


def _flush_to_disk(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(
        "file.write", where=str(path), what=f"cannot be written ({error.strerror or error})",
        fix="free space or choose another folder; what was there before is untouched",
    )
