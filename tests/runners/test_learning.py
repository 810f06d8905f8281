"""Whether own texts can be learned and were: what is counted, and from which numbers on a person is warned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.runners.finetuning.learning import Measured, Pieces, before_lines, foreign, not_learned, pieces_of
from minigpt4.runners.finetuning.own_run import usual_epochs
from tests import tiny

KNOWN = Pieces(100, 0, 0)
LN_V = math.log(320)


class Letters:
    """A tokenizer of ASCII letters: others are bytes, digits unknown."""

    special_tokens = {"<unk>": 0}

    def encode(self, text: str, *, specials: bool) -> list[int]:
        return [byte if byte < 48 or byte > 57 else 0 for byte in text.encode()]

    def decode(self, ids: Sequence[int], *, skip_specials: bool = True) -> str:
        return bytes(ids).decode("utf-8", "replace")


@pytest.fixture(scope="module")
def frozen() -> LoadedModel:
    config = tiny.config()
    return tiny.model(llm=replace(config.llm, freeze=True))


def test_unknown_pieces_and_bytes_are_counted() -> None:
    found = pieces_of(["ab1", "c红"], Letters())
    assert found == Pieces(7, 1, 3) and found.foreign == pytest.approx(4 / 7)
    assert Pieces(0, 0, 0).foreign == 0


@pytest.mark.parametrize(("pieces", "loss", "warned"), [
    (KNOWN, LN_V - 0.1, False), (KNOWN, LN_V + 0.1, True), (Pieces(100, 20, 5), 1.0, True),
    (Pieces(100, 0, 24), 1.0, False),
])
def test_texts_are_foreign_from_guessing_or_from_a_quarter_of_pieces_on(
    frozen: LoadedModel, pieces: Pieces, loss: float, warned: bool,
) -> None:
    warning = foreign(pieces, Measured(loss, None), frozen)
    assert (warning is not None) == warned
    if warning is not None:
        assert "--train everything" in str(warning) and "--train lora" in str(warning)
    assert foreign(pieces, Measured(loss, None), tiny.model()) is None, "a language model that trains learns words"


def test_what_is_said_before_holds_the_numbers() -> None:
    [line] = before_lines(Pieces(2000, 30, 10), Measured(7.214, 0.1), 1000)
    assert "1.5% of 2,000 pieces are unknown to the tokenizer, 0.5% are single bytes" in line
    assert "loss 7.21 a token" in line and "guessing costs ln 1,000 = 6.91" in line


@pytest.mark.parametrize(("before", "after", "answers", "code"), [
    (Measured(9.0, 0.0), Measured(LN_V + 0.1, 1.0), "ab", "finetune.nothing_learned"),
    (Measured(3.0, 0.0), Measured(2.95, 1.0), "ab", "finetune.nothing_learned"),
    (Measured(3.0, 0.0), Measured(1.0, 0.01), "ab", "finetune.images_unused"),
    (Measured(3.0, 0.0), Measured(1.0, 0.01), "aa", ""), (Measured(3.0, 0.0), Measured(1.0, 0.5), "ab", ""),
    (Measured(3.0, None), Measured(1.0, None), "ab", ""),
])
def test_what_was_not_learned(frozen: LoadedModel, before: Measured, after: Measured, answers: str, code: str) -> None:
    found = not_learned(before, after, list(answers), frozen)
    assert [warning.code for warning in found] == ([code] if code else [])
    assert all("--train everything" in str(warning) for warning in found)


@pytest.mark.parametrize(("steps_per_epoch", "epochs"), [(1, 40), (5, 40), (25, 10), (100, 10), (291, 3), (5000, 1)])
def test_few_samples_are_seen_more_often(steps_per_epoch: int, epochs: int) -> None:
    assert usual_epochs(steps_per_epoch) == epochs
