"""What a bundle says of itself, that loading holds to it, and that `weights info` and `verify` show and check it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import minigpt4
from minigpt4.assembly.build import build_model
from minigpt4.assembly.bundle_verification import verify_surroundings
from minigpt4.cli.main import main
from minigpt4.common.config.write import plain
from minigpt4.common.errors import UserError
from minigpt4.inference.load import load_model
from minigpt4.weights.bundles.bundle import open_bundle
from minigpt4.weights.bundles.licences import DataLicence
from minigpt4.weights.inspection import describe_weights, verify_weights
from tests import tiny
from tests.parity import minigpt4_folder as oracle
from tests.weights.test_bundle import save

CPU = torch.device("cpu")


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    shutil.copytree(oracle.folder() / "parts", tmp_path / "parts")
    return tmp_path / "parts"


@pytest.fixture
def bundle(parts: Path, tmp_path: Path) -> Path:
    """A bundle whose frozen parts lie in a folder of their own."""
    config = oracle.config(behaviour="standard", template="vicuna_v0")
    config = replace(
        config, vision=replace(config.vision, weights=str(parts / "eva_vit_tiny.pth")),
        resampler=replace(config.resampler, weights=str(parts / "blip2_pretrained_tiny.pth")),
        llm=replace(config.llm, weights=str(parts / "llm")),
    )
    return save(build_model(config, device=CPU), tmp_path / "bundle")


def manifest_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return content


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    content = manifest_of(folder)
    edit(content)
    (folder / "manifest.json").write_text(json.dumps(content))


def another_llm(parts: Path) -> Path:
    """The same shapes and tokenizer, other numbers."""
    other = parts / "llm_other"
    shutil.copytree(parts / "llm", other)
    shard = sorted(other.glob("*.bin"))[0]
    state = torch.load(shard, weights_only=True)
    torch.save({name: value.flip(0).contiguous() for name, value in state.items()}, shard)
    return other


def another_tokenizer(parts: Path) -> Path:
    other = parts / "tokenizer_other"
    other.mkdir()
    shutil.copy(parts / "llm" / "tokenizer.model", other)
    return other


def test_the_manifest_says_what_must_not_change_unseen(bundle: Path) -> None:
    manifest = manifest_of(bundle)
    assert (manifest["template"], manifest["stops"]) == ("vicuna_v0", ["###"])
    assert {"size", "opening", "fit", "mean", "std"} <= manifest["image"].keys() and manifest["tokens_per_image"]
    assert manifest["recipe"] == {"arch": "minigpt4", "model_type": "pretrain_vicuna0"}
    assert manifest["versions"].keys() == {"minigpt4", "python", "torch", "transformers", "tokenizers"}
    assert manifest["versions"]["minigpt4"] == minigpt4.__version__
    assert manifest["tokenizer"]["vocab_size"] == manifest["vocab_size"]


def test_an_older_bundle_loads(bundle: Path) -> None:
    def strip(manifest: dict[str, Any]) -> None:
        for key in ("recipe", "chat_template", "stops", "image", "tokenizer", "versions", "data"):
            del manifest[key]
        for part in manifest["parts"].values():
            del part["licence"]

    change(bundle, strip)
    assert load_model(bundle).stage == "stage 1"
    assert describe_weights(bundle) and verify_weights(bundle)


def test_another_tokenizer_is_refused_with_both_names(bundle: Path, parts: Path) -> None:
    other = another_tokenizer(parts)
    with pytest.raises(UserError) as error:
        load_model(bundle, options=[f"model.llm.tokenizer={other}"])
    sentence = str(error.value)
    assert str(parts / "llm") in sentence and str(other) in sentence and "model.llm.tokenizer" in sentence


def test_another_language_model_may_be_insisted_on(bundle: Path, parts: Path, tmp_path: Path) -> None:
    other = f"model.llm.weights={another_llm(parts)}"
    with pytest.raises(UserError, match="--allow-other-llm"):
        load_model(bundle, options=[other])
    loaded = load_model(bundle, options=[other], allow_other_llm=True)
    told = [line for line in loaded.load_report if "trained for another language model" in line]
    assert len(told) == 1 and "stage 1 is trained again" in told[0]
    again = save(loaded, tmp_path / "again")
    assert manifest_of(again)["parts"]["llm"]["origins"][0]["place"].endswith("llm_other")
    with pytest.raises(UserError, match="was trained with the llm"):  # what was insisted on then does not stick
        load_model(again, options=[f"model.llm.weights={parts / 'llm'}"])


def test_another_language_model_brings_its_own_tokenizer(bundle: Path, parts: Path) -> None:
    other = another_llm(parts)
    (other / "added_tokens.json").unlink()
    loaded = load_model(bundle, options=[f"model.llm.weights={other}"], allow_other_llm=True)
    assert loaded.tokenizer.vocab_size == 520
    assert sum("was trained with the tokenizer" in line for line in loaded.load_report) == 1


def test_the_flag_of_the_commands(bundle: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                  ) -> None:
    tiny.image(1).save(tmp_path / "image.png")
    command = ["chat", "--model", str(bundle), "--image", str(tmp_path / "image.png"), "--question", "what is this",
               "--max-new-tokens", "3", "--options", f"model.llm.weights={another_llm(parts)}"]
    assert main(command) == 2
    assert "--allow-other-llm" in capsys.readouterr().err
    assert main([*command, "--allow-other-llm"]) == 0


def test_nothing_follows_from_the_names_of_folders(bundle: Path, parts: Path, tmp_path: Path) -> None:
    """A Vicuna v0 in a folder called llama-2-chat is asked as a Vicuna v0."""
    before = load_model(bundle)
    named = tmp_path / "Llama-2-13b-chat-v1.5"
    shutil.move(parts / "llm", named)
    moved = tmp_path / "vicuna_v1_plain_llama2"
    shutil.move(bundle, moved)
    after = load_model(moved, options=[f"model.llm.weights={named}"])
    assert after.renderer.training == before.renderer.training
    assert after.renderer.chat == before.renderer.chat and after.renderer.stops == ("###",)
    assert after.image_spec == before.image_spec


def test_an_option_that_changes_template_or_image_is_told(bundle: Path) -> None:
    assert not any("this config asks for" in line for line in load_model(bundle).load_report)
    loaded = load_model(bundle, options=["model.template=plain", "model.vision.image_size=84"])
    told = "\n".join(line for line in loaded.load_report if "this config asks for" in line)
    assert "its template was 'vicuna_v0', this config asks for 'plain'" in told
    assert "its image size was 56, this config asks for 84" in told
    assert loaded.renderer.training.name == "plain" and loaded.image_spec.size == 84


def test_colours_come_from_the_bundle(bundle: Path) -> None:
    change(bundle, lambda manifest: manifest["image"].update(mean=[0.5, 0.5, 0.5]))
    assert load_model(bundle).image_spec.mean == (0.5, 0.5, 0.5)


def test_licences_are_kept_from_stage_to_stage(bundle: Path, parts: Path, tmp_path: Path) -> None:
    (parts / "llm" / "LICENSE").write_text("A licence of its own\n")
    loaded = load_model(bundle)
    loaded.save_bundle(tmp_path, resolved_config=yaml.safe_dump({"model": plain(loaded.config)}), stage="2", step=1,
                       data=[DataLicence("laion", "CC-BY-4.0")])
    second = load_model(tmp_path)
    third = tmp_path / "third"
    third.mkdir()
    second.save_bundle(third, resolved_config="model: {}\n", stage="3", step=1, data=[DataLicence("mine")])
    assert manifest_of(third)["data"] == [{"name": "laion", "licence": "CC-BY-4.0"},
                                          {"name": "mine", "licence": "unknown"}]
    assert manifest_of(third)["parts"]["llm"]["licence"] == "A licence of its own"
    lines = describe_weights(third)
    assert lines[lines.index("licences, as stated by their files:") + 1 :] == [
        "  unknown: vision, resampler, connector, data set mine", "  A licence of its own: llm",
        "  CC-BY-4.0: data set laion"]


def test_a_part_of_random_weights_has_no_licence(tmp_path: Path) -> None:
    folder = save(tiny.model(), tmp_path / "bundle")
    assert {part["licence"] for part in manifest_of(folder)["parts"].values()} == {None}


def test_info_and_verify(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "info", str(bundle)]) == 0
    shown = capsys.readouterr().out
    for word in ("template: vicuna_v0, stops '###'", "image: 56 x 56", "8 tokens", "tokenizer: 521 ids", "torch",
                 "connector: stored here", "as stated by their files"):
        assert word in shown
    assert main(["weights", "verify", str(bundle)]) == 0
    checked = capsys.readouterr().out
    for word in ("no checksums", "values sampled, as the manifest says", "tokenizer of 521 ids, the one",
                 "config.yaml can be read", "eva_vit_tiny.pth is ", "blip2_pretrained_tiny.pth is ", "llm is "):
        assert word in checked


def test_verify_finds_a_changed_tensor(bundle: Path) -> None:
    file = bundle / "model.safetensors"
    save_file({name: value + 1 for name, value in load_file(file).items()}, file)
    with pytest.raises(UserError, match=r"model.safetensors: its connector is .*, the manifest says"):
        verify_weights(bundle)


def test_verify_finds_another_tokenizer(bundle: Path) -> None:
    (bundle / "tokenizer" / "added_tokens.json").unlink()
    with pytest.raises(UserError, match="bundle/tokenizer: is not the tokenizer .* of 521 ids"):
        verify_weights(bundle)


def test_verify_finds_another_part_and_names_what_is_gone(bundle: Path, parts: Path) -> None:
    (parts / "blip2_pretrained_tiny.pth").unlink()
    lines = verify_surroundings(open_bundle(bundle))
    assert f"resampler: {parts / 'blip2_pretrained_tiny.pth'} is not there, not checked" in lines
    other = another_llm(parts)
    shutil.rmtree(parts / "llm")
    shutil.move(other, parts / "llm")
    with pytest.raises(UserError, match="was trained with the llm .*parts/llm is .*put the right file back"):
        verify_surroundings(open_bundle(bundle))


def test_verify_finds_a_config_that_cannot_be_read(bundle: Path) -> None:
    text = (bundle / "config.yaml").read_text()
    (bundle / "config.yaml").write_text(text.replace("max_txt_len", "max_text_len"))
    with pytest.raises(UserError, match="max_text_len is unknown"):
        verify_surroundings(open_bundle(bundle))


@pytest.mark.parametrize("kept", [[], ["vision", "resampler", "llm"]])
def test_a_manifest_that_leaves_out_a_part_is_refused(bundle: Path, kept: list[str]) -> None:
    """Else the projection would begin at random without a word."""
    change(bundle, lambda manifest: manifest.update(parts={name: manifest["parts"][name] for name in kept}))
    with pytest.raises(UserError, match="does not say where the part .*connector.* is, which would begin at random"):
        load_model(bundle)


def test_a_manifest_that_says_a_stored_part_is_elsewhere_is_refused(bundle: Path) -> None:
    change(bundle, lambda manifest: manifest["parts"]["connector"].update(stored=False, origins=[]))
    with pytest.raises(UserError, match="does not say where the part connector is"):
        load_model(bundle)
