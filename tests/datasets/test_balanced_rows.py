"""Samples dealt by length: each comes once, micro-batches are alike, one integer says where a run is."""

from __future__ import annotations

import random

import pytest

from minigpt4.common.errors import UserError
from minigpt4.datasets.balanced_rows import POOL_ROWS, BalancedRows, batch_size_within, deal
from tests.datasets.data_fakes import FakeDataset
from tests.datasets.test_loader import assert_same, first, loader, names_of

LENGTHS = [random.Random(number).randint(8, 400) for number in range(3000)]


def length(position: int) -> int:
    return LENGTHS[position % len(LENGTHS)]


@pytest.mark.parametrize(("size", "num_samples"), [(8, 3000), (4, 1000), (7, 250), (3, 10), (5, 2)])
def test_every_sample_comes_once_before_any_comes_again(size: int, num_samples: int) -> None:
    rows = BalancedRows(length, size, num_samples, seed=1)
    for epoch in range(3):
        places = range(epoch * num_samples, (epoch + 1) * num_samples)
        assert sorted(rows.position(place) for place in places) == list(places)


def test_a_place_says_the_same_whatever_was_asked_before() -> None:
    straight = [BalancedRows(length, 8, 3000, seed=1).position(place) for place in (0, 700, 2999, 3001)]
    rows = BalancedRows(length, 8, 3000, seed=1)
    assert [rows.position(place) for place in (3001, 2999, 700, 0)] == straight[::-1]
    assert [BalancedRows(length, 8, 3000, seed=2).position(place) for place in range(64)] != [
        rows.position(place) for place in range(64)]


def test_micro_batches_have_about_as_many_tokens() -> None:
    """8 samples of 8 to 400 tokens: whole pools within 2 % of their mean; in the usual order rows differ by half."""
    rows = BalancedRows(length, 8, 3000, seed=1)
    for pool in range(3000 // (8 * POOL_ROWS)):
        first_place = pool * 8 * POOL_ROWS
        sums = [sum(length(rows.position(first_place + 8 * row + number)) for number in range(8))
                for row in range(POOL_ROWS)]
        mean = sum(sums) / len(sums)
        assert max(sums) <= 1.02 * mean and min(sums) >= 0.98 * mean
    usual = [sum(LENGTHS[8 * row : 8 * row + 8]) for row in range(POOL_ROWS)]
    assert max(usual) > 1.4 * sum(usual) / len(usual)


def test_rows_are_filled_as_their_room_says() -> None:
    assert [len(row) for row in deal([5, 1, 9, 2, 2, 7], [1, 3, 2])] == [1, 3, 2]
    assert deal([3, 3, 3, 3], [2, 2]) == [[0, 2], [1, 3]] or deal([3, 3, 3, 3], [2, 2]) == [[1, 3], [0, 2]]


@pytest.mark.parametrize("max_tokens", [1000, 2000, 6000])
def test_as_many_samples_as_stay_within_the_tokens(max_tokens: int) -> None:
    size = batch_size_within(max_tokens, length, 3000)
    rows = BalancedRows(length, size, 1024, seed=1)
    whole = 1024 // (size * POOL_ROWS) * POOL_ROWS
    sums = [sum(length(rows.position(size * row + number)) for number in range(size)) for row in range(whole)]
    assert max(sums) <= max_tokens
    assert (size + 1) * sum(LENGTHS[:1024]) / 1024 > 0.95 * max_tokens


def test_too_few_tokens_are_told() -> None:
    with pytest.raises(UserError, match="run.max_tokens: is 50, and samples have 20. tokens on average; raise it"):
        batch_size_within(50, length, 3000)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_any_number_of_workers_gives_the_same_and_goes_on_from_one_integer(workers: int) -> None:
    straight = first(loader(balanced=True), 8)
    assert [batch.sample_ids for batch in straight] != [batch.sample_ids for batch in first(loader(), 8)]
    assert_same(first(loader(balanced=True, position=5, num_workers=workers), 3), straight[5:])


def test_ranks_take_turns_with_the_same_micro_batches() -> None:
    alone = [names_of(batch) for batch in first(loader(balanced=True), 6)]
    ranks = [first(loader(balanced=True, rank=rank, world_size=3), 2) for rank in range(3)]
    assert [names_of(ranks[rank][step]) for step in range(2) for rank in range(3)] == alone


def test_an_epoch_of_the_loader_has_every_sample_once() -> None:
    batches = first(loader(datasets=[FakeDataset("a", 40, bad=frozenset({3, 30}))], balanced=True), 10)
    assert sorted(name for batch in batches for name in names_of(batch)) == sorted(f"a{number}" for number in range(40))
