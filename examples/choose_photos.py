"""Choose the photographs of `examples/photos` from a folder of webdataset shards (KEY.jpg, KEY.json) with credits.

    python examples/choose_photos.py --shards DATA/photos/train --credits DATA/photos/CREDITS.tsv --number 30

Takes the first `--number` of every class in the order of the shards, writes them as CLASS_NN.jpg with their captions
(`captions.jsonl`) and the photographers (`CREDITS.tsv`). Never give it the shards of a validation split.
"""

from __future__ import annotations

import argparse
import csv
import json
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
    parser.add_argument("--credits", type=Path, required=True, help="TSV: sample, source, file_in_source, photographer")
    parser.add_argument("--number", type=int, default=30, help="photographs of each class (default: 30)")
    parser.add_argument("--output", type=Path, default=HERE / "photos")
    arguments = parser.parse_args()
    with arguments.credits.open(encoding="utf-8", newline="") as file:
        credits = {row["sample"]: row for row in csv.DictReader(file, delimiter="\t")}
    arguments.output.mkdir(parents=True, exist_ok=True)
    seen: Counter[str] = Counter()
    captions, rows = [], []
    for photograph in photographs(arguments.shards):
        kind = photograph.about["class"]
        if seen[kind] == arguments.number:
            continue
        seen[kind] += 1
        name = f"{kind}_{seen[kind]:02}.jpg"
        (arguments.output / name).write_bytes(photograph.jpeg)
        captions.append({"image": name, "caption": photograph.about["caption"], "class": kind})
        source = credits[f"train/{photograph.key}"]
        rows.append([name, source["source"], source["file_in_source"], source["photographer"], _licence(source)])
    lines = sorted(json.dumps(each, ensure_ascii=False) for each in captions)
    (arguments.output / "captions.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (arguments.output / "CREDITS.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([COLUMNS, *sorted(rows)])


def photographs(shards: Path) -> Iterator[Photograph]:
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
                yield Photograph(key, jpeg, json.loads(about))


def _licence(source: dict[str, str]) -> str:
    return next(text for name, text in LICENCES.items() if source["source"].startswith(name))


if __name__ == "__main__":
    main()
