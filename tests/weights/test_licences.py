"""Licences are repeated as files state them, and nothing is guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from minigpt4.weights.bundles.licences import UNKNOWN, licence_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "eva_vit_g.pth"
    path.write_bytes(b"weights")
    return path


def test_nothing_is_guessed(file: Path) -> None:
    assert licence_of(file) == licence_of(file.parent) == UNKNOWN
    (file.parent / "README.md").write_text("# A model\nlicense: mit\n")
    (file.parent / "source.json").write_text("[]")
    assert licence_of(file) == UNKNOWN


def test_what_a_download_noted_comes_first(file: Path) -> None:
    (file.parent / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    assert licence_of(file) == "mit"
    (file.parent / "eva_vit_g.pth.source.json").write_text(json.dumps({"name": "eva", "licence": "BSD-3-Clause"}))
    assert licence_of(file) == "BSD-3-Clause"
    assert licence_of(file.parent) == "mit"


def test_the_note_of_a_folder_speaks_for_its_own_files(file: Path) -> None:
    note = {"licence": "apache-2.0", "files": {"model.safetensors": {"size": 1, "sha256": ""}}}
    (file.parent / "source.json").write_text(json.dumps(note))
    assert licence_of(file.parent) == "apache-2.0"
    assert licence_of(file.parent / "model.safetensors") == "apache-2.0"
    assert licence_of(file) == UNKNOWN


@pytest.mark.parametrize("name", ["LICENSE", "LICENSE.txt", "LICENSE.md"])
def test_the_first_line_of_a_licence(name: str, file: Path) -> None:
    (file.parent / name).write_text("\n\n# LLAMA 2 COMMUNITY LICENSE AGREEMENT\nVersion of July 2023\n")
    assert licence_of(file) == "LLAMA 2 COMMUNITY LICENSE AGREEMENT"


@pytest.mark.parametrize("head", ["---\nlicense: [a\n---\n", "---\nno end", "---\njust words\n---\n", ""])
def test_a_card_without_a_licence(head: str, file: Path) -> None:
    (file.parent / "README.md").write_text(head)
    assert licence_of(file) == UNKNOWN
