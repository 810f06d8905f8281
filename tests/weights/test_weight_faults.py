"""Files that do not belong: each refused with a sentence that names what is wrong, before anything is changed."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from minigpt4.assembly.build import build_model
from minigpt4.assembly.loaded import LoadedModel
from minigpt4.common.errors import UserError
from minigpt4.inference.load import load_model
from minigpt4.weights.files.readers import open_weights
from tests import tiny
from tests.parity import minigpt4_folder as oracle

State = dict[str, torch.Tensor]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    shutil.copytree(oracle.folder() / "parts", tmp_path / "parts")
    return tmp_path / "parts"


def build(parts: Path, **values: Any) -> LoadedModel:
    """The recorded model from a folder of (damaged) copies."""
    config = oracle.config(**values)
    llm = parts / Path(config.llm.weights or "").name
    config = replace(
        config, vision=replace(config.vision, weights=str(parts / "eva_vit_tiny.pth")),
        resampler=replace(config.resampler, weights=str(parts / "blip2_pretrained_tiny.pth")),
        llm=replace(config.llm, weights=str(llm)), ckpt=values.get("ckpt") or str(parts / "minigpt4_tiny.pth"),
    )
    return build_model(config, device=torch.device("cpu"))


def change(path: Path, edit: Callable[[State], None]) -> None:
    content = torch.load(path, weights_only=True)  # not memory-mapped: the file is written over
    edit(content["model"] if "model" in content else content)
    torch.save(content, path)


def renamed(state: State, old: str, new: str) -> None:
    state[new] = state.pop(old)


def test_the_whole_folder_loads(parts: Path) -> None:
    assert {origin.source for origins in build(parts).origins.values() for origin in origins} == {"file"}


def test_a_missing_tensor_is_named(parts: Path) -> None:
    change(parts / "eva_vit_tiny.pth", lambda state: state.pop("blocks.0.attn.proj.weight"))
    with pytest.raises(UserError, match=r"eva_vit_tiny.pth.*nothing in the file for 'vision.model.encoder.layers.0"):
        build(parts)


def test_a_renamed_tensor_is_named_on_both_sides(parts: Path) -> None:
    change(parts / "blip2_pretrained_tiny.pth", lambda state: renamed(state, "query_tokens", "query_token"))
    both_sides = r"'query_token' belong nowhere.*nothing in the file for 'resampler.query_tokens'"
    with pytest.raises(UserError, match=both_sides):
        build(parts)


def test_a_reshaped_tensor_is_told_with_both_shapes(parts: Path) -> None:
    change(parts / "eva_vit_tiny.pth",
           lambda state: state.update({"cls_token": torch.ones(1, 1, 7) + torch.arange(7)}))
    with pytest.raises(UserError, match=r"'cls_token' is \[1, 1, 7\], the model needs \[1, 1, \d+\]"):
        build(parts)


def test_u3_a_projection_of_another_language_model(parts: Path) -> None:
    change(parts / "minigpt4_tiny.pth",
           lambda state: state.update({"llama_proj.weight": torch.randn(80, 40), "llama_proj.bias": torch.randn(80)}))
    with pytest.raises(UserError, match=r"'llama_proj.weight' is \[80, 40\], the model needs"):
        build(parts)


def test_u4_blank_weights(parts: Path) -> None:
    change(parts / "eva_vit_tiny.pth", lambda state: state["blocks.0.mlp.fc1.weight"].zero_())
    with pytest.raises(UserError, match="is all zero"):
        build(parts)


def test_non_finite_weights(parts: Path) -> None:
    change(parts / "minigpt4_tiny.pth", lambda state: state["llama_proj.bias"].fill_(float("nan")))
    with pytest.raises(UserError, match="contains nan or inf"):
        build(parts)


def test_a_missing_shard_is_named(parts: Path) -> None:
    index = next(iter((parts / "llm").glob("*.index.json")), None)
    if index is None:
        pytest.skip("the language model of this folder has no shards")
    shard = sorted(set(json.loads(index.read_text())["weight_map"].values()))[-1]
    (parts / "llm" / shard).unlink()
    with pytest.raises(UserError, match=shard):
        build(parts)


@pytest.mark.parametrize("kept", [0.2, 0.9])
def test_a_truncated_file(parts: Path, kept: float) -> None:
    path = parts / "eva_vit_tiny.pth"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(UserError, match="cannot be read"):
        build(parts)


def test_a_truncated_safetensors_file(parts: Path) -> None:
    for path in parts.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(UserError, match="cannot be read"):
            open_weights(path)


class _Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code in a weight file was run",)


def test_u6_a_pickle_with_code_is_not_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, save in (("zip.pth", torch.save), ("plain.pth", _plain_pickle)):
        save({"model": _Malicious()}, tmp_path / name)
        with pytest.raises(UserError, match="more than weights"):
            open_weights(tmp_path / name)
    assert "was run" not in capsys.readouterr().out


def _plain_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content))


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    torch.save({"epoch": 3}, tmp_path / "nothing.pth")
    for name, sentence in (("empty.pth", "cannot be read"), ("page.pth", "is a web page"),
                           ("nothing.pth", "no named tensors"), ("absent.pth", "no such file")):
        with pytest.raises(UserError, match=sentence):
            open_weights(tmp_path / name)


def test_u5_a_leftover_tensor_is_named(parts: Path) -> None:
    change(parts / "minigpt4_tiny.pth", lambda state: state.update({"llama_proj2.weight": torch.randn(2, 2)}))
    with pytest.raises(UserError, match="'llama_proj2.weight' belong nowhere"):
        build(parts)


def test_u2_rows_are_read_from_the_tensors_not_the_config(parts: Path) -> None:
    """A config of another vocab_size than the tensors have (32000 against 32001) loads."""
    path = parts / "llm" / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "vocab_size": values["vocab_size"] - 1}))
    assert build(parts).vocab_size == values["vocab_size"]


def test_old_spellings_of_march_2023(parts: Path) -> None:
    for name, key, value in (("config.json", "architectures", ["LLaMAForCausalLM"]),
                             ("tokenizer_config.json", "tokenizer_class", "LLaMATokenizer")):
        path = parts / "llm" / name
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert {origin.source for origin in build(parts).origins["llm"]} == {"file"}


@pytest.mark.parametrize("dtype", [torch.int32, torch.int8, torch.bool, torch.complex64])
def test_whole_and_complex_numbers_where_fractions_belong(tmp_path: Path, dtype: torch.dtype) -> None:
    loaded = tiny.model()
    loaded.save_bundle(tmp_path, resolved_config=tiny.as_yaml(loaded.config), stage="", step=1)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    save_file({name: (value * 100).to(dtype) if name == "connector.projection.weight" else value
               for name, value in tensors.items()}, file)
    with pytest.raises(UserError, match=r"numbers, floating-point ones belong there"):
        load_model(tmp_path)
