"""`minigpt4 data validate`: read everything once, say what was found, write it down for other programs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minigpt4.cli._config_arguments import add_config_arguments
from minigpt4.common.config import load_config
from minigpt4.common.config.ranges import PositiveInt, Processes, number
from minigpt4.common.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from minigpt4.datasets.checking import Findings, RowLengths
    from minigpt4.datasets.dataset import IndexedDataset

LISTED = 20
"""unreadable samples that are named; the counts by cause are of all"""
NAMED = 3
"""samples that a line about others names"""


def add_validate_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `validate` to the verbs of `minigpt4 data`."""
    validate = verbs.add_parser(
        "validate", help="read every sample and image; exit status 1 if one is unreadable or none is left")
    add_config_arguments(validate)
    validate.add_argument("--num-workers", type=number(Processes), default=0, metavar="N",
                          help="processes that read (default: 0)")
    validate.add_argument("--report", type=Path, metavar="JSON", help="also write everything that was found")
    validate.add_argument("--sheet", type=Path, metavar="PNG", help="also write images from all over the data as one")
    validate.add_argument("--sheet-images", type=number(PositiveInt), default=20, metavar="N",
                          help="images of each data set on the sheet (default: 20)")


def validate(arguments: argparse.Namespace) -> int:
    """Read every data set and split of a config."""
    from minigpt4.common.files import write_json
    from minigpt4.datasets.assembly import build_indexed
    from minigpt4.datasets.config import TRAIN_SPLIT

    config = load_config(arguments.cfg_path, arguments.options, sections=("datasets",))
    lengths = _row_lengths(arguments)
    clean, reports, tiles = True, [], []
    for name, dataset_config in config.datasets.items():
        for split in (TRAIN_SPLIT, *dataset_config.build_info.splits):
            dataset = build_indexed(name, dataset_config, split)
            findings = _read(dataset, f"{name} {split}", arguments.num_workers, lengths)
            clean = clean and findings.clean
            _print_findings(f"{name} {split}", findings, dataset)
            reports.append({"data_set": name, "split": split, **findings.report(dataset)})
            tiles += list(_tiles(dataset, arguments.sheet_images)) if arguments.sheet else []
    if arguments.report:
        write_json(arguments.report, {"clean": clean, "data_sets": reports})
        print(f"wrote {arguments.report}")
    if arguments.sheet:
        _write_sheet(arguments.sheet, tiles)
    return 0 if clean else 1


def _read(dataset: IndexedDataset, name: str, num_workers: int, lengths: RowLengths | None) -> Findings:
    from tqdm import tqdm

    from minigpt4.datasets.checking import findings_before, reading

    findings = findings_before(dataset)
    for _ in tqdm(reading(findings, dataset, num_workers=num_workers, lengths=lengths), name, len(dataset),
                  unit="sample", leave=False, disable=None):
        pass
    return findings


def _row_lengths(arguments: argparse.Namespace) -> RowLengths | None:
    """How long samples may be for the model of the YAML; None, and a line that says so, where it cannot be known."""
    from minigpt4.assembly.build import build_renderer, positions_in
    from minigpt4.datasets.checking import RowLengths

    try:
        model = load_config(arguments.cfg_path, arguments.options, sections=("model",)).model
        return RowLengths(build_renderer(model), positions_in(model))
    except UserError as error:
        say(f"lengths are not checked, as the model of the YAML cannot be opened: {error}")
        return None


def _write_sheet(path: Path, tiles: Sequence[tuple[Image, str]]) -> None:
    from minigpt4.common.files import atomic_file
    from minigpt4.datasets.inspection import contact_sheet

    if not tiles:
        say(f"{path} is not written, as no sample with an image can be read")
        return
    with atomic_file(path) as part:
        contact_sheet(tiles).save(part, "PNG")
    print(f"wrote {path}")


def _tiles(dataset: IndexedDataset, number: int) -> Iterable[tuple[Image, str]]:
    """Images from all over a data set with what is said of them."""
    from minigpt4.datasets.checking import examples
    from minigpt4.datasets.inspection import TILE, answers_of
    from minigpt4.processors.decoding import ImageError, open_image
    from minigpt4.processors.resizing import padded, resized

    for sample in examples(dataset, number):
        try:
            image = open_image(sample.conversation.images[0])
        except ImageError:  # it is in the list of what is unreadable
            continue
        yield resized(padded(image, (255, 255, 255)), TILE, TILE), answers_of(sample.conversation)


def say(text: str) -> None:
    """Print what came from data; half a surrogate pair, which no terminal can show, is escaped."""
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def _print_findings(name: str, findings: Findings, dataset: IndexedDataset) -> None:
    from minigpt4.datasets.formats.shard_index import counted

    bad = len(findings.unreadable)
    say(f"{name}: {findings.num_samples} samples, {findings.num_images} images, {bad} unreadable")
    if not findings.num_readable:
        say("  nothing is left to learn from")
    for line in _lines(findings, dataset):
        say(f"  {line}")
    if findings.downloads:
        say(f"  {findings.downloads.line()}")
    if findings.left_out:
        say(f"  members that belong to no sample: {counted(findings.left_out)}")
    for reason, count in findings.causes():
        say(f"  {count:>6}  {reason}")
    for entry in findings.unreadable[:LISTED]:
        say(f"  {entry}")
    if len(findings.unreadable) > LISTED:
        print(f"  … and {len(findings.unreadable) - LISTED} more")


def _lines(findings: Findings, dataset: IndexedDataset) -> Iterable[str]:
    """What the readable samples are like, and which of them a person should look at."""
    from minigpt4.datasets.checking import SAME_ANSWERS, SAME_IMAGES, SAME_SAMPLES

    if findings.num_samples and findings.num_readable:
        yield f"readable: {100 * findings.num_readable / findings.num_samples:.4g} %"
    names = {"width": "image width", "height": "image height", "words": "words of an answer",
             "positions": "tokens of a sample, images included", "learned": "tokens of a sample that are learned"}
    for key, name in names.items():
        if key in findings.distributions:
            summary = findings.distributions[key].summary()
            yield (f"{name}: {summary['least']} to {summary['largest']}, half of them up to "
                   f"{summary['percentile_50']}, 99 % up to {summary['percentile_99']}")
    if findings.unsupervised:
        yield f"nothing of them is learned: {_named(findings.unsupervised, dataset)}"
    if longer := findings.too_long():
        yield f"too long for the language model, counted as unreadable: {len(longer)} samples"
    for key, name in ((SAME_SAMPLES, "same image and answer as another sample"),
                      (SAME_IMAGES, "same image as another sample"), (SAME_ANSWERS, "same answer as another sample")):
        if groups := findings.repeats.get(key, []):
            again = [number for group in groups for number in group[1:]]
            yield f"{name}: {_named(again, dataset)}"


def _named(numbers: Sequence[int], dataset: IndexedDataset) -> str:
    from minigpt4.datasets.checking import ids_of

    more = ", …" if len(numbers) > NAMED else ""
    word = "sample" if len(numbers) == 1 else "samples"
    return f"{len(numbers)} {word} ({', '.join(ids_of(dataset, numbers[:NAMED]))}{more})"
