"""Read a whole data set once, before a run spends hours on it: what cannot be read, and what the rest is like.

Every sample is read, rendered and its images decoded as in training; what is kept of a sample are a few numbers and
three hashes of 64 bits (24 bytes, so that 100 million samples fit), by which what occurs twice is found at the end.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from torch.utils.data import DataLoader, Dataset

from minigpt4.datasets.batches import SampleRenderer, TooLong, refuse_many_characters, refuse_too_long
from minigpt4.datasets.dataset import IndexedDataset
from minigpt4.datasets.formats.download_report import Downloads
from minigpt4.processors.decoding import MAX_PIXELS, ImageError, image_name, open_image, read_bytes
from minigpt4.records.conversations import Conversation, Sample, Unreadable
from minigpt4.records.images import ImageRef

PERCENTILES = (1, 50, 99)
TOO_LONG = "data.too_long"


@dataclass(frozen=True)
class RowLengths:
    """How long a sample becomes, and how long it may be."""

    renderer: SampleRenderer
    max_positions: int | None
    """None = no end"""

    def check(self, conversation: Conversation, draw: int) -> tuple[int, int]:
        """Positions of a sample, and how many of them are learned.

        Raises `TooLong` if the language model has no positions for it, or its words are a book.
        """
        refuse_many_characters(conversation)
        rendered = self.renderer.render(conversation, draw)
        refuse_too_long(len(rendered.ids), self.max_positions)
        return len(rendered.ids), rendered.num_supervised


@dataclass(frozen=True)
class Seen:
    """What one readable sample is like."""

    sides: tuple[tuple[int, int], ...]
    """width and height of each image, upright"""
    words: int
    """of its answers, parted by white space"""
    characters: int
    images_hash: int | None
    """of the encoded bytes of all its images; None without any"""
    answers_hash: int
    positions: int | None = None
    """None where no model says how a sample is rendered"""
    learned: int | None = None


class Distribution:
    """How often each whole number was seen."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, value: int) -> None:
        self.counts[value] += 1

    def __len__(self) -> int:
        return self.counts.total()

    def summary(self) -> dict[str, float]:
        """Least, largest, mean and percentiles; empty where nothing was seen."""
        if not self.counts:
            return {}
        values = np.array(sorted(self.counts), dtype=np.int64)
        ends = np.cumsum([self.counts[value] for value in values.tolist()])
        ranks = [int(np.searchsorted(ends, max(1, np.ceil(percent / 100 * ends[-1])))) for percent in PERCENTILES]
        mean = sum(value * count for value, count in self.counts.items()) / int(ends[-1])
        percentiles = {f"percentile_{each}": int(values[rank]) for each, rank in zip(PERCENTILES, ranks, strict=True)}
        return {"least": int(values[0]), "largest": int(values[-1]), "mean": round(mean, 2), **percentiles}


@dataclass
class Findings:
    """What reading a whole data set brought."""

    num_samples: int = 0
    num_images: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    left_out: Mapping[str, int] = field(default_factory=dict)
    """ending -> members of shards that belong to no sample"""
    downloads: Downloads | None = None
    """of shards that img2dataset wrote: rows that became no image"""
    num_readable: int = 0
    unsupervised: list[int] = field(default_factory=list)
    """numbers of samples of which nothing is learned"""
    distributions: dict[str, Distribution] = field(default_factory=dict)
    """of width, height, words, characters, positions and learned positions"""
    repeats: dict[str, list[list[int]]] = field(default_factory=dict)
    """numbers of samples that are alike: by the same images, the same images and answers, the same answers"""

    @property
    def clean(self) -> bool:
        """True if there is something to learn from and nothing is unreadable."""
        return self.num_readable > 0 and not self.unreadable

    def causes(self) -> list[tuple[str, int]]:
        """Reasons and what to do with their counts, most frequent first."""
        return Counter(entry.cause for entry in self.unreadable).most_common()

    def too_long(self) -> list[Unreadable]:
        """Those of the unreadable that the language model has no positions for."""
        return [entry for entry in self.unreadable if entry.code == TOO_LONG]

    def add(self, number: int, seen: Seen) -> None:
        """Count a readable sample."""
        self.num_readable += 1
        self.num_images += len(seen.sides)
        for width, height in seen.sides:
            self._add("width", width)
            self._add("height", height)
        for name in ("words", "characters", "positions", "learned"):
            self._add(name, getattr(seen, name))
        if seen.learned == 0:
            self.unsupervised.append(number)

    def _add(self, name: str, value: int | None) -> None:
        if value is not None:
            self.distributions.setdefault(name, Distribution()).add(value)

    def report(self, dataset: IndexedDataset) -> dict[str, object]:
        """Everything as JSON; samples by their ids.

        Args:
            dataset: what was read; it is asked for the ids of samples that are named.
        """
        return {
            "samples": self.num_samples, "readable": self.num_readable, "images": self.num_images,
            "readable_share": round(self.num_readable / self.num_samples, 6) if self.num_samples else 0.0,
            **({"downloads": asdict(self.downloads)} if self.downloads else {}),
            "left_out_members": dict(self.left_out), "causes": dict(self.causes()),
            **{name: each.summary() for name, each in self.distributions.items()},
            "too_long": [entry.id for entry in self.too_long()],
            "unsupervised": ids_of(dataset, self.unsupervised),
            **{name: [ids_of(dataset, group) for group in groups] for name, groups in self.repeats.items()},
            "unreadable": [{key: value for key, value in asdict(entry).items() if value} for entry in self.unreadable],
        }


