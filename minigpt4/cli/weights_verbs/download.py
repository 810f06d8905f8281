"""`minigpt4 weights download`: known weights, or any repository of the hub."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt4.cli.weights_verbs._common import byte_progress
from minigpt4.common.errors import UserError, printable

if TYPE_CHECKING:
    from minigpt4.weights.download.folder import Wanted
    from minigpt4.weights.download.known import KnownWeights

HELP = "download weights by name: resumable, with checksums; or list the files to fetch by hand"
SOMETHING_IS_MISSING = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="see --list; hub:OWNER/NAME for any repository")
    parser.add_argument("--list", action="store_true", help="list the known names with sizes and licences")
    parser.add_argument("--to", type=Path, metavar="DIR", help="where to put them (default: weights)")
    parser.add_argument("--offline", action="store_true",
                        help="only list which files to fetch, from where and to where (also with HF_HUB_OFFLINE=1)")
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit of the repository")


def run(arguments: argparse.Namespace) -> int:
    from minigpt4.weights.download.folder import FOLDER
    from minigpt4.weights.download.hub import is_offline
    from minigpt4.weights.download.known import find_known, known_weights

    if arguments.list:
        print("\n".join(_line(known) for known in known_weights().values()))
        return 0
    if not arguments.names:
        raise UserError("cli.missing", where="minigpt4 weights download", what="needs a NAME",
                        fix="minigpt4 weights download --list lists the known ones")
    wanted = [_at(find_known(name), arguments.revision) for name in arguments.names]
    act = _say_what_to_bring if arguments.offline or is_offline() else _bring
    return max(act(known, arguments.to or FOLDER) for known in wanted)


def _line(known: KnownWeights) -> str:
    from minigpt4.weights.files.disk import as_gigabytes

    size = "size unknown" if known.num_bytes is None else as_gigabytes(known.num_bytes)
    only_by_hand = "" if known.sources else "; only by hand"
    return f"{known.name:<30} {size:>12}  {known.words}{only_by_hand} [{known.licence}]"


def _at(known: KnownWeights, revision: str | None) -> KnownWeights:
    if revision is None:
        return known
    repositories = tuple(replace(source, revision=revision) for source in known.sources if source.hub)
    if not repositories:
        raise UserError("weights.revision", where=known.name, what="does not come from a repository with revisions",
                        fix="leave --revision out")
    return replace(known, sources=repositories)


def _bring(known: KnownWeights, folder: Path) -> int:
    from minigpt4.weights.download.folder import download, wanted_files

    place = known.place(folder)
    if all(file.is_here for file in wanted_files(known, folder)):
        print(f"{place} is already there")
    else:
        came = download(known, folder, bar=byte_progress)
        print(printable(f"wrote {came.place} from {came.url}; licence: {came.licence or 'not stated'}"))
    print(f"use it: {known.use.format(path=place)}")
    return 0


def _say_what_to_bring(known: KnownWeights, folder: Path) -> int:
    from minigpt4.weights.download.folder import wanted_files

    files = wanted_files(known, folder)
    print(f"{known.name}: {known.words} [{known.licence or 'see its page'}]")
    print("\n".join(_to_bring(file) for file in files))
    if known.by_hand:
        print(f"  {known.by_hand}")
    if all(file.is_here for file in files):
        print(f"use it: {known.use.format(path=known.place(folder))}")
        return 0
    return SOMETHING_IS_MISSING


def _to_bring(file: Wanted) -> str:
    size = "size unknown" if file.size is None else f"{file.size} bytes"
    if file.is_here:
        return f"  here     {file.place}"
    return f"  missing  {file.place} ({size})" + "".join(f"\n           from {url}" for url in file.urls)
