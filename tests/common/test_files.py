"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from minigpt4.common import files
from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, atomic_folder, is_regular, open_regular, sha256_of, shown, write_json


def test_a_file_appears_whole(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "new" / "a.txt") as part:
        part.write_text("all of it")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_text() == "all of it"
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_what_was_there_survives_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RuntimeError), atomic_file(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise RuntimeError
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.txt: cannot be written \(No space left on device\); free space"):
        with atomic_file(tmp_path / "a.txt"):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_the_old_one_at_the_end(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with atomic_folder(tmp_path / "bundle") as part:
            (part / f"{text}.txt").write_text(text)
    assert [file.name for file in (tmp_path / "bundle").iterdir()] == ["two.txt"]
    assert [file.name for file in tmp_path.iterdir()] == ["bundle"]


def test_what_a_killed_writer_left_is_cleared_before_the_next_one(tmp_path: Path) -> None:
    """Of a process of this machine that is gone only; what it was about to replace is put back."""
    host = files._host()
    for name in (f".b.{host}-{2 ** 22 - 3}-x.part", f".b.{host}-{os.getpid()}-x.part", ".b.elsewhere-7-x.part",
                 f".c.{host}-{2 ** 22 - 3}-x.part"):
        (tmp_path / name).mkdir()
    old = tmp_path / f".b.{host}-{2 ** 22 - 3}-y.old"
    (old / "b").mkdir(parents=True)
    with atomic_folder(tmp_path / "b"):
        assert (tmp_path / "b").is_dir()
        there = {path.name for path in tmp_path.iterdir()}
    assert f".b.{host}-{2 ** 22 - 3}-x.part" not in there and old.name not in there
    assert {f".b.{host}-{os.getpid()}-x.part", ".b.elsewhere-7-x.part", f".c.{host}-{2 ** 22 - 3}-x.part"} <= there


def test_json_and_digest(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "größe"})
    text = (tmp_path / "a.json").read_bytes()
    assert "größe" in text.decode()
    assert sha256_of(tmp_path / "a.json") == hashlib.sha256(text).hexdigest()


def test_shown_names_can_be_printed_and_written() -> None:
    assert shown("a b/玫瑰.png") == "a b/玫瑰.png"
    assert shown("b\udcb0.jpg") == "b\\xb0.jpg" and shown("\ud83d.jpg") == "\\ud83d.jpg"
    assert shown("a\n\x1b[31m\u202eb") == "a\\n\\x1b[31m\\u202eb"


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("x")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"x"
    impossible = "no file can have this name"
    for name, said in (("pipe", "is a named pipe, not a file"), (".", "is a folder"), ("a\0b", impossible),
                       ("\ud83d", impossible), ("gone", "No such file or directory")):
        with pytest.raises(OSError) as error:
            open_regular(tmp_path / name)
        assert error.value.strerror == said and not is_regular(tmp_path / name)
    assert is_regular(tmp_path / "file") and not is_regular(tmp_path / ("x" * 999))
