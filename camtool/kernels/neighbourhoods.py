"""What the eight neighbours of a pixel tell about the components of all thresholds at once.

Pixels are put in one order, highest first (among equals the later in raster order first). When a
threshold sinks, they enter the foreground in this order. The neighbours that enter before a pixel
are an 8-bit number, and this number alone says whether the pixel starts a component, merges
several, or may move a side of the box of its component. On a smooth map few pixels do any of it.

For the holes everything is reversed: the threshold rises, pixels enter the background in the
opposite order, and only neighbours that share a side are connected. The tables for holes take the
same number, of the neighbours that are *higher*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from camtool.kernels.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

# Clockwise from the upper left; bit k of a mask is the neighbour in direction k.
_AROUND = ((-1, -1), (0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0))  # (dx, dy)

STARTS, JOINS, MOVES_BOX = 1, 2, 4
"""Roles of a pixel: starts a component, joins several, may lie on a side of its box."""


class Neighbourhoods(NamedTuple):
    """Tables over the 256 masks of higher neighbours.

    Attributes:
        roles: sum of `STARTS`, `JOINS` and `MOVES_BOX`, uint8 of shape (256,).
        links: a direction into each component of the neighbours that enter before the pixel, the
            widest first, then -1, int8 of shape (256, 5).
        near: directions of all neighbours that are in one component with the pixel once it has
            entered, the likeliest to be known first, then -1, int8 of shape (256, 9).
    """

    roles: NDArray[np.uint8]
    links: NDArray[np.int8]
    near: NDArray[np.int8]


def _touching(a: int, b: int, *, corners: bool) -> bool:
    """Return whether two directions around a pixel lie side by side, or with `corners` touch."""
    (ax, ay), (bx, by) = _AROUND[a], _AROUND[b]
    dx, dy = abs(ax - bx), abs(ay - by)
    return max(dx, dy) == 1 if corners else dx + dy == 1


def _groups(before: set[int], *, corners: bool) -> list[list[int]]:
    """Split the directions of `before` into connected groups, each in clockwise order."""
    groups: list[set[int]] = []
    for k in sorted(before):
        near = [g for g in groups if any(_touching(k, other, corners=corners) for other in g)]
        groups = [g for g in groups if g not in near] + [{k}.union(*near)]
    # Over a corner alone the background does not continue.
    return [_clockwise(g) for g in groups if corners or any(k % 2 for k in g)]


def _clockwise(group: set[int]) -> list[int]:
    """Order a group so that it starts behind its widest gap on the ring."""
    ordered = sorted(group)
    gaps = [(k - ordered[i - 1]) % 8 for i, k in enumerate(ordered)]
    start = gaps.index(max(gaps))
    return ordered[start:] + ordered[:start]


def _links(groups: list[list[int]], *, corners: bool) -> list[int]:
    """Return one direction into each group, near the middle: there the map is steepest."""
    widest_first = sorted(groups, key=lambda group: -len(group))
    ends = [[k for k in group if corners or k % 2] for group in widest_first]
    return [group[len(group) // 2] for group in ends]


def _turn(a: int, b: int) -> int:
    """Return how many eighths of a turn lie between two directions, 0 to 4."""
    return min((a - b) % 8, (b - a) % 8)


def _may_move_box(before: set[int], *, corners: bool) -> bool:
    """Return whether no neighbour that enters before reaches as far, towards any of four sides.

    A connected neighbour that enters before the pixel and lies as far to the left makes the
    pixel needless for the left side at every threshold; likewise for the others.
    """
    connected = {k for k in before if corners or k % 2}
    sides: Iterable[set[int]] = (
        {k for k, (dx, dy) in enumerate(_AROUND) if dx * sx + dy * sy >= 0}
        for sx, sy in ((-1, 0), (1, 0), (0, -1), (0, 1))
    )
    return any(not connected & side for side in sides)


def _tables(*, corners: bool, reverse: bool) -> Neighbourhoods:
    roles = np.zeros(256, np.uint8)
    links = np.full((256, 5), -1, np.int8)
    near = np.full((256, 9), -1, np.int8)
    for mask in range(256):
        before = {k for k in range(8) if bool(mask >> k & 1) != reverse}
        groups = _groups(before, corners=corners)
        found = _links(groups, corners=corners)
        links[mask, : len(found)] = found
        connected = [k for group in groups for k in sorted(group, key=lambda k: _turn(k, found[0]))]
        near[mask, : len(connected)] = connected
        roles[mask] = (
            STARTS * (not found)
            + JOINS * (len(found) > 1)
            + MOVES_BOX * _may_move_box(before, corners=corners)
        )
    return Neighbourhoods(roles, links, near)


FOREGROUND = _tables(corners=True, reverse=False)
"""8-connected, highest first."""
BACKGROUND = _tables(corners=False, reverse=True)
"""4-connected, lowest first."""


@compiled
def padded(values):
    """Return an 8-bit map with a frame of one pixel that is lower than any, as int16."""
    height, width = values.shape
    frame = np.full((height + 2, width + 2), -1, np.int16)
    for y in range(height):
        source, target = values[y], frame[y + 1, 1:-1]
        for x in range(width):
            target[x] = source[x]
    return frame


@compiled
def higher_neighbours(frame):
    """Return the mask of higher neighbours of each pixel inside the frame, uint8, frame's shape."""
    masks = np.zeros(frame.shape, np.uint8)
    for y in range(1, frame.shape[0] - 1):
        above, here, below = frame[y - 1], frame[y], frame[y + 1]
        nw, n, ne = above[:-2], above[1:-1], above[2:]
        w, c, e = here[:-2], here[1:-1], here[2:]
        sw, s, se = below[:-2], below[1:-1], below[2:]
        row = masks[y, 1:-1]
        for x in range(len(row)):
            # Among equals the later in raster order counts as higher.
            row[x] = (
                (nw[x] > c[x]) * 1
                + (n[x] > c[x]) * 2
                + (ne[x] > c[x]) * 4
                + (e[x] >= c[x]) * 8
                + (se[x] >= c[x]) * 16
                + (s[x] >= c[x]) * 32
                + (sw[x] >= c[x]) * 64
                + (w[x] > c[x]) * 128
            )
    return masks
