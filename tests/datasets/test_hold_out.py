"""Samples kept back by image: the share, the seed, and that no image is on both sides."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from minigpt4.common.errors import UserError
from minigpt4.datasets.hold_out import split_by_image, write_lines
from minigpt4.datasets.own_texts import OwnTexts, read_own_texts
from tests import tiny


def data(folder: Path, names: list[list[str]]) -> OwnTexts:
    """A line for each list of images."""
    images = folder / "images"
    images.mkdir()
    for number, name in enumerate(sorted({name for line in names for name in line})):
        tiny.image(number).save(images / name)
    turns = [{"from": "human", "value": "what?"}, {"from": "gpt", "value": "a rose"}]
    lines = [{"image": line, "conversations": turns} for line in names]
    (folder / "t.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    return read_own_texts(images, folder / "t.jsonl")


def test_a_share_of_the_images_by_seed(tmp_path: Path) -> None:
    found = data(tmp_path, [[f"{number}.png"] for number in range(20)])
    splits = [split_by_image(found, 0.3, seed) for seed in (1, 1, 2)]
    assert all(len(split.held_out) == split.held_out_images == 6 for split in splits)
    assert all(sorted(split.train + split.held_out) == list(range(20)) for split in splits)
    assert splits[0] == splits[1] != splits[2]
    assert split_by_image(found, 0.001, 1).held_out_images == 1 and len(split_by_image(found, 0.999, 1).train) == 1


def test_no_image_is_on_both_sides(tmp_path: Path) -> None:
    """Also not under another name, or by way of a line with two images."""
    found = data(tmp_path, [["a.png"], ["b.png"], ["a.png", "b.png"], ["c.png"], ["copy.png"], ["d.png"], ["./c.png"]])
    shutil.copy(found.images / "c.png", found.images / "copy.png")
    for seed in range(8):
        split = split_by_image(found, 0.4, seed)
        together = [set(split.held_out) & set(group) for group in ((0, 1, 2), (3, 4, 6))]
        assert all(len(each) in (0, 3) for each in together) and split.held_out and split.train


def test_texts_without_an_image_can_be_kept_back_too(tmp_path: Path) -> None:
    found = data(tmp_path, [["a.png"], [], ["b.png"]])
    assert len(split_by_image(found, 0.3, 1).held_out) == 1


def test_one_image_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--hold-out 0.5: all lines are about the same images"):
        split_by_image(data(tmp_path, [["a.png"], ["a.png"]]), 0.5, 1)


def test_lines_are_copied_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a":  1}\n\n{"b": "红"}\r\n{"c": 3}', encoding="utf-8")
    write_lines(tmp_path / "t.jsonl", [1, 2], tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == '{"b": "红"}\n{"c": 3}\n'
