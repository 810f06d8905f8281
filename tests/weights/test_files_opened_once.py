"""One load opens each file once: a YAML with files, a language model in shards, a bundle, a run folder, a tokenizer."""

from __future__ import annotations

import builtins
import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from minigpt4.inference.load import load_model
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from minigpt4.models.lora import LoraConfig
from tests import tiny


@contextmanager
def counted_opens(below: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each file below a folder is opened."""
    counts: Counter[str] = Counter()
    original: Callable[..., Any] = builtins.open

    def counting(file: Any, *arguments: Any, **values: Any) -> Any:
        path = os.fsdecode(file) if isinstance(file, (str, bytes, os.PathLike)) else ""
        if path.startswith(str(below)):
            counts[os.path.relpath(path, below)] += 1
        return original(file, *arguments, **values)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "open", counting)
        patch.setattr(io, "open", counting)
        yield counts


def language_model_folder(folder: Path, *, as_bin: bool = False) -> Path:
    llm = tiny.model(seed=1).model.llm.model
    llm.save_pretrained(folder, max_shard_size=20_000)
    if as_bin:
        for path in folder.glob("model*"):
            path.unlink()
        torch.save(llm.state_dict(), folder / "pytorch_model.bin")
    shutil.copytree(tiny.tokenizer_folder(), folder, dirs_exist_ok=True)
    return folder


def a_yaml(place: Path, **values: Any) -> Path:
    (place / "model.yaml").write_text(tiny.as_yaml(tiny.config(**values)))
    return place / "model.yaml"


def assert_each_opened_once(counts: Counter[str], *expected: str) -> None:
    assert {name: number for name, number in counts.items() if number > 1} == {}
    assert all(name in counts for name in expected), counts


def test_of_a_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = a_yaml(tmp_path, llm=CausalLMConfig(weights=str(language_model_folder(tmp_path / "llm"))))
    with counted_opens(tmp_path, monkeypatch) as counts:
        load_model(source)
    shards = [f"llm/{path.name}" for path in (tmp_path / "llm").glob("*.safetensors")]
    assert len(shards) > 3
    assert_each_opened_once(counts, "model.yaml", "llm/config.json", "llm/model.safetensors.index.json",
                            "llm/tokenizer.json", "llm/tokenizer_config.json", *shards)


def test_of_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = language_model_folder(tmp_path / "llm", as_bin=True)
    source = a_yaml(tmp_path, llm=CausalLMConfig(weights=str(folder)))
    with counted_opens(tmp_path, monkeypatch) as counts:
        load_model(source)
    assert_each_opened_once(counts, "llm/pytorch_model.bin", "llm/config.json")


@pytest.mark.parametrize("shard_bytes", [10 ** 9, 20_000])
@pytest.mark.parametrize("stored", [True, False])
def test_of_a_bundle_with_adapters(stored: bool, shard_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                   ) -> None:
    """Its tensors feed the visual parts, the language model and the adapters, one after the other."""
    llm = CausalLMConfig(weights=str(language_model_folder(tmp_path / "llm")))
    if stored:
        llm = replace(tiny.config().llm, freeze=True)
    loaded = tiny.model(llm=replace(llm, lora=LoraConfig(r=2)))
    bundle = tmp_path / "run" / "checkpoint_00000007"
    bundle.mkdir(parents=True)
    loaded.save_bundle(bundle, resolved_config=tiny.as_yaml(loaded.config), stage="", step=7, shard_bytes=shard_bytes)
    with counted_opens(tmp_path, monkeypatch) as counts:
        load_model(tmp_path / "run")
    tensors = [str(path.relative_to(tmp_path)) for path in bundle.glob("*.safetensors")]
    small = ("manifest.json", "config.yaml", "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json")
    assert_each_opened_once(counts, *tensors, *(f"run/checkpoint_00000007/{name}" for name in small))


def test_of_a_sentencepiece_tokenizer(oracles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words and the fingerprint of a bundle's tokenizer are read from it."""
    tokenizer = tmp_path / "words"
    tokenizer.mkdir()
    for file in (oracles / "minigpt4" / "parts" / "llm").glob("*token*"):
        shutil.copy(file, tokenizer)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    loaded = tiny.model(llm=replace(tiny.config().llm, tokenizer=str(tokenizer)))
    loaded.save_bundle(bundle, resolved_config=tiny.as_yaml(loaded.config), stage="", step=7)
    with counted_opens(tmp_path, monkeypatch) as counts:
        load_model(bundle)
    assert_each_opened_once(counts, "bundle/tokenizer/tokenizer.model")


def test_of_a_file_that_two_parts_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts in the package: vision and resampler lie in one file."""
    import minigpt4

    parts = Path(minigpt4.__file__).parent / "parts"
    (tmp_path / "model.yaml").write_text("model: {arch: minigpt4, model_type: scenes}\n")
    with counted_opens(parts, monkeypatch) as counts:
        load_model(tmp_path / "model.yaml")
    assert_each_opened_once(counts, "vision_q_former/model.safetensors", "language_model/model.safetensors",
                            "language_model/config.json")
