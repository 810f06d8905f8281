"""Random values that files replace are not drawn, and what no file has is as it always was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from minigpt4.assembly import build
from minigpt4.assembly.load_ledger import LoadLedger
from minigpt4.inference.load import load_model
from minigpt4.models.unfilled import WithoutRandomFills
from tests import tiny


def test_nothing_is_drawn_inside_and_constants_are_filled() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with WithoutRandomFills():
        layer, norm = nn.Linear(4, 4), nn.LayerNorm(4)
        for init in (nn.init.trunc_normal_, nn.init.normal_, nn.init.xavier_uniform_, nn.init.kaiming_normal_):
            assert init(layer.weight).unique().numel() == 1
    assert torch.equal(torch.rand(1), expected), "the generator was used"
    assert torch.equal(norm.weight, torch.ones(4))
    assert torch.equal(norm.bias, torch.zeros(4))


def test_a_loaded_bundle_is_what_was_saved_and_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = tiny.model()
    saved.save_bundle(tmp_path, resolved_config=tiny.as_yaml(saved.config), stage="test", step=1)
    inside: list[bool] = []
    filled = build._is_filled
    monkeypatch.setattr(build, "_is_filled", lambda *given: inside.append(filled(*given)) or inside[-1])
    loaded = load_model(str(tmp_path), device="cpu")
    assert inside == [True]
    for name, value in saved.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name


def test_where_a_file_lacks_something_the_parts_are_made_again_with_random_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    saved = tiny.model(seed=5)
    saved.save_bundle(tmp_path, resolved_config=tiny.as_yaml(saved.config), stage="test", step=1)
    monkeypatch.setattr(build, "_load_visual_parts", lambda *given: LoadLedger())
    visual_path = load_model(str(tmp_path), device="cpu").model.visual_path
    assert visual_path is not None
    matrices = {name: value for name, value in visual_path.state_dict().items() if value.dim() > 1}
    assert matrices
    for name, value in matrices.items():
        assert value.unique().numel() > 1, name
