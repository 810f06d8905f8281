"""From BLIP's lists of addresses and captions to what img2dataset downloads: parts of a table, and its command lines.

img2dataset is another program in an environment of its own. The settings are the original's
(docs/originals/minigpt4.md#data-stage1): images of 256 pixels with a border.
"""

from __future__ import annotations

import csv
import itertools
import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, shown, write_json
from minigpt4.datasets.formats.json_stream import JsonObjects
from minigpt4.datasets.record_fields import nearest_form

PARTS, SHARDS, PROGRESS, SPARK = "parts", "shards", "parts.json", "download_spark.py"
COLUMNS = ("caption", "url")
Row = tuple[str, str]
"""caption and url"""


@dataclass(frozen=True)
class Progress:
    """How far the lists are written into parts; lies beside them."""

    lists: list[str]
    """path, size and date of each"""
    rows_per_part: int
    done_lists: int = 0
    """lists that are written"""
    place: int = 0
    """byte of the next list that is read next"""
    read: int = 0
    """objects of that list before it"""
    parts: int = 0
    rows: int = 0
    left_out: int = 0
    """objects without an address or a caption"""


def write_parts(lists: Sequence[Path], folder: Path, *, rows_per_part: int,
                told: Callable[[int], object] = lambda size: None) -> Progress:
    """Write the rows of all lists into `folder/parts`, going on where an earlier call was interrupted.

    Args:
        lists: JSON lists of objects with `url` and `caption`.
        folder: of the data set.
        rows_per_part: of a file.
        told: is called with the bytes read since the last call.

    Raises:
        UserError: a list that is not one, or parts of other lists in the folder.
    """
    progress = _progress(folder, Progress([_described(path) for path in lists], rows_per_part))
    told(progress.place + sum(path.stat().st_size for path in lists[: progress.done_lists]))
    for path in lists[progress.done_lists :]:
        objects = JsonObjects(path, progress.place, progress.read)
        rows = _Rows(objects)
        for part in _pieces(iter(rows), rows_per_part):
            with atomic_file(folder / PARTS / f"{progress.parts:05}.tsv") as file:
                count = _write(file, part)
            told(objects.place - progress.place)
            progress = replace(progress, place=objects.place, read=objects.number, parts=progress.parts + 1,
                               rows=progress.rows + count, left_out=progress.left_out + rows.take_left_out())
            write_json(folder / PROGRESS, asdict(progress))
        progress = replace(progress, done_lists=progress.done_lists + 1, place=0, read=0,
                           left_out=progress.left_out + rows.take_left_out())
        write_json(folder / PROGRESS, asdict(progress))
    return progress


def _progress(folder: Path, fresh: Progress) -> Progress:
    try:
        known = Progress(**json.loads((folder / PROGRESS).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return fresh
    except (ValueError, TypeError) as error:
        raise UserError("data.prepare", where=shown(folder / PROGRESS), what=f"is damaged ({error})",
                        fix="remove it and the folder parts, and start again") from error
    if (known.lists, known.rows_per_part) != (fresh.lists, fresh.rows_per_part):
        raise UserError("data.prepare", where=shown(folder), what="holds parts of other lists or of another size",
                        fix="choose a new folder, or remove parts and parts.json there")
    return known


def _described(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError as error:
        raise UserError("data.prepare", where=shown(path), what=f"cannot be read ({error.strerror})",
                        fix="see dataset/README_1_STAGE.md for the lists") from error
    return f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}"


class _Rows:
    """Caption and address of each object that has both; the others are counted."""

    def __init__(self, objects: JsonObjects) -> None:
        self._objects = objects
        self._left_out = 0
        self._seen = 0

    def __iter__(self) -> Iterator[Row]:
        for record in self._objects:
            caption, url = (record.get(name) for name in COLUMNS)
            if isinstance(caption, str) and isinstance(url, str) and caption.strip() and url.strip():
                self._seen += 1
                yield _in_one_line(caption), _in_one_line(url)
            else:
                self._left_out += 1
                self._refuse_other_forms(record)

    def take_left_out(self) -> int:
        """How many were left out since the last call."""
        taken, self._left_out = self._left_out, 0
        return taken

    def _refuse_other_forms(self, record: Mapping[str, object]) -> None:
        if not self._seen and self._left_out >= 100:
            raise UserError("data.prepare", where=shown(self._objects.path), what="has no object with 'url' and "
                            "'caption' among its first 100", fix=nearest_form(record, ("caption",)))


def _in_one_line(text: str) -> str:
    """Tabs and line ends would end a row of the table."""
    return " ".join(text.split()) if any(sign in text for sign in "\t\r\n") else text


def _pieces(rows: Iterator[Row], size: int) -> Iterator[Iterator[Row]]:
    for first in rows:
        yield itertools.chain([first], itertools.islice(rows, size - 1))


def _write(path: Path, rows: Iterable[Row]) -> int:
    """Write a part as a table of tab-separated values; returns its number of rows."""
    count = 0
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count


@dataclass(frozen=True)
class DownloadSettings:
    """What img2dataset is asked for; the defaults are the original's."""

    image_size: int = 256
    encode_format: Literal["jpg", "png", "webp"] = "jpg"
    processes: int = 16
    threads: int = 128
    rows_per_shard: int = 10_000

    def arguments(self, folder: Path) -> dict[str, str | int]:
        """Arguments of img2dataset by name."""
        quality = {"png": 6, "jpg": 95, "webp": 95}[self.encode_format]  # of png it is the compression, 0 to 9
        return {
            "url_list": str(folder / PARTS), "input_format": "tsv", "url_col": "url", "caption_col": "caption",
            "output_format": "webdataset", "output_folder": str(folder / SHARDS), "image_size": self.image_size,
            "encode_format": self.encode_format, "encode_quality": quality, "processes_count": self.processes,
            "thread_count": self.threads, "number_sample_per_shard": self.rows_per_shard,
        }


SPARK_SCRIPT = '''"""Download {folder} on a Spark cluster: spark-submit --master spark://MASTER:7077 {name}"""

from img2dataset import download
from pyspark.sql import SparkSession

SparkSession.builder.appName("img2dataset").getOrCreate()
download(
{arguments}
    distributor="pyspark",
    subjob_size=1000,
)
'''


def commands(settings: DownloadSettings, folder: Path) -> dict[str, str]:
    """Where it runs -> the command line that downloads. Every one goes on where it was interrupted."""
    arguments = settings.arguments(folder)
    line = "img2dataset " + " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in arguments.items())
    return {
        "this machine": line,
        "a Spark cluster": f"spark-submit --master spark://MASTER:7077 {shlex.quote(str(folder / SPARK))}",
        "a Ray cluster": f"RAY_ADDRESS=auto {line} --distributor ray",
    }


def write_spark_script(settings: DownloadSettings, folder: Path) -> Path:
    """The script that `spark-submit` is given; img2dataset's own command starts Spark on one machine only."""
    path = folder / SPARK
    lines = "\n".join(f"    {name}={value!r}," for name, value in settings.arguments(folder).items())
    with atomic_file(path) as part:
        part.write_text(SPARK_SCRIPT.format(folder=folder, name=path, arguments=lines), encoding="utf-8")
    return path
