"""The sixteen kinds as outlines: polygons and ovals in a square from -1 to 1, y downwards.

What is painted "fill" takes the thing's colour and a thin outline; the rest is the same in every colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, sin

Point = tuple[float, float]


@dataclass(frozen=True)
class Piece:
    """A closed polygon and how it is painted: fill, dark, light, wood or green."""

    points: tuple[Point, ...]
    paint: str = "fill"


def _polygon(*points: Point, paint: str = "fill") -> Piece:
    return Piece(points, paint)


def _box(left: float, top: float, right: float, bottom: float, paint: str = "fill") -> Piece:
    return Piece(((left, top), (right, top), (right, bottom), (left, bottom)), paint)


def _oval(x: float, y: float, width: float, height: float, paint: str = "fill") -> Piece:
    return Piece(tuple(_arc(x, y, width, height, 0, 2)), paint)


def _arc(x: float, y: float, width: float, height: float, start: float, end: float) -> list[Point]:
    """Points of an ellipse of half sizes width and height, from start to end in units of pi."""
    angles = [pi * (start + (end - start) * step / 24) for step in range(25)]
    return [(x + width * cos(angle), y + height * sin(angle)) for angle in angles]


def _star() -> Piece:
    angles = [pi * (step / 5 - 0.5) for step in range(10)]
    radii = [1.0 if step % 2 == 0 else 0.42 for step in range(10)]
    return Piece(tuple((r * cos(angle), 0.06 + r * sin(angle)) for r, angle in zip(radii, angles, strict=True)))


def _heart() -> Piece:
    angles = [2 * pi * step / 40 for step in range(40)]
    return Piece(tuple(
        (sin(t) ** 3 * 0.95, -(13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)) / 16 * 0.95 - 0.08)
        for t in angles
    ))


def _crescent() -> Piece:
    outer = _arc(0.0, 0.0, 0.92, 0.92, 0.3, 1.7)
    inner = _arc(0.42, 0.0, 0.72, 0.72, 1.62, 0.38)
    return Piece((*outer, *inner))


def _ring(x: float, y: float, outer: float, inner: float) -> Piece:
    """A ring as one polygon: round the outside, then back round the inside."""
    return Piece((*_arc(x, y, outer, outer, 0, 2), *_arc(x, y, inner, inner, 2, 0)))


def _petals(number: int) -> list[Piece]:
    angles = [pi * (2 * step / number - 0.5) for step in range(number)]
    return [_oval(0.5 * cos(angle), -0.25 + 0.5 * sin(angle), 0.33, 0.33) for angle in angles]


def _umbrella() -> list[Piece]:
    hem: Sequence[Point] = [
        point for x in (0.63, 0.0, -0.63) for point in reversed(_arc(x, 0.08, 0.315, 0.2, 1, 2))
    ]
    return [
        _box(-0.05, 0.0, 0.05, 0.85, "dark"), _box(-0.3, 0.75, 0.05, 0.87, "dark"), _box(-0.3, 0.6, -0.2, 0.87, "dark"),
        Piece((*_arc(0.0, 0.08, 0.945, 0.98, 1, 2), *hem)),
    ]


SHAPES: dict[str, tuple[Piece, ...]] = {
    "circle": (_oval(0, 0, 0.9, 0.9),),
    "square": (_box(-0.8, -0.8, 0.8, 0.8),),
    "triangle": (_polygon((0, -0.9), (0.95, 0.78), (-0.95, 0.78)),),
    "star": (_star(),),
    "heart": (_heart(),),
    "tree": (
        _box(-0.16, 0.3, 0.16, 0.98, "wood"),
        _oval(-0.42, 0.05, 0.44, 0.44), _oval(0.42, 0.05, 0.44, 0.44), _oval(0, -0.42, 0.52, 0.52),
    ),
    "house": (
        _polygon((0, -0.95), (0.95, -0.12), (0.72, -0.12), (0.72, 0.85), (-0.72, 0.85), (-0.72, -0.12), (-0.95, -0.12)),
        _box(-0.2, 0.25, 0.2, 0.85, "dark"), _box(0.34, 0.1, 0.6, 0.4, "light"), _box(-0.6, 0.1, -0.34, 0.4, "light"),
    ),
    "car": (
        _polygon((-0.98, 0.45), (-0.98, 0.0), (-0.6, -0.05), (-0.35, -0.5), (0.35, -0.5), (0.65, -0.05), (0.98, 0.05),
                 (0.98, 0.45)),
        _polygon((-0.42, -0.05), (-0.25, -0.36), (-0.04, -0.36), (-0.04, -0.05), paint="light"),
        _polygon((0.08, -0.05), (0.08, -0.36), (0.27, -0.36), (0.46, -0.05), paint="light"),
        _oval(-0.52, 0.47, 0.25, 0.25, "dark"), _oval(0.52, 0.47, 0.25, 0.25, "dark"),
    ),
    "fish": (
        _polygon((0.4, 0.0), (0.98, -0.5), (0.98, 0.5)), _oval(-0.2, 0, 0.78, 0.5),
        _oval(-0.58, -0.12, 0.1, 0.1, "dark"),
    ),
    "boat": (
        _box(-0.06, -0.95, 0.06, 0.3, "wood"), _polygon((0.1, -0.9), (0.8, 0.2), (0.1, 0.2)),
        _polygon((-0.98, 0.35), (0.98, 0.35), (0.62, 0.85), (-0.62, 0.85)),
    ),
    "cup": (
        _ring(0.52, -0.02, 0.42, 0.22), _polygon((-0.8, -0.7), (0.5, -0.7), (0.36, 0.8), (-0.66, 0.8)),
        _oval(-0.15, -0.68, 0.6, 0.13, "light"),
    ),
    "flower": (
        _box(-0.06, 0.1, 0.06, 0.98, "green"), _oval(0.28, 0.72, 0.25, 0.11, "green"),
        *_petals(5), _oval(0, -0.25, 0.24, 0.24, "light"),
    ),
    "key": (
        _box(-0.1, -0.13, 0.95, 0.13), _box(0.42, 0.1, 0.58, 0.5), _box(0.74, 0.1, 0.92, 0.5),
        _ring(-0.5, 0, 0.48, 0.2),
    ),
    "moon": (_crescent(),),
    "cloud": (
        _oval(-0.5, 0.15, 0.46, 0.4), _oval(0.5, 0.15, 0.46, 0.4), _oval(0.05, -0.15, 0.52, 0.5),
        _box(-0.5, 0.2, 0.5, 0.54),
    ),
    "umbrella": tuple(_umbrella()),
}
"""kind -> its pieces, the first farthest back"""
