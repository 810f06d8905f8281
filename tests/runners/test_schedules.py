"""Corrected schedules: by optimizer step, continuous, down to min_lr; and the clock they read."""

from __future__ import annotations

from typing import Any

import pytest

from minigpt4.common.errors import UserError
from minigpt4.runners.config import RunConfig
from minigpt4.runners.schedules import build_schedule
from minigpt4.runners.timetable import Timetable


def _rates(timetable: Timetable, **run: Any) -> list[float]:
    schedule = build_schedule(RunConfig(**run), timetable)
    return [schedule.lr(timetable.at(step)) for step in range(timetable.steps)]


def test_warmup_cosine_is_continuous_and_reaches_min_lr() -> None:
    rates = _rates(Timetable(4, 25, 1), lr_sched="warmup_cosine", init_lr=1.0, min_lr=0.1, warmup_lr=0.0,
                   warmup_steps=10)
    assert rates[:11] == pytest.approx([step / 10 for step in range(11)])
    assert rates[-1] == pytest.approx(0.1)
    assert max(abs(one - next_) for one, next_ in zip(rates[10:], rates[11:], strict=False)) < 0.02
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_warmup_longer_than_an_epoch_does_not_begin_anew() -> None:
    rates = _rates(Timetable(4, 5, 1), lr_sched="warmup_cosine", init_lr=1.0, warmup_lr=0.0, warmup_steps=8)
    assert rates[:9] == sorted(rates[:9])


def test_corrected_schedules_do_not_depend_on_accumulation() -> None:
    plain = _rates(Timetable(2, 8, 1), lr_sched="warmup_cosine", init_lr=1.0, warmup_steps=3, warmup_lr=0.0)
    accumulated = _rates(Timetable(2, 32, 4), lr_sched="warmup_cosine", init_lr=1.0, warmup_steps=3, warmup_lr=0.0)
    assert plain == accumulated


def test_warmup_step_decays_once_an_epoch_from_the_end_of_warm_up() -> None:
    rates = _rates(Timetable(4, 5, 1), lr_sched="warmup_step", init_lr=1.0, min_lr=0.3, warmup_lr=0.0, warmup_steps=2,
                   lr_decay_rate=0.5)
    assert rates == pytest.approx([0, 0.5] + [1.0] * 5 + [0.5] * 5 + [0.3] * 8)


@pytest.mark.parametrize("schedule", ["warmup_step", "linear_warmup_step_lr"])
def test_step_schedules_name_the_missing_decay_rate(schedule: str) -> None:
    with pytest.raises(UserError, match="run.lr_decay_rate: is not set"):
        build_schedule(RunConfig(lr_sched=schedule), Timetable(2, 5, 1))


@pytest.mark.parametrize(("schedule", "unit"), [
    ("warmup_cosine", "10 optimizer steps"), ("warmup_step", "10 optimizer steps"),
    ("linear_warmup_cosine_lr", "30 micro-steps"), ("linear_warmup_step_lr", "30 micro-steps"),
])
def test_a_warm_up_that_never_ends_is_refused(schedule: str, unit: str) -> None:
    run, timetable = {"lr_sched": schedule, "lr_decay_rate": 0.9, "init_lr": 0.001}, Timetable(2, 15, 3)
    length = int(unit.split()[0])
    said = (f"run.warmup_steps: is {length}, but the run has only {unit}: it would end before the learning rate "
            f"reaches run.init_lr 0.001; set it to {length // 5}, or train longer")
    with pytest.raises(UserError, match=said):
        build_schedule(RunConfig(**run, warmup_steps=length), timetable)
    build_schedule(RunConfig(**run, warmup_steps=length - 1), timetable)


def test_unknown_schedule_names_the_nearest() -> None:
    with pytest.raises(UserError, match="run.lr_sched: is 'warmup_cosin', .*did you mean 'warmup_cosine'"):
        RunConfig(lr_sched="warmup_cosin")


def test_windows_end_with_the_epoch() -> None:
    timetable = Timetable(2, 7, 3)
    assert [timetable.window_of(step) for step in range(timetable.steps)] == [3, 3, 1, 3, 3, 1]
    assert [timetable.position(step) for step in range(timetable.steps + 1)] == [0, 3, 6, 7, 10, 13, 14]
    assert [timetable.at(step).iteration for step in range(timetable.steps)] == [2, 5, 6, 2, 5, 6]
    assert [timetable.ends_epoch(step) for step in range(timetable.steps)] == [False, False, True] * 2
