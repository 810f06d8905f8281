"""The files of the visitors: in one private folder, each with one owner, bounded together, deleted after use.

An upload has no owner until a question comes with it. Until then it lies under a name that cannot be guessed, and is
deleted when none has come for a while.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.serve.limits import Limits

OWNED = "uploads"
"""the part of the private folder that holds files with one owner each"""
REMEMBERED = 100


class Uploads:
    """What visitors have sent.

    Args:
        folder: private to this page; removed by `close`.
        limits: bytes and number of files.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.limits = limits
        self._unasked: OrderedDict[str, float] = OrderedDict()
        self._same: OrderedDict[str, str] = OrderedDict()
        self._coming = 0
        self.make_way: Callable[[], bool] = lambda: False
        """gives back files of somebody who left; False where there are none"""
        self._lock = threading.Lock()

    @contextmanager
    def room_for(self, size: int) -> Iterator[None]:
        """Hold room for an upload of so many bytes while it comes; uploads nobody asked about make way, then those of
        visitors who left.

        Raises:
            UserError: it is too large, or the files of all visitors together are.
        """
        limits = self.limits
        if size > limits.file_bytes:
            raise UserError("page.large_file", where="upload",
                            what=f"has {size / 1e6:.0f} MB, more than {limits.file_bytes // 1_000_000}",
                            fix="make the image smaller first")
        with self._lock:
            while not self._fits(size) and self._unasked:
                self._delete(self._unasked.popitem(last=False)[0])
            while not self._fits(size) and self.make_way():
                pass
            if not self._fits(size):
                raise UserError("page.uploads_full", what="there is no room for more files of visitors now",
                                fix="try again in a few minutes")
            self._coming += size
        try:
            yield
        finally:
            with self._lock:
                self._coming -= size

    def adopt(self, path: str) -> str:
        """Give a file that gradio has stored by its content a place of its own; returns the new path."""
        source = Path(path)
        target = self.folder / OWNED / secrets.token_hex(16) / source.name
        target.parent.mkdir(parents=True)
        with self._lock:
            try:
                source.rename(target)
            except FileNotFoundError:  # the same content came twice at once, and the other one was given its place
                os.link(self._same[path], target)
            else:
                if not any(source.parent.iterdir()):
                    source.parent.rmdir()
            self._same[path] = str(target)
            while len(self._same) > REMEMBERED:
                self._same.popitem(last=False)
            self._unasked[str(target)] = time.monotonic()
        return str(target)

    def holds(self, path: str) -> bool:
        """True for a file inside the private folder."""
        return Path(os.path.abspath(path)).is_relative_to(self.folder)

    def claim(self, path: str) -> bool:
        """A question came with this file: from now on its visitor deletes it. False for what is nobody's to delete."""
        with self._lock:
            return self._unasked.pop(path, None) is not None

    def delete(self, paths: list[str]) -> None:
        """Delete files that were claimed."""
        for path in paths:
            self._delete(path)

    def sweep(self) -> None:
        """Delete what no question came for, and what is left of uploads that broke off."""
        oldest = time.monotonic() - self.limits.unasked_seconds
        with self._lock:
            while self._unasked and next(iter(self._unasked.values())) < oldest:
                self._delete(self._unasked.popitem(last=False)[0])
        age = time.time() - self.limits.unasked_seconds
        for entry in os.scandir(self.folder):
            if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < age:
                Path(entry.path).unlink(missing_ok=True)

    def usage(self) -> tuple[int, int]:
        """Bytes and number of all files that lie in the folder, halves of running uploads among them."""
        sizes = []
        for folder, _, names in os.walk(self.folder):
            for name in names:
                try:
                    sizes.append(os.lstat(os.path.join(folder, name)).st_size)
                except FileNotFoundError:  # deleted meanwhile
                    continue
        return sum(sizes), len(sizes)

    def _fits(self, size: int) -> bool:
        lying, number = self.usage()
        return lying + self._coming + size <= self.limits.upload_bytes and number < self.limits.upload_files

    def _delete(self, path: str) -> None:
        folder = Path(path).parent
        assert folder.parent == self.folder / OWNED, "only files with an owner are deleted one by one"
        shutil.rmtree(folder, ignore_errors=True)  # two visitors' ends may meet here
