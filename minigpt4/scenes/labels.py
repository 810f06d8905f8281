"""What is true of each quarter of an image, as numbers: the labels that vision parts are trained on.

A attributes: kind, colour, size and count of the group that stands there, the place itself, and the background. What
is told of a photograph holds for the whole of it: its subject in the place of the kind, its main colour in that of the
colour, and no size, count or background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from minigpt4.records.batches import IGNORED_LABEL
from minigpt4.scenes.drawing import Colour
from minigpt4.scenes.photographs.photograph import MAIN_COLOURS, SUBJECTS, UNKNOWN, Photograph
from minigpt4.scenes.scene import BACKGROUNDS, COLOURS, KINDS, MAX_COUNT, QUADRANTS, SIZES, Scene

QUARTERS = "quarters"
"""name of the labels among the targets of a sample"""
NOTHING = "nothing"
WHOLE = "whole"
"""in the place of size, count and background: the labels speak of the image as a whole"""
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "kind": (*KINDS, NOTHING, *SUBJECTS, UNKNOWN),
    "colour": (*COLOURS, NOTHING, *(f"mainly {colour}" for colour in MAIN_COLOURS)),
    "size": (*SIZES, NOTHING, WHOLE), "count": (*map(str, range(1, MAX_COUNT + 1)), NOTHING, WHOLE),
    "place": QUADRANTS, "background": (*BACKGROUNDS, WHOLE),
}
"""what is read of every quarter of an image, and its values"""


def labels_of(scene: Scene, fills: Sequence[Colour | None]) -> Tensor:
    """[4, A] the attributes of each quarter; a colour without a name (a fill) is `IGNORED_LABEL`."""
    return torch.tensor([_labels_at(scene, fills, quadrant) for quadrant in range(len(QUADRANTS))])


def labels_of_photograph(photograph: Photograph) -> Tensor:
    """[4, A] the same for every quarter, but for the place."""
    values = {"kind": photograph.subject, "colour": f"mainly {photograph.colour}", "size": WHOLE, "count": WHOLE,
              "background": WHOLE}
    rows = [values | {"place": place} for place in QUADRANTS]
    return torch.tensor([[ATTRIBUTES[name].index(row[name]) for name in ATTRIBUTES] for row in rows])


def _labels_at(scene: Scene, fills: Sequence[Colour | None], quadrant: int) -> list[int]:
    group = scene.at(quadrant)
    values = {"kind": NOTHING, "colour": NOTHING, "size": NOTHING, "count": NOTHING}
    if group is not None:
        values = {"kind": group.kind, "colour": group.colour, "size": group.size, "count": str(group.count)}
    values |= {"place": QUADRANTS[quadrant], "background": scene.background}
    labels = [ATTRIBUTES[name].index(value) for name, value in values.items()]
    if group is not None and fills[scene.groups.index(group)] is not None:
        labels[list(ATTRIBUTES).index("colour")] = IGNORED_LABEL
    return labels
