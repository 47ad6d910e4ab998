"""A streaming parser of annotation XML: no tree, no recursion, no entities.

The protections are those of defusedxml (and raised as its exceptions), set on expat directly: a
tree for each of half a million small files would cost more than reading them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn
from xml.parsers import expat

from defusedxml.common import DefusedXmlException, EntitiesForbidden

from camtool.annotations.collection import EntryError
from camtool.errors import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["RawAnnotation", "parse"]

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
        objects: text by tag of each object (`name`, `xmin` …, `bndbox` if there is one);
            `twice` names the first tag that the object has twice.
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
