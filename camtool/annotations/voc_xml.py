"""ImageNet and PASCAL VOC XML: one file, a bundle, a folder, a tar or a zip.

The parser reads a stream: no tree, no recursion, no entities. Its protections are those of
defusedxml (and raised as its exceptions), set on expat directly: a tree for each of half a million
small files would cost more than reading them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, final
from xml.parsers import expat

from defusedxml.common import DefusedXmlException, EntitiesForbidden

from camtool.annotations.archives import archive_kind, members
from camtool.annotations.classes import IMAGENET
from camtool.annotations.reader import AnnotationSet, Collector, EntryError, FileProbe, Reader
from camtool.annotations.rows import Corners, Units, box_from_corners, fit, number, scaled_shares
from camtool.errors import AnnotationError, os_reason, shorten
from camtool.paths import is_folder
from camtool.structures import AnnotatedObject, Annotation, Box
from camtool.tables import image_stem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from camtool.annotations.reader import WarningLog

_WNID = re.compile(r"n[0-9]{8}")
_CHUNK = 1 << 20
_LARGEST_FILE = 1 << 30
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_YES = frozenset({"1", "true", "yes", "y", "t"})


@final
class VocXml(Reader):
    """XML files of ImageNet, PASCAL VOC and LabelImg.

    The image id is the XML file's own name, with its folders where the files lie in several.
    `<filename>` is never opened, and names the image only
    in a bundle of several annotations, without its extension. Corners are read by tag. A box
    that cannot be used leaves its image out; an object without a box is left out alone, where the
    image has another.

    Example:
        >>> from pathlib import Path
        >>> found = VocXml().read(Path("examples/val.xml"))
        >>> found.annotations["cat"].boxes("n02123045")
        (Box(x0=0.0, y0=0.0, x1=402.0, y1=300.0),)
    """

    summary: ClassVar[str] = (
        "ImageNet / PASCAL VOC XML: a file, a bundle, a folder, .tar, .tgz, .zip"
    )
    layout: ClassVar[str] = "<annotation>…<object><name>…<bndbox><xmin>…</annotation>"

    name: Literal["voc-xml"] = "voc-xml"
    origin: Literal["auto", 0, 1] = "auto"
    """Coordinate of the first pixel. `auto`: 0 where every class of the image is a wnid (ImageNet),
    else 1 (PASCAL VOC, LabelImg)."""
    half_open: bool = False
    """The far corner is just outside the box, as some exports write it; else it belongs to it."""
    units: Units = "auto"
    """`pixels`, `fractions` or `percent` of the image's size; `auto` sees fractions by the box."""

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """XML text, an archive, or a folder with XML."""
        if probe.folder:
            return probe.has_suffix(".xml")
        if probe.archive:
            return True
        return probe.path.suffix.lower() == ".xml" or probe.text.lstrip("\ufeff \t\r\n")[:1] == "<"

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        collector = Collector(str(path), self.name, by_file=True)
        if is_folder(path) or self._is_archive(path):
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
        stem = (name[:-4] if name.lower().endswith(".xml") else "") or name
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
            if "twice" in raw.fields:
                raise EntryError(f"two <{raw.fields['twice']}>")
            image_id = _image_id(raw, place, stem, collector.warnings)
            size = _size(raw, place, collector.warnings)
            objects = self._objects(raw, size, place, collector)
            _note_unknown(objects, place, collector.warnings)
            annotation = Annotation(image_id, size, objects)
        except EntryError as error:
            collector.problem(place, str(error))
        else:
            collector.add(annotation, place)

    def _objects(
        self, raw: RawAnnotation, size: tuple[int, int] | None, place: str, collector: Collector
    ) -> tuple[AnnotatedObject, ...]:
        if not raw.objects:
            raise EntryError("no <object> in it")
        if not any("bndbox" in texts for texts in raw.objects):
            raise EntryError("object 1: no <bndbox>")
        corners = self._corners(raw)
        objects = []
        for i, texts in enumerate(raw.objects, 1):
            if "bndbox" not in texts:
                kind = "object without <bndbox> left out"
                collector.warnings.add(kind, f"{place}: object {i}")
                continue
            try:
                objects.append(self._object(texts, corners, size, place, collector))
            except EntryError as error:
                raise EntryError(f"object {i}: {error}") from error
        return tuple(objects)

    def _object(
        self,
        texts: dict[str, str],
        corners: Corners,
        size: tuple[int, int] | None,
        place: str,
        collector: Collector,
    ) -> AnnotatedObject:
        if "twice" in texts:
            raise EntryError(f"two <{texts['twice']}>")
        label = texts.get("name", "").strip()
        if not label:
            raise EntryError("no <name>" if "name" not in texts else "empty <name>")
        try:
            values = [number(texts[tag], tag) for tag in _CORNERS]
        except KeyError as error:
            raise EntryError(f"no <{error.args[0]}> in <bndbox>") from error
        box = scaled_shares(values, size, self.units, collector)
        if box is None:
            box = fit(self._box(values, corners), size, collector.warnings, place)
        difficult = texts.get("difficult", "").strip().lower() in _YES
        # One text for all objects of a class, whichever file they are in.
        return AnnotatedObject(sys.intern(label), box, difficult)

    def _box(self, values: list[float], corners: Corners) -> Box:
        if not self.half_open:
            return box_from_corners(values, corners)
        first = 1 if corners == "one-based" else 0
        return box_from_corners([value - first for value in values], "half-open")

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
        if own != image_stem(stem.rsplit("/", 1)[-1]):
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
    for label in dict.fromkeys(str(item.label) for item in objects):
        if IMAGENET.by_wnid(label) is None and _WNID.fullmatch(label):
            warnings.once("not one of the 1,000 ImageNet classes", place, label)


