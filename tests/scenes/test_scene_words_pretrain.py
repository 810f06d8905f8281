"""The task that teaches a language model to speak of scenes: sums of words, whole answers, a few steps that help."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minigpt4.assembly.build import build
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import Config, load_config
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place
from minigpt4.scenes.builders.scene_words import EXAM_TYPES
from minigpt4.scenes.scene import Group, Scene
from minigpt4.scenes.tasks.scene_words_pretrain import SceneWordsPretrain, WordImages, Words, word_sums, word_tokens

SMALL = ("model.llm.random.num_hidden_layers=1", "model.llm.random.hidden_size=32", "run.batch_size_train=8",
         "model.llm.random.intermediate_size=32", "datasets.scene_words.exam_samples=1")
SCENE = Scene((Group("star", "black", 3, "small", 3),), "meadow", 0)


@pytest.fixture(scope="module")
def config(project: Path) -> Config:
    return load_config(project / "train_configs" / "parts_language_model.yaml", SMALL)


@pytest.fixture(scope="module")
def loaded(config: Config) -> LoadedModel:
    return build(config)


@pytest.fixture(scope="module")
def task(config: Config, loaded: LoadedModel) -> SceneWordsPretrain:
    return SceneWordsPretrain(config, loaded, Place())


def test_an_image_is_the_weighted_sum_of_its_words(loaded: LoadedModel) -> None:
    words = WordImages(loaded.tokenizer).of([((" red", 0.5), (" star", 2.0)), ()])
    red, star = (loaded.tokenizer.encode(word, specials=False)[0] for word in (" red", " star"))
    table = loaded.model.llm.model.get_input_embeddings().weight
    sums = word_sums(loaded.model, Words(words.ids[None], words.weights[None]))
    torch.testing.assert_close(sums[0], torch.stack([0.5 * table[red] + 2.0 * table[star], torch.zeros(32)]))


def test_words_in_pieces_are_refused(loaded: LoadedModel) -> None:
    with pytest.raises(UserError, match="cuts ' rhinoceros' into"):
        WordImages(loaded.tokenizer).of([((" rhinoceros", 1.0),)])


def test_scenes_in_ideal_words(loaded: LoadedModel) -> None:
    tokens = word_tokens(loaded, [SCENE, SCENE], "zh")
    assert tokens.shape == (2, 16, 32)
    assert not torch.equal(tokens[0], tokens[1]), "the order of the slots tells nothing"


def test_training_varies_images_and_measuring_does_not(task: SceneWordsPretrain, loaded: LoadedModel) -> None:
    batch = next(task.training_batches(0))
    model = loaded.model.train()
    varied = [task.output(model, batch).loss_sum.item() for _ in range(2)]
    model.eval()
    plain = [task.output(model, batch).loss_sum.item() for _ in range(2)]
    assert varied[0] != varied[1] and plain[0] == plain[1]


def test_captions_end_as_in_stage_1_and_answers_as_in_stage_2(task: SceneWordsPretrain, loaded: LoadedModel) -> None:
    ends = set()
    for _, batch in zip(range(6), task.training_batches(0), strict=False):
        ends |= {loaded.tokenizer.decode([int(row[row != -100][-1])]) for row in batch.labels}
    assert ends == {"\n", "###"}


def test_an_exam_counts_every_type_and_language(task: SceneWordsPretrain, loaded: LoadedModel) -> None:
    counted: dict[str, float] = {}
    loaded.model.eval()
    for batch in task.evaluation_batches("held_out", None):
        for name, tally in task.measure(loaded.model, batch).items():
            counted[name] = counted.get(name, 0) + tally.count
    assert counted.pop("loss") > 0
    assert counted == {f"{type}/{language}": 1 for type in EXAM_TYPES for language in ("en", "zh")}


def test_lessons_are_measured_by_their_loss_alone(task: SceneWordsPretrain, loaded: LoadedModel) -> None:
    loaded.model.eval()
    measured = task.measure(loaded.model, next(task.training_batches(0)))
    assert set(measured) == set(task.measures)
    assert {name for name, tally in measured.items() if tally.count} == {"loss"}


def test_a_scene_in_words_is_named_tensors(task: SceneWordsPretrain) -> None:
    images = next(task.training_batches(0)).images
    assert {name: (value.dtype, value.shape[1:]) for name, value in images.items()} == {
        "word_ids": (torch.int64, (16, 16)), "word_weights": (torch.float32, (16, 16))}


def test_a_few_steps_help(task: SceneWordsPretrain, loaded: LoadedModel) -> None:
    model = loaded.model.train()
    optimizer = torch.optim.AdamW(model.llm.parameters(), lr=3e-3)
    batch = next(task.training_batches(3))
    losses = []
    for _ in range(14):
        output = task.output(model, batch)
        losses.append(float(output.loss_sum) / output.num_tokens)
        (output.loss_sum / output.num_tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.8 * losses[0]
