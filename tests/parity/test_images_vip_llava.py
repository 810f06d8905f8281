"""Pixels as ViP-LLaVA made them (commit 77079b1, CLIP's processor): cropped, padded, squashed; bit for bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from minigpt4.processors.images import FittedImages
from minigpt4.records.images import Fit, ImageRef, ImageSpec

FITS: dict[str, Fit] = {"square": "crop", "pad": "pad", "resize": "squash"}
"""the original's `image_aspect_ratio` -> ours"""


@pytest.mark.cases("vip_llava", "pixels_small", "pixels_336_digests")
def test_pixels(oracles: Path, case: str) -> None:
    folder = oracles / "vip_llava"
    recorded = json.loads((folder / "cases" / f"{case}.json").read_text())
    recorded = recorded.get("cases", recorded)
    assert recorded
    for name, facts in recorded.items():
        image, _, mode = name.partition("|")
        spec = ImageSpec(size=facts["shape"][-1], opening="original", fit=FITS[mode], rescale="multiply")
        pixels = FittedImages(spec)(ImageRef(path=folder / "images" / image))
        assert hashlib.sha256(pixels.numpy().astype("<f4").tobytes()).hexdigest() == facts["sha256_f32le"], name
