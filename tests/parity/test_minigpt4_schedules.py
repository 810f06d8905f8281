"""Learning rates and decay groups against what the original recorded."""

from __future__ import annotations

from typing import Any

import pytest

from minigpt4.runners.config import RunConfig
from minigpt4.runners.optimizer import decays_by_name, split_by_decay
from minigpt4.runners.schedules import Schedule, build_schedule
from minigpt4.runners.timetable import Timetable
from tests.parity import minigpt4_folder as oracle

TOLERANCE = 1e-15


def _recorded(case: str) -> Any:
    return oracle.read_case(case).values


def _as_recorded(row: dict[str, Any]) -> tuple[Schedule, Timetable]:
    timetable = Timetable(row["max_epoch"], row["iters_per_epoch"], 1)
    run = RunConfig(
        lr_sched=row["scheduler"], init_lr=row["init_lr"], min_lr=row["min_lr"], warmup_lr=row["warmup_start_lr"],
        warmup_steps=row["warmup_steps"], lr_decay_rate=row.get("decay_rate", row.get("lr_decay_rate")),
    )
    return build_schedule(run, timetable), timetable


def test_lr_tables() -> None:
    rows = _recorded("lr_tables")["rows"]
    assert rows
    for row in rows:
        schedule, timetable = _as_recorded(row)
        rates = [schedule.lr(timetable.at(step)) for step in range(timetable.steps)]
        assert rates == pytest.approx(row["lr"], rel=0, abs=TOLERANCE), row


def test_lr_of_the_real_stage_1() -> None:
    row = _recorded("lr_tables")["stage1_real"]
    schedule, timetable = _as_recorded(row)
    for step, rate in row["at_step"].items():
        assert schedule.lr(timetable.at(int(step))) == pytest.approx(rate, rel=0, abs=TOLERANCE), step


def _models_with_groups(recorded: dict[str, Any]) -> list[str]:
    return [name for name, value in recorded.items() if isinstance(value, dict) and "decay_0" in value]


def test_decay_groups() -> None:
    """Original names; dimensions are those of the recorded keys of the model."""
    recorded = _recorded("optimizer_groups")
    shapes = _recorded("model_keys")
    models = _models_with_groups(recorded)
    assert models
    for model in models:
        decayed, spared = (recorded[model][key] for key in (f"decay_{recorded['weight_decay']}", "decay_0"))
        dimensions = {name: len(shapes["parameters"][name]) for name in decayed + spared}
        in_model_order = [name for name in shapes["parameters"] if name in dimensions]
        groups = split_by_decay([(name, dimensions[name]) for name in in_model_order], decays_by_name)
        assert list(groups.decayed) == decayed
        assert list(groups.spared) == spared
