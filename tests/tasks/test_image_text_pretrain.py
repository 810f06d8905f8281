"""The task on the recorded tiny model: its data, what it measures, and the mistakes it names."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from minigpt4.assembly.build import build
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import Config, load_config
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place
from minigpt4.datasets.assembly import build_image_processors, build_source
from minigpt4.datasets.mixture import Mixture
from minigpt4.metrics.image_gap import with_exchanged_images
from minigpt4.processors.levels import LEVELS
from minigpt4.records.batches import PIXELS
from minigpt4.records.conversations import Sample
from minigpt4.tasks.image_text_pretrain import ImageTextPretrain, batch_size
from tests.runners.fakes import make_batch
from tests.tasks.tiny_runs import write_tiny_run


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return load_config(write_tiny_run(tmp_path_factory.mktemp("task")))


@pytest.fixture(scope="module")
def loaded(config: Config) -> LoadedModel:
    return build(config)


def _with_run(config: Config, **run: Any) -> Config:
    return dataclasses.replace(config, run=dataclasses.replace(config.run, **run))


def test_training_goes_on_from_one_integer(config: Config, loaded: LoadedModel) -> None:
    straight = ImageTextPretrain(config, loaded, Place()).training_batches(0)
    later = ImageTextPretrain(config, loaded, Place()).training_batches(4)
    expected = [next(straight) for _ in range(6)][4:]
    for batch in expected:
        other = next(later)
        assert other.sample_ids == batch.sample_ids
        assert torch.equal(other.input_ids, batch.input_ids)


def test_evaluation_sees_every_sample_once_over_all_ranks(config: Config, loaded: LoadedModel) -> None:
    def seen(place: Place, limit: int | None) -> list[str]:
        task = ImageTextPretrain(config, loaded, place)
        return [name for batch in task.evaluation_batches("val", limit) for name in batch.sample_ids]

    alone = seen(Place(), None)
    assert len(alone) == len(set(alone)) > 3
    assert sorted(seen(Place(0, 2), None) + seen(Place(1, 2), None)) == sorted(alone)
    assert seen(Place(), 3) == alone[:3]


def test_images_travel_as_levels_and_become_the_same_pixels_to_the_bit(config: Config, loaded: LoadedModel) -> None:
    task = ImageTextPretrain(config, loaded, Place())
    batch = next(task.training_batches(0))
    assert batch.images.keys() == {LEVELS} and batch.images[LEVELS].dtype == torch.uint8
    processors = build_image_processors(config.datasets, "train", loaded.image_spec, loaded.behaviour.train_crop)
    assert task._normalisation is not None and loaded.image_spec is not None
    seen = task._normalisation(batch.images)[PIXELS]
    mixture = build_source(config.datasets, seed=config.run.seed)
    assert isinstance(mixture, Mixture)
    drawn = [mixture.sample(position) for position in range(len(seen))]
    pixels = [processors[name](sample.conversation.images[0]) for name, sample in drawn if isinstance(sample, Sample)]
    assert torch.equal(seen, torch.stack(pixels))


def test_u36_the_image_gap_is_the_loss_with_exchanged_images_minus_the_right_one(config: Config,
                                                                                loaded: LoadedModel) -> None:
    task = ImageTextPretrain(config, loaded, Place())
    batch = next(iter(task.evaluation_batches("val", None)))
    assert batch.num_images
    with torch.no_grad():
        counted = task.measure(loaded.model, batch)
        right = task.output(loaded.model, batch)
        exchanged = {LEVELS: batch.images[LEVELS][[2, 0, 1]]}
        wrong = task.output(loaded.model, dataclasses.replace(batch, images=exchanged))
    assert counted["loss"].mean == pytest.approx(float(right.loss_sum) / right.num_tokens)
    assert counted["image_gap"].total == pytest.approx(float(wrong.loss_sum - right.loss_sum))
    assert counted["image_gap"].total != 0


def test_one_image_cannot_be_exchanged() -> None:
    assert with_exchanged_images(make_batch([1])) is None
    assert with_exchanged_images(make_batch([1, 2], images=False)) is None


def test_captions_stand_beside_what_they_should_say(config: Config, loaded: LoadedModel) -> None:
    task = ImageTextPretrain(config, loaded, Place(), lambda images: [f"{image.path}" for image in images])
    captions = task.captions("val")
    assert len(captions) == config.run.valid_captions
    assert captions[0].said.endswith(".jpg") and captions[0].wanted


def test_a_split_that_no_data_set_has_is_named(config: Config, loaded: LoadedModel) -> None:
    with pytest.raises(UserError, match="split 'vall' is not given; did you mean 'val'"):
        ImageTextPretrain(config, loaded, Place()).evaluation_batches("vall", None)


def test_batch_sizes_that_differ_are_named(config: Config) -> None:
    with pytest.raises(UserError, match="run.batch_size_train 4, datasets.cc_sbu_align.batch_size 3"):
        batch_size(_with_run(config, batch_size_train=4))
    assert batch_size(_with_run(config, batch_size_train=3)) == 3


def test_a_number_of_tokens_stands_in_the_place_of_a_batch_size(config: Config, loaded: LoadedModel) -> None:
    """As many samples as fit; beside a batch size it is refused."""
    with pytest.raises(UserError, match="run.max_tokens: is given beside datasets.cc_sbu_align.batch_size"):
        ImageTextPretrain(_with_run(config, max_tokens=500), loaded, Place()).batches_per_epoch()
    dataset = dataclasses.replace(config.datasets["cc_sbu_align"], batch_size=None)
    counted = dataclasses.replace(_with_run(config, max_tokens=500), datasets={"cc_sbu_align": dataset})
    task = ImageTextPretrain(counted, loaded, Place())
    batch = next(task.training_batches(0))
    tokens = sum(batch.row.bounds.lengths)
    assert len(batch.sample_ids) > 1 and tokens <= 500 < tokens + 1.5 * max(batch.row.bounds.lengths)
    with pytest.raises(UserError, match="run.max_tokens: is set, and samples are counted here"):
        batch_size(counted)
