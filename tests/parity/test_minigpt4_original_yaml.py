"""Every YAML of the originals loads unchanged; its placeholders are refused by name, and the advice given is enough."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from minigpt4.cli.main import main
from minigpt4.common.config import load_config, load_fragment
from minigpt4.common.errors import UserErrors
from tests.conftest import ORACLES

FOLDER = ORACLES / "minigpt4" / "original_yaml"
RUN_YAMLS = sorted(FOLDER.glob("*/*_configs/*.yaml"))
FRAGMENTS = sorted(FOLDER.glob("*/minigpt4/configs/**/*.yaml"))
BEHAVIOUR = {"april2023": "original_april2023", "aug2023_llama2": "original_aug2023", "newest": "original_newest"}
"""folder of the recording -> what its YAMLs mean, without saying so"""

ADVICE = re.compile(r"--options (\S+)=PATH")


def _name(path: Path) -> str:
    return str(path.relative_to(FOLDER))


def _written(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _packaged_image_sizes(path: Path) -> set[int]:
    """The sizes that the packaged model YAMLs of the same recording say; the run YAMLs do not."""
    version = FOLDER / path.relative_to(FOLDER).parts[0]
    return {_written(file)["model"]["image_size"] for file in version.glob("minigpt4/configs/models/*.yaml")}


def test_the_folder_holds_run_yamls_and_fragments() -> None:
    assert RUN_YAMLS and FRAGMENTS, f"no original YAML in {FOLDER}"


@pytest.mark.parametrize("path", RUN_YAMLS, ids=_name)
def test_a_run_yaml_loads_unchanged_once_its_placeholders_are_filled(path: Path, project: Path, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)  # prompts/alignment.txt is relative to the checkout, as in the original
    with pytest.raises(UserErrors) as caught:
        load_config(path)
    assert {error.code for error in caught.value.errors} == {"config.placeholder"}
    keys = [ADVICE.search(error.fix) for error in caught.value.errors]
    config = load_config(path, [f"{key.group(1)}={tmp_path}" for key in keys if key])

    assert config.model.behaviour == BEHAVIOUR[path.relative_to(FOLDER).parts[0]]
    assert config.model.llm.weights == str(tmp_path)
    written = _written(path)
    assert config.model.vision.image_size in _packaged_image_sizes(path)
    assert list(config.datasets) == list(written["datasets"])
    for key, value in written["run"].items():
        if hasattr(config.run, key):
            assert getattr(config.run, key) == (float(value) if re.search(r"lr$", key) else value), key


@pytest.mark.parametrize("path", RUN_YAMLS, ids=_name)
def test_U1_placeholders_are_refused_by_name(path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    with pytest.raises(UserErrors) as caught:
        load_config(path)
    told = str(caught.value)
    assert "model.llm.weights still has the placeholder" in told
    if "ckpt" in (model := _written(path)["model"]):
        assert f"{path}:" in told and f"model.ckpt still has the placeholder '{model['ckpt']}'" in told


@pytest.mark.parametrize("path", FRAGMENTS, ids=_name)
def test_a_packaged_yaml_loads_as_a_fragment(path: Path) -> None:
    config = load_fragment(path)
    written = _written(path)
    assert list(config.datasets) == list(written.get("datasets", {}))
    for name, section in written.get("datasets", {}).items():
        assert config.datasets[name].build_info.storage == section["build_info"]["storage"]
    if "model" in written:
        assert config.model.llm.weights == written["model"]["llama_model"]
        wanted = "q_former" if written["model"].get("has_qformer", True) else "merge_neighbours"
        assert config.model.resampler.name == wanted


def test_the_originals_stage_1_tells_all_its_placeholders_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    path = FOLDER / "april2023" / "train_configs" / "minigpt4_stage1_pretrain.yaml"
    assert main(["train", "--cfg-path", str(path), "--dry-run"]) == 2
    said = capsys.readouterr().err
    for key in ("model.llm.weights", "model.vision.weights", "model.resampler.weights",
                "datasets.laion.build_info.storage", "datasets.cc_sbu.build_info.storage"):
        assert f"{key} still has the placeholder" in said
