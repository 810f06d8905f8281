"""Tallies add up; there is no mean of nothing."""

from __future__ import annotations

from minigpt4.metrics.tally import Tally


def test_means_add_up_over_unequal_counts() -> None:
    assert (Tally(2.0, 1) + Tally(0.0, 3)).mean == 0.5


def test_nothing_has_no_mean() -> None:
    assert (Tally() + Tally()).mean is None
