"""The vision encoder and Q-Former in the package: they are there, small, and read scenes they never met."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import minigpt4
from minigpt4.assembly.build import build
from minigpt4.common.config import load_config
from minigpt4.common.process_group import Place
from minigpt4.scenes.tasks.scene_labels_pretrain import SceneLabelsPretrain
from tests.scenes.recipes import without_photographs

FOLDER = Path(minigpt4.__file__).parent / "parts" / "vision_q_former"
SCENES = 24


@pytest.fixture(scope="module")
def read(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Split -> shares of the groups that are read rightly, in half precision as shipped."""
    weights = [f"model.{part}.weights={FOLDER}" for part in ("vision", "resampler")]
    options = [*weights, "datasets.drawn_scenes.seed=2024", f"run.batch_size_eval={SCENES}"]
    config = load_config(without_photographs(project, tmp_path_factory.mktemp("recipe")), options)
    loaded = build(config)
    task = SceneLabelsPretrain(config, loaded, Place())
    shares = {}
    for split in ("seen", "held_out"):
        (batch,) = task.evaluation_batches(split, SCENES)
        with torch.no_grad():
            counted = task.measure(loaded.model, batch)
        shares[split] = {name: tally.total / tally.count for name, tally in counted.items() if tally.count}
    return shares


def test_they_are_half_precision_and_small() -> None:
    tensors = load_file(FOLDER / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()} == {torch.float16}
    assert {name.partition(".")[0] for name in tensors} == {"vision", "resampler"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6_000_000


@pytest.mark.parametrize("split", ["seen", "held_out"])
def test_they_read_new_scenes_and_combinations_that_no_training_showed(read: dict[str, dict[str, float]],
                                                                       split: str) -> None:
    assert read[split]["query_all"] >= 0.9
    assert min(read[split][f"query_{name}"] for name in ("kind", "colour", "size", "count")) >= 0.93
