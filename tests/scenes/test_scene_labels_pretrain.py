"""The task that teaches vision: which labels a scene has, how they are read, and that a few steps bring them nearer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from minigpt4.assembly.build import build
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import Config, load_config
from minigpt4.common.errors import UserError
from minigpt4.common.process_group import Place
from minigpt4.records.batches import IGNORED_LABEL
from minigpt4.scenes.builders.drawn_scenes import DrawnScenes
from minigpt4.scenes.labels import ATTRIBUTES, NOTHING, QUARTERS, labels_of
from minigpt4.scenes.scene import Group, Scene
from minigpt4.scenes.tasks.scene_labels_pretrain import MEASURED, SceneLabelsPretrain, directions, quarter_means
from tests.scenes.recipes import without_photographs

SMALL = ("model.vision.widths=[16,16,96]", "model.resampler.num_hidden_layers=1", "run.batch_size_train=4",
         "run.valid_samples=4")


@pytest.fixture(scope="module")
def recipe(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe without photographs."""
    return without_photographs(project, tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="module")
def config(recipe: Path) -> Config:
    return load_config(recipe, SMALL)


@pytest.fixture(scope="module")
def loaded(config: Config) -> LoadedModel:
    return build(config)


@pytest.fixture(scope="module")
def task(config: Config, loaded: LoadedModel) -> SceneLabelsPretrain:
    return SceneLabelsPretrain(config, loaded, Place())


def test_labels_tell_each_quarter_and_leave_out_colours_without_a_name() -> None:
    scene = Scene((Group("star", "blue", 1, "big", 0), Group("fish", "red", 3, "small", 3)), "meadow", 0)
    labels = labels_of(scene, (None, (120, 120, 120))).tolist()
    words = [[values[label] if label != IGNORED_LABEL else "?"
              for values, label in zip(ATTRIBUTES.values(), row, strict=True)] for row in labels]
    assert words == [
        ["star", "blue", "big", "1", "top left", "meadow"],
        ["nothing", "nothing", "nothing", "nothing", "top right", "meadow"],
        ["nothing", "nothing", "nothing", "nothing", "bottom left", "meadow"],
        ["fish", "?", "small", "3", "bottom right", "meadow"],
    ]


def test_labels_of_a_batch_are_those_of_its_scenes(task: SceneLabelsPretrain, config: Config) -> None:
    batch = next(task.training_batches(0))
    data = DrawnScenes(config.datasets["drawn_scenes"], "train", "drawn_scenes")
    drawn = [data.drawn(int(sample_id.rsplit("/", 1)[1])) for sample_id in batch.sample_ids]
    assert batch.targets[QUARTERS].equal(torch.stack([labels_of(each.scene, each.fills) for each in drawn]))


def test_directions_stand_at_right_angles() -> None:
    found = directions(64)
    torch.testing.assert_close(found.T @ found, torch.eye(found.shape[1]), atol=1e-5, rtol=0)


def test_quarters_are_means_of_their_patches() -> None:
    grid = torch.zeros(1, 4, 4, 1)
    grid[0, :2, 2:] = 8.0
    grid[0, 3, 0] = 4.0
    tokens = torch.cat([torch.full((1, 1, 1), 99.0), grid.flatten(1, 2)], dim=1)
    assert quarter_means(tokens).flatten().tolist() == [0, 8, 1, 0]


def test_tokens_made_of_the_right_directions_are_read_without_fault(task: SceneLabelsPretrain) -> None:
    batch = next(iter(task.evaluation_batches("held_out", 4)))
    labels, starts = batch.targets[QUARTERS], [0]
    for values in ATTRIBUTES.values():
        starts.append(starts[-1] + len(values))
    columns = directions(128).T[labels + torch.tensor(starts[:-1])]  # [N, 4, A, W]
    queries = columns.sum(dim=2).repeat_interleave(4, dim=1)
    assert all(bool(right.all()) for right in task._right(queries, labels).values())
    with torch.no_grad():
        right, wrong = task._label_loss(20 * queries, labels), task._label_loss(-20 * queries, labels)
    assert right < wrong / 4


def test_a_few_steps_lower_the_loss(task: SceneLabelsPretrain, loaded: LoadedModel) -> None:
    batch = next(task.training_batches(0))
    parameters = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3)
    torch.manual_seed(0)
    losses = []
    for _ in range(6):
        output = task.output(loaded.model, batch)
        (output.loss_sum / output.num_tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(output.loss_sum.item() / output.num_tokens)
    assert losses[-1] < 0.8 * losses[0]


def test_measures_count_groups_and_tokens(task: SceneLabelsPretrain, loaded: LoadedModel) -> None:
    batch = next(iter(task.evaluation_batches("seen", 4)))
    with torch.no_grad():
        counted = task.measure(loaded.model, batch)
    assert set(counted) == set(task.measures)
    groups = int((batch.targets[QUARTERS][:, :, 0] != ATTRIBUTES["kind"].index(NOTHING)).sum())
    of_scenes = {f"{part}_{name}" for part in ("vision", "query") for name in (*MEASURED, "all")}
    assert {counted[name].count for name in of_scenes} == {groups}
    assert all(tally.count == 0 for name, tally in counted.items() if name not in {*of_scenes, "loss"})
    assert counted["loss"].count == batch.num_supervised


def test_what_does_not_fit_is_told(project: Path, recipe: Path, config: Config, loaded: LoadedModel) -> None:
    narrow = load_config(recipe, [*SMALL, "model.resampler.num_query_tokens=6"])
    with pytest.raises(UserError, match="multiple of 4"):
        SceneLabelsPretrain(narrow, build(narrow), Place())
    narrow = load_config(recipe, [*SMALL, "model.resampler.hidden_size=32"])
    with pytest.raises(UserError, match="69 or more"):
        SceneLabelsPretrain(narrow, build(narrow), Place())
    photos = load_config(project / "train_configs" / "minigpt4_photos_stage1.yaml", sections=["run"])
    other = dataclasses.replace(config, datasets={"photos": photos.run})
    with pytest.raises(UserError, match="drawn_scenes"):
        SceneLabelsPretrain(other, loaded, Place())
