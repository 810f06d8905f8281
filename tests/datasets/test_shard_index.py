"""The index of shards: what it says, how it is kept, found, shared and resumed."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from minigpt4.common.errors import UserError
from minigpt4.datasets.formats import index_building, shard_index, tar_samples
from minigpt4.datasets.formats.index_building import index_shards
from minigpt4.datasets.formats.shard_index import ShardIndex
from minigpt4.datasets.formats.tar_samples import PARTS, ShardSamples
from minigpt4.datasets.formats.tar_walk import tar_members
from tests.datasets.data_fakes import pair, write_tar

NAMES = (
    ["0.jpg", "0.json", "0.txt", "1.png", "1.txt", "b/längst.jpg", "b/längst.txt", "2.txt", "3.heic", "3.txt",
     "a.v2.png", "a.v2.txt", "x.cls", "1.txt"],
    ["k.jpg", "k.json"],
    [],
)
"""members of three shards; member i has 300 * i bytes"""


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    (tmp_path / "set").mkdir()
    paths = [tmp_path / "set" / f"{number}.tar" for number in range(len(NAMES))]
    for path, names in zip(paths, NAMES, strict=True):
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            for number, name in enumerate(names):
                info = tarfile.TarInfo(name)
                info.size = number * 300
                tar.addfile(info, io.BytesIO(bytes(info.size)))
    return paths


def contents(index: ShardIndex) -> list[tuple[object, ...]]:
    return [(index.shard_of(number).name, index.key_of(number), *(index.range_of(number, part) for part in PARTS))
            for number in range(len(index))]


EXPECTED = [
    ("0.tar", "0", (512, 0), (1024, 300), (2048, 600)),
    ("0.tar", "1", (3584, 900), None, (5120, 1200)),
    ("0.tar", "b/längst", (8192, 1500), None, (11264, 1800)),
    ("0.tar", "2", None, None, (13824, 2100)),
    ("0.tar", "3", (16896, 2400), None, (19968, 2700)),
    ("0.tar", "a.v2", (23552, 3000), None, (27136, 3300)),
    ("0.tar", "1", None, None, (35840, 3900)),
    ("1.tar", "k", (512, 0), (1024, 300), None),
]


@pytest.mark.parametrize("kept", [False, True])
def test_what_an_index_says(tmp_path: Path, shards: list[Path], kept: bool) -> None:
    index = index_shards(shards, tmp_path / "kept" if kept else None)
    assert contents(index) == contents(pickle.loads(pickle.dumps(index))) == EXPECTED
    assert dict(index.left_out) == {"cls": 1} and index.damaged == () and isinstance(index.rows, np.memmap) == kept


@pytest.mark.parametrize("kept", [False, True])
def test_the_fingerprint_is_that_of_the_first_checkpoints(tmp_path: Path, shards: list[Path], kept: bool,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sums were taken from version 0.1.0's first index, which held every row at full width."""
    monkeypatch.setattr(shard_index, "_PIECE", 3)
    folder = tmp_path / "kept" if kept else None
    whole = index_shards(shards, folder).fingerprint()
    assert whole == "85d806c0238940127b58194f4f21feb4b73e791d8c7f425f36aae5991df7197c"
    rest = index_shards(shards[1:], folder).fingerprint()
    assert rest == "989a1d56c590f52fe926b7626c9b519f1c12fef4557b3daa3a7c72cd0951302c"


def test_large_sets_are_kept_beside_the_shards_and_only_looked_up(shards: list[Path], monkeypatch: pytest.MonkeyPatch
                                                                  ) -> None:
    assert index_shards(shards).kept is None
    monkeypatch.setattr(index_building, "KEPT_FROM", 1)
    made = index_shards(shards)
    assert made.kept is not None and made.kept.parent == shards[0].parent / ".minigpt4_index"
    monkeypatch.setattr(index_building, "samples_of", _not_again)
    assert contents(index_shards(shards)) == EXPECTED


def _not_again(path: Path) -> ShardSamples:
    raise AssertionError(f"{path} is read again")


