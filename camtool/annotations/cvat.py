"""CVAT's own XML, "CVAT for images": `<image>` elements with boxes as attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final
from xml.etree.ElementTree import ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from camtool.annotations.reader import AnnotationSet, Collector, EntryError, FileProbe, Reader
from camtool.annotations.rows import box_from_corners, fit, integer, number, numbers
from camtool.errors import AnnotationError, os_reason, shorten
from camtool.structures import AnnotatedObject, Annotation
from camtool.tables import image_stem

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_OTHER_SHAPES = ("polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton")


@final
class Cvat(Reader):
    """The export "CVAT for images": one file for all images; corners are edges, in pixels.

    Image ids are the names of the images without their ending. A box that cannot be used leaves its
    image out. Shapes that are no boxes are left out, where the image has a box.

    Example:
        >>> from pathlib import Path
        >>> text = '<annotations><image id="0" name="a.jpg" width="90" height="60">'
        >>> text += '<box label="cat" xtl="10" ytl="20" xbr="40" ybr="25"/></image></annotations>'
        >>> _ = Path("annotations.xml").write_text(text)
        >>> Cvat().read(Path("annotations.xml")).annotations["a"].boxes("cat")
        (Box(x0=10.0, y0=20.0, x1=40.0, y1=25.0),)
    """

    summary: ClassVar[str] = "CVAT for images: one XML with <image> and <box>"
    layout: ClassVar[str] = '<image name="a.jpg" …><box label="cat" xtl="10" ytl="20" …/></image>'

    name: Literal["cvat"] = "cvat"

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """Its root, with images in it, or what is said of the export."""
        text = probe.text
        inside = "<image " in text or "<meta>" in text
        return not probe.folder and "<annotations>" in text and inside

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        collector = Collector(str(path), self.name)
        try:
            with path.open("rb") as file:
                for number, (_, element) in enumerate(
                    pair for pair in ElementTree.iterparse(file) if pair[1].tag == "image"
                ):
                    place = f"{path}: image {number + 1}"
                    try:
                        collector.add(_annotation(element, collector, place), place)
                    except EntryError as error:
                        collector.problem(place, str(error))
                    element.clear()
        except DefusedXmlException as error:
            raise AnnotationError(str(path), "entities are not allowed") from error
        except (ParseError, ValueError, LookupError) as error:
            raise AnnotationError(str(path), f"not well formed: {shorten(str(error))}") from error
        except OSError as error:
            raise AnnotationError(str(path), os_reason(error)) from error
        return collector.finish()


def _annotation(element: Element, collector: Collector, place: str) -> Annotation:
    name = image_stem(element.get("name", "").strip())
    if not name:
        raise EntryError("no name")
    width, height = (integer(element.get(side, ""), side) for side in ("width", "height"))
    if min(width, height) < 1:
        raise EntryError(f"a size of {width}×{height}")
    objects = []
    for i, box in enumerate(element.findall("box"), 1):
        try:
            objects.append(_object(box, (width, height), collector, place))
        except EntryError as error:
            raise EntryError(f"box {i}: {error}") from error
    others = sum(len(element.findall(shape)) for shape in _OTHER_SHAPES)
    if not objects:
        raise EntryError(f"no box; other shapes: {others}" if others else "no object")
    if others:
        collector.warnings.add("shapes that are no boxes left out", place, str(others))
    return Annotation(name, (width, height), tuple(objects))


def _object(
    box: Element, size: tuple[int, int], collector: Collector, place: str
) -> AnnotatedObject:
    label = box.get("label", "").strip()
    if not label:
        raise EntryError("no label")
    if number(box.get("rotation") or "0", "rotation") != 0:
        raise EntryError("it is rotated, which no upright box can say")
    corners = box_from_corners(numbers([box.get(c, "") for c in _CORNERS], _CORNERS), "half-open")
    return AnnotatedObject(label, fit(corners, size, collector.warnings, place))
