"""Segments of a picture, their greedy merging, and the score without their boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from skimage.color import rgb2lab
from skimage.segmentation import felzenszwalb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from camtool.models.classifier import Classifier

Bounds = tuple[int, int, int, int]
_BINS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A connected part of a picture.

    Attributes:
        bounds: its box (y0, x0, y1, x1), half-open.
        size: number of its pixels.
        colours: how often its pixels have each colour, three histograms adding up to 1.
        neighbours: labels of the first segments that touch it.
        labels: labels of the first segments that it was merged from.
    """

    bounds: Bounds
    size: int
    colours: NDArray[np.float64]
    neighbours: frozenset[int]
    labels: frozenset[int]


def segments(rgb: NDArray[np.float64], space: str, scale: float, least: int) -> list[Segment]:
    """Cut a picture into segments by the graph method of Felzenszwalb and Huttenlocher (2004).

    Args:
        rgb: shape (H, W, 3), in [0, 1].
        space: colour space to work in, `rgb` or `lab`.
        scale: larger gives larger segments.
        least: number of pixels of the smallest segment.
    """
    # Lab values as fractions of a hundred, so that one scale serves both spaces.
    image = rgb2lab(rgb) / 100 if space == "lab" else rgb
    labels = felzenszwalb(image, scale=scale, sigma=0.8, min_size=least, channel_axis=-1)
    touching = _touching(labels)
    return [_segment(labels == i, image, i, touching) for i in range(labels.max() + 1)]


def merged(first: list[Segment], drop: Callable[[Bounds], float], area: int) -> Iterator[Segment]:
    """Yield the segments that come of merging the two most alike neighbours until one is left.

    Two segments are alike by the mean of four numbers in [0, 1] (Bergamo et al. 2014): the drops of
    the score without them are similar and large, they are small, together they fill their box, and
    their colours are alike. A score that rises has not dropped.

    Args:
        first: the segments to begin with.
        drop: how much the score drops without the box of a segment, at most 1.
        area: number of pixels of the picture.
    """
    alive = list(first)
    drops = {id(s): max(drop(s.bounds), 0.0) for s in alive}
    while len(alive) > 1:
        pairs = [
            (_alike(a, b, (drops[id(a)], drops[id(b)]), area), i, j)
            for i, a in enumerate(alive)
            for j, b in enumerate(alive[:i])
            if a.neighbours & b.labels
        ]
        if not pairs:
            return
        _, i, j = max(pairs)
        joined = _joined(alive[i], alive[j])
        alive = [s for k, s in enumerate(alive) if k not in (i, j)] + [joined]
        drops[id(joined)] = max(drop(joined.bounds), 0.0)
        yield joined


def _alike(a: Segment, b: Segment, drops: tuple[float, float], area: int) -> float:
    y0, x0, y1, x1 = _around(a.bounds, b.bounds)
    # As in the authors' program: a difference counts the less, the more both drop.
    similar_drop = 1 - (1 - min(drops)) * abs(drops[0] - drops[1])
    small = 1 - (a.size + b.size) / area
    filling = 1 - ((y1 - y0) * (x1 - x0) - a.size - b.size) / area
    similar_colours = float(np.minimum(a.colours, b.colours).sum())
    return (similar_drop + small + filling + similar_colours) / 4


def _joined(a: Segment, b: Segment) -> Segment:
    size = a.size + b.size
    return Segment(
        _around(a.bounds, b.bounds),
        size,
        (a.size * a.colours + b.size * b.colours) / size,
        (a.neighbours | b.neighbours) - a.labels - b.labels,
        a.labels | b.labels,
    )


def _around(a: Bounds, b: Bounds) -> Bounds:
    return min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


def _touching(labels: NDArray[np.int64]) -> dict[int, set[int]]:
    """Which labels stand side by side."""
    sides = [(labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])]
    pairs = np.concatenate([np.stack([a[a != b], b[a != b]], 1) for a, b in sides])
    found: dict[int, set[int]] = {i: set() for i in range(labels.max() + 1)}
    for a, b in np.unique(pairs, axis=0).tolist():
        found[a].add(b)
        found[b].add(a)
    return found


def _segment(
    mask: NDArray[np.bool_], image: NDArray[np.float64], label: int, touching: dict[int, set[int]]
) -> Segment:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    low, high = image.min((0, 1)), image.max((0, 1))
    pixels = (image[mask] - low) / np.where(high > low, high - low, 1)
    counts = [np.histogram(pixels[:, c], _BINS, (0, 1))[0] for c in range(3)]
    colours = np.concatenate(counts) / (3 * len(pixels))
    bounds = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    return Segment(bounds, len(pixels), colours, frozenset(touching[label]), frozenset({label}))


_BEST = 5
_ROUNDING = 1e-6


@final
class MaskedBoxes:
    """What is left of an image's probabilities without a box of it; boxes are remembered."""

    def __init__(self, classifier: Classifier, image: Tensor, logits: Tensor, chunk: int) -> None:
        """Take the network, an image (3, H, W), its logits (C,), and images a pass."""
        self._classifier = classifier
        self._image = image
        self._chunk = chunk
        self._before = classifier.probabilities(logits.detach().float())
        self._best = self._before.topk(min(_BEST, len(logits))).indices
        self._after: dict[Bounds, Tensor] = {}
        self.area = image.shape[1] * image.shape[2]

    def rgb(self) -> NDArray[np.float64]:
        """Return the image without its normalisation, shape (H, W, 3), in [0, 1]."""
        spec = self._classifier.spec
        mean, std = (
            torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (spec.mean, spec.std)
        )
        colours = self._image.double().cpu() * std + mean
        result: NDArray[np.float64] = colours.clamp(0, 1).permute(1, 2, 0).numpy()
        return result

    def see(self, boxes: Iterable[Bounds]) -> None:
        """Let the network see the image without each box, as many at once as a chunk."""
        new = [b for b in dict.fromkeys(boxes) if b not in self._after]
        for start in range(0, len(new), self._chunk):
            part = new[start : start + self._chunk]
            masked = self._image.repeat(len(part), 1, 1, 1)
            for one, (y0, x0, y1, x1) in zip(masked, part, strict=True):
                one[:, y0:y1, x0:x1] = 0
            with torch.no_grad():
                logits = self._classifier(masked).logits.float()
                after = self._classifier.probabilities(logits)
            self._after |= dict(zip(part, after, strict=True))

    def drop(self, box: Bounds, index: int | None) -> float:
        """Return how much probability a class loses without a box; None: the five best classes."""
        self.see([box])
        chosen = self._best if index is None else torch.tensor([index], device=self._best.device)
        before, after = (float(p[chosen].sum()) for p in (self._before, self._after[box]))
        # Less is rounding of single precision, and no drop.
        return before - after if abs(before - after) > _ROUNDING * before else 0.0
