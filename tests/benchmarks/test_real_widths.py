"""The files of the benchmark of real widths have the names and shapes of the published ones."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.real_widths import Shapes, Widths, llm_shapes, q_former_shapes, vision_shapes
from tests.parity.test_minigpt4_official_keys import BUFFERS, LISTS, spelled_out

pytestmark = pytest.mark.skipif(not LISTS, reason="the folder of oracles contains no official_keys.json")


def published(entry: dict[str, Any]) -> Shapes:
    keys = spelled_out(entry if "keys" in entry else {"keys": entry})
    return {name: shape for name, shape in keys.items() if not name.endswith(BUFFERS)}


def test_they_are_the_published_ones_at_full_depth() -> None:
    assert vision_shapes(Widths(layers=39)) == published(LISTS["eva_vit_g"]["used_by_original"])
    assert q_former_shapes(Widths(layers=12)) == published(LISTS["blip2_pretrained_flant5xxl"]["used_by_original"])
    assert llm_shapes(Widths(layers=32)) == published(LISTS["vicuna_7b_v0"])
