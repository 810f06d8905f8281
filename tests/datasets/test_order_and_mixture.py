"""Order as a function: permutations are permutations, shares are shares, one integer is the whole state."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace

import pytest

from minigpt4.common.errors import UserError
from minigpt4.datasets.mixture import BLOCK, Mixture, mixture_weights
from minigpt4.datasets.order import permuted, uniform_numbers
from minigpt4.records.conversations import Sample
from tests.datasets.data_fakes import FakeDataset


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100, 1000])
def test_permuted_is_a_permutation(size: int) -> None:
    for seed in range(3):
        assert sorted(permuted(number, size, seed) for number in range(size)) == list(range(size))


def test_permutations_of_seeds_differ_and_move_nearly_everything() -> None:
    orders = [[permuted(number, 1000, seed) for number in range(1000)] for seed in range(2)]
    assert orders[0] != orders[1]
    assert sum(order == number for number, order in enumerate(orders[0])) < 10


def test_permutation_has_no_drift() -> None:
    """Neighbours land far apart: the mean step of a random order of n is n / 3."""
    order = [permuted(number, 3000, 5) for number in range(3000)]
    steps = [abs(one - other) for one, other in zip(order, order[1:], strict=False)]
    assert 900 < sum(steps) / len(steps) < 1100


def test_uniform_numbers_do_not_depend_on_where_they_are_asked() -> None:
    whole = uniform_numbers(0, 1000, 3)
    assert (uniform_numbers(400, 10, 3) == whole[400:410]).all()
    assert 0.47 < whole.mean() < 0.53 and whole.min() >= 0 and whole.max() < 1


def test_every_sample_once_before_any_twice() -> None:
    mixture = Mixture([FakeDataset("a", 37)], [1.0], seed=1)
    epochs = [[mixture.place(epoch * 37 + number).number for number in range(37)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(37)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_shares_and_epochs_within_a_mixture() -> None:
    mixture = Mixture([FakeDataset("a", 50), FakeDataset("b", 7)], [115, 14], seed=4)
    places = [mixture.place(position) for position in range(5000)]
    counts = Counter(place.dataset for place in places)
    assert abs(counts[1] / 5000 - 14 / 129) < 0.015
    for dataset, size in ((0, 50), (1, 7)):
        own = [place for place in places if place.dataset == dataset]
        for start in range(0, len(own) - size, size):
            assert sorted(place.number for place in own[start : start + size]) == list(range(size))


def test_place_is_a_function_of_seed_and_position() -> None:
    datasets = [FakeDataset("a", 50), FakeDataset("b", 7)]
    mixture = Mixture(datasets, [3, 1], seed=4)
    positions = [0, 5, BLOCK - 1, BLOCK, 3 * BLOCK + 17]
    forwards = [mixture.place(position) for position in positions]
    fresh = pickle.loads(pickle.dumps(mixture))
    assert [fresh.place(position) for position in reversed(positions)] == forwards[::-1]
    assert [Mixture(datasets, [3, 1], seed=5).place(position) for position in positions] != forwards


def test_counting_goes_on_over_blocks() -> None:
    """The first draw of a block follows the last one of the block before."""
    mixture = Mixture([FakeDataset("a", 10**9), FakeDataset("b", 10**9)], [1, 1], seed=0)
    around = range(BLOCK - 2000, BLOCK + 2000)
    numbers = [(place.dataset, place.number) for place in map(mixture.place, around)]
    assert len(set(numbers)) == len(numbers)


def test_far_positions_of_a_huge_data_set_cost_nothing() -> None:
    mixture = Mixture([FakeDataset("laion", 115_000_000)], [1.0], seed=0)
    assert 0 <= mixture.place(10**12).number < 115_000_000


def test_weights() -> None:
    assert mixture_weights({"a": None, "b": None}) == [1.0, 1.0]
    assert mixture_weights({"a": 115, "b": 14}) == [115, 14]
    with pytest.raises(UserError, match=r"datasets\.b: has no sample_ratio"):
        mixture_weights({"a": 1.0, "b": None})


def test_a_data_set_smaller_than_its_share_of_a_batch_is_refused() -> None:
    with pytest.raises(UserError, match="a: has 7 samples, one batch over all ranks takes 8"):
        Mixture([FakeDataset("a", 7)], [1.0], 0).require(8)
    Mixture([FakeDataset("a", 7), FakeDataset("b", 100)], [1, 9], 0).require(64)
    with pytest.raises(UserError, match="b: has 3 samples, one batch over all ranks takes 4"):
        Mixture([FakeDataset("a", 7), FakeDataset("b", 3)], [1, 1], 0).require(8)


class _DrawnAnew(FakeDataset):
    """Says in its sample's id which draw it is."""

    def sample(self, number: int, draw: int = 0) -> Sample:
        sample = super().sample(number, draw)
        assert isinstance(sample, Sample)
        return replace(sample, id=f"{number} drawn {draw}")


def test_a_sample_knows_its_epoch() -> None:
    """Of its own data set, also in a mixture; the first time is draw 0."""
    mixture = Mixture([_DrawnAnew("a", 3), _DrawnAnew("b", 5)], [1, 1], seed=2)
    ids: dict[str, list[str]] = {"a": [], "b": []}
    for position in range(60):
        name, sample = mixture.sample(position)
        ids[name].append(sample.id)
    for name, size in (("a", 3), ("b", 5)):
        for epoch in range(4):
            shown = sorted(ids[name][epoch * size : (epoch + 1) * size])
            assert shown == [f"{number} drawn {epoch}" for number in range(size)]
