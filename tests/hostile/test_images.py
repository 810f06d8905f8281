"""Hostile images end in an image or in a sentence, soon, and start nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigpt4.processors.decoding import ImageError, is_animated, open_image
from minigpt4.records.images import ImageRef
from tests.hostile.images import HostileImage, hostile_images, sound_images
from tests.hostile.watching import watched

SHARE = 20
"""one of so many is run by default"""
SECONDS = 20.0
ALL = hostile_images()


def opened(hostile: HostileImage, folder: Path) -> bool:
    """Whether it became an image, in either way of opening; fails on everything but an image or a sentence."""
    path = folder / f"{hostile.name}.png"
    hostile.make(path)
    ref, became = ImageRef(path=path, name=hostile.name), False
    with watched(SECONDS):
        for opening in ("standard", "original"):
            try:
                image = open_image(ref, opening)
                assert image.mode == "RGB" and min(image.size) >= 1
                became = True
            except ImageError as error:
                sentence = str(error)
                assert hostile.name in sentence and "\n" not in sentence and len(sentence) < 400, sentence
                sentence.encode("utf-8")
        try:
            is_animated(ref)
        except ImageError:
            pass
    return became


def test_there_are_many_and_their_names_are_their_own() -> None:
    assert len({hostile.name for hostile in ALL}) == len(ALL) >= 450


def test_the_images_that_are_broken_are_sound_before() -> None:
    for name, content in sound_images().items():
        assert open_image(ImageRef(data=content, name=name)).mode == "RGB"


@pytest.mark.parametrize("hostile", ALL[::SHARE], ids=lambda hostile: hostile.name)
def test_some_hostile_images(hostile: HostileImage, tmp_path: Path) -> None:
    assert not (opened(hostile, tmp_path) and hostile.refused)


@pytest.mark.slow
@pytest.mark.parametrize("hostile", ALL, ids=lambda hostile: hostile.name)
def test_all_hostile_images(hostile: HostileImage, tmp_path: Path) -> None:
    assert not (opened(hostile, tmp_path) and hostile.refused)
