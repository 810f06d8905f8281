"""Bundles from anywhere x the verbs that read one: no code runs, no traceback, no hang."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.hostile.attempt import assert_all_good, command
from tests.hostile.bundles import VERBS, hostile_copies, write_bundle


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("whole") / "bundle")


def test_the_unchanged_bundle_is_accepted_by_every_verb(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                       ) -> None:
    monkeypatch.chdir(tmp_path)
    endings = [command(*verb, str(whole)) for verb in VERBS]
    assert [ending.kind for ending in endings] == ["accepted"] * len(VERBS), endings


@pytest.mark.parametrize(("number", "seed"), [(12, 1), pytest.param(130, 2, marks=pytest.mark.slow)])
def test_changed_bundles(whole: Path, tmp_path: Path, number: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    endings = []
    for words, folder, sign in hostile_copies(whole, tmp_path, number, seed):
        monkeypatch.syspath_prepend(sign.parent)
        for verb in VERBS:
            shutil.rmtree(tmp_path / "exported", ignore_errors=True)
            endings.append((f"{words} x {' '.join(verb[:2])}", command(*verb, str(folder))))
            assert not sign.exists(), f"{words} ran code in {verb}"
    assert_all_good(endings)
