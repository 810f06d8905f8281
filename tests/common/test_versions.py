"""Versions outside the declared range are told at the door, before a model is built."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import minigpt4
from minigpt4.cli.main import main
from minigpt4.common import versions
from minigpt4.common.errors import UserError
from minigpt4.common.versions import SUPPORTED, check_versions


def with_version(name: str, version: str | None) -> dict[str, str]:
    found = {"torch": "2.13.0+cpu", "transformers": "5.23.0"}
    return {key: value for key, value in {**found, name: version}.items() if value is not None}


def check(found: dict[str, str]) -> None:
    def installed(name: str) -> str:
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    check_versions(installed)


@pytest.mark.parametrize(("name", "version"), [
    ("transformers", "5.0.0"), ("transformers", "5.99.3"), ("transformers", "5.1.0.dev0"), ("torch", "2.6.0"),
    ("torch", "3.0.0+cu130"),
])
def test_u8_versions_in_the_range_pass(name: str, version: str) -> None:
    check(with_version(name, version))


@pytest.mark.parametrize(("name", "version", "sentence"), [
    ("transformers", "4.57.1", r'4.57.1: is outside .*\(>=5.0,<6\); run: pip install "transformers>=5.0,<6"'),
    ("transformers", "6.0.0", "transformers 6.0.0: is outside"),
    ("torch", "2.5.1+cu121", r"torch 2.5.1\+cu121: is outside .*\(>=2.6\)"),
    ("transformers", None, "transformers: is not installed; run: pip install"),
])
def test_u8_versions_outside_are_a_sentence_with_the_cure(name: str, version: str | None, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        check(with_version(name, version))


def test_u8_the_range_is_the_declared_one(project: Path) -> None:
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {line.name: line.specifier for line in map(Requirement, described["dependencies"])}
    for name, supported in SUPPORTED.items():
        assert declared[name] == SpecifierSet(str(supported))


def test_u8_command_line_and_python_ask_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(versions, "SUPPORTED", {"transformers": versions.Range("99")})
    assert main(["show", "no_such_model"]) == 2
    assert "is outside the range that minigpt4 works with (>=99)" in capsys.readouterr().err
    with pytest.raises(UserError, match="is outside the range"):
        _ = minigpt4.load
    assert main(["--help"]) == 0, "help is there in any environment"
