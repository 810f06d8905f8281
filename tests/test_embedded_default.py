"""The embedded default as it is shipped: small, whole, and its language model speaks of scenes given in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.config import Config, resolved_yaml
from minigpt4.common.config.paths import PACKAGE
from minigpt4.inference.load import load_model
from minigpt4.scenes.data.files import ScenesPlan, write_scenes
from minigpt4.scenes.data.splits import read_split
from minigpt4.scenes.exam.ceiling import in_words
from minigpt4.scenes.exam.scoring import figures, predict
from minigpt4.weights.files.readers import read_json

MOST_BYTES = 12_000_000


@pytest.fixture(scope="module")
def loaded(project: Path) -> LoadedModel:
    config = project / "eval_configs" / "minigpt4_scenes.yaml"
    return load_model(config, device="cpu", options=["model.ckpt=null"])


def test_the_shipped_parts_are_small(project: Path) -> None:
    files = [file for file in (project / "minigpt4" / "parts").rglob("*") if file.is_file()]
    assert {file.name for file in files} >= {"model.safetensors", "tokenizer.json", "config.json"}
    assert sum(file.stat().st_size for file in files) < MOST_BYTES


def test_only_the_projection_is_left_to_train(loaded: LoadedModel) -> None:
    trained = {name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad}
    assert trained == {f"visual_path.stages.connector.projection.{name}" for name in ("weight", "bias")}
    origins = {name: origin[0].source for name, origin in loaded.origins.items()}
    assert origins == {"vision": "file", "resampler": "file", "connector": "random", "llm": "file"}


def test_its_bundle_names_shipped_parts_as_any_machine_has_them(loaded: LoadedModel, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    text = resolved_yaml(Config(model=loaded.config))
    loaded.save_bundle(tmp_path, resolved_config=text, stage="", step=1)
    for name in ("manifest.json", "config.yaml"):
        assert str(PACKAGE) not in (tmp_path / name).read_text(encoding="utf-8")
    manifest = read_json(tmp_path / "manifest.json")
    assert manifest["parts"]["vision"]["origins"][0]["place"].startswith("parts/vision_q_former")
    monkeypatch.chdir(tmp_path)
    assert load_model(tmp_path, device="cpu").origins["vision"] == loaded.origins["vision"]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["seen", "held_out"])
def test_scenes_in_words_are_understood(loaded: LoadedModel, split: str, tmp_path: Path) -> None:
    """The ceiling of both stages; 12 scenes are few, so the bound is below the recorded .96."""
    write_scenes(tmp_path / "scenes", ScenesPlan(seed=11, stage1=1, stage2=1, dialogues=1, newcomers=1, eval=12))
    scenes = read_split(tmp_path / "scenes" / split)
    found = figures(predict(loaded, split, scenes, galleries=in_words(loaded, scenes)))
    assert found.questions["en"]["mean"] > 0.9 and found.questions["zh"]["mean"] > 0.85
