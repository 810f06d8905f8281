"""Bundles in several files: equal to those in one, written and read one tensor at a time."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from minigpt4.assembly.loaded import LoadedModel
from minigpt4.assembly.merging import merge_bundle
from minigpt4.assembly.probe import probed_logits
from minigpt4.common.errors import UserError
from minigpt4.inference.load import load_model
from minigpt4.models.lora import LoraConfig
from minigpt4.weights.bundles.bundle import open_bundle
from minigpt4.weights.bundles.parts import write_parts
from minigpt4.weights.files.readers import open_weights
from minigpt4.weights.files.shard_writer import LazyTensor, Shard, take_part, write_tensors
from minigpt4.weights.files.tensor_file import TensorFile
from minigpt4.weights.inspection import describe_weights, verify_weights
from minigpt4.weights.plans.loading import load_file as fill
from minigpt4.weights.plans.plan import ConversionPlan, Rule
from tests import tiny
from tests.weights.test_bundle import assert_equal_weights

MEGABYTE = 1_000_000
WIDE = {**tiny.config().llm.random, "hidden_size": 192, "intermediate_size": 384}
"""2.3 MB of a language model"""


def save(loaded: LoadedModel, folder: Path, shard_bytes: int) -> Path:
    folder.mkdir()
    loaded.save_bundle(folder, resolved_config=tiny.as_yaml(loaded.config), stage="stage 1", step=7,
                       shard_bytes=shard_bytes)
    return folder


def wide_model(**values: Any) -> LoadedModel:
    return tiny.model(seed=5, llm=replace(tiny.config().llm, random=WIDE, **values))


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return wide_model()


def test_a_bundle_cut_at_a_megabyte_loads_equal(loaded: LoadedModel, tmp_path: Path) -> None:
    whole, cut = save(loaded, tmp_path / "whole", 10 ** 9), save(loaded, tmp_path / "cut", MEGABYTE)
    shards = sorted(cut.glob("*.safetensors"))
    assert len(shards) > 2 and all(path.stat().st_size < 1.1 * MEGABYTE for path in shards)
    assert not (cut / "model.safetensors").exists() and not (whole / "model.safetensors.index.json").exists()
    again = load_model(cut)
    assert_equal_weights(loaded, again)
    assert torch.equal(probed_logits(again), probed_logits(load_model(whole)))
    one, other = (json.loads((folder / "manifest.json").read_text()) for folder in (whole, cut))
    assert one == other, "names, shapes and values, and so who the parts are, do not depend on the files"


def test_the_index_is_hugging_faces(loaded: LoadedModel, tmp_path: Path) -> None:
    cut = save(loaded, tmp_path / "cut", MEGABYTE)
    index = json.loads((cut / "model.safetensors.index.json").read_text())
    held = {name: path.name for path in cut.glob("*.safetensors") for name in load_file(path)}
    assert index["weight_map"] == held
    assert index["metadata"]["total_size"] == sum(open_weights(path).num_bytes for path in cut.glob("*.safetensors"))


def test_it_is_told_verified_and_cut_again(loaded: LoadedModel, tmp_path: Path) -> None:
    whole, cut = save(loaded, tmp_path / "whole", 10 ** 9), save(loaded, tmp_path / "cut", MEGABYTE)
    assert describe_weights(cut) == describe_weights(whole)
    assert verify_weights(cut)[1:] == verify_weights(whole)[1:]
    again = save(load_model(cut), tmp_path / "again", MEGABYTE // 2)
    assert_equal_weights(load_model(again), loaded)


def test_a_changed_or_missing_shard_is_found(loaded: LoadedModel, tmp_path: Path) -> None:
    cut = save(loaded, tmp_path / "cut", MEGABYTE)
    first = sorted(cut.glob("*.safetensors"))[1]
    content = bytearray(first.read_bytes())
    content[-MEGABYTE // 2:] = bytes(MEGABYTE // 2)
    first.write_bytes(content)
    with pytest.raises(UserError, match="the manifest says"):
        verify_weights(cut)
    first.unlink()
    with pytest.raises(UserError, match=rf"lists {first.name}, which is missing"):
        load_model(cut)


def test_frozen_and_in_few_bits_the_shards_are_copied(loaded: LoadedModel, tmp_path: Path) -> None:
    cut = save(loaded, tmp_path / "cut", MEGABYTE)
    small = load_model(cut, options=["model.llm.quantize=int8", "model.llm.freeze=True"])
    again = save(small, tmp_path / "again", MEGABYTE)
    one, other = open_weights(cut), open_weights(again)
    assert one.shapes == other.shapes
    assert all(torch.equal(one.load(name), other.load(name)) for name in one.names)


def test_adapters_in_shards_are_merged(tmp_path: Path) -> None:
    adapted = wide_model(freeze=True, lora=LoraConfig(r=2, alpha=4))
    for name, value in adapted.model.named_parameters():
        if "lora_B" in name:
            value.data = torch.full_like(value, 0.02)
    cut = save(adapted, tmp_path / "cut", MEGABYTE)
    assert torch.equal(probed_logits(load_model(cut)), probed_logits(adapted))
    merge_bundle(cut, tmp_path / "merged", lambda folder, options: load_model(folder, device="cpu", options=options))
    assert (probed_logits(load_model(tmp_path / "merged")) - probed_logits(adapted)).abs().max() < 1e-4


def test_the_language_model_of_shards_becomes_a_folder(tmp_path: Path) -> None:
    plain = tiny.config()
    trained = wide_model(), replace(plain.vision, freeze=True), replace(plain.resampler, freeze=True)
    loaded = tiny.model(seed=5, llm=trained[0].config.llm, vision=trained[1], resampler=trained[2])
    cut = save(loaded, tmp_path / "cut", MEGABYTE)
    write_parts([open_bundle(cut)], tmp_path / "llm", dtype="fp32")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "llm", dtype=torch.float32)
    assert all(torch.equal(value, loaded.model.llm.model.state_dict()[name])
               for name, value in theirs.state_dict().items())


class Census:
    """Makes tensors and knows the largest number of them that ever lived at once."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[Tensor]] = []
        self.most = 0

    def make(self, value: float) -> Tensor:
        tensor = torch.full((50, 50), value) + torch.arange(50)
        self.made.append(weakref.ref(tensor))
        self.most = max(self.most, sum(each() is not None for each in self.made))
        return tensor


