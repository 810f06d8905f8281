"""Nobody trains on without knowing what was lost, and a wrong path ends the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minigpt4.common.errors import UserError
from minigpt4.datasets.ledger import Ledger, UnreadableLimits, ledger_path
from minigpt4.records.conversations import Unreadable


def bad(*numbers: int) -> list[Unreadable]:
    return [Unreadable(f"{n:06}", f"shard 00412.tar, member {n:06}", "no 'json' beside 'jpg'", "data.caption")
            for n in numbers]


def test_u21_past_the_share_and_twenty_the_run_ends_with_a_sentence(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "unreadable.jsonl")
    ledger.note(463, bad(*range(19)))
    with pytest.raises(UserError) as told:
        ledger.note(0, bad(123))
    assert str(told.value) == (
        "shard 00412.tar, member 000123: no 'json' beside 'jpg' (20 of 483 so far; the run ends past 1 % and 20); "
        f"see docs/data.md#shards, all are listed in {tmp_path / 'unreadable.jsonl'}"
    )


def test_below_the_share_any_number_is_borne() -> None:
    ledger = Ledger()
    for number in range(100):
        ledger.note(99, bad(number))
    assert (ledger.seen, ledger.bad) == (10_000, 100)


def test_fewer_than_twenty_are_borne_whatever_the_share() -> None:
    ledger = Ledger()
    ledger.note(0, bad(*range(19)))
    assert (ledger.seen, ledger.bad) == (19, 19)


def test_u21_a_thousand_in_a_row_end_the_run_whatever_the_share() -> None:
    ledger = Ledger(limits=UnreadableLimits(share=1.0))
    ledger.note(10**6, [])
    for start in range(0, 990, 10):
        ledger.note(0, bad(*range(start, start + 10)))
    with pytest.raises(UserError, match="1000 in a row; the run ends at 1000"):
        ledger.note(0, bad(*range(990, 1000)))


def test_a_good_one_begins_the_row_anew() -> None:
    ledger = Ledger(limits=UnreadableLimits(share=1.0, in_a_row=5))
    for number in range(10):
        ledger.note(0, bad(*range(4)) if number % 2 else [])
        ledger.note(1, [])
    assert ledger.bad == 20


def test_each_is_written_once_over_epochs_and_resumes(tmp_path: Path) -> None:
    path = ledger_path(tmp_path)
    Ledger(path).note(1, bad(1, 2))
    with open(path, "a") as file:
        file.write('{"id": "torn by a ki')
    again = Ledger(path)
    again.note(1, bad(2, 3))
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["000001", "000002", "000003"]


def test_state_goes_on_where_it_stopped() -> None:
    ledger = Ledger()
    ledger.note(5, bad(1))
    other = Ledger()
    other.load_state(ledger.state())
    assert other.state() == {"seen": 6, "bad": 1, "in_a_row": 1}


def test_damaged_shards_are_written_and_not_counted(tmp_path: Path) -> None:
    ledger = Ledger(ledger_path(tmp_path, rank=1))
    ledger.note_damaged(bad(7))
    ledger.note_damaged(bad(7))
    assert (ledger.seen, ledger.bad) == (0, 0)
    assert len((tmp_path / "unreadable.rank1.jsonl").read_text().splitlines()) == 1
