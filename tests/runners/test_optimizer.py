"""Which parameters decay, and in which order the optimizer holds them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from minigpt4.common.errors import UserError
from minigpt4.runners.config import RunConfig
from minigpt4.runners.muon import Muon, hidden_matrices
from minigpt4.runners.optimizer import DECAY_RULES, build_optimizer, decay_groups, decays_by_dimension, decays_by_name
from minigpt4.runners.schedules import build_schedule
from minigpt4.runners.timetable import Timetable
from minigpt4.runners.update import Update
from minigpt4.systems.minigpt4.behaviours import BEHAVIOURS


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


class _Words(nn.Module):
    """A model with everything that makes a difference to Muon."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.hidden = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.lm_head = nn.Linear(4, 6, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.lm_head(self.norm(self.hidden(self.embed(ids))))
        return scores


def _muon_step(model: nn.Module, optimizer: torch.optim.Optimizer, lr: float = 0.1) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
    model(torch.arange(6)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_muon_is_for_the_maps_between_features_only() -> None:
    assert hidden_matrices(_Words()) == {"hidden.weight"}


def test_muon_updates_are_orthogonal_and_follow_the_rate_that_is_set() -> None:
    torch.manual_seed(0)
    model = _Words()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(model, RunConfig(optimizer="muon", weight_decay=0.0), decays_by_dimension)
    _muon_step(model, optimizer)
    stretches = torch.linalg.svdvals((before["hidden.weight"] - model.hidden.weight).detach())
    assert stretches[0] / stretches[2] < 2  # the norm behind it takes one of the four directions away
    assert all(not torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


def test_muon_goes_on_from_its_state_bit_by_bit() -> None:
    torch.manual_seed(0)
    straight, resumed = _Words(), _Words()
    run = RunConfig(optimizer="muon")
    optimizer = build_optimizer(straight, run, decays_by_dimension)
    _muon_step(straight, optimizer)
    resumed.load_state_dict(straight.state_dict())
    other = build_optimizer(resumed, run, decays_by_dimension)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _muon_step(straight, optimizer)
    _muon_step(resumed, other)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))
    assert [group["lr"] for group in other.param_groups] == [0.1] * 3


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9 has no Muon to compare with")
def test_muon_is_torchs_up_to_its_lower_precision() -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((8, 8), (8, 8), (12, 8), (8, 20))]
    theirs = [nn.Parameter(each.detach().clone()) for each in ours]
    start = [each.detach().clone() for each in ours]
    optimizers = (Muon(ours, lr=0.1, weight_decay=0.1),
                  torch.optim.Muon(theirs, lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"))
    for _ in range(3):
        for index, pair in enumerate(zip(ours, theirs, strict=True)):
            gradient = torch.randn(pair[0].shape)
            for parameter in pair:
                parameter.grad = gradient * (index + 1)
        for optimizer in optimizers:
            optimizer.step()
    for one, other, before in zip(ours, theirs, start, strict=True):
        assert (one - other).norm() < 0.03 * (one - before).norm()


# --- learning-rate factors ---


def _connector_twice(name: str) -> float:
    return 2.0 if name.startswith("1.") else 1.0


def test_a_factor_has_groups_of_its_own_behind_the_others() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    optimizer = build_optimizer(model, RunConfig(weight_decay=0.5), decays_by_dimension, _connector_twice)
    shown = [(group["lr_factor"], group["weight_decay"], len(group["params"])) for group in optimizer.param_groups]
    assert shown == [(1.0, 0.5, 1), (1.0, 0.0, 1), (2.0, 0.5, 1), (2.0, 0.0, 1)]


def test_an_update_moves_by_the_factor() -> None:
    """The first step of AdamW without decay moves every weight by the learning rate."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    before = copy.deepcopy(model.state_dict())
    optimizer = build_optimizer(model, RunConfig(weight_decay=0.0), decays_by_dimension, _connector_twice)
    timetable = Timetable(2, 1, 1)
    schedule = build_schedule(RunConfig(lr_sched="warmup_cosine", init_lr=0.25), timetable)
    update = Update(optimizer, schedule, torch.amp.GradScaler("cpu", enabled=False), None)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    update.apply(timetable.at(0))
    for name, value in model.state_dict().items():
        moved = (before[name] - value).abs()
        torch.testing.assert_close(moved, torch.full_like(moved, 0.25 * _connector_twice(name)), rtol=1e-4, atol=0)


def test_muon_has_factors_too() -> None:
    optimizer = build_optimizer(_Words(), RunConfig(optimizer="muon", weight_decay=0.0), decays_by_dimension,
                                lambda name: 3.0 if "hidden" in name else 1.0)
    factors = {len(group["params"][0].shape): group["lr_factor"] for group in optimizer._muon.param_groups}
    assert factors == {2: 3.0}
