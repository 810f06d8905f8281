"""A bundle from anywhere: its modules run with consent only, its config calls nothing, looking never imports."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest

from minigpt4.cli.main import main
from minigpt4.common.errors import UserError
from minigpt4.common.registry import place_of_module
from minigpt4.inference.load import load, load_model
from minigpt4.weights.bundles.seal import atomic_bundle
from tests import tiny

MODULE = "outside_of_consent"


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle that asks for a module which leaves a file behind when it runs."""
    (tmp_path / MODULE).mkdir()
    (tmp_path / MODULE / "__init__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    (tmp_path / MODULE / "deep.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    loaded = tiny.model()
    with atomic_bundle(tmp_path / "bundle") as folder:
        text = f"imports: [{MODULE}.deep]\n{tiny.as_yaml(loaded.config)}"
        loaded.save_bundle(folder, resolved_config=text, stage="stage 2", step=1)
    yield tmp_path / "bundle"
    for name in (MODULE, f"{MODULE}.deep"):
        sys.modules.pop(name, None)


def ran(bundle: Path) -> bool:
    return (bundle.parent / "ran").exists()


@pytest.mark.parametrize("words", [
    ["show"], ["weights", "verify"], ["weights", "export", "--target", "exported.pth", "--from"],
    ["chat", "--question", "hi", "--model"], ["demo", "--model"],
    ["weights", "merge", "--target", "merged", "--from"], ["caption", ".", "--model"],
])
def test_no_command_runs_its_modules_unasked(bundle: Path, words: list[str], monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(bundle.parent)
    tiny.image(1).save("a.png")
    assert main([*words, str(bundle)]) == 2
    said = capsys.readouterr()
    if "merge" not in words:  # it has no adapters: refused before
        assert f"{MODULE}.deep ({bundle.parent / MODULE / 'deep.py'})" in said.err and "--allow-imports" in said.err
    if words[0] == "show" or "export" in words:
        assert "bundle of stage 2" in said.out
    if "verify" in words:
        assert "values sampled" in said.out
    assert not ran(bundle)


def test_a_config_inside_a_bundle_is_no_consent(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(bundle / "config.yaml")]) == 2 and not ran(bundle)
    assert "--allow-imports" in capsys.readouterr().err


def test_info_names_the_modules_and_the_flag(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "info", str(bundle)]) == 0
    assert f"{MODULE}.deep" in (said := capsys.readouterr().out) and "--allow-imports" in said
    assert not ran(bundle)


def test_with_consent_they_run(bundle: Path) -> None:
    assert main(["show", "--allow-imports", str(bundle)]) == 0
    assert ran(bundle)
    assert load(bundle, allow_imports=True).loaded.stage == "stage 2"


def test_a_module_that_an_installed_package_announces_needs_none(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("deep", f"{MODULE}.deep", "minigpt4")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry] if group == "minigpt4" else [])
    assert load_model(bundle).stage == "stage 2"


def test_a_place_is_found_without_running_anything(bundle: Path) -> None:
    assert place_of_module(f"{MODULE}.deep") == str(bundle.parent / MODULE / "deep.py")
    assert place_of_module("no.such.module") == "not found here"
    assert not ran(bundle)


@pytest.mark.parametrize(("line", "sentence"), [
    ("prompt_template: '${oc.env:HOME}'", "may not read the environment"),
    ("prompt_template: '${model.${oc.env:HOME}}'", "may not read the environment"),
    ("prompt_template: &a x\n  end_sym: *a", r"uses the alias \*a"),
])
def test_its_config_calls_nothing(tmp_path: Path, line: str, sentence: str) -> None:
    loaded = tiny.model()
    with atomic_bundle(tmp_path / "bundle") as folder:
        text = tiny.as_yaml(loaded.config).replace("  prompt_template:", "  x:")
        text = text.replace("model:\n", f"model:\n  {line}\n")
        loaded.save_bundle(folder, resolved_config=text, stage="", step=1)
    with pytest.raises(UserError, match=sentence):
        load_model(tmp_path / "bundle")
