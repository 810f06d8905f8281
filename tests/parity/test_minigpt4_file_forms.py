"""Every parity test again on a copy of the folder whose parts have other file forms but the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.parity import file_forms as forms
from tests.parity import minigpt4_folder as oracle

TEXT_BRANCH = ("t5_proj.", "temp", "Qformer.cls.", "Qformer.bert.embeddings.word_embeddings.",
               "Qformer.bert.embeddings.position_embeddings.", "Qformer.bert.embeddings.position_ids")


def _newer_forms(parts: Path) -> None:
    """As re-uploads have them: safetensors, no buffers, fp32, wrapped the other way, two blocks too many."""
    depth = json.loads((parts / "eva_vit_config.json").read_text())["depth"]
    eva = parts / "eva_vit_tiny.pth"
    further = forms.extra_blocks(eva, depth, 2)
    forms.rewrite_file(eva, wrapped=True, double=True, dropped=("norm.", "head."), added=further)
    forms.rewrite_file(parts / "blip2_pretrained_tiny.pth", wrapped=False, double=False, dropped=TEXT_BRANCH)
    forms.rewrite_file(parts / "minigpt4_tiny.pth", wrapped=False, double=False)
    forms.rewrite_llm(parts / "llm", forms.shards_of_safetensors, inv_freq=False, double=True)
    forms.rewrite_llm(parts / "llm_llama2", forms.shards_of_bin, inv_freq=True)


def _older_forms(parts: Path) -> None:
    """As the first releases had them: `.bin`, rotary buffers, no block too many."""
    depth = json.loads((parts / "eva_vit_config.json").read_text())["depth"]
    beyond = tuple(f"blocks.{number}." for number in range(depth, depth + 10))
    forms.rewrite_file(parts / "eva_vit_tiny.pth", wrapped=False, double=False, dropped=(*beyond, "norm.", "head."))
    forms.rewrite_file(parts / "blip2_pretrained_tiny.pth", wrapped=True, double=True)
    forms.rewrite_file(parts / "minigpt4_llama2_tiny.pth", wrapped=False, double=True)
    forms.rewrite_llm(parts / "llm", forms.one_safetensors, inv_freq=True)
    forms.rewrite_llm(parts / "llm_llama2", forms.one_bin, inv_freq=True, double=True)


@pytest.mark.slow
@pytest.mark.parametrize("rewrite", [_newer_forms, _older_forms])
def test_parity_holds_in_other_file_forms(rewrite: Callable[[Path], None], project: Path, tmp_path: Path) -> None:
    copy = tmp_path / "minigpt4"
    shutil.copytree(oracle.folder(), copy, copy_function=shutil.copyfile)
    for folder in (copy, *copy.rglob("*/")):
        folder.chmod(0o755)  # the recorded folder may be read-only
    rewrite(copy / "parts")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "tests/parity", "-k", "minigpt4"]
    run = subprocess.run(command, cwd=project, env={**os.environ, "ORACLES": str(tmp_path)}, capture_output=True,
                         text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:]
    assert " passed" in run.stdout
