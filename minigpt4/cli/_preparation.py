"""`minigpt4 data prepare`: BLIP's lists become parts for img2dataset; what it has downloaded becomes an index."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt4.common.config.ranges import PositiveInt, number
from minigpt4.common.errors import UserError

if TYPE_CHECKING:
    from minigpt4.datasets.preparing import Progress

RATIOS = {"laion": 115, "cc_sbu": 14}
"""data set -> its weight in the original's mixture"""


def add_prepare_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `prepare` to the verbs of `minigpt4 data`."""
    prepare = verbs.add_parser(
        "prepare", help="make parts of BLIP's lists for img2dataset, print its command lines; then index its shards")
    prepare.add_argument("data_set", choices=sorted(RATIOS), help="which builder reads it")
    prepare.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the data set")
    prepare.add_argument("--json", type=Path, nargs="+", default=[], metavar="FILE",
                         help="lists of objects with url and caption; without any, only the shards are indexed")
    amounts = {"rows-per-part": ("rows of a part", 1_000_000), "rows-per-shard": ("rows of a shard", 10_000),
               "image-size": ("side of the images in pixels", 256), "processes": ("processes that download", 16),
               "threads": ("threads of each", 128)}
    for name, (what, usual) in amounts.items():
        prepare.add_argument(f"--{name}", type=number(PositiveInt), default=usual, metavar="N",
                             help=f"{what} (default: {usual})")
    prepare.add_argument("--encode-format", choices=("jpg", "png", "webp"), default="jpg",
                         help="how images are stored (default: jpg)")


def prepare(arguments: argparse.Namespace) -> int:
    """Write parts and command lines, and index the shards that are there."""
    from minigpt4.datasets.preparing import SHARDS, DownloadSettings, commands, write_spark_script

    shards = sorted((arguments.output / SHARDS).glob("*.tar"))
    if arguments.json:
        progress = _write_parts(arguments)
        print(f"{arguments.output}: {progress.rows:,} rows in {progress.parts} parts, "
              f"{progress.left_out:,} objects without url or caption left out")
        settings = DownloadSettings(arguments.image_size, arguments.encode_format, arguments.processes,
                                    arguments.threads, arguments.rows_per_shard)
        write_spark_script(settings, arguments.output)
        for place, command in commands(settings, arguments.output).items():
            print(f"\non {place}, in an environment with img2dataset:\n  {command}")
    elif not shards:
        raise UserError("data.prepare", where=str(arguments.output / SHARDS), what="holds no .tar yet",
                        fix="name the lists with --json, then run the command that is printed")
    if shards:
        _index(arguments.data_set, arguments.output / SHARDS, shards)
    else:
        print(f"\nafterwards: minigpt4 data prepare {arguments.data_set} --output {arguments.output}")
    return 0


def _write_parts(arguments: argparse.Namespace) -> Progress:
    from tqdm import tqdm

    from minigpt4.datasets.preparing import write_parts

    total = sum(path.stat().st_size for path in arguments.json if path.exists())
    with tqdm(desc="lists", total=total, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        return write_parts(arguments.json, arguments.output, rows_per_part=arguments.rows_per_part, told=bar.update)


def _index(data_set: str, folder: Path, shards: list[Path]) -> None:
    from minigpt4.datasets.formats.download_report import downloads_of
    from minigpt4.datasets.formats.index_building import index_shards

    index = index_shards(shards)
    print(f"\n{folder}: {len(index):,} samples in {len(shards)} shards, {len(index.damaged)} damaged")
    if (downloads := downloads_of(shards)) is not None:
        print(downloads.line())
    print(f"\ndatasets:\n  {data_set}:\n    build_info: {{storage: {folder}}}\n    sample_ratio: {RATIOS[data_set]}")
    print("\nnext: minigpt4 data validate --cfg-path the YAML with these lines")
