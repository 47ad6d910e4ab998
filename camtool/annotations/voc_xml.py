"""ImageNet and PASCAL VOC XML: one file, a bundle, a folder, a tar or a zip."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations.classes import IMAGENET
from camtool.annotations.collection import AnnotationSet, Collector, EntryError, image_stem
from camtool.annotations.corners import Corners, box_from_corners, fit, number
from camtool.annotations.reader import Reader, Sight
from camtool.annotations.voc_parser import RawAnnotation, parse
from camtool.annotations.xml_files import archive_kind, members, os_reason
from camtool.errors import AnnotationError, shorten
from camtool.structures import AnnotatedObject, Annotation, Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from camtool.annotations.collection import WarningLog

__all__ = ["VocXml"]

_WNID = re.compile(r"n[0-9]{8}")
_CHUNK = 1 << 20
_LARGEST_FILE = 1 << 30
_LONGEST_NAME = 4096
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@final
class VocXml(Reader):
    """XML files of ImageNet, PASCAL VOC and LabelImg.

    The image id is the XML file's own name. `<filename>` is never opened, and names the image only
    in a bundle of several annotations, without its extension. Corners are read by tag. A box
    that cannot be used leaves its image out; an object without a box is left out alone, where the
    image has another.
    """

    summary: ClassVar[str] = (
        "ImageNet / PASCAL VOC XML: a file, a bundle, a folder, .tar, .tgz, .zip"
    )
    layout: ClassVar[str] = "<annotation>…<object><name>…<bndbox><xmin>…</annotation>"

    name: Literal["voc-xml"] = "voc-xml"
    origin: Literal["auto", 0, 1] = "auto"
    """Coordinate of the first pixel. `auto`: 0 where every class of the image is a wnid (ImageNet),
    else 1 (PASCAL VOC, LabelImg)."""

    @classmethod
    def recognises(cls, sight: Sight) -> bool:
        """XML text, an archive, or a folder with XML."""
        if sight.folder:
            return sight.has_suffix(".xml")
        if sight.archive:
            return True
        return sight.path.suffix.lower() == ".xml" or sight.text.lstrip("\ufeff \t\r\n")[:1] == "<"

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        collector = Collector(str(path), self.name)
        if path.is_dir() or self._is_archive(path):
            for member in members(path, (".xml",), collector):
                self._document(member.data, member.place, member.name, collector)
        else:
            self._document(_chunks(path), str(path), path.name, collector)
        return collector.finish()

    @staticmethod
    def _is_archive(path: Path) -> bool:
        try:
            with path.open("rb") as file:
                return archive_kind(file.read(512)) is not None
        except OSError as error:
            raise AnnotationError(str(path), os_reason(error)) from error

    def _document(
        self, data: bytes | Iterable[bytes], place: str, name: str, collector: Collector
    ) -> None:
        stem = name.rpartition("/")[2]
        stem = (stem[:-4] if stem.lower().endswith(".xml") else "") or stem
        try:
            for position, raw in enumerate(parse(data), 1):
                self._entry(raw, place, stem if raw.root else None, position, collector)
        except EntryError as error:
            collector.problem(place, str(error))

    def _entry(
        self, raw: RawAnnotation, place: str, stem: str | None, position: int, collector: Collector
    ) -> None:
        if stem is None:
            place = f"{place}: annotation {position}"
        try:
            image_id = _image_id(raw, place, stem, collector.warnings)
            size = _size(raw, place, collector.warnings)
            objects = self._objects(raw, size, place, collector.warnings)
            _note_unknown(objects, place, collector.warnings)
            annotation = Annotation(image_id, size, objects)
        except EntryError as error:
            collector.problem(place, str(error))
        else:
            collector.add(annotation, place)

    def _objects(
        self, raw: RawAnnotation, size: tuple[int, int] | None, place: str, warnings: WarningLog
    ) -> tuple[AnnotatedObject, ...]:
        if not raw.objects:
            raise EntryError("no <object> in it")
        if not any("bndbox" in texts for texts in raw.objects):
            raise EntryError("object 1: no <bndbox>")
        corners = self._corners(raw)
        objects = []
        for i, texts in enumerate(raw.objects, 1):
            if "bndbox" not in texts:
                warnings.add("object without <bndbox> left out", f"{place}: object {i}")
                continue
            try:
                objects.append(_object(texts, corners, size, place, warnings))
            except EntryError as error:
                raise EntryError(f"object {i}: {error}") from error
        return tuple(objects)

    def _corners(self, raw: RawAnnotation) -> Corners:
        if self.origin != "auto":
            return "one-based" if self.origin else "inclusive"
        names = {texts.get("name", "") for texts in raw.objects}
        wnids = all(_WNID.fullmatch(name.strip()) for name in names)
        return "inclusive" if wnids else "one-based"


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            total = 0
            while chunk := file.read(_CHUNK):
                total += len(chunk)
                if total > _LARGEST_FILE:
                    raise EntryError(f"larger than {_LARGEST_FILE >> 20:,} MB: split it")
                yield chunk
    except OSError as error:
        raise AnnotationError(str(path), os_reason(error)) from error


def _image_id(raw: RawAnnotation, place: str, stem: str | None, warnings: WarningLog) -> str:
    filename = raw.fields.get("filename", "").strip()
    if stem is None:
        name = image_stem(filename)
        if not name:
            raise EntryError("no <filename>, which names the image in a file of many annotations")
        return name
    if filename and filename != stem:
        own = image_stem(filename.replace("\\", "/").rsplit("/", 1)[-1])
        if own != stem:
            warnings.add(
                "<filename> differs from the name of the file, which counts",
                place,
                shorten(filename),
            )
    return stem


def _size(raw: RawAnnotation, place: str, warnings: WarningLog) -> tuple[int, int] | None:
    """Return (width, height); None where the file has none, or 0 as some programs write."""
    texts = raw.fields.get("width", "0"), raw.fields.get("height", "0")
    try:
        width, height = number(texts[0], "width"), number(texts[1], "height")
    except EntryError as error:
        warnings.add("<size> ignored", place, str(error))
        return None
    if width == 0 or height == 0:
        return None
    if width < 1 or height < 1 or not (width.is_integer() and height.is_integer()):
        warnings.add("<size> ignored", place, f"{width:g}×{height:g}")
        return None
    return int(width), int(height)


def _note_unknown(objects: tuple[AnnotatedObject, ...], place: str, warnings: WarningLog) -> None:
    for label in {str(item.label) for item in objects}:
        if IMAGENET.by_wnid(label) is None and _WNID.fullmatch(label):
            warnings.once("not one of the 1,000 ImageNet classes", place, label)


def _object(
    texts: dict[str, str],
    corners: Corners,
    size: tuple[int, int] | None,
    place: str,
    warnings: WarningLog,
) -> AnnotatedObject:
    if "twice" in texts:
        raise EntryError(f"two <{texts['twice']}>")
    label = texts.get("name", "").strip()
    if not label:
        raise EntryError("no <name>" if "name" not in texts else "empty <name>")
    if len(label) > _LONGEST_NAME:
        raise EntryError(f"a <name> of {len(label):,} characters")
    box = fit(_box(texts, corners), size, warnings, place)
    # One text for all objects of a class, whichever file they are in.
    return AnnotatedObject(sys.intern(label), box, texts.get("difficult", "").strip() == "1")


def _box(texts: dict[str, str], corners: Corners) -> Box:
    try:
        values = [number(texts[tag], tag) for tag in _CORNERS]
    except KeyError as error:
        raise EntryError(f"no <{error.args[0]}> in <bndbox>") from error
    return box_from_corners(values, corners)
