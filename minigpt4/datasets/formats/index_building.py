"""Make the index of local shards, once: by several processes, resumable, kept where every later start finds it.

It is kept in `build_info.index`; else beside the shards, or, where they are read-only, in the user's cache folder.
Whoever comes first makes it under a lock, other ranks and runs wait for it. Small data sets are read at every start,
which takes less time than a lock.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from minigpt4.common.errors import UserError
from minigpt4.common.files import shown, write_json
from minigpt4.datasets.formats.shard_index import (
    FACTS,
    KEYS,
    NOTES,
    ROWS,
    SHARD,
    SHARDS,
    VERSION,
    ShardIndex,
    counted,
    fingerprint_of,
    in_memory,
    mapped,
)
from minigpt4.datasets.formats.tar_samples import ROW, ShardSamples, samples_of, shard_name

log = logging.getLogger(__name__)

KEPT_FROM = 256 << 20
"""bytes of all shards; the headers of fewer are read in less than a second"""
BESIDE = ".minigpt4_index"
"""folder beside the shards; it may be deleted at any time"""
AHEAD = 4
"""shards a process that may be read before their turn to be written"""
TOLD_EVERY = 10.0
"""seconds between lines of progress"""


def index_shards(shards: Sequence[Path], keep_in: Path | None = None) -> ShardIndex:
    """The index of these shards.

    Args:
        shards: paths of plain tars.
        keep_in: folder where the index is kept and found again as long as no shard's size or date changes; None = as
            the module says.

    Raises:
        UserError: a shard that is absent or compressed. A truncated one is reported in `damaged`; its complete samples
        are used.
    """
    states = _states(shards)
    folder = _place_of(shards, keep_in, int(states["size"].sum()))
    if folder is None:
        index = in_memory(shards, [_told(path, samples_of(path)) for path in shards])
    else:
        index = _found(shards, states, folder) or _made(shards, states, folder)
    if index.left_out:
        log.warning("%s: members left out, as they belong to no sample: %s", shard_name(shards[0]),
                    counted(index.left_out))
    return index


def _states(shards: Sequence[Path]) -> np.ndarray:
    """[N] of `SHARD`: the files as they are now. Raises `UserError` where one cannot be looked at."""
    states = np.zeros(len(shards), SHARD)
    for number, path in enumerate(shards):
        try:
            facts = os.stat(path)
        except OSError as error:
            raise UserError("data.shard", where=str(path), what=f"cannot be read ({error.strerror})",
                            fix="see docs/data.md#shards") from error
        states[number]["size"], states[number]["changed"] = facts.st_size, facts.st_mtime_ns
    return states


def _place_of(shards: Sequence[Path], keep_in: Path | None, size: int) -> Path | None:
    """The folder of the index of these shards; None where it is not kept."""
    if keep_in is None and size < KEPT_FROM:
        return None
    digest = hashlib.sha256("\0".join(os.path.abspath(path) for path in shards).encode("utf-8", "surrogateescape"))
    name = f"{digest.hexdigest()[:16]}.v{VERSION}"
    if keep_in is not None:
        return keep_in / name
    beside = shards[0].parent
    own = beside / BESIDE
    if _is_writable(own if own.exists() else beside):
        return own / name
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "minigpt4" / "index" / name


def _is_writable(folder: Path) -> bool:
    """Whether something may be written there; a folder without any write bit is left alone by root, too."""
    return bool(folder.stat().st_mode & 0o222) and os.access(folder, os.W_OK)


def _found(shards: Sequence[Path], states: np.ndarray, folder: Path) -> ShardIndex | None:
    """The kept index if it is whole and no shard has changed since."""
    if not (folder / FACTS).exists():
        return None
    try:
        table = np.fromfile(folder / SHARDS, SHARD)
        same = len(table) == len(states) and all((table[field] == states[field]).all() for field in ("size", "changed"))
        return mapped(shards, folder) if same else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: the kept index is damaged (%s) and made anew", shown(folder), error)
        return None


def _made(shards: Sequence[Path], states: np.ndarray, folder: Path) -> ShardIndex:
    """Make the index, or wait until another process has made it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("%s: another process reads these shards, waiting for it", shard_name(shards[0]))
            lock.acquire()
        try:
            return _found(shards, states, folder) or _Building(shards, states, folder).finished()
        finally:
            lock.release()
    except OSError as error:
        raise UserError("file.write", where=shown(folder), what=f"cannot be written ({error.strerror or error})",
                        fix="free space, or name another folder as build_info.index") from error


