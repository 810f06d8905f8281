"""The doctor sees what is missing and says what to do; what is there is no complaint."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

from minigpt4.cli import _examination as doctor
from minigpt4.cli._examination import EXTRAS, PYTHON, UNWANTED, Finding, examine
from minigpt4.cli.main import main


def found(versions: dict[str, str]) -> dict[str, Finding]:
    def installed(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    return {finding.topic: finding for finding in examine(installed=installed)}


GOOD = {"torch": "2.13.0", "transformers": "5.23.0"}


def test_packages_in_range_are_good_and_absent_extras_are_notes() -> None:
    findings = found(GOOD)
    assert findings["python"].state == findings["torch"].state == findings["transformers"].state == "good"
    assert findings["bitsandbytes"] == Finding(
        "bitsandbytes", "note", "is not installed; needed only for language models in 8 and 4 bit",
        "pip install 'minigpt4[quantized]'",
    )
    assert not set(UNWANTED) & set(findings)


@pytest.mark.parametrize(("version", "what"), [("4.40.0", "4.40.0 is outside >=5.0,<6"), (None, "is not installed")])
def test_what_does_not_fit_is_bad(version: str | None, what: str) -> None:
    versions = {**GOOD, "transformers": version}
    finding = found({name: value for name, value in versions.items() if value})["transformers"]
    assert (finding.state, finding.what) == ("bad", what) and 'pip install "transformers>=5.0,<6"' in finding.fix


def test_packages_that_make_trouble_are_named() -> None:
    assert found({**GOOD, "torchvision": "0.20"})["torchvision"].fix == "pip uninstall torchvision"


def test_a_driver_without_cuda_in_torch_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert doctor._no_gpu(None).state == "bad" and "without CUDA" in doctor._no_gpu(None).what
    assert "cannot use it" in doctor._no_gpu("12.4").what
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor._no_gpu(None).state == "note"


def test_missing_parts_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "PACKAGE", tmp_path)
    assert doctor._parts().state == "bad"
    for name in doctor.PARTS:
        (tmp_path / "parts" / name).parent.mkdir(parents=True)
        (tmp_path / "parts" / name).write_bytes(b"12")
    assert doctor._parts().state == "good"


def test_known_weights_are_told_where_they_are(tmp_path: Path) -> None:
    (absent,) = doctor._known_weights(tmp_path)
    assert absent.state == "note" and "known by name are not in" in absent.what
    (tmp_path / "eva_vit_g.pth").write_bytes(b"x" * 2_000_000)
    (tmp_path / "blip2_pretrained_flant5xxl.pth").write_bytes(b"half")
    (tmp_path / "vicuna-7b-v0.partial").mkdir()
    cut, whole, begun, _ = doctor._known_weights(tmp_path)
    assert cut.state == "bad" and "minigpt4 weights download blip2_pretrained_flant5xxl --offline" in cut.fix
    assert whole == Finding("weights", "good", f"{tmp_path}/eva_vit_g.pth, 2.0 MB")
    assert begun.state == "note" and begun.fix == "minigpt4 weights download vicuna-7b-v0"


def test_every_missing_file_of_a_config_is_a_finding(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = project / "train_configs" / "minigpt4_stage2_finetune.yaml"
    assert main(["doctor", "--cfg-path", str(config)]) == 1
    said = capsys.readouterr().out
    for key in ("vision.weights", "resampler.weights", "llm.weights", "ckpt", "cc_sbu_align.build_info.storage"):
        assert re.search(rf"^BAD .*{re.escape(key)}", said, re.MULTILINE), key


def test_extras_and_python_are_those_of_the_project(project: Path) -> None:
    described = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, (extra, _) in EXTRAS.items():
        assert any(line.startswith(name) for line in described["optional-dependencies"][extra])
    assert str(PYTHON) == described["requires-python"]


def test_processes_that_do_not_come_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start of several processes hung without a word."""
    assert list(doctor._processes()) == []
    monkeypatch.setenv("RANK", "0")
    assert [finding.state for finding in doctor._processes()] == ["bad"]
