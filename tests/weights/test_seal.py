"""Sizes and checksums of bundles: single changed bits, removed, added, emptied and exchanged files are noticed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.inference.load import load_model
from minigpt4.weights.bundles.bundle import open_bundle
from minigpt4.weights.bundles.places import MANIFEST
from minigpt4.weights.bundles.seal import atomic_bundle, compare_checksums, files_in
from minigpt4.weights.files.checksums import SHA256SUMS
from minigpt4.weights.files.readers import read_json
from minigpt4.weights.inspection import verify_weights
from tests import tiny


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sealed") / "bundle"
    loaded = tiny.model()
    with atomic_bundle(target) as folder:
        loaded.save_bundle(folder, resolved_config=tiny.as_yaml(loaded.config), stage="stage 2", step=3)
    return target


@pytest.fixture
def bundle(sealed: Path, tmp_path: Path) -> Path:
    shutil.copytree(sealed, tmp_path / "bundle")
    return tmp_path / "bundle"


def flip(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def test_every_file_is_listed_and_whole(sealed: Path) -> None:
    assert compare_checksums(sealed) == len(files_in(sealed)) - 1
    sizes = read_json(sealed / MANIFEST)["files"]
    assert sizes.keys() == set(files_in(sealed)) - {SHA256SUMS, MANIFEST}
    assert any("all 8 files are as they were written" in line or "files are as they were written" in line
               for line in verify_weights(sealed))


def test_single_bits_anywhere_are_noticed(bundle: Path) -> None:
    """Also in the file of checksums itself."""
    chance = random.Random(1)
    names = files_in(bundle)
    for number in range(120):
        path = bundle / names[number % len(names)]
        before = path.read_bytes()
        flip(path, chance)
        with pytest.raises(UserError):
            compare_checksums(bundle)
        path.write_bytes(before)
    assert compare_checksums(bundle)


@pytest.mark.parametrize("change", [
    lambda folder, name: (folder / name).unlink(),
    lambda folder, name: (folder / name).write_bytes(b""),
    lambda folder, name: (folder / f"{name}.bak").write_bytes(b"x"),
    lambda folder, name: shutil.copyfile(folder / "config.yaml", folder / name)
    if name != "config.yaml" else shutil.copyfile(folder / MANIFEST, folder / name),
], ids=["removed", "emptied", "added", "exchanged"])
def test_whole_files_are_noticed(bundle: Path, tmp_path: Path, change: Callable[[Path, str], object]) -> None:
    for name in files_in(bundle):
        shutil.copytree(bundle, tmp_path / "changed")
        change(tmp_path / "changed", name)
        with pytest.raises(UserError):
            verify_weights(tmp_path / "changed")
        shutil.rmtree(tmp_path / "changed")


def test_what_a_download_or_a_clone_adds_is_no_damage(bundle: Path) -> None:
    (bundle / "source.json").write_text("{}")
    (bundle / ".git").mkdir()
    (bundle / ".git" / "HEAD").write_text("ref")
    (bundle / ".gitattributes").write_text("*.safetensors filter=lfs")
    assert compare_checksums(bundle)


def test_a_load_compares_sizes_and_sums_if_asked(bundle: Path) -> None:
    load_model(bundle, verify=True)
    flip(bundle / "prompts.txt" if (bundle / "prompts.txt").exists() else bundle / "config.yaml", random.Random(2))
    with pytest.raises(UserError, match="was changed"):
        load_model(bundle, verify=True)
    with open(bundle / "model.safetensors", "ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match=r"model.safetensors: has [\d,]+ bytes, its manifest says [\d,]+"):
        open_bundle(bundle)


def test_an_older_bundle_loads_and_can_be_given_sums(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle / SHA256SUMS).unlink()
    with pytest.raises(UserError, match="its SHA256SUMS is missing"):
        verify_weights(bundle)
    assert main(["weights", "verify", "--write-sums", str(bundle)]) == 0
    assert "files are as they were written" in capsys.readouterr().out
    assert load_model(bundle, verify=True).stage == "stage 2"


def test_sums_are_for_bundles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.model()
    assert main(["weights", "verify", "--write-sums", str(tiny.tokenizer_folder())]) == 2
    assert "is not a bundle" in capsys.readouterr().err
