"""Write a Hugging Face folder of any size: resumable, whole or absent, with checksums.

All is written into `TARGET.partial` and moved to `TARGET` at the end. A finished shard enters `SHA256SUMS` at once;
after a kill the same command keeps every shard that still has its checksum and makes the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigpt4.common.errors import UserError
from minigpt4.common.files import atomic_file, refuse_taken
from minigpt4.weights.files.checksums import SHA256SUMS, digest_of, nothing, read_checksums, write_checksums
from minigpt4.weights.files.disk import check_space, move_folder
from minigpt4.weights.files.readers import read_json
from minigpt4.weights.files.shard_writer import INDEX, LazyTensor, Progress, Shard, index_of, plan_shards, write_shard

PROVENANCE = "provenance.json"
SHARD_BYTES = 2_000_000_000
"""bytes of a shard: what a kill costs at most, and small enough for FAT disks"""


@dataclass(frozen=True)
class ModelFolder:
    """What is to be written.

    Args:
        tensors: made one after the other.
        sidecars: config.json, tokenizer files: name -> content.
        provenance: what was made of what; goes into provenance.json.
        sources: the files that it is made of. Shards of an earlier try are kept only while these are unchanged.
        report: lines for the person who asked.
    """

    tensors: Sequence[LazyTensor]
    sidecars: Mapping[str, bytes]
    provenance: Mapping[str, Any]
    sources: Sequence[Path]
    report: Sequence[str] = ()

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.num_bytes for tensor in self.tensors)

    def fingerprint(self, shards: Sequence[Shard]) -> str:
        """The same only for the same tensors in the same shards from the same files (by size and time)."""
        files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in self.sources]
        parts = [[shard.file_name, [(t.name, t.shape, str(t.dtype)) for t in shard.tensors]] for shard in shards]
        return hashlib.sha256(json.dumps([files, parts, dict(self.provenance)], sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Written:
    """What a run of `write_model_folder` did."""

    num_tensors: int
    num_shards: int
    num_kept: int
    """shards that an earlier try had finished"""


def write_model_folder(work: ModelFolder, target: Path, *, shard_bytes: int = SHARD_BYTES,
                       on_bytes: Progress = nothing) -> Written:
    """Write a folder, or finish one that was begun.

    Args:
        work: what is written.
        target: the new folder.
        shard_bytes: a shard grows up to this size.
        on_bytes: called with the bytes of tensors done, kept ones included.

    Raises:
        UserError: the target holds something already; the disk is too small or full; `TARGET.partial` is of other work.
    """
    refuse_taken(target)
    begun = target.with_name(f"{target.name}.partial")
    shards = plan_shards(work.tensors, shard_bytes)
    fingerprint = work.fingerprint(shards)
    kept = _finished_shards(begun, fingerprint, shards)
    shards_to_write = sum(shard.num_bytes for shard in shards if shard.file_name not in kept)
    check_space(target, shards_to_write + sum(len(content) for content in work.sidecars.values()))
    begun.mkdir(parents=True, exist_ok=True)
    digests = dict(kept)
    _write_file(begun, PROVENANCE, _json({**work.provenance, "fingerprint": fingerprint}), digests)
    for shard in shards:
        if shard.file_name in kept:
            on_bytes(sum(tensor.num_bytes for tensor in shard.tensors))
            continue
        with atomic_file(begun / shard.file_name) as part:
            digests[shard.file_name] = write_shard(shard, part, on_bytes)
        write_checksums(begun, digests)
    index = index_of(shards)
    for name, content in {**work.sidecars, **({INDEX: _json(index)} if index else {})}.items():
        _write_file(begun, name, content, digests)
    write_checksums(begun, digests)
    move_folder(begun, target)
    return Written(len(work.tensors), len(shards), len(kept))


def _finished_shards(begun: Path, fingerprint: str, shards: Sequence[Shard]) -> dict[str, str]:
    """Shards of an earlier try that still have their checksums; leftovers of its last moment are removed."""
    for leftover in begun.glob(".*.part"):
        leftover.unlink()
    if not (begun / PROVENANCE).exists():
        return {}
    if read_json(begun / PROVENANCE).get("fingerprint") != fingerprint:
        raise UserError("weights.other_work", where=str(begun),
                        what="contains unfinished work from other files or options",
                        fix="delete it, or give another target folder")
    if not (begun / SHA256SUMS).exists():
        return {}
    digests = read_checksums(begun / SHA256SUMS)
    known = {
        s.file_name: digests[s.file_name] for s in shards if s.file_name in digests and (begun / s.file_name).exists()
    }
    return {name: digest for name, digest in known.items() if digest_of(begun / name, "sha256") == digest}


def _write_file(folder: Path, name: str, content: bytes, digests: dict[str, str]) -> None:
    with atomic_file(folder / name) as part:
        part.write_bytes(content)
    digests[name] = hashlib.sha256(content).hexdigest()


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
