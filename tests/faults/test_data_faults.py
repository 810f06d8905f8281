"""Bad data: everything that `photos_broken/faults.json` lists, and what people do to their own files."""

from __future__ import annotations

import json
import os
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigpt4.common.errors import UserError
from minigpt4.datasets.assembly import build_dataset, build_indexed, build_source
from minigpt4.datasets.config import BuildInfo, DatasetConfig, SplitInfo
from minigpt4.datasets.formats.index_building import index_shards
from minigpt4.datasets.formats.shards import ShardDataset, open_shards
from minigpt4.datasets.ledger import Ledger
from minigpt4.datasets.loader import TrainingLoader
from minigpt4.datasets.mixture import Mixture
from minigpt4.processors.captions import Identity
from minigpt4.processors.decoding import ImageError, open_image
from minigpt4.records.conversations import Sample, Unreadable
from tests.conftest import DATA
from tests.datasets.data_fakes import FakeRenderer, image_bytes, pair, write_tar

BROKEN = DATA / "photos_broken"


def faults() -> list[dict[str, Any]]:
    """The faults of the folder; an absent folder is one case that fails and says so."""
    file = BROKEN / "faults.json"
    return json.loads(file.read_text())["faults"] if file.exists() else [{"kind": f"NO_{file}"}]


@cache
def shard(name: str) -> ShardDataset:
    return open_shards("broken", str(BROKEN / name), Identity())


def sample_of(dataset: ShardDataset, key: str) -> Sample | Unreadable:
    numbers = [number for number in range(len(dataset)) if dataset.index.key_of(number) == key]
    assert len(numbers) == 1, f"{key} stands {len(numbers)} times in the index"
    return dataset.sample(numbers[0])


@pytest.mark.parametrize(
    "fault", [each for each in faults() if each.get("expect") != "skipped"], ids=lambda fault: fault["kind"]
)
def test_usable_faults_come_out_as_upright_rgb(fault: dict[str, Any]) -> None:
    sample = sample_of(shard(fault["shard"]), fault["key"])
    assert isinstance(sample, Sample), sample
    image = open_image(sample.conversation.images[0])
    assert (image.mode, list(image.size)) == ("RGB", fault["size"])
    pixels = np.asarray(image, dtype=np.float64)
    assert np.abs(pixels.mean(axis=(0, 1)) - fault["mean_rgb"]).max() <= fault["tolerance"]
    half = pixels.shape[0] // 2
    for name, part in (("mean_rgb_top_half", pixels[:half]), ("mean_rgb_bottom_half", pixels[half:])):
        if name in fault:
            assert np.abs(part.mean(axis=(0, 1)) - fault[name]).max() <= fault["tolerance"], name


@pytest.mark.parametrize(
    "fault", [each for each in faults() if each.get("expect") != "usable" and "lost_keys" not in each],
    ids=lambda fault: fault["kind"],
)
def test_skipped_faults_give_their_reason(fault: dict[str, Any]) -> None:
    sample = sample_of(shard(fault["shard"]), fault["key"])
    if isinstance(sample, Unreadable):
        assert sample.reason == fault["reason"] and fault["key"] in sample.source
    else:
        with pytest.raises(ImageError) as told:
            open_image(sample.conversation.images[0])
        assert told.value.what == fault["reason"] and fault["key"] in told.value.where


@pytest.mark.parametrize("fault", [each for each in faults() if "lost_keys" in each], ids=lambda fault: fault["kind"])
def test_cut_shard_is_told_once_and_its_whole_samples_used(fault: dict[str, Any]) -> None:
    dataset = shard(fault["shard"])
    assert [dataset.index.key_of(number) for number in range(len(dataset))] == fault["usable_keys"]
    assert [damage.reason for damage in dataset.damaged] == [fault["reason"]]
    assert fault["member"] in dataset.damaged[0].source


