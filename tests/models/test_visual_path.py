"""The visual path: stages run where their output is wanted and absent, frozen ones are known, two encoders meet."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from minigpt4.models.freezing import freeze
from minigpt4.models.visual_path import Stage, VisualPath


class Times(nn.Module):
    """Multiplies what it reads by a weight; counts its calls."""

    out_width, out_tokens = 1, 1

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.calls = 0

    def forward(self, *values: Tensor) -> Tensor:
        self.calls += 1
        return torch.stack(values).sum(dim=0) * self.factor


class Both(Times):
    """Writes two values."""

    def forward(self, value: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return value * self.factor, value + self.factor


PIXELS = {"pixel_values": torch.tensor([1.0])}


def two_encoders() -> VisualPath:
    return VisualPath({
        "low": Stage(Times(2.0), ("pixel_values",)), "high": Stage(Times(3.0), ("large_pixel_values",)),
        "mining": Stage(Times(1.0), ("low", "high")), "connector": Stage(Times(10.0), ("mining",)),
    })


def test_a_chain() -> None:
    path = VisualPath.chain({"vision": Times(2.0), "connector": Times(5.0)})
    assert path(PIXELS).item() == 10 and path.inputs == ("pixel_values",) and path.tokens_per_image == 1


def test_a_stored_value_stands_for_the_stages_before_it() -> None:
    path = VisualPath.chain({"vision": Times(2.0), "resampler": Times(3.0), "connector": Times(5.0)})
    assert path({"resampler": torch.tensor([1.0])}).item() == 5
    assert path({"vision": torch.tensor([1.0])}).item() == 15
    assert path.stages["vision"].calls == 0


def test_two_encoders_of_one_image() -> None:
    path = two_encoders()
    assert path.inputs == ("pixel_values", "large_pixel_values")
    assert path({**PIXELS, "large_pixel_values": torch.tensor([2.0])}).item() == (2 + 6) * 10
    assert path({"low": torch.tensor([1.0]), "large_pixel_values": torch.tensor([2.0])}).item() == 70


def test_only_what_is_wanted_runs() -> None:
    path = two_encoders()
    found = path.values({"large_pixel_values": torch.tensor([2.0])}, ("high",))
    assert found["high"].item() == 6 and path.stages["low"].calls == path.stages["mining"].calls == 0


def test_what_is_absent_is_named() -> None:
    with pytest.raises(ValueError, match=r"needs \['large_pixel_values'\] and has \['pixel_values'\]"):
        two_encoders()(PIXELS)


def test_a_stage_may_write_several_values() -> None:
    path = VisualPath({"states": Stage(Both(2.0), ("pixel_values",), ("product", "sum")),
                       "fusion": Stage(Times(1.0), ("sum", "product"))})
    assert path(PIXELS).item() == 5
    with pytest.raises(ValueError, match="written twice"):
        VisualPath({"one": Stage(Times(1.0), ("pixel_values",), ("x",)), "two": Stage(Times(1.0), ("x",), ("x",))})


def test_frozen_stages_reach_as_far_as_everything_before_them_is_frozen() -> None:
    path = two_encoders()
    for name in ("low", "mining"):
        freeze(path.stages[name])
    assert path.frozen_stages() == {"low"} and path.frozen_values() == ("large_pixel_values", "low")
    freeze(path.stages["high"])
    assert path.frozen_stages() == {"low", "high", "mining"} and path.frozen_values() == ("mining",)
    path({**PIXELS, "large_pixel_values": torch.tensor([2.0])}).backward()
    assert path.stages["connector"].factor.grad is not None and path.stages["low"].factor.grad is None
    freeze(path.stages["connector"])
    assert path.frozen_values() == ("connector",)
