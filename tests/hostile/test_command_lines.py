"""Wrong command lines end in a sentence, with exit status 2 and without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.attempt import command
from tests.hostile.command_lines import wrong_command_lines


@pytest.mark.parametrize(("number", "seed"), [(30, 1), pytest.param(400, 2, marks=pytest.mark.slow)])
def test_wrong_command_lines(tmp_path: Path, number: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run.yaml").write_text("run: {seed: 1}\n")
    endings = [(words, command(*words)) for words in wrong_command_lines(seed, "run.yaml", number)]
    wrong = [(words, ending.kind, ending.words) for words, ending in endings if ending.kind != "refused"]
    assert not wrong