@pytest.mark.parametrize("workers", [0, 2])
def test_counts_of_both_shards_through_the_loader(tmp_path: Path, workers: int) -> None:
    counts = json.loads((BROKEN / "faults.json").read_text())["shards"]
    dataset = open_shards("broken", str(BROKEN / "*.tar"), Identity())
    ledger = Ledger(tmp_path / "unreadable.jsonl")
    loader = TrainingLoader(Mixture([dataset], [1.0], 0), FakeRenderer(), {"broken": _just_open},
                            batch_size=len(dataset), num_workers=workers, ledger=ledger)
    batch = next(iter(loader))
    usable = sum(facts["usable"] for facts in counts.values())
    skipped = sum(facts.get("skipped", 0) for facts in counts.values())
    assert (len(batch.sample_ids), len(batch.unreadable)) == (usable, skipped)
    lines = [json.loads(line) for line in (tmp_path / "unreadable.jsonl").read_text().splitlines()]
    reasons = sorted(line["reason"] for line in lines)
    assert reasons == sorted(fault["reason"] for fault in faults() if fault["expect"] == "skipped")


def _just_open(ref: Any, generator: Any = None) -> Any:
    import torch

    open_image(ref)
    return torch.zeros(3, 1, 1)


# --- shards ---


def test_every_cut_of_a_tar_keeps_only_whole_samples(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "whole.tar", {**pair("0"), **pair("1"), **pair("2")}).read_bytes()
    index = index_shards([tmp_path / "whole.tar"])
    ends = [sum(index.range_of(number, "json")) for number in range(len(index))]
    for length in range(0, ends[-1] + 1, 128):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(whole[:length])
        index = index_shards([cut])
        assert len(index) == sum(end <= length for end in ends), length
        assert len(index.damaged) == 1
    assert not index_shards([tmp_path / "whole.tar"]).damaged


def test_damaged_header_is_seen(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {**pair("0"), **pair("1")})
    content = bytearray(path.read_bytes())
    second = index_shards([path]).range_of(1, "image")[0] - 512
    content[second : second + 8] = b"\xff" * 8
    path.write_bytes(content)
    index = index_shards([path])
    assert len(index) == 1 and "damaged header" in index.damaged[0].reason


def test_sample_without_image_or_caption(tmp_path: Path) -> None:
    members = {"0.json": b'{"caption": "x"}', "1.jpg": image_bytes(), **pair("2", "  \n"), "3.jpg": image_bytes(),
               "3.json": b'{"caption": "x"', "4.png": image_bytes(), "4.txt": b"from the txt"}
    dataset = open_shards("own", str(write_tar(tmp_path / "a.tar", members)), Identity())
    told = [dataset.sample(number) for number in range(5)]
    assert [each.reason for each in told[:4] if isinstance(each, Unreadable)] == [
        "no image beside its caption", "neither 'json' nor 'txt' beside the image",
        "caption is empty after stripping white space", "wrong JSON at 1:16 (Expecting ',' delimiter)",
    ]
    assert isinstance(told[4], Sample) and told[4].conversation.turns[1].text == "from the txt"


def test_long_member_names(tmp_path: Path) -> None:
    key = "folder/" * 20 + "0" * 60
    dataset = open_shards("own", str(write_tar(tmp_path / "a.tar", pair(key))), Identity())
    sample = dataset.sample(0)
    assert isinstance(sample, Sample) and key in sample.source