@dataclass(frozen=True)
class _Building:
    """An index on its way, in a folder beside its final place: files that only grow, a record of `SHARDS` last."""

    shards: Sequence[Path]
    states: np.ndarray
    target: Path

    @property
    def folder(self) -> Path:
        return self.target.with_name(f"{self.target.name}.building")

    def finished(self) -> ShardIndex:
        """Read what is not read yet, and move the whole to its place."""
        self.folder.mkdir(exist_ok=True)
        done = self._resumed()
        if done:
            log.info("%s: %d of %d shards were read before", shard_name(self.shards[0]), done, len(self.shards))
        begun = told = time.monotonic()
        for number, samples in enumerate(_read(self.shards[done:]), start=done):
            self._append(number, samples)
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                left = (told - begun) / (number + 1 - done) * (len(self.shards) - number - 1)
                log.info("%s: headers of %d of %d shards read, %d s left", shard_name(self.shards[0]), number + 1,
                         len(self.shards), left)
        self._seal()
        return mapped(self.shards, self.target)

    def _append(self, number: int, samples: ShardSamples) -> None:
        record = self.states[number : number + 1].copy()
        rows = samples.rows.tobytes()
        record["samples"], record["key_bytes"] = len(samples.rows), len(samples.keys)
        record["crc"] = zlib.crc32(samples.keys, zlib.crc32(rows))
        if samples.damage or samples.left_out:
            note = {"shard": number, "left_out": {shown(end): count for end, count in samples.left_out.items()},
                    "damage": vars(samples.damage) if samples.damage else None}
            self._write(NOTES, (json.dumps(note) + "\n").encode())
        self._write(ROWS, rows)
        self._write(KEYS, samples.keys)
        self._write(SHARDS, record.tobytes())

    def _write(self, name: str, content: bytes) -> None:
        with open(self.folder / name, "ab") as file:
            file.write(content)

    def _resumed(self) -> int:
        """Shards that are read already; what a kill left behind them is cut off."""
        for name in (NOTES, ROWS, KEYS, SHARDS):
            (self.folder / name).touch()
        table = np.fromfile(self.folder / SHARDS, SHARD)[: len(self.shards)]
        done, rows_end, keys_end = 0, 0, 0
        with open(self.folder / ROWS, "rb") as rows, open(self.folder / KEYS, "rb") as keys:
            for record, state in zip(table, self.states, strict=False):
                row_bytes = int(record["samples"]) * ROW.itemsize
                crc = zlib.crc32(keys.read(int(record["key_bytes"])), zlib.crc32(rows.read(row_bytes)))
                if (record["size"], record["changed"], record["crc"]) != (state["size"], state["changed"], crc):
                    break
                done, rows_end, keys_end = done + 1, rows_end + row_bytes, keys_end + int(record["key_bytes"])
        for name, end in ((ROWS, rows_end), (KEYS, keys_end), (SHARDS, done * SHARD.itemsize)):
            os.truncate(self.folder / name, end)
        kept = [line for line in (self.folder / NOTES).read_text("utf-8").splitlines(True)
                if line.endswith("\n") and json.loads(line)["shard"] < done]
        (self.folder / NOTES).write_text("".join(kept), "utf-8")
        return done

    def _seal(self) -> None:
        table = np.fromfile(self.folder / SHARDS, SHARD)
        left_out: Counter[str] = Counter()
        damaged = []
        for line in (self.folder / NOTES).read_text("utf-8").splitlines():
            note = json.loads(line)
            left_out.update(note["left_out"])
            damaged += [note["damage"]] if note["damage"] else []
        digest = fingerprint_of(table["samples"], table["key_bytes"], self._rows, self._keys)
        if self.target.exists():
            _remove(self.target)
        write_json(self.folder / FACTS, {"version": VERSION, "fingerprint": digest, "damaged": damaged,
                                         "left_out": left_out})
        for name in (ROWS, KEYS, SHARDS):
            with open(self.folder / name, "rb") as file:
                os.fsync(file.fileno())
        os.replace(self.folder, self.target)

    def _rows(self, first: int, number: int) -> np.ndarray:
        return np.fromfile(self.folder / ROWS, ROW, number, offset=first * ROW.itemsize)

    def _keys(self, first: int, number: int) -> bytes:
        with open(self.folder / KEYS, "rb") as file:
            file.seek(first)
            return file.read(number)


def _remove(folder: Path) -> None:
    """An index whose shards have changed; processes that map its files keep them until they end."""
    for name in (FACTS, NOTES, ROWS, KEYS, SHARDS):  # facts first: without them it is no index
        (folder / name).unlink(missing_ok=True)
    folder.rmdir()


def _read(shards: Sequence[Path]) -> Iterator[ShardSamples]:
    """The samples of each shard in their order, read by as many processes as there are processors."""
    processes = min(_processors(), len(shards))
    if processes < 2 or multiprocessing.current_process().daemon:
        for path in shards:
            yield _told(path, samples_of(path))
        return
    pool = ProcessPoolExecutor(processes)
    waiting: deque[tuple[Path, Future[ShardSamples]]] = deque()
    try:
        for path in shards:
            waiting.append((path, pool.submit(samples_of, path)))
            if len(waiting) >= AHEAD * processes:
                path, first = waiting.popleft()
                yield _told(path, first.result())
        for path, each in waiting:
            yield _told(path, each.result())
    except BrokenProcessPool as error:
        what = f"a process that reads headers was killed ({error})"
        raise UserError("data.worker", where=shard_name(path), what=what,
                        fix="start again: what was read before is kept") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _told(path: Path, samples: ShardSamples) -> ShardSamples:
    if (damage := samples.damage) is not None:
        log.warning("%s: %s; its %d samples before that are used", damage.source, damage.reason, len(samples.rows))
    return samples
