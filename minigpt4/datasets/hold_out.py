"""Samples kept back by image: an image is trained on or asked about, never both.

Lines that share an image, under whatever name, are on the same side. Which images are kept back follows from the seed
and their names alone, so that other lines beside them change little.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, sha256_of
from minigpt4.datasets.formats.lines import TextLines
from minigpt4.datasets.own_texts import OwnTexts
from minigpt4.records.conversations import Sample


@dataclass(frozen=True)
class Split:
    """Numbers of the samples on either side, and how many images are kept back."""

    train: tuple[int, ...]
    held_out: tuple[int, ...]
    held_out_images: int


@dataclass(frozen=True)
class _Group:
    """Samples that hang together by their images."""

    samples: list[int]
    images: set[Path]
    name: str

    @property
    def size(self) -> int:
        """In images; a text without one counts as one."""
        return max(1, len(self.images))


def split_by_image(data: OwnTexts, share: float, seed: int) -> Split:
    """Keep back a share of the images with all that is said about them.

    Args:
        data: own data that were read.
        share: of the images, above 0 and below 1.
        seed: another seed keeps others back.

    Raises:
        UserError: all samples hang together by their images, so that one side would be empty.
    """
    groups = _groups(data)
    if len(groups) < 2:
        raise UserError("own_data.hold_out", where=f"--hold-out {share:g}", fix="leave --hold-out out, or add images",
                        what="all lines are about the same images, so none can be kept back")
    wanted = max(1, round(share * sum(group.size for group in groups)))
    drawn = sorted(groups, key=lambda group: hashlib.sha256(f"{seed} {group.name}".encode()).digest())
    kept, rest = list[_Group](), list[_Group]()
    for group in drawn:
        missing = wanted - sum(each.size for each in kept)
        side = kept if group.size <= missing or (not kept and group is not drawn[-1]) else rest
        side.append(group)
    if not rest:
        rest = [kept.pop()]
    return Split(_numbers(rest), _numbers(kept), sum(group.size for group in kept))


def _numbers(groups: Sequence[_Group]) -> tuple[int, ...]:
    return tuple(sorted(number for group in groups for number in group.samples))


def _groups(data: OwnTexts) -> list[_Group]:
    """Samples joined wherever they share an image."""
    same = _identities(data.samples)
    groups: dict[int, _Group] = {}  # by the number of one of its samples
    of_image: dict[Path, int] = {}
    for number, sample in enumerate(data.samples):
        own = _Group([number], {same[path] for path in _paths(sample)}, _name(sample, data.images))
        for other in sorted({of_image[image] for image in own.images if image in of_image}):
            joined = groups.pop(other)
            own = _Group([*joined.samples, *own.samples], joined.images | own.images, min(joined.name, own.name))
        groups[number] = own
        of_image.update(dict.fromkeys(own.images, number))
    return list(groups.values())


def _name(sample: Sample, folder: Path) -> str:
    """What the draw goes by: the first image, else the words."""
    paths = _paths(sample)
    if not paths:
        return " ".join(turn.text for turn in sample.conversation.turns)
    return min(path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name for path in paths)


def _paths(sample: Sample) -> list[Path]:
    return [image.path.resolve() for image in sample.conversation.images if image.path is not None]


def _identities(samples: Sequence[Sample]) -> dict[Path, Path]:
    """Path -> the first path with the same bytes. Only files of equal size are read."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(path for sample in samples for path in _paths(sample)):
        by_size[path.stat().st_size].append(path)
    found: dict[Path, Path] = {}
    for paths in by_size.values():
        found.update(_first_of(paths, sha256_of if len(paths) > 1 else str))
    return found


def _first_of(paths: Sequence[Path], key: Callable[[Path], str]) -> Iterator[tuple[Path, Path]]:
    first: dict[str, Path] = {}
    for path in paths:
        yield path, first.setdefault(key(path), path)


def write_lines(texts: Path, numbers: Sequence[int], target: Path) -> None:
    """Copy lines of a JSONL, by their numbers among those that are not blank, as they stand."""
    lines = TextLines.open(texts)
    with atomic_file(target) as part:
        part.write_text("".join(lines[number] + "\n" for number in numbers), encoding="utf-8")
