"""SOURCE: every command that takes a model takes a bundle, a run folder and a YAML, and says what else it was given."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from minigpt4.cli.main import main
from minigpt4.scenes.data.files import ScenesPlan, write_scenes
from tests import tiny
from tests.cli.pages import write_bundle, write_images

KINDS = ("bundle", "run", "model.yaml")
SHORT = ["--max-new-tokens", "3", "--device", "cpu"]
VERBS = {
    "show": ["show"],
    "chat": ["chat", "--question", "what is this", "--image", "rose.jpg", *SHORT],
    "caption": ["caption", "images", "--output", "captions.jsonl", *SHORT],
    "eval": ["eval", "--limit", "1", "--scenes", "scenes", "--output", "eval", "--split", "seen", "--device", "cpu"],
    "info": ["weights", "info"],
    "verify": ["weights", "verify"],
}
POSITIONAL = [name for name in VERBS if name != "caption"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same model as a bundle, as a run folder and as a YAML, and what the verbs ask about."""
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder / "bundle", template="vicuna_v0")
    for step in (1, 2):
        write_bundle(folder / "run" / f"checkpoint_{step:08d}", template="vicuna_v0")
    config = replace(tiny.model(template="vicuna_v0").config, ckpt=str(folder / "bundle"))
    (folder / "model.yaml").write_text(tiny.as_yaml(config))
    write_images(folder, "rose.jpg", "images/a.png")
    write_scenes(folder / "scenes", ScenesPlan(stage1=1, stage2=1, dialogues=1, newcomers=1, eval=1))
    return folder


@pytest.fixture(autouse=True)
def in_models(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bundle", "run", "model.yaml", "rose.jpg", "images", "scenes"):
        (tmp_path / name).symlink_to(models / name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", VERBS)
def test_every_command_takes_every_kind_by_model(verb: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*VERBS[verb], "--model", kind]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", POSITIONAL)
def test_commands_without_another_positional_take_it_in_first_place(verb: str, kind: str) -> None:
    *words, = VERBS[verb]
    first = 2 if words[0] == "weights" else 1
    assert main([*words[:first], kind, *words[first:]]) == 0


@pytest.mark.parametrize("verb", VERBS)
def test_the_originals_spelling_stays(verb: str) -> None:
    assert main([*VERBS[verb], "--cfg-path", "model.yaml"]) == 0


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_of_a_run_folder_the_newest_checkpoint_is_looked_at(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*VERBS[verb], "run"]) == 0
    assert "checkpoint_00000002 is its newest checkpoint" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_other_weights_stay_what_they_were(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*VERBS[verb], "bundle/model.safetensors"]) == 0
    assert "tensors" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["info", "verify"])
def test_a_yaml_without_weights_says_so(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "random.yaml").write_text(tiny.as_yaml(tiny.model(template="vicuna_v0").config))
    assert main([*VERBS[verb], "random.yaml"]) == 2
    assert "random.yaml: names no weights" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "sentence"), [
    ("deeper", "neither a bundle nor a run folder with a checkpoint; did you mean 'deeper/still/run'?"),
    ("configs", "neither a bundle nor a run folder with a checkpoint; did you mean 'configs/one.yaml'?"),
    ("bundle/model.safetensors", "this file is not a YAML; did you mean 'bundle'?"),
    ("alone/x.pth", "is a file of weights, and --model takes a bundle, a run folder or a YAML; name it as model.ckpt "
     "in a YAML of eval_configs/ (--cfg-path YAML --options model.ckpt=alone/x.pth), or make a bundle of it: minigpt4 "
     "weights import-checkpoint"),
    ("configs/one.txt", "this file is not a YAML; did you mean 'configs/one.yaml'?"),
    ("bundel", "no such file or folder; did you mean 'bundle'?"),
    ("model.yml", "no such file or folder; did you mean 'model.yaml'?"),
    ("images", "neither a bundle nor a run folder with a checkpoint; give a bundle, a run folder or a YAML"),
    ("nowhere/at/all", "no such file or folder; give a bundle, a run folder or a YAML"),
])
@pytest.mark.parametrize("verb", ["show", "chat", "caption", "eval"])
def test_anything_else_is_one_sentence_with_the_nearest_model(
    verb: str, given: str, sentence: str, tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deeper" / "still").mkdir(parents=True)
    (tmp_path / "deeper" / "still" / "run").symlink_to(models / "run")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "x.pth").write_bytes(b"x")
    (tmp_path / "configs").mkdir()
    for name in ("one.yaml", "one.txt"):
        (tmp_path / "configs" / name).write_text("model: {}")
    assert main([*VERBS[verb], "--model", given]) == 2
    assert capsys.readouterr().err.strip() == f"{given}: {'this folder is ' * sentence.startswith('neither')}{sentence}"


@pytest.mark.parametrize("verb", VERBS)
def test_exactly_one_model_is_given(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(VERBS[verb]) == 2
    assert "no model was given; give one" in capsys.readouterr().err
    assert main([*VERBS[verb], "--model", "bundle", "--cfg-path", "model.yaml"]) == 2
    assert "2 models were given; give one" in capsys.readouterr().err


def test_the_package_runs_as_a_module(project: Path) -> None:
    command = [sys.executable, "-m", "minigpt4", "--version"]
    run = subprocess.run(command, cwd=project, env={**os.environ, "PYTHONPATH": str(project)}, check=True,
                         capture_output=True, text=True)
    assert run.stdout.startswith("minigpt4 ")
