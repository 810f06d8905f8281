"""Image-caption shards that can only be read from their beginning, at addresses (`remote.py`), through webdataset.

A stream has no sample number i, so its promises are weaker than those of local shards: the order is a function of
(seed, rank, world size); a resumed run reads what came before again and throws it away; one process per rank reads,
since the order would otherwise depend on their number. A cut stream is seen where the tar says so, or by counting
against `build_info.samples_per_shard`: a tar that ends between two members looks whole from inside.
"""

from __future__ import annotations

import random
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minigpt4.common.config.paths import expand_shards
from minigpt4.common.errors import UserError
from minigpt4.common.seeds import seed_for
from minigpt4.datasets.formats.remote import check_libraries, open_remote
from minigpt4.datasets.formats.shards import caption_of
from minigpt4.processors.captions import TextProcessor
from minigpt4.processors.file_formats import READ_ENDINGS, UNREAD_ENDINGS
from minigpt4.records.conversations import IMAGE_MARK, Sample, Unreadable, caption_conversation
from minigpt4.records.images import ImageRef

SIDE_BY_SIDE = "in a stream the members of a sample stand side by side: pack the tar with --sort=name"
SHUFFLE_BUFFER = 1000
"""samples held back and drawn from, as in the original"""

_READ_ERRORS = (OSError, EOFError, ValueError, tarfile.TarError)
"""what webdataset raises for a shard that cannot be opened or ends early"""

Raw = dict[str, Any] | Unreadable
"""members of one sample by ending, or why a shard went wrong"""


@dataclass(frozen=True)
class ShardStream:
    """Samples of shards in the order in which they arrive."""

    name: str
    urls: tuple[str, ...]
    text_processor: TextProcessor
    samples_per_shard: int | None = None
    question: str = IMAGE_MARK
    """what the user asks of every image"""
    damaged: Sequence[Unreadable] = ()

    @classmethod
    def open(cls, name: str, pattern: str, text_processor: TextProcessor, samples_per_shard: int | None,
             question: str = IMAGE_MARK) -> ShardStream:
        """Raises `UserError` where the library that reads such addresses is not installed."""
        urls = tuple(expand_shards(pattern))
        for url in urls[:1]:
            check_libraries(url)
        return cls(name, urls, text_processor, samples_per_shard, question)

    def endless(self, *, seed: int, rank: int = 0, world_size: int = 1, skip: int = 0) -> Iterator[Sample | Unreadable]:
        """Samples of this rank's shards, reshuffled in every pass; the first `skip` are read and discarded.

        Raises `UserError` if there are fewer shards than ranks, or nothing in any of them.
        """
        if len(self.urls) < world_size:
            what = f"has {len(self.urls)} shards for {world_size} ranks"
            raise UserError("data.too_small", where=self.name, what=what, fix="make more shards or use fewer ranks")
        epoch = 0
        while True:
            count = 0
            for raw in self._shuffled(seed, epoch, rank, world_size):
                count += 1
                if skip:
                    skip -= 1
                else:
                    yield self._sample(raw)
            if not count:
                raise UserError("data.empty", where=self.name, what="has no samples", fix="see docs/data.md")
            epoch += 1

    def once(self, *, rank: int = 0, world_size: int = 1) -> Iterator[Sample | Unreadable]:
        """Samples of this rank's shards once through, in order."""
        for url in self.urls[rank::world_size]:
            yield from map(self._sample, self._shard(url))

    def _shuffled(self, seed: int, epoch: int, rank: int, world_size: int) -> Iterator[Raw]:
        urls = list(self.urls)
        random.Random(seed_for(seed, "shards", epoch)).shuffle(urls)
        chance = random.Random(seed_for(seed, "buffer", epoch, rank))
        held: list[Raw] = []
        for url in urls[rank::world_size]:
            for raw in self._shard(url):
                held.append(raw)
                if len(held) > SHUFFLE_BUFFER:
                    yield held.pop(chance.randrange(len(held)))
        chance.shuffle(held)
        yield from held

    def _shard(self, url: str) -> Iterator[Raw]:
        from webdataset.tariterators import group_by_keys, tar_file_expander

        count = 0
        try:
            with open_remote(url) as stream:
                for raw in group_by_keys(tar_file_expander([{"url": url, "stream": stream}])):
                    count += 1
                    yield raw
        except _READ_ERRORS as error:
            yield _cut(url, count, f"{count} samples ({_said(error)})")
            return
        if self.samples_per_shard and count < self.samples_per_shard:
            yield _cut(url, count, f"{count} of {self.samples_per_shard} samples")

    def _sample(self, raw: Raw) -> Sample | Unreadable:
        if isinstance(raw, Unreadable):
            return raw
        key, source = raw["__key__"], f"shard {raw['__url__']}, member {raw['__key__']}"
        try:
            caption = self.text_processor(caption_of(raw.get("json"), raw.get("txt")))
            images = [value for endings in (READ_ENDINGS, UNREAD_ENDINGS) for ending, value in raw.items()
                      if ending in endings]
            if not images:
                raise UserError("data.no_image", what="no image beside its caption", fix=SIDE_BY_SIDE)
            image = ImageRef(data=images[0], name=source)
            return Sample(key, source, caption_conversation(image, caption, self.question))
        except UserError as error:
            return Unreadable.because(key, source, error)


def _said(error: Exception) -> str:
    """What went wrong; webdataset puts an address behind it."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, str) else getattr(error, "strerror", "") or str(error)


def _cut(url: str, count: int, after: str) -> Unreadable:
    return Unreadable(f"{url}#{count}", f"shard {url}", f"archive ends after {after}", "data.shard_cut")
