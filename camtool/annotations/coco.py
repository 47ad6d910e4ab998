"""COCO JSON: `images`, `annotations` and `categories`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, final

from camtool.annotations.reader import AnnotationSet, Collector, EntryError, FileProbe, Reader
from camtool.annotations.rows import Units, fit, scaled_shares
from camtool.errors import AnnotationError, os_reason, shorten
from camtool.structures import AnnotatedObject, Annotation, Box
from camtool.tables import image_stem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LARGEST_FILE = 2 << 30
_FAR = 1e9
_Item = dict[str, Any]


@final
class Coco(Reader):
    """COCO's instances: boxes (x, y, width, height) as floats; labels are the category names.

    Image ids are `file_name` without extension. Crowds (`iscrowd`) become difficult objects. A box
    that cannot be used leaves its image out.

    Example:
        >>> from pathlib import Path
        >>> image = {"id": 1, "file_name": "a.jpg", "width": 90, "height": 60}
        >>> box = {"image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 5]}
        >>> cat = {"id": 7, "name": "cat"}
        >>> document = {"images": [image], "annotations": [box], "categories": [cat]}
        >>> _ = Path("instances.json").write_text(json.dumps(document))
        >>> Coco().read(Path("instances.json")).annotations["a"].boxes("cat")
        (Box(x0=10, y0=20, x1=40, y1=25),)
    """

    summary: ClassVar[str] = "COCO JSON with images, annotations and categories"
    layout: ClassVar[str] = '{"images": […], "annotations": [{"bbox": [x, y, w, h], …}], …}'

    name: Literal["coco"] = "coco"
    units: Units = "auto"
    """`pixels`, `fractions` or `percent` of the image's size. COCO's are pixels: `auto` refuses
    boxes that lie within 0 to 1."""

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """JSON text."""
        if probe.path.suffix.lower() == ".xml":
            return False
        return probe.text.lstrip("\ufeff \t\r\n")[:1] in ("{", "[")

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        collector = Collector(str(path), self.name)
        lists = _lists(path)
        names = _names(lists["categories"], str(path))
        categories = _Ids(category.get("id") for category in lists["categories"])
        images = _Ids(image.get("id") for image in lists["images"])
        by_image: dict[str, list[tuple[int, _Item]]] = {}
        for position, item in enumerate(lists["annotations"], 1):
            by_image.setdefault(images.key(item.get("image_id")), []).append((position, item))
        for position, image in enumerate(lists["images"], 1):
            place = f"{path}: image {position}"
            items = by_image.pop(_key(image.get("id")), [])
            try:
                collector.add(
                    self._annotation(image, items, names, categories, place, collector), place
                )
            except EntryError as error:
                collector.problem(place, str(error))
        for items in by_image.values():
            place = f"{path}: annotation {items[0][0]}"
            collector.problem(place, "its image_id is not among the images")
        return collector.finish()

    def _annotation(
        self,
        image: _Item,
        items: list[tuple[int, _Item]],
        names: dict[str, str],
        categories: _Ids,
        place: str,
        collector: Collector,
    ) -> Annotation:
        file_name = image.get("file_name")
        image_id = image_stem(file_name) if isinstance(file_name, str) else ""
        if not image_id:
            raise EntryError("no file_name")
        if not items:
            raise EntryError(f"no object: nothing annotates {shorten(image_id)}")
        size = _size(image, place, collector)
        objects = []
        for position, item in items:
            try:
                name = names.get(categories.key(item.get("category_id")))
                if name is None:
                    raise EntryError("its category_id is not among the categories")
                box = _box(item.get("bbox"))
                if self.units == "auto" and max(box.xyxy) <= 1:
                    raise EntryError(
                        f"a bbox within 0 to 1 ({box.x0:g}, {box.y0:g}, …), where COCO has pixels;"
                        " if these are fractions of the image, say eval.format:"
                        " {name: coco, units: fractions}"
                    )
                shares = scaled_shares(box.xyxy, size, self.units, collector)
                box = shares or fit(box, size, collector.warnings, place)
            except EntryError as error:
                raise EntryError(f"annotation {position}: {error}") from error
            objects.append(AnnotatedObject(name, box, item.get("iscrowd") == 1))
        return Annotation(image_id, size, tuple(objects))


def _key(value: object) -> str:
    # Lists and dicts are no keys; 1 and "1" are different ids, where a file has both.
    try:
        return repr(value)
    except ValueError:  # a number of thousands of digits
        return hex(value) if isinstance(value, int) else "?"


class _Ids:
    """The ids of a list, which other programs may write as text where these are numbers."""

    def __init__(self, ids: Iterable[object]) -> None:
        self._exact = {_key(value): value for value in ids}
        self._by_text: dict[str, list[str]] = {}
        for key, value in self._exact.items():
            self._by_text.setdefault(_shown(value), []).append(key)

    def key(self, value: object) -> str:
        """Return the key of the id that is meant: the very one, else the only one of that text."""
        key = _key(value)
        others = self._by_text.get(_shown(value), []) if key not in self._exact else []
        return others[0] if len(others) == 1 else key


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


def _lists(path: Path) -> dict[str, list[_Item]]:
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise AnnotationError(str(path), f"{size:,} bytes, at most {_LARGEST_FILE:,} are read")
        text = path.read_text("utf-8-sig")
        document = json.loads(text, parse_constant=_refuse_constant)
    except OSError as error:
        raise AnnotationError(str(path), os_reason(error)) from error
    except RecursionError as error:
        raise AnnotationError(str(path), "JSON nested too deeply") from error
    except ValueError as error:
        # Broken JSON, bytes that are not UTF-8, numbers of thousands of digits.
        raise AnnotationError(str(path), f"not JSON: {shorten(str(error), 120)}") from error
    lists: dict[str, list[_Item]] = {}
    for key in ("images", "annotations", "categories"):
        value = document.get(key) if isinstance(document, dict) else None
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise AnnotationError(str(path), f'not COCO: no list of objects "{key}" in it')
        lists[key] = value
    return lists


def _names(categories: list[_Item], source: str) -> dict[str, str]:
    names: dict[str, str] = {}
    for position, category in enumerate(categories, 1):
        name = category.get("name")
        if not isinstance(name, str) or not name:
            raise AnnotationError(f"{source}: category {position}", "no name")
        names[_key(category.get("id"))] = name
    return names


def _size(image: _Item, place: str, collector: Collector) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    if type(width) is int and type(height) is int and 0 < min(width, height) <= _FAR:
        if max(width, height) <= _FAR:
            return width, height
    if width or height:
        size = f"{_shown(width)}×{_shown(height)}"
        collector.warnings.add("size ignored", place, size)
    return None


def _box(bbox: object) -> Box:
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise EntryError("no bbox of four numbers")
    for value in bbox:
        if type(value) not in (int, float) or not -_FAR <= value <= _FAR:
            raise EntryError(f"bbox holds no number in range: {_shown(value)}")
    x, y, width, height = bbox
    if x + width <= x or y + height <= y:  # also where the sum rounds the side away
        raise EntryError(f"a bbox of {width:g}×{height:g} pixels")
    return Box.from_xywh(x, y, width, height)


def _shown(value: object) -> str:
    # Python refuses to write numbers of thousands of digits.
    try:
        return shorten(str(value), 40)
    except ValueError:
        return "a number of thousands of digits"
