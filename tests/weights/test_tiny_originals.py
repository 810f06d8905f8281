"""`weights tiny-originals`: what it writes has the originals' names and keys, and is the same on every machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minigpt4.cli.main import main
from minigpt4.common.files import sha256_of
from minigpt4.weights import tiny_originals
from minigpt4.weights.download.known import known_weights

PARTS = ("eva_vit_g.pth", "blip2_pretrained_flant5xxl.pth", "prerained_minigpt4_7b.pth", "vicuna-7b-v0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("tiny") / "weights"
    tiny_originals.write_tiny_originals(target)
    return target


def test_it_is_what_a_download_leaves(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {*PARTS, tiny_originals.MODEL_YAML}
    downloads = {known.place(folder) for known in known_weights().values()}
    assert {folder / name for name in PARTS} <= downloads
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 4e6


def test_keys_and_shapes_are_the_originals_but_for_widths(folder: Path) -> None:
    vision = torch.load(folder / "eva_vit_g.pth", weights_only=True)
    assert vision["pos_embed"].shape == (1, 257, 32) and vision["blocks.39.attn.q_bias"].dtype == torch.float16
    blip2 = torch.load(folder / "blip2_pretrained_flant5xxl.pth", weights_only=True)["model"]
    layer = "Qformer.bert.encoder.layer."
    assert blip2["query_tokens"].shape == (1, 32, 24) and blip2["ln_vision.weight"].shape == (32,)
    assert f"{layer}10.crossattention.self.key.weight" in blip2
    assert f"{layer}11.crossattention.self.key.weight" not in blip2 and f"{layer}11.intermediate.dense.bias" in blip2
    projection = torch.load(folder / "prerained_minigpt4_7b.pth", weights_only=True)["model"]
    assert {name: tuple(value.shape) for name, value in projection.items()} == {
        "llama_proj.weight": (48, 24), "llama_proj.bias": (48,),
    }


def test_one_seed_gives_one_folder_and_another_seed_another(folder: Path, tmp_path: Path) -> None:
    for name, seed in (("same", 0), ("other", 5)):
        tiny_originals.write_tiny_originals(tmp_path / name, seed=seed)
    tensors = {name: torch.load(place / PARTS[2], weights_only=True)["model"]["llama_proj.weight"]
               for name, place in (("first", folder), ("same", tmp_path / "same"), ("other", tmp_path / "other"))}
    assert torch.equal(tensors["first"], tensors["same"]) and not torch.equal(tensors["first"], tensors["other"])
    tokenizers = [sha256_of(place / PARTS[3] / "tokenizer.model") for place in (folder, tmp_path / "same")]
    assert tokenizers[0] == tokenizers[1]


@pytest.mark.parametrize("name", PARTS)
def test_each_part_is_recognised(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "info", str(folder / name)]) == 0
    assert main(["weights", "verify", str(folder / name)]) == 0
    assert "tensors" in capsys.readouterr().out


def test_a_folder_that_holds_something_is_left_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.iterdir())
    assert main(["weights", "tiny-originals", str(folder)]) == 2
    assert "already exists and is not empty" in capsys.readouterr().err and sorted(folder.iterdir()) == before