_Node = dict[str, Any]
_LEAF: _Node = {}
_BNDBOX: _Node = dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), _LEAF)
# `part` is not listed: the boxes of PASCAL VOC's body parts are no boxes of the object.
_OBJECT: _Node = {"name": _LEAF, "difficult": _LEAF, "bndbox": _BNDBOX}
_SIZE: _Node = {"width": _LEAF, "height": _LEAF}
_ANNOTATION: _Node = {"filename": _LEAF, "size": _SIZE, "object": _OBJECT}
_OUTSIDE: _Node = {"annotation": _ANNOTATION}
MIXED = "<markup>"


class RawAnnotation:
    """The texts of one `annotation` element.

    Attributes:
        fields: text by tag (`filename`, `width`, `height`).
        objects: text by tag of each object (`name`, `xmin` …, `bndbox` if there is one).
            In both, `twice` names the first tag that is there twice.
        root: the element is the document itself, not one of a bundle.
    """

    __slots__ = ("fields", "objects", "root")

    def __init__(self, root: bool) -> None:
        """Start empty."""
        self.fields: dict[str, str] = {}
        self.objects: list[dict[str, str]] = []
        self.root = root


def parse(data: bytes | Iterable[bytes]) -> Iterator[RawAnnotation]:
    """Parse one XML document, given whole or in pieces, and yield its `annotation` elements.

    They may lie at any depth below other elements (a bundle): those before a fault are yielded. The
    document is not kept.

    Raises:
        EntryError: not well formed, wrongly encoded, with entities, or without annotations.
    """
    machine = _Machine()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = machine.handlers()
    parser.CharacterDataHandler = machine.texts.append
    parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = parser.SkippedEntityHandler = _refuse
    try:
        for chunk in (data,) if isinstance(data, bytes) else data:
            _feed(parser, chunk, machine)
            yield from machine.take()
        _feed(parser, None, machine)
    except EntryError:
        yield from machine.take()
        raise
    if not machine.found:
        raise EntryError(f"not an annotation: no <annotation> in it, its root is {machine.root}")
    yield from machine.done


def _feed(parser: expat.XMLParserType, chunk: bytes | None, machine: _Machine) -> None:
    try:
        parser.Parse(chunk or b"", chunk is None)
    except DefusedXmlException as error:
        raise EntryError(f"line {parser.CurrentLineNumber}: entities are not allowed") from error
    except expat.ExpatError as error:
        raise EntryError(_not_well_formed(error, chunk or b"", machine)) from error
    except (LookupError, ValueError) as error:
        # What pyexpat raises for encodings that it does not know or cannot use.
        raise EntryError(f"wrong encoding: {shorten(str(error))}") from error


