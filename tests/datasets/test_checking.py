"""`read_all` finds everything that is planted in a set of a thousand samples, and nothing else."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable

import pytest

from minigpt4.datasets.checking import Distribution, RowLengths, examples, read_all
from minigpt4.datasets.dataset import FirstSamples
from minigpt4.datasets.formats.shards import ShardDataset, open_shards
from minigpt4.processors.captions import Identity
from tests.datasets.data_fakes import FakeDataset, FakeRenderer, TextDataset, image_bytes, write_tar

SAMPLES, SHARDS = 1000, 4
LONGEST = 200
Members = dict[str, bytes]


def own_image(number: int) -> bytes:
    """A JPEG that no other sample has: its comment is its number."""
    encoded = image_bytes((40 + number % 3, 30), kind="JPEG")
    return encoded[:2] + b"\xff\xfe\0\x06%04d" % number + encoded[2:]


def whole(number: int, caption: str | None = None, image: bytes | None = None) -> Members:
    """The members of a sample by ending."""
    words = caption if caption is not None else f"a rose {number}"
    return {"jpg": own_image(number) if image is None else image, "json": json.dumps({"caption": words}).encode()}


def without(part: str, number: int, **others: bytes) -> Members:
    return {ending: content for ending, content in {**whole(number), **others}.items() if ending != part}


PLANTED: dict[str, tuple[int, Callable[[int], Members]]] = {
    "not an image (HTML text)": (12, lambda number: whole(number, image=b"<html>404</html>")),
    "empty image file": (8, lambda number: whole(number, image=b"")),
    "image data ends early": (7, lambda number: whole(number, image=own_image(number)[:-90])),
    "image is 1x1, below the minimum side": (6, lambda number: whole(number, image=image_bytes((1, 1)))),
    "no caption": (9, lambda number: {**whole(number), "json": b'{"url": "x"}'}),
    "caption is empty after stripping white space": (5, lambda number: whole(number, " \n")),
    "caption is not valid UTF-8": (4, lambda number: without("json", number, txt=b"sch\xf6n")),
    "wrong JSON at 1:13 (Expecting value)": (3, lambda number: {**whole(number), "json": b'{"caption": '}),
    "neither 'json' nor 'txt' beside the image": (4, lambda number: without("json", number)),
    "no image beside its caption": (3, lambda number: without("jpg", number)),
    "caption contains <ImageHere>, the mark of an image": (2, lambda number: whole(number, "see <ImageHere>")),
    "is longer than the language model's 200 positions": (11, lambda number: whole(number, "long " * LONGEST)),
    "is a HEIC file, which is not read here": (
        2, lambda number: without("jpg", number, heic=b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")),
    "unsupervised": (6, lambda number: whole(number, f"§ {number}")),
    "same_images": (10, lambda number: whole(number, image=own_image(SAMPLES))),
    "same_images_and_answers": (5, lambda number: whole(number, "twice", own_image(SAMPLES + 1))),
    "same_answers": (8, lambda number: whole(number, "image not found")),
}
"""fault -> how many samples have it, and what such a sample is"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[ShardDataset, dict[str, set[str]]]:
    """The set, and fault -> ids of the samples that have it."""
    folder = tmp_path_factory.mktemp("planted")
    numbers = random.Random(0).sample(range(SAMPLES - 1), sum(count for count, _ in PLANTED.values()))
    made: dict[int, Members] = {}
    ids: dict[str, set[str]] = defaultdict(set)
    for fault, (count, make) in PLANTED.items():
        for _ in range(count):
            number = numbers.pop()
            made[number] = make(number)
            ids[fault].add(f"{number * SHARDS // SAMPLES}/{number:04}")
    for shard in range(SHARDS):
        own = range(shard * SAMPLES // SHARDS, (shard + 1) * SAMPLES // SHARDS)
        members = {f"{number:04}.{ending}": content for number in own
                   for ending, content in made.get(number, whole(number)).items()}
        path = write_tar(folder / f"{shard}.tar", {**members, "notes.cls": b"x"})
    content = path.read_bytes()  # the last shard is cut within its last sample
    path.write_bytes(content[: content.index(f"{SAMPLES - 1:04}.json".encode())])
    return open_shards("planted", str(folder), Identity()), ids


@pytest.mark.parametrize("workers", [0, 2])
def test_every_planted_fault_of_a_thousand_samples_is_found(
        planted: tuple[ShardDataset, dict[str, set[str]]], workers: int) -> None:
    dataset, ids = planted
    findings = read_all(dataset, lengths=RowLengths(FakeRenderer(), LONGEST), num_workers=workers)
    report = json.loads(json.dumps(findings.report(dataset)))
    told: dict[str, set[str]] = defaultdict(set)
    for entry in report["unreadable"]:
        told[entry["reason"]].add(entry["id"])
    others = {"unsupervised", "same_images", "same_images_and_answers", "same_answers"}
    cut = told.pop("archive ends without its end mark")
    assert cut == {"3/"} and told == {fault: found for fault, found in ids.items() if fault not in others}
    twice = [ids["same_images"], ids["same_images_and_answers"]]
    assert sorted(map(sorted, report["same_images"])) == sorted(map(sorted, twice))
    assert list(map(set, report["same_images_and_answers"])) == [ids["same_images_and_answers"]]
    alike = [ids["same_images_and_answers"], ids["same_answers"]]
    assert sorted(map(sorted, report["same_answers"])) == sorted(map(sorted, alike))
    assert set(report["unsupervised"]) == ids["unsupervised"]
    too_long = "is longer than the language model's 200 positions"
    assert set(report["too_long"]) == ids[too_long]
    bad = sum(len(found) for fault, found in ids.items() if fault not in others)
    assert (report["samples"], report["readable"]) == (SAMPLES - 1, SAMPLES - 1 - bad)
    assert report["readable_share"] == round((SAMPLES - 1 - bad) / (SAMPLES - 1), 6)
    assert report["left_out_members"] == {"cls": 3}
    assert (report["width"]["least"], report["width"]["largest"], report["height"]["percentile_50"]) == (40, 42, 30)


def test_a_clean_set_has_no_findings() -> None:
    dataset = TextDataset("texts", 1)
    report = read_all(dataset, lengths=RowLengths(FakeRenderer(), None)).report(dataset)
    assert report["readable_share"] == 1 and "width" not in report
    assert not any(report[name] for name in ("unreadable", "unsupervised", "same_images", "same_answers", "too_long"))


def test_a_distribution_is_exact() -> None:
    seen = Distribution()
    for value in [5] * 98 + [1, 100]:
        seen.add(value)
    assert seen.summary() == {"least": 1, "largest": 100, "mean": 5.91, "percentile_1": 1, "percentile_50": 5,
                              "percentile_99": 5}
    assert Distribution().summary() == {}


def test_examples_are_from_all_over() -> None:
    assert [sample.id for sample in examples(FakeDataset("a", 101, bad=frozenset({50})), 5)] == [
        "a0", "a25", "a75", "a100"]
    assert len(list(examples(FirstSamples(FakeDataset("a", 9), 2), 5))) == 2
