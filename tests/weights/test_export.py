"""Out again: a Blip2 folder whose logits are ours in a process without our package, and the original's own `.pth`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.ecosystem import checking
from minigpt4.ecosystem.checking import check_of
from minigpt4.ecosystem.exporting import export_blip2, export_original
from minigpt4.ecosystem.writing import export_transformers
from minigpt4.records.batches import Batch
from tests import tiny
from tests.parity import minigpt4_folder as oracle

PEER = """
import json, sys, torch
from pathlib import Path
from safetensors.torch import load_file
from transformers import Blip2ForConditionalGeneration
folder, inputs, place_holder = Path(sys.argv[1]), load_file(sys.argv[2]), int(sys.argv[3])
assert "minigpt4" not in sys.modules
model = Blip2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
ids = torch.where(inputs["slots"] >= 0, model.config.image_token_index, inputs["input_ids"])
assert model.config.image_token_index == place_holder
with torch.no_grad():
    logits = model(pixel_values=inputs["pixel_values"], input_ids=ids, attention_mask=torch.ones_like(ids)).logits
torch.save(logits, sys.argv[4])
"""


@pytest.fixture(scope="module")
def loaded():  # noqa: ANN201
    return oracle.model()


def test_the_blip2_folder_gives_our_logits_without_our_package(loaded, tmp_path: Path) -> None:  # noqa: ANN001
    """float32, 1e-4: the stock class has one LayerNorm eps where the original has two."""
    lines = export_blip2(loaded, tmp_path / "blip2")
    tokens = loaded.renderer.tokens_per_image
    ids = torch.tensor([[1, *[0] * tokens, 45, 77, 300, 12]])
    slots = torch.full_like(ids, -1)
    slots[0, 1 : 1 + tokens] = torch.arange(tokens)
    image = oracle.pixels([next(iter(oracle.read_case("pixels_eval").tensors))])
    batch = Batch(ids, torch.ones_like(ids), ids, slots, {"pixel_values": image})
    with torch.no_grad():
        embeddings = loaded.model.embed(ids, slots, loaded.model.encode_images(batch.images))
        ours = loaded.model.llm.model(inputs_embeds=embeddings).logits
    save_file({"input_ids": ids, "slots": slots, "pixel_values": image}, tmp_path / "inputs.safetensors")
    place_holder = next(int(found.group(1)) for line in lines if (found := re.search(r"placeholder: id (\d+);", line)))
    assert place_holder not in ids[slots < 0]
    command = [sys.executable, "-c", PEER, str(tmp_path / "blip2"), str(tmp_path / "inputs.safetensors"),
               str(place_holder), str(tmp_path / "logits.pt")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = torch.load(tmp_path / "logits.pt", weights_only=True)
    assert (ours - theirs).abs().max() <= 1e-4 * max(1.0, float(ours.abs().max()))
    assert (tmp_path / "blip2" / "tokenizer.model").exists()
    written = json.loads((tmp_path / "blip2" / "preprocessor_config.json").read_text())
    assert written["size"]["height"] == image.shape[-1]


def test_the_projection_goes_out_as_it_came_in(loaded, tmp_path: Path) -> None:  # noqa: ANN001
    export_original(loaded, tmp_path / "minigpt4.pth")
    parts = oracle.folder() / "parts"
    mine = torch.load(tmp_path / "minigpt4.pth", weights_only=True)["model"]
    theirs = torch.load(parts / "minigpt4_tiny.pth", weights_only=True)["model"]
    assert set(mine) == set(theirs) and all(torch.equal(mine[key], theirs[key].to(mine[key].dtype)) for key in theirs)


def test_trained_encoders_go_out_under_their_original_names(tmp_path: Path) -> None:
    """What an unfrozen run saved is read again by the import plan: every tensor comes back bit for bit."""
    from minigpt4.assembly.build import build_model

    trained = oracle.model(train=True)
    with torch.no_grad():
        for part in ("vision", "resampler", "connector"):
            for parameter in trained.model.parts()[part].parameters():
                parameter.add_(0.01)
        for name, parameter in trained.model.parts()["vision"].named_parameters():
            if name.endswith("qkv.bias"):  # the original has no bias of K
                third = len(parameter) // 3
                parameter[third : 2 * third] = 0
    names = ["vision", "resampler", "connector"]
    from minigpt4.ecosystem.foreign_files import state_of, write_original
    from minigpt4.systems.minigpt4.plans import CHECKPOINT_PLAN

    write_original(CHECKPOINT_PLAN, trained.model.parts(), names, tmp_path / "all.pth")
    again = build_model(oracle.config(train=True, ckpt=str(tmp_path / "all.pth")), device=torch.device("cpu"))
    before, after = state_of(trained.model.parts(), names), state_of(again.model.parts(), names)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_what_blip2_has_no_place_for_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no place for ConvNet and QFormer; only eva_vit with q_former"):
        export_blip2(tiny.model(), tmp_path / "blip2")
    assert not (tmp_path / "blip2").exists()


@pytest.mark.parametrize(("form", "differs"), [("original", r"0.0e\+00"), ("blip2", r"\d.\de-0[5-9]"),
                                               ("transformers", r"0.0e\+00")])
def test_u31_what_was_written_is_compared(form: str, differs: str, tmp_path: Path) -> None:
    loaded = oracle.model()
    write = {"original": export_original, "blip2": export_blip2, "transformers": export_transformers}[form]
    lines = "\n".join(write(loaded, tmp_path / "mine", check_of(form, loaded)))
    assert re.search(f"checked: loaded again, logits differ by at most {differs} on one image", lines), lines
    assert ("LayerNorm epsilon" in lines) == (form == "blip2")


@pytest.mark.parametrize("form", ["original", "blip2", "transformers"])
def test_u31_other_logits_leave_nothing_behind(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = oracle.model()
    true = checking.LOGITS[form]
    monkeypatch.setitem(checking.LOGITS, form, lambda *given: true(*given) + 0.1)
    write = {"original": export_original, "blip2": export_blip2, "transformers": export_transformers}[form]
    with pytest.raises(UserError, match="is not written: loaded again, its logits differ by"):
        write(loaded, tmp_path / "mine", check_of(form, loaded))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [export_blip2, export_transformers])
def test_what_lies_at_the_target_stays(write, loaded, tmp_path: Path) -> None:  # noqa: ANN001
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="already exists and is not empty; choose a new folder"):
        write(loaded, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_command_writes_and_checks_any_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.cli.pages import write_bundle

    write_bundle(tmp_path / "mine", template="vicuna_v0")
    command = ["weights", "export", "--from", str(tmp_path / "mine"), "--form", "transformers", "--check"]
    assert main([*command, "--target", str(tmp_path / "theirs")]) == 0
    assert "checked: loaded again, logits differ by at most 0.0e+00" in capsys.readouterr().out
    assert (tmp_path / "theirs" / "config.json").exists()


def test_the_command_exports_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.cli.pages import write_bundle

    write_bundle(tmp_path / "mine", template="vicuna_v0")
    command = ["weights", "export", "--from", str(tmp_path / "mine"), "--target", str(tmp_path / "mine.pth")]
    assert main(command) == 2  # a ConvNet that trained has no name in the original's world
    assert "have no name" in capsys.readouterr().err or "has no name" in capsys.readouterr().out
    assert not (tmp_path / "mine.pth").exists()
