"""What a data set is, in a few words: equal as long as its samples are, other for another file under the same path."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from minigpt4.datasets.assembly import build_source
from minigpt4.datasets.config import BuildInfo, DatasetConfig
from minigpt4.datasets.identity import identities_of
from tests import tiny


def write_tar(path: Path, captions: list[str]) -> None:
    with tarfile.open(path, "w") as tar:
        for number, caption in enumerate(captions):
            picture = io.BytesIO()
            tiny.image(number).save(picture, format="PNG")
            for name, content in ((f"{number}.png", picture.getvalue()), (f"{number}.txt", caption.encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def identity(path: Path, builder: str, annotations: Path | None = None) -> dict[str, str]:
    info = BuildInfo(storage=str(path), annotations=str(annotations) if annotations else None)
    return identities_of(build_source({"d": DatasetConfig(builder=builder, build_info=info)}, seed=0))


def test_tars_are_known_by_their_members(tmp_path: Path) -> None:
    seen = []
    for captions in (["a", "b"], ["a", "b"], ["a", "bb"], ["a", "b", "c"]):
        write_tar(tmp_path / "x.tar", captions)
        seen.append(identity(tmp_path / "x.tar", "webdataset"))
    assert seen[0] == seen[1] and seen[0]["0: d"].startswith("2 samples with the index ")
    assert len({json.dumps(each) for each in seen}) == 3


def test_lists_and_lines_are_known_by_their_records(tmp_path: Path) -> None:
    tiny.image(0).save(tmp_path / "a.png")
    found = set()
    for caption in ("a rose", "a Rose"):
        record = {"image": "a.png", "caption": caption}
        (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
        (tmp_path / "a.json").write_text(json.dumps([{**record, "conversations": [
            {"from": "human", "value": "what?"}, {"from": "gpt", "value": caption}]}]))
        found.add(identity(tmp_path, "image_jsonl", tmp_path / "a.jsonl")["0: d"])
        found.add(identity(tmp_path, "llava_instruct", tmp_path / "a.json")["0: d"])
    assert len(found) == 4 and all("1 samples with the index" in each for each in found)