SAME_IMAGES, SAME_SAMPLES, SAME_ANSWERS = "same_images", "same_images_and_answers", "same_answers"


class _Hashes:
    """Hashes of the readable samples and their numbers, to find what is there twice."""

    def __init__(self) -> None:
        self.numbers, self.images, self.answers = (array(kind) for kind in "qQQ")

    def add(self, number: int, seen: Seen) -> None:
        self.numbers.append(number)
        self.images.append(seen.images_hash or 0)
        self.answers.append(seen.answers_hash)

    def repeats(self) -> dict[str, list[list[int]]]:
        """Groups of two and more. Two of 100 million samples share a hash of 64 bits by chance once in 4,000 sets."""
        numbers, images, answers = (np.asarray(each) for each in (self.numbers, self.images, self.answers))
        both = images * np.uint64(0x9E3779B97F4A7C15) ^ answers
        shown = images != 0
        return {SAME_IMAGES: _groups(images[shown], numbers[shown]), SAME_SAMPLES: _groups(both, numbers),
                SAME_ANSWERS: _groups(answers, numbers)}


def _groups(hashes: np.ndarray, numbers: np.ndarray) -> list[list[int]]:
    """The numbers that have a hash in common, two and more."""
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order], prepend=~hashes[order[:1]]))
    ends = np.append(starts[1:], len(order))
    several = ends - starts > 1
    return sorted(numbers[order[start:end]].tolist() for start, end in zip(starts[several], ends[several], strict=True))


@dataclass(frozen=True)
class _Checks(Dataset[Unreadable | Seen]):
    """Number -> what the sample is like, or why it cannot be used."""

    dataset: IndexedDataset
    opening: str
    max_pixels: int
    lengths: RowLengths | None

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> Unreadable | Seen:
        sample = self.dataset.sample(number)
        if isinstance(sample, Unreadable):
            return sample
        try:
            positions = learned = None
            if self.lengths is not None:
                positions, learned = self.lengths.check(sample.conversation, number)
            images = [self._looked_at(ref) for ref in sample.conversation.images]
        except (ImageError, TooLong) as error:
            return Unreadable.because(sample.id, sample.source, error)
        said = " ".join(turn.text for turn in sample.conversation.turns if turn.role == "assistant")
        digest = _hash_of(b"".join(digest for _, digest in images)) if images else None
        return Seen(tuple(sides for sides, _ in images), len(said.split()), len(said), digest,
                    _hash_of(said.encode("utf-8", "surrogatepass")), positions, learned)

    def _looked_at(self, ref: ImageRef) -> tuple[tuple[int, int], bytes]:
        """Sides and digest of an image, whose bytes are read once."""
        encoded = read_bytes(ref)
        image = open_image(replace(ref, path=None, offset=None, length=None, data=encoded, name=image_name(ref)),
                           self.opening, max_pixels=self.max_pixels)
        return image.size, hashlib.sha256(encoded).digest()


def read_all(
    dataset: IndexedDataset, *, opening: str = "standard", max_pixels: int = MAX_PIXELS, num_workers: int = 0,
    lengths: RowLengths | None = None,
) -> Findings:
    """Read every sample, render it where `lengths` says how, and decode every image once."""
    findings = findings_before(dataset)
    for _ in reading(findings, dataset, opening=opening, max_pixels=max_pixels, num_workers=num_workers,
                     lengths=lengths):
        pass
    return findings


def findings_before(dataset: IndexedDataset) -> Findings:
    """What is known before a sample is read: of shards, what is cut and what belongs to no sample."""
    return Findings(unreadable=list(dataset.damaged), left_out=getattr(dataset, "left_out", {}),
                    downloads=getattr(dataset, "downloads", None))


def reading(
    findings: Findings, dataset: IndexedDataset, *, opening: str = "standard", max_pixels: int = MAX_PIXELS,
    num_workers: int = 0, lengths: RowLengths | None = None,
) -> Iterator[None]:
    """The same step by step: one item a sample, so that a caller can show how far it is; fills `findings`."""
    hashes = _Hashes()
    checks = _Checks(dataset, opening, max_pixels, lengths)
    for number, result in enumerate(DataLoader(checks, batch_size=None, num_workers=num_workers)):
        findings.num_samples += 1
        if isinstance(result, Unreadable):
            findings.unreadable.append(result)
        else:
            findings.add(number, result)
            hashes.add(number, result)
        yield
    findings.repeats = hashes.repeats()


def ids_of(dataset: IndexedDataset, numbers: Sequence[int]) -> list[str]:
    """What the samples are called."""
    return [dataset.sample(number).id for number in numbers]


def examples(dataset: IndexedDataset, number: int) -> Iterator[Sample]:
    """At most so many readable samples with an image, evenly from all over a data set."""
    for place in np.linspace(0, len(dataset) - 1, min(number, len(dataset))).round().astype(int).tolist():
        sample = dataset.sample(place)
        if isinstance(sample, Sample) and sample.conversation.images:
            yield sample


def _hash_of(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")
