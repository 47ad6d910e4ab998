"""Pictures, truths, guesses, score maps and runs, made in one line for any test.

Nothing here imports torch; `tests/networks.py` makes networks.
"""

from __future__ import annotations

import csv
import importlib.util
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from camtool.annotations import AnnotationSet
from camtool.metrics.outcome import NEVER, PackedOutcome
from camtool.metrics.protocol import Material
from camtool.metrics.trials import Trials
from camtool.runs import RunFolder, Shard
from camtool.runs.predictions import to_json, to_line
from camtool.structures import (
    AnnotatedObject,
    Annotation,
    Box,
    ClassPrediction,
    Prediction,
    ScoredBox,
    ScoreMap,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from camtool.metrics.outcome import Layout, Outcome
    from camtool.metrics.protocol import ScoringProtocol
    from camtool.metrics.thresholds import Chosen, Sweep

SIZE = (100, 80)
"""Width and height of images that are not said to have others."""

WNID = "n01440764"
"""A class of ImageNet, the first: annotations that name no other are of it."""

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""The folder with real data, which may be absent."""

_SHAPES = Path(__file__).resolve().parent.parent / "scripts" / "draw_shapes.py"


# Pictures ------------------------------------------------------------------------------------


def picture(seed: int) -> Image.Image:
    """Return dark noise with a bright patch, 48×36 pixels."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 110, (6, 8, 3), dtype=np.uint8)
    pixels[1:4, seed % 5 : seed % 5 + 3] = random.integers(120, 255, 3)
    return Image.fromarray(pixels).resize((48, 36), Image.Resampling.NEAREST)


def save_picture(path: Path, seed: int = 0) -> Path:
    """Write a `picture` as PNG, whatever the ending of its name; no two files are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    info.add_text("Title", str(path))
    picture(seed).save(path, "PNG", pnginfo=info)
    return path


def noise_picture(size: tuple[int, int] = (300, 200), seed: int = 0) -> Image.Image:
    """Return a picture in which no pixel is like its neighbours."""
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def draw_pictures(folder: Path, count: int, broken: Collection[int] = ()) -> Path:
    """Fill a folder with `picture`s named by five digits; `broken` ones hold text."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:05d}.png"
        if number in broken:
            path.write_text("no picture")
        else:
            picture(number).save(path)
    return folder


def draw_shapes(out: Path, train: int, val: int, size: int = 32) -> Path:
    """Write `train` and `val` pictures of each of four classes, and val_boxes.csv, to train on."""
    spec = importlib.util.spec_from_file_location("draw_shapes", _SHAPES)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.write(out, train, val, size)
    return out


def awkward_files(kind: str) -> list[object]:
    """Return the names of the awkward `images`, `annotations` or `lists` of the shared folder.

    Cases for `parametrize`: where the folder is absent, one that is skipped.
    """
    rows = awkward_index(kind)
    if not rows:
        return [pytest.param("", marks=pytest.mark.skip("../shared with the bad inputs is absent"))]
    return [row["file"].removeprefix(f"{kind}/") for row in rows]


def awkward_index(kind: str) -> list[dict[str, str]]:
    """Return the rows of the index that say how awkward files of a kind end; none without it."""
    index = SHARED / "data" / "bad-inputs" / "index.csv"
    if not index.is_file():
        return []
    with index.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["kind"] == kind]


# Truths --------------------------------------------------------------------------------------


def annotation(
    image_id: str = "a",
    *objects: tuple[str | int, Box | None],
    size: tuple[int, int] | None = SIZE,
    ignore: str | None = None,
) -> Annotation:
    """Return what is true of an image: a (label, box) an object, with more fields if need be."""
    return Annotation(image_id, size, tuple(AnnotatedObject(*one) for one in objects), ignore)


def annotation_set(
    *annotations: Annotation, problems: Iterable = (), warnings: Iterable = ()
) -> AnnotationSet:
    """Return annotations as a reader gives them."""
    found = {one.image_id: one for one in annotations}
    return AnnotationSet("val.xml", "voc-xml", found, list(problems), list(warnings))


def voc_xml(
    *boxes: Sequence[object],
    name: str = WNID,
    filename: str = "a",
    size: tuple[int, int] | None = (48, 36),
) -> str:
    """Return one <annotation> element: a box (xmin, ymin, xmax, ymax), inclusive, an object."""
    tags = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    whole = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    return f"<annotation><filename>{filename}</filename>{whole}{objects}</annotation>"


