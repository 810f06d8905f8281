"""Scenes drawn as they are asked for: by number, without held-out combinations, truthful where recoloured."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from minigpt4.common.errors import UserError
from minigpt4.scenes.builders.drawn_scenes import DrawnScenes, DrawnScenesBuilder, DrawnScenesConfig
from minigpt4.scenes.combinations import VARIANTS, held_out
from minigpt4.scenes.drawing import FILLS, UNNAMED_DISTANCE
from minigpt4.scenes.scene import COLOURS, KINDS, Pair


def _scenes(split: str = "train", **values: object) -> DrawnScenes:
    return DrawnScenesBuilder.build(DrawnScenesConfig(samples=200, **values), split)  # type: ignore[arg-type]


def _named_together(text: str) -> set[Pair]:
    """Combinations that a sentence names."""
    words = text.lower().replace(".", " ").replace(",", " ").replace("?", " ").split()
    singular = [word if word in KINDS else word.removesuffix("s") for word in words]
    return {(kind, colour) for colour, kind in zip(words, singular[1:], strict=False)
            if colour in COLOURS and kind in KINDS}


def test_a_sample_is_a_function_of_its_number() -> None:
    some, more = _scenes(recoloured=0.5), DrawnScenes(DrawnScenesConfig(samples=9, recoloured=0.5), "train", "other")
    for number in range(9):
        assert some.drawn(number) == more.drawn(number)
        assert some.sample(number).conversation.turns == more.sample(number).conversation.turns
    assert some.drawn(0) != _scenes(recoloured=0.5, seed=1).drawn(0)


def test_the_image_is_the_drawing_itself() -> None:
    scenes = _scenes(recoloured=1.0)
    data = scenes.sample(3).conversation.images[0].data
    assert data is not None
    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), np.array(scenes.drawn(3).image()))


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_image_and_no_text_of_training_shows_a_held_out_combination(variant: int) -> None:
    scenes, kept = _scenes(recoloured=0.5, held_out_variant=variant), held_out(variant)
    named: set[Pair] = set()
    for number in range(len(scenes)):
        assert not {group.pair for group in scenes.drawn(number).scene.groups} & kept
        named |= set().union(*(_named_together(turn.text) for turn in scenes.sample(number).conversation.turns))
    assert len(named) > 30, "the test reads the sentences"
    assert not named & kept
    evaluated = _scenes("held_out", held_out_variant=variant)
    assert {group.pair for number in range(200) for group in evaluated.drawn(number).scene.groups} <= kept


def test_recoloured_images_have_colours_without_a_name_and_no_words_for_them() -> None:
    scenes = _scenes(recoloured=1.0)
    fills = [fill for number in range(200) for fill in scenes.drawn(number).fills]
    assert 0.7 < sum(fill is not None for fill in fills) / len(fills) < 0.9
    for fill in filter(None, fills):
        assert min(np.linalg.norm(np.subtract(fill, named)) for named in FILLS.values()) > UNNAMED_DISTANCE
    for number in range(200):
        if scenes.drawn(number).is_recoloured:
            words = " ".join(turn.text for turn in scenes.sample(number).conversation.turns)
            assert not _named_together(words)
            assert scenes.sample(number).conversation.turns[0].text.count("colo") == 0


def test_evaluation_is_never_recoloured_and_an_unknown_split_is_told() -> None:
    assert not any(_scenes("seen", recoloured=1.0).drawn(number).is_recoloured for number in range(50))
    with pytest.raises(UserError, match="held_out"):
        _scenes("heldout")
