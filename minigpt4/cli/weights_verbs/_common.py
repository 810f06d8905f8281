"""What several verbs share: arguments that name folders, a bar in bytes, the writing of a large folder."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt4.cli._source import find_source, given_path, source_of
from minigpt4.common.config.ranges import PositiveFloat, number
from minigpt4.common.errors import UserError

if TYPE_CHECKING:
    from minigpt4.weights.files.checksums import Progress
    from minigpt4.weights.files.model_folder import ModelFolder


ANY_WEIGHTS = "or a file or folder of weights"


def weights_of(arguments: argparse.Namespace) -> list[tuple[Path, list[str]]]:
    """The weights behind a SOURCE, each with the lines that say where they were found.

    Of a run folder these are its newest checkpoint, of a YAML the files that it names. Other files and folders of
    weights are taken as they are.

    Raises:
        UserError: nothing of that kind is there, or the YAML names no weights.
    """
    path = given_path(arguments)
    source = find_source(path) if path.exists() else source_of(arguments)
    if source is None:
        return [(path, [])]
    if source.bundle is not None:
        return [(source.bundle, [] if source.bundle == path else [f"{source.bundle.name} is its newest checkpoint"])]
    named = source.weight_files()
    if not named:
        raise UserError("weights.none", where=str(path), what="names no weights: every part starts from random values",
                        fix="give a YAML with model.ckpt or a `weights` key, or a bundle")
    return [(each, [f"{each}:"]) for each in named]


def add_folder(parser: argparse.ArgumentParser, flag: str, words: str, *other_spellings: str) -> None:
    parser.add_argument(flag, *other_spellings, type=Path, required=True, metavar="DIR", help=words)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--options", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="overrides keys of the config")


def add_shard_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shard-gb", type=number(PositiveFloat), default=2.0, metavar="GB",
                        help="largest file to write, which is the most an interruption costs (default: 2)")


def write_folder(work: ModelFolder, target: Path, shard_gigabytes: float) -> int:
    """Write a language model and say what was written."""
    from minigpt4.weights.files.disk import as_gigabytes
    from minigpt4.weights.files.model_folder import write_model_folder

    print("\n".join(work.report))
    with byte_progress("writing", work.num_bytes) as on_bytes:
        written = write_model_folder(work, target, shard_bytes=int(shard_gigabytes * 1e9), on_bytes=on_bytes)
    kept = f", {written.num_kept} of them kept from an earlier try" if written.num_kept else ""
    print(f"wrote {target}: {written.num_tensors} tensors, {as_gigabytes(work.num_bytes)} in {written.num_shards} "
          f"file{'s' * (written.num_shards > 1)}{kept}; checksums in SHA256SUMS")
    return 0


@contextmanager
def byte_progress(words: str, total: int | None) -> Iterator[Progress]:
    """A bar on the terminal, counted in bytes."""
    from tqdm import tqdm

    with tqdm(desc=words, total=total, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        yield lambda num_bytes: bar.update(num_bytes) and None
