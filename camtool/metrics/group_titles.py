"""Names of the groups of a diagnosis, for human readers."""

from __future__ import annotations

__all__ = ["aspect_title", "instances_title", "size_title"]


def size_title(low: float | None, high: float | None) -> str:
    """Return the name of the objects that have this share of the image; both None: unknown."""
    if low is None and high is None:
        return "size of the image unknown"
    percent = (None if edge is None else 100 * edge for edge in (low, high))
    return f"size {_between(*percent)} % of the image"


def aspect_title(low: float | None, high: float | None) -> str:
    """Return the name of the objects of this width over height."""
    return f"width/height {_between(low, high)}"


def instances_title(low: float | None, high: float | None) -> str:
    """Return the name of the images that have so many true boxes, from `low` to below `high`."""
    first = 1 if low is None else low
    if high is None:
        return f"{first:g} or more objects"
    if first + 1 == high:
        return "1 object" if first == 1 else f"{first:g} objects"
    return f"{first:g} to {high - 1:g} objects"


def _between(low: float | None, high: float | None) -> str:
    if low is None:
        return f"under {high:g}"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"
