"""What goes through a localizer: an image prepared, the network's answer; many of them in order.

On a CPU images pass the network one by one, on a GPU in batches of one size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import torch

from camtool.images.decode import quiet_pillow
from camtool.parallel import ordered_map

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as Photo

    from camtool.images import ImageSource
    from camtool.images.views import View
    from camtool.pipelines.localization import Localization
    from camtool.pipelines.localizer import Localizer
    from camtool.structures import ScoredBox

R = TypeVar("R")
Image = tuple["ImageSource", tuple[int, ...], tuple[int, int] | None]
"""An image, its true classes, and its size in annotations, if any: see `Localizer.prepare`."""


_MOST_DISTORTED: Final = 4.0
"""How many times as much along one side as along the other a picture is squeezed unsaid."""


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """A picture on its way: network input, or the reason why there is none."""

    source: ImageSource
    targets: tuple[int, ...]
    views: tuple[View, ...] = ()
    region: tuple[float, float, float, float] = (0, 0, 0, 0)
    size: tuple[int, int] = (0, 0)
    photo: Photo.Image | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None
    picture: NDArray[np.uint8] | None = None
    exif: int = 1
    upright: bool = True

    @property
    def pixels(self) -> NDArray[np.float32] | None:
        """The network input of the first view, shape (3, h, w)."""
        return self.views[0].pixels if self.views else None


@dataclass(frozen=True, slots=True)
class NetworkOutput:
    """What the network says of one picture: chosen classes with probability, rank and map.

    Attributes:
        classes: class indices, n of them.
        scores: their probabilities, shape (n,).
        ranks: their places among all classes, 1 = most probable; no two are equal.
        maps: shape (n, h, w), float32.
        logits: of all classes, shape (C,), float32.
        boxes: for each class, in pixels of the image; None where the box rule makes them of maps.
    """

    classes: list[int]
    scores: list[float]
    ranks: list[int]
    maps: NDArray[np.float32]
    logits: NDArray[np.float32]
    boxes: list[tuple[ScoredBox, ...]] | None = None


def distortions(view: View, size: tuple[int, int]) -> tuple[str, ...]:
    """Return a warning where a picture is squeezed until nothing in it looks like itself."""
    x0, y0, x1, y1 = view.region
    height, width = view.pixels.shape[1:]
    ratio = (x1 - x0) * height / ((y1 - y0) * width)
    narrow = max(ratio, 1 / ratio)
    if narrow <= _MOST_DISTORTED:
        return ()
    parts = min(64, math.ceil(narrow))
    return (
        f"{size[0]}×{size[1]} pixels are squeezed to {width}×{height}, {narrow:.1f} times as much"
        f" along one side; localize.views={{name: tiles, count: {parts}}} sees it in parts",
    )


class Outcome(NamedTuple):
    """What became of one image; `output` is None where it could not be read, or not be scored."""

    localization: Localization
    output: NetworkOutput | None


def localize_each(
    localizer: Localizer,
    images: Iterable[Image],
    then: Callable[[Outcome], R],
    *,
    threads: int,
    readers: int = 0,
    photos: Callable[[ImageSource], bool] | None = None,
    filled: bool = True,
) -> Iterator[R]:
    """Localize images, one by one on a CPU, in fixed batches on a GPU, and yield `then` of each.

    What is yielded is in the order of the images, of which a bounded number is under way.

    Args:
        localizer: the network with its settings.
        images: the images.
        then: what to do with each outcome; called in a thread.
        threads: that run the network (on a CPU), make boxes and call `then`.
        readers: threads that decode; 0: whoever takes what is yielded.
        photos: of which pictures one at overlay size is kept, so that it need not be read again
            to be drawn.
        filled: on a GPU, fill the last batch up, so that no result depends on its length.
    """
    on_cpu = localizer.device.type == "cpu"
    ahead = 2 * threads if on_cpu else 2 * localizer.batch_size

    def finish(item: tuple[PreparedImage, NetworkOutput | None]) -> R:
        return then(_outcome(localizer, *item))

    with ExitStack() as stack:
        # What the threads below set is also what this thread would go on with.
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.enter_context(quiet_pillow())
        pool = stack.enter_context(ThreadPoolExecutor(readers)) if readers else None
        workers = stack.enter_context(
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        )
        prepared = ordered_map(
            lambda i: localizer.prepare(*i, photo=photos is not None and photos(i[0])),
            images,
            pool,
            ahead + readers,
        )
        if on_cpu:
            yield from ordered_map(
                lambda p: finish((p, _run_alone(localizer, p))), prepared, workers, ahead
            )
        else:
            outputs = chain.from_iterable(run_batches(localizer, prepared, filled=filled))
            yield from ordered_map(finish, outputs, workers, ahead)


def _run_alone(localizer: Localizer, prepared: PreparedImage) -> NetworkOutput | None:
    return None if prepared.error is not None else localizer.run([prepared])[0]


def run_batches(
    localizer: Localizer, prepared: Iterator[PreparedImage], *, filled: bool = True
) -> Iterator[list[tuple[PreparedImage, NetworkOutput | None]]]:
    """Yield batches of one fixed size with what the network says; unreadable images get None.

    The last batch is filled up, if asked, so that no kernel depends on its length.
    """
    while batch := list(islice(prepared, localizer.batch_size)):
        given = readable = [p for p in batch if p.error is None]
        if filled:
            given = readable + readable[-1:] * (localizer.batch_size - len(readable))
        outputs = iter(localizer.run(given) if readable else ())
        yield [(p, None if p.error is not None else next(outputs)) for p in batch]


def _outcome(
    localizer: Localizer, prepared: PreparedImage, output: NetworkOutput | None
) -> Outcome:
    if output is not None and not all(map(math.isfinite, output.scores)):
        prepared = replace(prepared, error="the network's scores of it are not finite")
        output = None
    return Outcome(localizer.finish(prepared, output), output)