def write_voc(
    path: Path,
    boxes: Mapping[str, Iterable[Sequence[object]]],
    size: tuple[int, int] | None = (48, 36),
    name: str = WNID,
) -> Path:
    """Write the boxes of images by their ids: into one `.xml` file, else a folder of such files."""
    texts = {i: voc_xml(*own, name=name, filename=i, size=size) for i, own in boxes.items()}
    if path.suffix == ".xml":
        path.write_text(f"<annotations>{''.join(texts.values())}</annotations>")
        return path
    path.mkdir(parents=True, exist_ok=True)
    for image_id, text in texts.items():
        (path / f"{image_id}.xml").write_text(text)
    return path


def write_boxes_csv(path: Path, annotations: Iterable[Annotation]) -> Path:
    """Write annotations as a table with a row a box, whose corners are inclusive."""
    rows = [
        f"{a.image_id},{','.join(f'{c:g}' for c in o.box.to_inclusive())},{o.label}"
        for a in annotations
        for o in a.objects
        if o.box is not None
    ]
    path.write_text("\n".join(["image,x0,y0,x1,y1,label", *rows]) + "\n")
    return path


# Guesses -------------------------------------------------------------------------------------


def guess(name: str, *boxes: Box | ScoredBox, rank: int = 1, **more) -> ClassPrediction:
    """Return a class of an image with its boxes, strongest first; boxes without score have 1.

    `more` are other fields of `ClassPrediction`; the probability is None unless it is among them.
    """
    scored = tuple(b if isinstance(b, ScoredBox) else ScoredBox(b, 1.0) for b in boxes)
    return ClassPrediction(name, more.pop("score", None), scored, rank, **more)


def guesses(*names: str, box: Box | None, **more) -> tuple[ClassPrediction, ...]:
    """Return classes in the order of their rank, all with the same box."""
    boxes = () if box is None else (box,)
    return tuple(guess(name, *boxes, rank=rank, **more) for rank, name in enumerate(names, 1))


def prediction(
    image_id: str = "a",
    *classes: ClassPrediction,
    size: tuple[int, int] | None = SIZE,
    error: str | None = None,
) -> Prediction:
    """Return what a network says of an image, or why it could not be read."""
    return Prediction(image_id, f"{image_id}.png", size, classes, error)


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> Path:
    """Write predictions as the lines of a `.jsonl` file."""
    path.write_bytes(b"".join(to_line(to_json(one)) for one in predictions))
    return path


# Score maps ----------------------------------------------------------------------------------


def score_map(
    values: ArrayLike,
    size: tuple[int, int] | None = None,
    region: tuple[float, float, float, float] | None = None,
) -> ScoreMap:
    """Return the map of these values, of a whole image; without a size, a cell is a pixel."""
    array = np.asarray(values, np.float32)
    size = size or (array.shape[1], array.shape[0])
    return ScoreMap(array, region or (0.0, 0.0, float(size[0]), float(size[1])), size)


def random_map(
    seed: int = 0,
    shape: tuple[int, int] = (7, 9),
    size: tuple[int, int] = (90, 60),
    region: tuple[float, float, float, float] | None = None,
    mean: float = 0.0,
) -> ScoreMap:
    """Return a map of normally distributed values."""
    return score_map(np.random.default_rng(seed).normal(mean, 1, shape), size, region)


def hill(centre: tuple[float, float], size: tuple[int, int], cells: int = 9) -> ScoreMap:
    """Return a map with one round hill around a cell (x, y): each threshold has another box."""
    y, x = np.mgrid[:cells, :cells]
    return score_map(np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 8), size)


class MapsInMemory:
    """Maps in the 224×224 frame by image id and class: what map protocols read, without files.

    Where the class is None, the map is that of every class of the image.
    """

    of_true_class = True

    def __init__(self, maps: Mapping[tuple[str, str | int | None], ArrayLike], masks=None) -> None:
        self.maps, self.masks = maps, masks

    def has(self, prediction: Prediction, label: str | int) -> bool:
        return self.load(prediction, label) is not None

    def load(self, prediction: Prediction, label: str | int) -> NDArray[np.float32] | None:
        ways = ((prediction.image_id, label), (prediction.image_id, None))
        return next((np.asarray(self.maps[way]) for way in ways if way in self.maps), None)

    def stored(self, prediction: Prediction, label: str | int) -> None:
        del prediction, label


