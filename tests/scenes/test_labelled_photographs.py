"""Photographs with labels: from shards, varied from pass to pass, some replaced by images that show nothing known."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.datasets.config import BuildInfo, SplitInfo
from minigpt4.records.conversations import Sample
from minigpt4.scenes.builders.labelled_photographs import LabelledPhotographsBuilder, LabelledPhotographsConfig
from minigpt4.scenes.labels import ATTRIBUTES, QUARTERS


def shard(folder: Path, *captions: str) -> Path:
    """A tar of plain red images with these captions."""
    path = folder / "00000.tar"
    with tarfile.open(path, "w") as tar:
        for number, caption in enumerate(captions):
            image = io.BytesIO()
            Image.new("RGB", (80, 60), (210, 30, 30)).save(image, "PNG")
            for ending, content in (("png", image.getvalue()), ("json", json.dumps({"caption": caption}).encode())):
                member = tarfile.TarInfo(f"{number:09d}.{ending}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def subjects(path: Path, split: str, outliers: float, draw: int = 0) -> list[str]:
    info = BuildInfo(storage=str(path), splits={"seen": SplitInfo(), "held_out": SplitInfo()})
    config = LabelledPhotographsConfig(build_info=info, side=32, outliers=outliers)
    data = LabelledPhotographsBuilder.build(config, split)
    found = []
    for number in range(len(data)):
        sample = data.sample(number, draw)
        assert isinstance(sample, Sample) and sample.targets[QUARTERS].shape == (4, len(ATTRIBUTES))
        found.append(ATTRIBUTES["kind"][int(sample.targets[QUARTERS][0, 0])])
    return found


def test_the_subject_is_the_one_that_the_caption_names(tmp_path: Path) -> None:
    path = shard(tmp_path, "a tulip in a photo", "A pair of trousers.")
    assert subjects(path, "seen", 0.25) == subjects(path, "train", 0.0) == ["tulip", "trousers"]
    assert subjects(path, "held_out", 0.25) == ["unknown", "unknown"]


def test_every_pass_draws_anew_which_images_show_nothing_known(tmp_path: Path) -> None:
    path = shard(tmp_path, *["a tulip"] * 12)
    passes = [subjects(path, "train", 0.5, draw) for draw in range(2)]
    assert passes[0] != passes[1] and passes[0] == subjects(path, "train", 0.5, 0)
    assert set(passes[0]) == {"tulip", "unknown"}


def test_a_caption_without_a_subject_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names 2 of the known subjects; write exactly one"):
        subjects(shard(tmp_path, "a tulip beside a rose"), "seen", 0.0)
