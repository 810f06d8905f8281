"""Folders of language models from anywhere: looked at and loaded, or refused in a sentence."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from minigpt4.assembly.build import build_model
from minigpt4.models.language_models.causal_lm import CausalLMConfig
from tests import tiny
from tests.hostile.attempt import Ending, assert_all_good, attempt, command
from tests.hostile.model_folders import make_hostile, write_folder


def load(folder: Path) -> Ending:
    import torch

    llm = CausalLMConfig(weights=str(folder))
    return attempt(lambda: build_model(tiny.config(llm=llm), device=torch.device("cpu")))


@pytest.mark.parametrize(("number", "seed"), [(10, 1), pytest.param(90, 2, marks=pytest.mark.slow)])
def test_changed_folders(tmp_path: Path, number: int, seed: int) -> None:
    whole = write_folder(tmp_path / "whole")
    assert load(whole).kind == "accepted"
    endings = []
    for index in range(number):
        folder, sign = tmp_path / f"llm{index}", tmp_path / f"sign{index}"
        shutil.copytree(whole, folder)
        words = f"{index} {make_hostile(folder, random.Random(f'{seed}/{index}'), sign)}"
        endings += [(f"{words} x load", load(folder)), (f"{words} x info", command("weights", "info", str(folder))),
                    (f"{words} x verify", command("weights", "verify", str(folder)))]
        assert not sign.exists(), f"{words} ran code"
    assert_all_good(endings)