# Trials --------------------------------------------------------------------------------------


def trials(
    layout: Layout,
    outcomes: Iterable[tuple[Annotation, Outcome]],
    located: Collection[str] | Callable[[Annotation], bool] | None = None,
) -> Trials:
    """Return the table of outcomes that no protocol has judged; for `located` see `judged`."""
    packed = deque((a, PackedOutcome.of(outcome, layout, a.labels)) for a, outcome in outcomes)
    if located is None:
        located = _with_a_box
    counts = located if callable(located) else lambda truth: truth.image_id in located
    return Trials.of(layout, packed, counts)


def judged(
    protocol: ScoringProtocol,
    pairs: Iterable[tuple[Annotation, Prediction]],
    located: Collection[str] | Callable[[Annotation], bool] | None = None,
    *,
    sweep: Sweep | None = None,
    chosen: Chosen | None = None,
    **material: object,
) -> Trials:
    """Return the table of what a protocol makes of annotations and their predictions.

    Args:
        protocol: judges each image.
        pairs: annotation and prediction of each image, in the order of the table.
        located: ids of the images that count for localization, or what tells so of an annotation;
            those with a true box when not given.
        sweep: thresholds at which maps are judged; they come from `swept`.
        chosen: a threshold that was chosen on other images.
        material: more of `camtool.metrics.protocol.Material`: `maps`, `swept`, `diagnosis`.
    """
    layout = protocol.layout(sweep, chosen)
    by = Material(layout, chosen=chosen, **material)
    return trials(layout, [(a, protocol.judge(a, p, by)) for a, p in pairs], located)


@dataclass(frozen=True)
class Fared:
    """How the guesses of one image fare: what a protocol's rows say of it.

    Attributes:
        class_rank: rank of the first guess of a true class; None where there is none.
        box_rank: place of the first guess whose class and box are right; None where there is none.
        known: for each true class with boxes whether its box is right; None where nothing is said.
        complete: every top-n is known exactly.
        pair: annotation and prediction.
    """

    class_rank: int | None
    box_rank: int | None
    known: tuple[bool | None, ...]
    complete: bool
    pair: tuple[Annotation, Prediction] = field(compare=False)


def fared(protocol: ScoringProtocol, truth: Annotation, found: Prediction) -> Fared:
    """Judge one image by a protocol of boxes."""
    table = judged(protocol, [(truth, found)], lambda _: True)
    boxed = table.located
    pairs = zip(boxed.flag("predicted"), boxed.right(protocol.known, "run"), strict=True)
    ranks = (int(table.first_rank(column)[0]) for column in ("rank", "place"))
    class_rank, box_rank = (None if rank == NEVER else rank for rank in ranks)
    known = tuple(bool(right) if said else None for said, right in pairs)
    return Fared(class_rank, box_rank, known, bool(table.images["complete"][0]), (truth, found))


def _with_a_box(truth: Annotation) -> bool:
    return any(one.box is not None for one in truth.objects)


# Runs ----------------------------------------------------------------------------------------


def write_run(
    path: Path,
    found: Iterable[tuple[Prediction, Sequence[ScoreMap]]],
    classes: Sequence[str] = (),
    *,
    finish: bool = True,
    identity: Mapping[str, object] | None = None,
    **manifest: object,
) -> Path:
    """Write the run folder of predictions with a map for each of their classes.

    Args:
        path: folder of the run.
        found: a prediction and its maps an image.
        classes: names of the network's classes in the order of their indices.
        finish: write the manifest, without which the run counts as interrupted.
        identity: what tells this run from others.
        manifest: more entries of the manifest, such as `experiment`.
    """
    pairs = list(found)
    rows = [{"index": i, "name": name, "title": None} for i, name in enumerate(classes)]
    folder = RunFolder(path, Shard(0, 1), len(pairs), dict(identity or {}))
    with folder.open("a: 1\n", lambda *_: []):
        folder.append([p for p, _ in pairs], [list(maps) for _, maps in pairs])
        if finish:
            folder.assemble({"schema_version": 1, "classes": rows, **manifest})
    return path