def _not_well_formed(error: expat.ExpatError, chunk: bytes, machine: _Machine) -> str:
    what = expat.errors.messages.get(error.code, "unknown fault")
    if error.code == expat.errors.codes[expat.errors.XML_ERROR_NO_ELEMENTS]:
        if not (machine.found or machine.root):
            return "empty: no XML element in it"
        what = "cut off before its end"
    if "encoding" in what:
        return f"wrong encoding, line {error.lineno}: {what}"
    if error.code == expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]:
        try:
            chunk.decode("utf-8")
        except UnicodeDecodeError as fault:
            if fault.reason != "unexpected end of data":
                return (
                    f"not well formed, line {error.lineno}: wrong encoding "
                    f"(byte 0x{chunk[fault.start]:02x} is not UTF-8)"
                )
    return f"not well formed, line {error.lineno}: {what}"


def _refuse(name: str | None, *_details: object) -> NoReturn:
    # Also for an undeclared entity of a document with an external DTD: dropped in silence, it would
    # join the digits on its two sides to another number.
    raise EntitiesForbidden(name or "", None, None, None, None, None)


class _Machine:
    """The state between expat's events.

    `node` is the place in the grammar above, `skipped` the depth inside an element that the grammar
    does not know, `depth` that of the elements around the annotations of a bundle.
    """

    __slots__ = ("depth", "done", "found", "mixed", "open", "root", "target", "texts")

    def __init__(self) -> None:
        self.done: list[RawAnnotation] = []
        self.texts: list[str] = []
        self.target: dict[str, str] = {}
        self.depth = 0
        self.root = ""
        self.mixed = False
        self.open = False
        self.found = False

    def take(self) -> list[RawAnnotation]:
        """Return the annotations of a bundle that are complete, each once.

        A document that is one annotation waits for its end: only then is it well formed.
        """
        if self.done and self.done[0].root:
            return []
        done = self.done[:-1] if self.open else self.done[:]
        del self.done[: len(done)]
        return done

    def enter(self, node: _Node) -> None:
        """Begin an element that holds others."""
        if node is _OBJECT:
            self.target = {}
            self.done[-1].objects.append(self.target)
        elif node is _BNDBOX:
            self.store("bndbox", "")
        elif node is _ANNOTATION:
            self.done.append(RawAnnotation(self.depth == 0))
            self.target = self.done[-1].fields
            self.found = self.open = True

    def unknown(self, node: _Node, tag: str) -> bool:
        """Meet an element that the grammar does not know; tell whether to skip what is in it."""
        if node is _OUTSIDE:
            self.root = self.root or f"<{shorten(tag, 40)}>"
            self.depth += 1
            return False
        self.mixed = node is _LEAF
        return True

    def store(self, tag: str, text: str) -> None:
        """Keep the text of a leaf; `twice` remembers the first tag that comes again."""
        if tag in self.target:
            self.target.setdefault("twice", tag)
        self.target[tag] = text

    def handlers(self) -> tuple[Callable[[str, Any], None], Callable[[str], None]]:  # noqa: C901
        """Return the handlers of start and end tags.

        Called twenty times a file, so they are closures over one scope, which sums their branches.
        """
        texts, stack = self.texts, list[_Node]()
        clear, push, pop = texts.clear, stack.append, stack.pop
        node = _OUTSIDE
        skipped = 0

        def start(tag: str, _attributes: object) -> None:
            nonlocal node, skipped
            clear()  # text is wanted only from the start to the end of one leaf
            if skipped:
                skipped += 1
            elif (child := node.get(tag)) is not None:
                push(node)
                node = child
                if child is not _LEAF:
                    self.enter(child)
            elif self.unknown(node, tag):
                skipped = 1

        def end(tag: str) -> None:
            nonlocal node, skipped
            if skipped:
                skipped -= 1
            elif node is _OUTSIDE:
                self.depth -= 1
            else:
                if node is _LEAF:
                    self.store(tag, MIXED if self.mixed else "".join(texts))
                    self.mixed = False
                elif node is _OBJECT:
                    self.target = self.done[-1].fields
                elif node is _ANNOTATION:
                    self.open = False
                node = pop()

        return start, end
