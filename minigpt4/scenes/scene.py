"""What a drawn scene holds: one to four groups of things, each in its own quadrant, before a background.

A scene is facts only; `drawing` makes the image, `questions` and `captions` the words.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = (
    "circle", "square", "triangle", "star", "heart", "tree", "house", "car",
    "fish", "boat", "cup", "flower", "key", "moon", "cloud", "umbrella",
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "black")
BACKGROUNDS = ("white", "grey", "sky", "meadow", "beach")
SIZES = ("small", "big")
QUADRANTS = ("top left", "top right", "bottom left", "bottom right")
RELATIONS = ("left of", "right of", "above", "below")
MAX_COUNT = 4

Pair = tuple[str, str]
"""a kind and its colour: what the held-out split holds out"""


@dataclass(frozen=True)
class Group:
    """One to four equal things of a quadrant (its index in `QUADRANTS`); only a single thing can be big."""

    kind: str
    colour: str
    count: int
    size: str
    quadrant: int

    def __post_init__(self) -> None:
        known = self.kind in KINDS and self.colour in COLOURS and self.size in SIZES
        assert known and 0 <= self.quadrant < len(QUADRANTS), f"{self} holds an unknown word"
        assert 1 <= self.count <= MAX_COUNT, f"{self}: a quadrant has room for {MAX_COUNT}"
        assert self.size == "small" or self.count == 1, f"{self}: big things come alone"

    @property
    def pair(self) -> Pair:
        return self.kind, self.colour


@dataclass(frozen=True)
class Scene:
    """Groups in reading order, every kind at most once, so that "the star" is one group of the scene."""

    groups: tuple[Group, ...]
    background: str
    layout_seed: int
    """decides what words do not tell: places within a quadrant, exact colours, the horizon"""

    def __post_init__(self) -> None:
        quadrants = [group.quadrant for group in self.groups]
        assert quadrants == sorted(set(quadrants)), f"quadrants {quadrants} are not in reading order"
        assert len({group.kind for group in self.groups}) == len(self.groups), "a kind stands twice"
        assert self.background in BACKGROUNDS, f"{self.background} is not a background"

    def at(self, quadrant: int | None) -> Group | None:
        """The group of a quadrant, None if it is empty (or no quadrant at all)."""
        return next((group for group in self.groups if group.quadrant == quadrant), None)


def neighbour(quadrant: int, relation: str) -> int | None:
    """The quadrant that lies `relation` ("left of", "above", …) of a quadrant; None at the image's edge."""
    row, column = divmod(quadrant, 2)
    rows, columns = {"above": -1, "below": 1}.get(relation, 0), {"left of": -1, "right of": 1}.get(relation, 0)
    row, column = row + rows, column + columns
    return row * 2 + column if row in (0, 1) and column in (0, 1) else None
