"""Choose the photographs of `examples/photos`, with their captions and credits, from two sources.

    python examples/choose_photos.py --shards DATA/train --described DATA/align --credits DATA/CREDITS.tsv

Of every class the first `--number` of the webdataset shards (KEY.jpg, KEY.json) come first, then all of the folder of
described photographs (filter_cap.json, image/), which no vision part was trained on: what a projection learns from
images that the encoder has learned by heart does not hold for others. Never give it a validation split.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
COLUMNS = ("image", "source", "file_in_source", "photographer", "license")
LICENCES = {
    "flower_photos": "CC BY 2.0, https://creativecommons.org/licenses/by/2.0/",
    "caltech101": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    "clothing": "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/",
}


class Photograph(NamedTuple):
    """One member of a shard: its key, the bytes of the JPEG, what its JSON says."""

    key: str
    jpeg: bytes
    about: dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose photographs of every class from shards.")
    parser.add_argument("--shards", type=Path, required=True, help="folder of .tar files")
    parser.add_argument("--described", type=Path, required=True, help="folder with filter_cap.json and image/")
    parser.add_argument("--credits", type=Path, required=True, help="TSV: sample, source, file_in_source, photographer")
    parser.add_argument("--number", type=int, default=10, help="of each class, from the shards (default: 10)")
    parser.add_argument("--output", type=Path, default=HERE / "photos")
    arguments = parser.parse_args()
    with arguments.credits.open(encoding="utf-8", newline="") as file:
        credits = {row["sample"]: row for row in csv.DictReader(file, delimiter="\t")}
    arguments.output.mkdir(parents=True, exist_ok=True)
    seen: Counter[str] = Counter()
    captions, rows = [], []
    for photograph in (*first_of_every_class(arguments.shards, arguments.number), *described(arguments.described)):
        kind = photograph.about["class"]
        seen[kind] += 1
        name = f"{kind}_{seen[kind]:02}.jpg"
        (arguments.output / name).write_bytes(photograph.jpeg)
        captions.append({"image": name, "caption": photograph.about["caption"], "class": kind})
        source = credits[photograph.key]
        rows.append([name, source["source"], source["file_in_source"], source["photographer"], _licence(source)])
    lines = sorted(json.dumps(each, ensure_ascii=False) for each in captions)
    (arguments.output / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (arguments.output / "CREDITS.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *sorted(rows)])


def first_of_every_class(shards: Path, number: int) -> Iterator[Photograph]:
    """The first so many of every class."""
    seen: Counter[str] = Counter()
    for photograph in in_shards(shards):
        seen[photograph.about["class"]] += 1
        if seen[photograph.about["class"]] <= number:
            yield photograph


def described(folder: Path) -> Iterator[Photograph]:
    """All photographs of a folder in the layout of stage 2; their class is the one known word of the description."""
    classes = json.loads((folder.parent / "classes.json").read_text(encoding="utf-8"))
    for entry in json.loads((folder / "filter_cap.json").read_text(encoding="utf-8"))["annotations"]:
        (kind,) = [word for word in classes if re.search(rf"\b{word}\b", entry["caption"])]
        jpeg = (folder / "image" / f"{entry['image_id']}.jpg").read_bytes()
        yield Photograph(f"align/{entry['image_id']}", jpeg, {"class": kind, "caption": entry["caption"]})


def in_shards(shards: Path) -> Iterator[Photograph]:
    """All members of all shards, in order."""
    for shard in sorted(shards.glob("*.tar")):
        with tarfile.open(shard) as tar:
            held: dict[str, bytes] = {}
            for member in tar:
                key, _, ending = member.name.partition(".")
                content = tar.extractfile(member)
                if ending not in ("jpg", "json") or content is None:
                    continue
                other = held.pop(key, None)
                if other is None:
                    held[key] = content.read()
                    continue
                jpeg, about = (other, content.read()) if ending == "json" else (content.read(), other)
                yield Photograph(f"train/{key}", jpeg, json.loads(about))


def _licence(source: dict[str, str]) -> str:
    return next(text for name, text in LICENCES.items() if source["source"].startswith(name))


if __name__ == "__main__":
    main()
