"""The loaders: same batches for any number of workers, ranks that share out one order, resume from one integer."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt4.common.errors import UserError
from minigpt4.datasets.formats.lines import JsonLines
from minigpt4.datasets.formats.shards import open_shards
from minigpt4.datasets.ledger import Ledger, UnreadableLimits
from minigpt4.datasets.loader import EvaluationLoader, TrainingLoader
from minigpt4.datasets.mixture import Mixture
from minigpt4.processors.captions import Identity
from minigpt4.processors.images import FittedImages
from minigpt4.records.batches import Batch
from minigpt4.records.conversations import Sample, Unreadable
from minigpt4.records.images import ImageSpec
from tests.datasets.data_fakes import FakeDataset, FakeProcessor, FakeRenderer, TextDataset, pair, write_tar

PROCESSORS = {name: FakeProcessor() for name in ("a", "b")}


def loader(**changed: Any) -> TrainingLoader:
    datasets = changed.pop("datasets", [FakeDataset("a", 40, bad=frozenset({3, 30})), FakeDataset("b", 9)])
    mixture = Mixture(datasets, changed.pop("weights", [3, 1] if len(datasets) == 2 else [1]), seed=7)
    renderer = changed.pop("renderer", FakeRenderer())
    lenient = Ledger(limits=UnreadableLimits(share=1.0))
    return TrainingLoader(mixture, renderer, PROCESSORS, **{"batch_size": 4, "ledger": lenient, **changed})


def first(batches: Iterable[Batch], count: int) -> list[Batch]:
    return list(itertools.islice(batches, count))


def assert_same(one: list[Batch], other: list[Batch]) -> None:
    assert [batch.sample_ids for batch in one] == [batch.sample_ids for batch in other]
    for ours, theirs in zip(one, other, strict=True):
        assert torch.equal(ours.input_ids, theirs.input_ids)
        assert torch.equal(ours.labels, theirs.labels) and torch.equal(ours.slots, theirs.slots)
        assert ours.images.keys() == theirs.images.keys()
        assert all(torch.equal(value, theirs.images[name]) for name, value in ours.images.items())
        assert ours.unreadable == theirs.unreadable


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores, on purpose
@pytest.mark.parametrize("workers", [1, 3])
def test_order_prompts_and_crops_do_not_depend_on_workers(workers: int) -> None:
    assert_same(first(loader(num_workers=workers), 12), first(loader(), 12))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("ranks", [1, 2])
def test_shards_and_fast_pixels_come_in_one_order(tmp_path: Path, workers: int, ranks: int) -> None:
    for shard in range(3):
        members = [pair(f"{shard}{key}", f"rose {shard}{key}") for key in range(7)]
        write_tar(tmp_path / f"{shard}.tar", {name: value for each in members for name, value in each.items()})
    processors = {"s": FittedImages(ImageSpec(size=8, method="fast"))}

    def batches(size: int, **changed: Any) -> list[Batch]:
        source = Mixture([open_shards("s", str(tmp_path), Identity())], [1.0], seed=3)
        return first(TrainingLoader(source, FakeRenderer(), processors, batch_size=size, **changed), 8)

    alone = batches(4)
    shares = [batches(4 // ranks, rank=rank, world_size=ranks, num_workers=workers, prefetch=3)
              for rank in range(ranks)]
    for step, batch in enumerate(alone):
        parts = [share[step] for share in shares]
        assert batch.sample_ids == [name for part in parts for name in part.sample_ids]
        assert torch.equal(batch.images["pixel_values"], torch.cat([part.images["pixel_values"] for part in parts]))


@dataclass(frozen=True)
class Recorded(FakeDataset):
    """Remembers which samples were read."""

    read: list[int] = field(default_factory=list)

    def sample(self, number: int, draw: int = 0) -> Sample | Unreadable:
        self.read.append(number)
        return super().sample(number, draw)


@pytest.mark.parametrize("step", [0, 1, 7, 40])
def test_a_resume_reads_nothing_of_what_came_before(step: int) -> None:
    straight, resumed = Recorded("a", 30), Recorded("a", 30)
    first(loader(datasets=[straight]), step + 2)
    first(loader(datasets=[resumed], position=step), 2)
    assert resumed.read == straight.read[4 * step :] and len(resumed.read) == 8


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_from_one_integer(workers: int) -> None:
    straight = loader()
    before = iter(straight)
    first(before, 5)
    assert straight.position == 5
    assert_same(first(before, 4), first(loader(position=5, num_workers=workers), 4))


def test_ranks_share_out_the_order_of_one() -> None:
    alone = first(loader(batch_size=8), 4)
    both = [first(loader(rank=rank, world_size=2), 4) for rank in range(2)]
    for step, batch in enumerate(alone):
        assert batch.sample_ids == both[0][step].sample_ids + both[1][step].sample_ids


@pytest.mark.parametrize(("begun_on", "now"), [(1, 2), (1, 3), (2, 1), (2, 3), (3, 2), (4, 1), (4, 8), (2, 2)])
def test_other_ranks_go_on_with_the_samples_of_the_same_steps(begun_on: int, now: int) -> None:
    """Each sample of a step comes once, in micro-batches that are not larger than before."""
    begun = [first(loader(batch_size=3, rank=rank, world_size=begun_on), 6) for rank in range(begun_on)]
    share = {"batch_size": 3, "world_size": now, "begun_on": begun_on, "position": 2}
    per_step = loader(**share).share.batches_per_step
    later = [first(loader(**share, rank=rank), 4 * per_step) for rank in range(now)]
    for step in range(4):
        expected = [name for batches in begun for name in names_of(batches[2 + step])]
        found = [batch for batches in later for batch in batches[step * per_step : (step + 1) * per_step]]
        assert sorted(expected) == sorted(name for batch in found for name in names_of(batch))
        assert len(found) == per_step * now and all(len(names_of(batch)) <= 3 for batch in found)
    again = loader(**share)
    first(again, 3 * per_step - 1)
    assert again.position == 2 + (3 * per_step - 1) // per_step


def names_of(batch: Batch) -> list[str]:
    """Ids of all samples that have been drawn for a batch."""
    return [*batch.sample_ids, *(entry.id for entry in batch.unreadable)]


def test_holes_leave_a_shorter_batch_and_no_substitute() -> None:
    batches = first(loader(datasets=[FakeDataset("a", 12, bad=frozenset({2, 5}))], batch_size=12), 1)
    assert len(batches[0].sample_ids) == 10 == batches[0].input_ids.shape[0] == batches[0].num_images
    assert sorted(entry.id for entry in batches[0].unreadable) == ["a2", "a5"]


def test_a_batch_without_a_row_is_legal() -> None:
    batch = first(loader(datasets=[FakeDataset("a", 4, bad=frozenset(range(4)))]), 1)[0]
    assert batch.input_ids.shape == (0, 0) and not batch.num_images and batch.num_supervised == 0


def test_u41_samples_without_a_learned_token_are_named_and_left_out() -> None:
    batch = first(loader(datasets=[FakeDataset("a", 6, unlearned=frozenset({1}))], batch_size=6), 1)[0]
    assert batch.unsupervised == ["a1"] and len(batch.sample_ids) == 5


def test_text_samples_stand_beside_images() -> None:
    batch = first(loader(datasets=[FakeDataset("a", 20), TextDataset("t", 20)], weights=[1, 1], batch_size=16), 1)[0]
    images = sum(sample_id.startswith("a") for sample_id in batch.sample_ids)
    assert 0 < images < 16 and batch.num_images and len(batch.images["pixel_values"]) == images
    assert int(batch.slots.max()) == images * FakeRenderer.tokens_per_image - 1


@pytest.mark.parametrize(("prompt_per", "different"), [("sample", 6), ("batch", 1)])
def test_prompt_is_drawn_per_sample_or_per_batch(prompt_per: str, different: int) -> None:
    batches = first(loader(datasets=[FakeDataset("a", 20)], renderer=FakeRenderer(prompt_per=prompt_per),
                           batch_size=6), 2)
    draws = [set(batch.input_ids[:, 0].tolist()) for batch in batches]
    assert [len(each) for each in draws] == [different, different] and draws[0] != draws[1]


def test_a_sample_meets_new_chance_in_the_next_epoch() -> None:
    batches = first(loader(datasets=[FakeDataset("a", 8)], batch_size=8), 2)
    one, two = (dict(zip(batch.sample_ids, batch.images["pixel_values"][:, 1].flatten().tolist(), strict=True))
                for batch in batches)
    assert one.keys() == two.keys() and all(one[name] != two[name] for name in one)


def test_loading_leaves_torchs_own_numbers_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first(loader(num_workers=1), 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_too_small_for_one_global_batch() -> None:
    with pytest.raises(UserError, match="a: has 9 samples, one batch over all ranks takes 10"):
        loader(datasets=[FakeDataset("a", 9)], batch_size=5, world_size=2)


def test_steps_per_epoch() -> None:
    assert loader(datasets=[FakeDataset("a", 41)], batch_size=4, world_size=2).steps_per_epoch == 5


@dataclass(frozen=True)
class Complaining(FakeRenderer):
    """A renderer that finds a mistake of a person."""

    def render(self, conversation: Any, draw: int) -> Any:
        raise UserError("prompt.none", where="prompts.txt", what="has no prompt")


@pytest.mark.parametrize("workers", [0, 1])
def test_mistakes_keep_their_sentence_on_the_way_from_a_worker(workers: int) -> None:
    with pytest.raises(UserError, match=r"^prompts\.txt: has no prompt$"):
        first(loader(renderer=Complaining(), num_workers=workers), 1)


def test_u53_a_worker_gets_no_copy_of_a_large_file(tmp_path: Path) -> None:
    """What travels to a worker is small whatever the file holds: offsets, no parsed records."""
    path = tmp_path / "large.jsonl"
    path.write_text(('{"caption": "' + "x" * 2000 + '"}\n') * 500)
    lines = JsonLines.open(path)
    assert len(lines) == 500 and len(pickle.dumps(lines)) < path.stat().st_size / 50


# --- evaluation ---


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_is_in_order_once_through(workers: int) -> None:
    dataset = FakeDataset("a", 10, bad=frozenset({4}))
    batches = list(EvaluationLoader(dataset, FakeRenderer(), FakeProcessor(), batch_size=3, num_workers=workers))
    assert [name for batch in batches for name in batch.sample_ids] == [f"a{n}" for n in range(10) if n != 4]
    assert [entry.id for batch in batches for entry in batch.unreadable] == ["a4"]


def test_evaluation_over_ranks_covers_the_first_n_once() -> None:
    loaders = [EvaluationLoader(FakeDataset("a", 20), FakeRenderer(), FakeProcessor(), batch_size=2, rank=rank,
                                world_size=3, limit=11) for rank in range(3)]
    seen = [name for each in loaders for batch in each for name in batch.sample_ids]
    assert sorted(seen) == sorted(f"a{number}" for number in range(11))
    assert [len(each) for each in loaders] == [2, 2, 2]


def test_evaluation_of_nothing() -> None:
    with pytest.raises(UserError, match="a: has no samples"):
        EvaluationLoader(FakeDataset("a", 0), FakeRenderer(), None, batch_size=2)
