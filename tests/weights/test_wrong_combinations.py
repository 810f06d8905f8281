"""The matrix of wrong combinations: each refused by one sentence that names the files and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.weights.wrong_combinations import WRONG


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_combination_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = WRONG[name]
    sentence = wrong.sentence(tmp_path)
    assert [word for word in (*wrong.names, wrong.advice) if word not in sentence] == []
    assert "\n" not in sentence
    assert "was run" not in capsys.readouterr().out
