"""Edges that turn back or pass other nodes: parallel lines in the free room below a band, with rounded corners."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dslkit.dify.layout import PICTURE

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Lane:
    """One of the parallel lines in a gutter; ``place`` 0 is the edge that leaves highest.

    Nested like this no two edges of a gutter cross: what leaves highest turns farthest right, runs lowest and turns
    in first.
    """

    gutter: float
    place: int
    count: int

    def path(self, x1: float, y1: float, x2: float, y2: float) -> str:
        """Out to the right, along the gutter, and in from the left, as SVG path data."""
        step = min(5.0, (PICTURE.band_gap - 22) / self.count)
        outer = self.count - 1 - self.place
        line = self.gutter + (outer - (self.count - 1) / 2) * step
        right, left = x1 + 9 + outer * min(4.0, 24 / self.count), x2 - 9 - self.place * min(4.0, 20 / self.count)
        return _rounded([(x1, y1), (right, y1), (right, line), (left, line), (left, y2), (x2, y2)])


def _rounded(points: Sequence[tuple[float, float]], radius: float = 7.0) -> str:
    """Straight lines through the points, with their corners rounded as far as the lines are long enough."""
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (ax, ay), (bx, by) = _toward(corner, before, radius), _toward(corner, after, radius)
        path.append(f"L{ax:.1f} {ay:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {bx:.1f} {by:.1f}")
    return "".join(path) + f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _toward(start: tuple[float, float], goal: tuple[float, float], radius: float) -> tuple[float, float]:
    length = math.dist(start, goal)
    share = min(radius, length / 2) / length if length else 0.0
    return start[0] + (goal[0] - start[0]) * share, start[1] + (goal[1] - start[1]) * share
