"""What a data set is, in a few words that a checkpoint keeps: number of samples, and a hash of its index.

Images are not read for it: tars are known by the names, places and sizes of their members, lists by their records.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from minigpt4.datasets.dataset import IndexedDataset
from minigpt4.datasets.formats.stream import ShardStream
from minigpt4.datasets.mixture import Mixture


@runtime_checkable
class HasFingerprint(Protocol):
    """A data set that can tell whether its samples are still the same ones."""

    def fingerprint(self) -> str:
        """A hash of its index, equal as long as the samples are; empty where nothing is known."""


def identities_of(source: Mixture | ShardStream) -> dict[str, str]:
    """Name of each data set -> its identity; a stream has none."""
    if isinstance(source, ShardStream):
        return {}
    return {f"{number}: {dataset.name}": _identity_of(dataset) for number, dataset in enumerate(source.datasets)}


def _identity_of(dataset: IndexedDataset) -> str:
    samples = f"{len(dataset):,} samples"
    index = dataset.fingerprint()[:16] if isinstance(dataset, HasFingerprint) else ""
    return f"{samples} with the index {index}" if index else samples
