"""One changed thing in a whole bundle is noticed by `weights verify`."""

from __future__ import annotations

import pytest

from tests.hostile.damage import count


@pytest.mark.parametrize(("number", "seed"), [(20, 1), pytest.param(400, 2, marks=pytest.mark.slow)])
def test_one_changed_thing(number: int, seed: int) -> None:
    noticed, missed = count(number, seed)
    assert not missed and noticed.total() == number
