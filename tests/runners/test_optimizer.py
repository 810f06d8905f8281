"""Which parameters decay, and in which order the optimizer holds them."""

from __future__ import annotations

import pytest
from torch import nn

from minigpt4.common.errors import UserError
from minigpt4.recipes.behaviours import BEHAVIOURS
from minigpt4.runners.config import RunConfig
from minigpt4.runners.optimizer import DECAY_RULES, build_optimizer, decay_groups, decays_by_dimension, decays_by_name


def test_ours_looks_at_the_shape_only() -> None:
    assert decays_by_dimension("stages.bnorm_mixer.weight", 2)
    assert not decays_by_dimension("norm.weight", 1)


def test_the_original_looks_into_the_name_too() -> None:
    assert not decays_by_name("stages.bnorm_mixer.weight", 2)
    assert decays_by_name("llama_proj.weight", 2)


def test_the_rule_follows_from_the_behaviour() -> None:
    for behaviour in BEHAVIOURS.values():
        assert DECAY_RULES[behaviour.decay_rule] is (
            decays_by_dimension if behaviour.name == "standard" else decays_by_name)


def test_decayed_parameters_come_first() -> None:
    model = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4))
    assert decay_groups(model, decays_by_dimension).names == ("1.weight", "0.weight", "0.bias", "1.bias")
    optimizer = build_optimizer(model, RunConfig(weight_decay=0.5, beta2=0.95), decays_by_dimension)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 3]
    assert optimizer.defaults["betas"] == (0.9, 0.95)
    assert optimizer.defaults["eps"] == 1e-8


def test_nothing_to_train_is_said() -> None:
    with pytest.raises(UserError, match="every part is frozen"):
        build_optimizer(nn.Linear(2, 2).requires_grad_(False), RunConfig(), decays_by_dimension)
