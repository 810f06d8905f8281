"""The benchmarks of data on small sizes, and that their committed figures are within their bars."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import index, loader, prepare


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


def test_the_loader_is_measured(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "ROUNDS", 1)
    monkeypatch.setattr(loader, "SIZES", (56,))
    images = loader.photographs(sorted((data / "photos/web").glob("*.jpg"))[:1], (160, 120), noise=2)
    figures = loader.timed(images, 1)
    assert figures["speed"]["pillow"] == 1 and figures["speed"].keys() == loader.ways(56).keys()
    assert set(loader.differences(images)) == {"fast 56", "fast_drafts 56"}
    assert loader.whole_loader(images * 8)["speed of levels"] > 0


def test_the_committed_pixels_are_near_pillows_and_misses_are_told(project: Path) -> None:
    figures = json.loads((project / "benchmarks/results/loader.json").read_text())
    assert loader.missed(figures) == figures["missed"] and not any("difference" in name for name in figures["missed"])
    assert not any("12 megapixels" in name for name in figures["missed"])


def test_preparing_is_measured(tmp_path: Path, project: Path) -> None:
    prepare.write_list(tmp_path / "list.json", 50)
    assert prepare.taken(tmp_path / "list.json", tmp_path / "laion")["peak_mib"] > 1
    figures = json.loads((project / "benchmarks/results/prepare.json").read_text())
    assert figures["rows"] == 2_000_000 and figures["peak_mib"] <= prepare.BAR_MIB