@pytest.mark.parametrize(("name", "content", "sentence"), [
    ("a.tar", b"\x1f\x8b\x08\0\0\0", "is a compressed tar"),
    ("gone.tar", None, "cannot be read"),
])
def test_shards_that_are_none(tmp_path: Path, name: str, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: {sentence}"):
        open_shards("own", str(tmp_path / name), Identity())


def test_folder_without_shards(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains no \.tar; see docs/data.md#shards"):
        open_shards("own", str(tmp_path), Identity())


def test_shards_of_which_nothing_is_left_are_an_empty_data_set(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(UserError, match="laion: has no samples"):
        build_source({"laion": config(tmp_path / "*.tar")}, seed=0)


def test_kept_index_is_found_again_and_read_anew_after_a_change(tmp_path: Path) -> None:
    path, kept = write_tar(tmp_path / "a.tar", pair("0")), tmp_path / "index"
    assert len(index_shards([path], kept)) == 1
    again = index_shards([path], kept)
    assert isinstance(again.rows, np.memmap) and len(pickle.dumps(again)) < 2000
    assert pickle.loads(pickle.dumps(again)).key_of(0) == "0"
    write_tar(path, {**pair("0"), **pair("1")})
    os.utime(path, (1, 1))
    assert len(index_shards([path], kept)) == 2


# --- files of people ---


def config(storage: Path, **info: Any) -> DatasetConfig:
    return DatasetConfig(build_info=BuildInfo(storage=str(storage), **info))


def write_images(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(image_bytes())
    return folder


def test_wrong_json_says_file_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "filter_cap.json").write_text('{"annotations": [\n  {"image_id": "1"},\n  {"image_id" "2"}\n]}')
    with pytest.raises(UserError, match=r"filter_cap\.json:3:15: wrong JSON \(Expecting ':' delimiter\)"):
        build_dataset("cc_sbu_align", config(tmp_path))


@pytest.mark.parametrize("content", ['{"rows": []}', '"text"', "3"])
def test_json_without_a_list(tmp_path: Path, content: str) -> None:
    (tmp_path / "filter_cap.json").write_text(content)
    with pytest.raises(UserError, match="is not a list and has no list under 'annotations'"):
        build_dataset("cc_sbu_align", config(tmp_path))


def test_missing_folder_and_missing_annotations(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: is not a folder; see docs/data.md"):
        build_dataset("cc_sbu_align", config(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"captions\.jsonl: does not exist"):
        build_dataset("image_jsonl", config(tmp_path))


def test_align_takes_any_image_type_and_tells_missing_ones(tmp_path: Path) -> None:
    write_images(tmp_path / "image", "1.png", "2.webp", "[3].jpeg")
    rows = [{"image_id": name, "caption": "It is red."} for name in ("1", "2", "[3]", "4")]
    (tmp_path / "filter_cap.json").write_text(json.dumps(rows + [{"image_id": 1}, {"caption": "x"}, 5]))
    dataset = build_dataset("cc_sbu_align", config(tmp_path))
    told = [dataset.sample(number) for number in range(len(dataset))]
    assert [each.conversation.images[0].path.name for each in told[:3]] == ["1.png", "2.webp", "[3].jpeg"]
    assert [each.reason for each in told[3:]] == [
        "image file is missing", "no caption", "has no 'image_id'", "has no 'image_id'",
    ]


def test_u38_a_line_says_what_it_has_and_what_the_task_needs(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    lines = ['{"image": "a.png", "caption": "A rose."}', "", '{"image": "a.png", "label": 3}', '{"image": "a.png"',
             '{"image": "a.png", "text": " "}', '{"caption": "x"}', '{"image": 3, "caption": "x"}', "[]",
             '{"image": "a.png", "caption": "see <ImageHere>"}']
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    dataset = build_dataset("image_jsonl", config(tmp_path))
    told = [dataset.sample(number) for number in range(len(dataset))]
    assert isinstance(told[0], Sample)
    assert [(each.source.rpartition("captions.jsonl:")[2], each.reason) for each in told[1:]] == [
        ("3", "has image, label; this task needs an answer to learn"),
        ("4:18", "wrong JSON (Expecting ',' delimiter)"),
        ("5", "caption is empty after stripping white space"),
        ("6", "a caption needs one image, the record has 0"),
        ("7", "'image' is 3"),
        ("8", "is not an object but list"),
        ("9", "caption contains <ImageHere>, the mark of an image"),
    ]


def test_text_that_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("gut\nschön\n".encode("latin-1"))
    dataset = build_dataset("plain_text", config(tmp_path / "a.txt"))
    assert isinstance(dataset.sample(0), Sample)
    assert dataset.sample(1).reason == "is not UTF-8 text" and dataset.sample(1).source.endswith("a.txt:2")


def test_empty_data_set_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text("\n \n")
    with pytest.raises(UserError, match="image_jsonl: has no samples"):
        build_source({"image_jsonl": config(tmp_path)}, seed=0)
    with pytest.raises(UserError, match="datasets: names no data set"):
        build_source({}, seed=0)


def test_unknown_split_names_the_known_ones(tmp_path: Path) -> None:
    given = config(tmp_path, splits={"val": SplitInfo(storage=str(tmp_path))})
    with pytest.raises(UserError, match="split 'vall' is not given; did you mean 'val'"):
        build_indexed("image_jsonl", given, "vall")


def test_ratio_for_some_only(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n")
    one = config(tmp_path / "a.txt")
    two = DatasetConfig(builder="plain_text", build_info=one.build_info, sample_ratio=2.0)
    with pytest.raises(UserError, match="datasets.plain_text: has no sample_ratio, the other data sets have one"):
        build_source({"plain_text": one, "more": two}, seed=0)
