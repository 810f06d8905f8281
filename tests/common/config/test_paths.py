"""Placeholders and absent paths are told before anything loads. A path is never taken for a hub name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt4.common.config import Config, expand_shards, load_config
from minigpt4.common.config.paths import is_placeholder, name_for_download
from minigpt4.common.errors import UserErrors

Load = Callable[..., Config]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/path/to/vicuna/weights/", True), ("please set this value to the path of vicuna model", True),
        ("<path>", True), ("path/to/x", True), ("???", True), ("weights/vicuna-7b", False), ("./a", False), ("", False),
    ],
)
def test_placeholders_are_recognised(text: str, expected: bool) -> None:
    assert is_placeholder(text) is expected


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/path/to/eva_vit_g.pth", "eva_vit_g"), ("llms/vicuna-7b-v1.5", "vicuna-7b-v1.5"), ("mine/model.pth", ""),
        ("/", ""), ("/path/to/checkpoint/", ""),
    ],
)
def test_a_path_leads_to_the_weights_that_can_be_downloaded(text: str, name: str) -> None:
    assert name_for_download(text) == name


def test_shards_expand(tmp_path: Path) -> None:
    assert expand_shards("a/{08..11}.tar") == ["a/08.tar", "a/09.tar", "a/10.tar", "a/11.tar"]
    assert expand_shards("{x,y}/{0..1}.tar") == ["x/0.tar", "x/1.tar", "y/0.tar", "y/1.tar"]
    assert expand_shards("plain.tar") == ["plain.tar"]
    for name in ("b.tar", "a.tar"):
        (tmp_path / name).touch()
    assert expand_shards(f"{tmp_path}/*.tar") == [f"{tmp_path}/a.tar", f"{tmp_path}/b.tar"]
    assert expand_shards("pipe:curl {0..1}.tar") == ["pipe:curl 0.tar", "pipe:curl 1.tar"]


def test_U1_all_absent_paths_are_told_together(load: Load) -> None:
    with pytest.raises(UserErrors) as caught:
        load("model: {arch: toy, llm: ./no, vision: {weights: llm}}\ndatasets: {toy_data: {}}",
             sections=("model", "datasets"))
    told = str(caught.value)
    assert "run.yaml:1: model.llm is './no', which does not exist; give its path (folder of the language" in told
    assert "run.yaml:1: model.vision.weights is 'llm', which is a folder, not a file" in told
    assert "datasets.toy_data.build_info.storage still has the placeholder '/path/to/toys/{00000..00010}.tar'" in told


def test_absent_shards_are_counted(load: Load, tmp_path: Path) -> None:
    (tmp_path / "0.tar").touch()
    with pytest.raises(UserErrors, match="names 3 files of which 2 are absent, the first '1.tar'"):
        load("datasets: {toy_data: {build_info: {storage: '{0..2}.tar'}}}", sections=("datasets",))


def test_U33_a_path_is_never_taken_for_a_hub_name(load: Load) -> None:
    with pytest.raises(UserErrors, match="model.llm is 'llms/vicuna-7b', which does not exist"):
        load("model: {arch: toy, llm: llms/vicuna-7b}", sections=("model",))
    assert load("model: {arch: toy, llm: gpt2}", "model.vision=null", sections=("model",)).model.llm == "gpt2"


def test_paths_are_looked_for_beside_the_yaml_too(write: Callable[..., Path], tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("model: {arch: toy, llm: llm}").resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_config(path, sections=("model",))
    assert Path(config.model.llm) == tmp_path / "llm"


def test_remote_shards_are_left_to_their_reader(load: Load) -> None:
    config = load("datasets: {toy_data: {build_info: {storage: 'https://example.org/{0..2}.tar'}}}",
                  sections=("datasets",))
    assert config.datasets["toy_data"].build_info.storage == "https://example.org/{0..2}.tar"
