"""The benchmarks of data on small sizes, and that their committed figures are within their bars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import index


def test_the_index_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "SAMPLES", 50)
    shards, kept = tmp_path / "shards", tmp_path / "index"
    shards.mkdir()
    for number in range(2):
        index.write_shard(shards / f"{number}.tar", number * 50)
    figures = index.build(shards, kept) | index.reopened(shards, kept)
    assert figures["members"] == 300 and figures["shards"] == 2 and set(index.BARS) <= set(figures)
    assert set(index.walks(shards)) == {"tarfile", "headers alone", "index of a shard"}


def test_the_committed_index_is_within_its_bars(project: Path) -> None:
    figures = json.loads((project / "benchmarks/results/index.json").read_text())
    assert figures["members"] == 3_000_000 and index.missed(figures) == []
    assert index.missed({**figures, "reopen_ms": 11, "members_per_cpu_second": 1}) == [
        "members_per_cpu_second", "reopen_ms"]