def test_shards_in_a_read_only_folder_have_their_index_in_the_cache(tmp_path: Path, shards: list[Path],
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_building, "KEPT_FROM", 1)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shards[0].parent.chmod(0o555)
    try:
        index = index_shards(shards)
    finally:
        shards[0].parent.chmod(0o755)
    assert index.kept is not None and index.kept.is_relative_to(tmp_path / "cache" / "minigpt4" / "index")
    assert not (shards[0].parent / ".minigpt4_index").exists()


def test_a_changed_shard_and_a_damaged_index_are_read_anew(tmp_path: Path, shards: list[Path],
                                                           caplog: pytest.LogCaptureFixture) -> None:
    before = index_shards(shards, tmp_path / "kept")
    write_tar(shards[2], pair("new"))
    os.utime(shards[2], (1, 1))
    after = index_shards(shards, tmp_path / "kept")
    assert len(after) == len(before) + 1 and contents(before) == EXPECTED
    assert after.kept is not None
    (after.kept / "rows.bin").write_bytes(b"cut")
    assert len(index_shards(shards, tmp_path / "kept")) == len(after)
    assert "the kept index is damaged" in caplog.text


@pytest.mark.parametrize("torn", [b"", b"half a row"])
def test_an_interrupted_index_continues_where_it_stopped(tmp_path: Path, shards: list[Path], torn: bytes,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(paths: Sequence[Path]) -> Iterator[ShardSamples]:
        yield tar_samples.samples_of(paths[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(index_building, "_read", stopping)
    with pytest.raises(KeyboardInterrupt):
        index_shards(shards, tmp_path / "kept")
    (building,) = (tmp_path / "kept").glob("*.building")
    for name in ("rows.bin", "keys.bin", "shards.bin", "notes.jsonl"):
        with open(building / name, "ab") as file:
            file.write(torn)
    asked: list[Path] = []

    def counting(paths: Sequence[Path]) -> Iterator[ShardSamples]:
        asked.extend(paths)
        return map(tar_samples.samples_of, paths)

    monkeypatch.setattr(index_building, "_read", counting)
    index = index_shards(shards, tmp_path / "kept")
    assert asked == shards[1:] and contents(index) == EXPECTED and dict(index.left_out) == {"cls": 1}
    assert index.fingerprint() == index_shards(shards).fingerprint() and not building.exists()


@pytest.mark.parametrize("processes", [1, 3])
def test_the_number_of_processes_changes_nothing(tmp_path: Path, shards: list[Path], processes: int,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_building, "_processors", lambda: processes)
    monkeypatch.setattr(index_building, "AHEAD", 1)
    assert contents(index_shards(shards * 4, tmp_path / "kept")) == EXPECTED * 4


def test_two_processes_that_start_together_read_the_shards_once(tmp_path: Path, shards: list[Path],
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_building, "_processors", lambda: 1)
    monkeypatch.setattr(index_building, "samples_of", _recording(tmp_path / "read"))
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=index_shards, args=(shards, tmp_path / "kept")) for _ in range(3)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(30)
    assert [rank.exitcode for rank in ranks] == [0, 0, 0]
    assert (tmp_path / "read").read_text().split() == ["0", "1", "2"]


def _recording(file: Path) -> Callable[[Path], ShardSamples]:
    def read(path: Path) -> ShardSamples:
        with open(file, "a") as opened:
            opened.write(f"{path.stem}\n")
        return tar_samples.samples_of(path)
    return read


def test_a_folder_that_cannot_be_written_says_what_to_do(tmp_path: Path, shards: list[Path]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written.*name another folder as build_info.index"):
        index_shards(shards, tmp_path / "file")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_walk_sees_what_tarfile_sees(tmp_path: Path, form: int) -> None:
    """Ordinary files are read by our own parser, all others by tarfile's: long names, folders, links, odd numbers."""
    names = ["a.txt", "ä/b.txt", f"{'f' * 60}/{'g' * 60}.jpg", "folder/", "link", "c" * 100, "z.json"]
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = {"folder/": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}.get(name, tarfile.REGTYPE)
            info.size = number * 700 if info.isreg() else 0
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    with tarfile.open(tmp_path / "a.tar") as tar:
        seen = [(info.name, info.offset_data, info.size) for info in tar if info.isreg()]
    assert len(seen) == 5 and [tuple(member) for member in tar_members(tmp_path / "a.tar")] == seen