def test_one_tensor_in_memory_while_writing(tmp_path: Path) -> None:
    census = Census()
    lazy = [LazyTensor(f"toy.{n}", (50, 50), torch.float32, lambda n=n: census.make(float(n))) for n in range(12)]
    write_tensors(tmp_path, lazy, 25_000)
    assert len(list(tmp_path.glob("*.safetensors"))) == 6 and census.most == 1


def test_one_tensor_in_memory_while_reading() -> None:
    census = Census()
    names = [f"toy.{n}" for n in range(12)]
    file = TensorFile(Path("toy"), dict.fromkeys(names, (50, 50)), dict.fromkeys(names, torch.float32),
                      lambda name: census.make(float(name.partition(".")[2])))
    toy = nn.ParameterDict({str(n): torch.zeros(50, 50) for n in range(12)})
    fill(ConversionPlan("toy", (Rule("toy.*", ("toy.*",)),)), file, {"toy": toy})
    assert census.most == 1 and float(toy["11"][0, 0]) == 11


def mapped_bytes() -> int:
    """Bytes of safetensors files that this process maps."""
    def sizes() -> Iterator[int]:
        for line in Path("/proc/self/maps").read_text().splitlines():
            if line.endswith(".safetensors"):
                first, _, last = line.split()[0].partition("-")
                yield int(last, 16) - int(first, 16)
    return sum(sizes())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what a process maps")
def test_a_file_is_mapped_one_tensor_at_a_time(tmp_path: Path) -> None:
    lazy = [LazyTensor(f"toy.{n}", (500, 500), torch.float32, lambda n=n: torch.full((500, 500), float(n)))
            for n in range(5)]
    write_tensors(tmp_path, lazy, 10 ** 9)
    file, most = open_weights(tmp_path), 0
    for name in file.names:
        tensor = file.load(name)
        assert float(tensor.sum()) == 250_000 * int(name[-1])
        most = max(most, mapped_bytes())
        del tensor
    assert MEGABYTE <= most < 2 * MEGABYTE + 8192 and mapped_bytes() == 0


def test_a_shard_of_another_bundle_is_refused(tmp_path: Path) -> None:
    """Same names, same shapes, other weights."""
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        loaded = tiny.model(seed=seed)
        loaded.save_bundle(folder, resolved_config=tiny.as_yaml(loaded.config), stage="", step=1, shard_bytes=20_000)
    strange = sorted((tmp_path / "1").glob("model-*.safetensors"))[1]
    (tmp_path / "0" / strange.name).write_bytes(strange.read_bytes())
    with pytest.raises(UserError, match="the manifest names .*: files of different bundles stand together"):
        load_model(tmp_path / "0", device="cpu")


def test_what_others_hold_is_gathered_to_the_end_even_where_writing_fails(tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank whose disk is full asks for every tensor all the same: the others gather it with it, in one order."""
    asked: list[str] = []

    def tensor(number: int, gathered: bool) -> LazyTensor:
        def make() -> torch.Tensor:
            asked.append(f"toy.{number}")
            return torch.zeros(50, 50)

        return LazyTensor(f"toy.{number}", (50, 50), torch.float32, make, gathered)

    lazy = [tensor(number, gathered=number % 3 != 1) for number in range(6)]
    take_part(lazy, 25_000)
    wanted = ["toy.0", "toy.2", "toy.3", "toy.5"]
    assert asked == wanted
    asked.clear()

    def full(shard: Shard, path: Path, on_bytes: object) -> str:
        for each in shard.tensors[:1]:
            each.make()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minigpt4.weights.files.shard_writer.write_shard", full)
    with pytest.raises(OSError, match="No space left"):
        write_tensors(tmp_path, lazy, 25_000)
    assert asked == wanted
