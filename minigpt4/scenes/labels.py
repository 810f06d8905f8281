"""What is true of each quarter of a drawn scene, as numbers: the labels that vision parts are trained on.

A attributes: kind, colour, size and count of the group that stands there, the place itself, and the background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from minigpt4.records.batches import IGNORED_LABEL
from minigpt4.scenes.drawing import Colour
from minigpt4.scenes.scene import BACKGROUNDS, COLOURS, KINDS, MAX_COUNT, QUADRANTS, SIZES, Scene

QUARTERS = "quarters"
"""name of the labels among the targets of a sample"""
NOTHING = "nothing"
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "kind": (*KINDS, NOTHING), "colour": (*COLOURS, NOTHING), "size": (*SIZES, NOTHING),
    "count": (*map(str, range(1, MAX_COUNT + 1)), NOTHING), "place": QUADRANTS, "background": BACKGROUNDS,
}
"""what is read of every quarter of an image, and its values"""


def labels_of(scene: Scene, fills: Sequence[Colour | None]) -> Tensor:
    """[4, A] the attributes of each quarter; a colour without a name (a fill) is `IGNORED_LABEL`."""
    return torch.tensor([_labels_at(scene, fills, quadrant) for quadrant in range(len(QUADRANTS))])


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
