"""Many passes for one image, in chunks, so that memory is bounded whatever the method asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from camtool.cam.method import Score

__all__ = ["score_in_chunks"]


def score_in_chunks(
    run: Callable[[int, int], Tensor],
    count: int,
    chunk: int,
    classes: Tensor,
    score: Score = "logit",
) -> Tensor:
    """Return the scores of some classes for many variants of one image.

    Args:
        run: from a range (start, stop) of variants to their logits, shape (stop - start, C).
        count: number of variants.
        chunk: largest number of variants in one call.
        classes: class indices, int64 of shape (n,).
        score: which score.

    Returns:
        Scores, float32 of shape (count, n). Chunks only split the batch: what is computed of a
        variant does not depend on them.
    """
    parts = []
    for start in range(0, count, chunk):
        logits = run(start, min(count, start + chunk)).float()
        parts.append((logits.softmax(1) if score == "probability" else logits)[:, classes])
    return torch.cat(parts)
