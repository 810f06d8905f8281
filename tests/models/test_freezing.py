"""A part trains whole, not at all, or in those parameters that patterns name."""

from __future__ import annotations

import pytest
from torch import nn

from minigpt4.common.errors import UserError
from minigpt4.models.freezing import freeze, is_frozen, train
from minigpt4.models.part import PartConfig


def layers() -> nn.Module:
    return nn.Sequential(*(nn.Linear(2, 2) for _ in range(3)))


def trained(module: nn.Module) -> list[str]:
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def test_patterns_choose_what_trains() -> None:
    module = layers()
    freeze(module)
    train(module, ["0.*", "2.bias"])
    assert trained(module) == ["0.weight", "0.bias", "2.bias"] and not is_frozen(module)
    train(module)
    assert len(trained(module)) == 6


def test_a_pattern_that_fits_nothing_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"train_only: '1\.wieght' matches no parameter .* did you mean '1\.weight'"):
        train(layers(), ["1.wieght"])


def test_a_frozen_part_trains_nothing() -> None:
    with pytest.raises(UserError, match="train_only: is given, but the part is frozen"):
        PartConfig(name="any", train_only=["0.*"])


@pytest.mark.parametrize("factor", [0, -1, float("inf"), float("nan")])
def test_a_factor_is_a_number_above_zero(factor: float) -> None:
    with pytest.raises(UserError, match=f"lr_factor: is {factor}"):
        PartConfig(name="any", lr_factor=factor)
