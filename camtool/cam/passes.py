"""What methods share that look at many variants of an image.

Scores in chunks, so that memory is bounded whatever the method asks for; noisy copies; squares that
slide over an image, and their values spread over its pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


def score_in_chunks(
    run: Callable[[int, int], Tensor],
    count: int,
    chunk: int,
    classes: Tensor,
    probabilities: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the scores of some classes for many variants of one image.

    Args:
        run: from a range (start, stop) of variants to their logits, shape (stop - start, C).
        count: number of variants.
        chunk: largest number of variants in one call.
        classes: class indices, int64 of shape (n,).
        probabilities: makes them of logits; None returns logits.

    Returns:
        Scores, float32 of shape (count, n). Chunks only split the batch: what is computed of a
        variant does not depend on them.
    """
    parts = []
    for start in range(0, count, chunk):
        logits = run(start, min(count, start + chunk)).float()
        scores = logits if probabilities is None else probabilities(logits)
        parts.append(scores[:, classes])
    return torch.cat(parts)


def noisy(images: Tensor, samples: int, sigma: float | Tensor, seed: int) -> Iterator[Tensor]:
    """Yield noisy copies of a batch, one at a time.

    Args:
        images: shape (B, 3, H, W).
        samples: number of copies.
        sigma: standard deviation of the Gaussian noise; a number, or one an image (B, 1, 1, 1).
        seed: its seed; drawn on the CPU, so that it is the same on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        noise = torch.randn(images.shape[1:], generator=generator)
        yield (images + sigma * noise.to(images)).to(images.dtype)


Window = tuple[int, int, int, int]


def windows(image_hw: tuple[int, int], side: int, stride: int) -> list[Window]:
    """Return squares (y0, x0, y1, x1), half-open, row by row, that cover every pixel.

    The last of a row or column is cut off at the border; `side` is at least `stride`.
    """
    rows, columns = ([*range(0, max(1, n - side + stride), stride)] for n in image_hw)
    height, width = image_hw
    return [(y, x, min(y + side, height), min(x + side, width)) for y in rows for x in columns]


def spread(values: Tensor, squares: list[Window], image_hw: tuple[int, int]) -> Tensor:
    """Return, for every pixel, the mean value of the squares over it.

    Args:
        values: shape (len(squares), n).
        squares: squares (y0, x0, y1, x1).
        image_hw: height and width of the image.

    Returns:
        Shape (n, H, W); 0 where no square is.
    """
    # Four corners a square and two running sums, in double: no loop over pixels, no drift.
    height, width = image_hw
    corners = torch.tensor(squares, device=values.device)
    y0, x0, y1, x1 = corners.unbind(1)
    ones = values.new_ones(len(values), 1, dtype=torch.float64)
    stacked = torch.cat([values.double(), ones], 1).T
    steps = values.new_zeros(len(stacked), height + 1, width + 1, dtype=torch.float64)
    for y, x, sign in ((y0, x0, 1), (y0, x1, -1), (y1, x0, -1), (y1, x1, 1)):
        flat = (y * (width + 1) + x).expand(len(stacked), -1)
        steps.view(len(stacked), -1).scatter_add_(1, flat, sign * stacked)
    sums = steps.cumsum(1).cumsum(2)[:, :height, :width]
    return (sums[:-1] / sums[-1:].round().clamp(min=1)).float()


def pooled(maps: Tensor, stride: int) -> Tensor:
    """Return maps (B, n, H, W) as means over cells of about `stride` pixels, covering the same."""
    if stride == 1:
        return maps
    height, width = (max(1, round(n / stride)) for n in maps.shape[2:])
    return F.adaptive_avg_pool2d(maps, (height, width))
