"""docs/data.md tells the truth: its example of a new data set and its own-data example run as printed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from minigpt4.common.config import load_config
from minigpt4.common.registry import builders
from minigpt4.datasets.assembly import build_indexed
from minigpt4.records.conversations import Sample
from tests.datasets.data_fakes import image_bytes


def blocks(project: Path, language: str) -> list[str]:
    page = (project / "docs/data.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_u20_own_images_as_the_page_says(project: Path, in_folder: Path) -> None:
    lines = blocks(project, "json")[0]
    for line in lines.splitlines():
        image = in_folder / "my_photos" / json.loads(line)["image"]
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(image_bytes())
    (in_folder / "my_photos/captions.jsonl").write_text(lines)
    (in_folder / "my.yaml").write_text(blocks(project, "yaml")[0])
    config = load_config("my.yaml", sections=("datasets",)).datasets["image_jsonl"]
    dataset = build_indexed("image_jsonl", config, "train")
    assert len(dataset) == len(lines.splitlines())
    assert all(isinstance(dataset.sample(number), Sample) for number in range(len(dataset)))


def test_a_new_data_set_is_one_file(project: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (in_folder / "outside_data.py").write_text(blocks(project, "python")[0])
    monkeypatch.syspath_prepend(str(in_folder))
    (in_folder / "my_texts.jsonl").write_text('{"image": "a.png", "caption": "x"}\n')
    (in_folder / "my.yaml").write_text(
        f"imports: [outside_data]\ndatasets:\n  my_set:\n    build_info: {{storage: {in_folder}}}\n"
    )
    try:
        config = load_config("my.yaml", sections=("datasets",))
        assert isinstance(build_indexed("my_set", config.datasets["my_set"], "train").sample(0), Sample)
    finally:
        builders._things.pop("my_set", None)
        sys.modules.pop("outside_data", None)


def test_every_reason_the_door_gives_is_explained(project: Path) -> None:
    page = (project / "docs/data.md").read_text()
    sources = [project / "minigpt4/processors/decoding.py", project / "minigpt4/datasets/formats/tar_walk.py"]
    for source in sources:
        for reason in re.findall(r'what="([^"{]{8,})"', source.read_text()):
            assert reason in page or reason.split(",")[0] in page, reason
