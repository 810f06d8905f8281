"""Hostile data files end in samples, in holes with a reason, or in one sentence; soon, and nothing is started."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from minigpt4.assembly.build import build_renderer
from minigpt4.common.errors import UserError
from minigpt4.conversation.renderer import Renderer
from minigpt4.datasets.assembly import build_indexed
from minigpt4.datasets.checking import Findings, RowLengths, read_all
from minigpt4.datasets.config import BuildInfo, DatasetConfig
from minigpt4.datasets.ledger import Ledger, UnreadableLimits
from minigpt4.inference.caption_files import already_described
from minigpt4.systems.minigpt4.wording import read_prompts
from tests import tiny
from tests.hostile.data_files import FILES, HostileData, folder_with_images, hostile_data, sound_files
from tests.hostile.watching import watched

SHARE = 18
"""one of so many is run by default"""
SECONDS = 30.0
ALL = hostile_data()


@cache
def renderer() -> Renderer:
    return build_renderer(tiny.config())


def findings_of(folder: Path, builder: str) -> Findings | None:
    """All that a data set brings: read, rendered and written down; None where one sentence refused all of it."""
    file = folder / FILES[builder]
    storage = str(file) if builder in ("webdataset", "plain_text") else str(folder)
    config = DatasetConfig(build_info=BuildInfo(storage=storage))
    try:
        findings = read_all(build_indexed(builder, config, "train"), lengths=RowLengths(renderer(), 512))
    except UserError as error:
        _is_a_sentence(str(error))
        return None
    ledger = Ledger(folder / "out" / "unreadable.jsonl", UnreadableLimits(1.0, 10**9, 10**9))
    ledger.note(findings.num_readable, findings.unreadable)
    for entry in findings.unreadable:
        _is_a_sentence(str(entry))
    if findings.unreadable:
        for line in (folder / "out" / "unreadable.jsonl").read_text(encoding="utf-8").splitlines():
            json.loads(line)
    return findings


def _is_a_sentence(text: str) -> None:
    assert text and len(text) < 1500 and not re.search("[\0-\x09\x0b-\x1f\x7f]", text), text[:2000]


def check(hostile: HostileData, folder: Path) -> None:
    folder_with_images(folder / "data")
    file = folder / "data" / FILES[hostile.builder]
    hostile.make(file)
    renderer()
    with watched(SECONDS):
        findings_of(folder / "data", hostile.builder)
        for read in (lambda: read_prompts(str(file)), lambda: already_described(file)):
            try:
                read()
            except UserError as error:
                _is_a_sentence(str(error))


def test_there_are_many_and_their_names_are_their_own() -> None:
    assert len({hostile.name for hostile in ALL}) == len(ALL) >= 350


@pytest.mark.parametrize("builder", FILES)
def test_the_files_that_are_broken_are_sound_before(builder: str, tmp_path: Path) -> None:
    folder_with_images(tmp_path / "data")
    (tmp_path / "data" / FILES[builder]).write_bytes(sound_files()[builder])
    findings = findings_of(tmp_path / "data", builder)
    assert findings is not None and findings.clean


@pytest.mark.parametrize("hostile", ALL[::SHARE], ids=lambda hostile: hostile.name)
def test_some_hostile_data(hostile: HostileData, tmp_path: Path) -> None:
    check(hostile, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("hostile", ALL, ids=lambda hostile: hostile.name)
def test_all_hostile_data(hostile: HostileData, tmp_path: Path) -> None:
    check(hostile, tmp_path)
