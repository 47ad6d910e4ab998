"""What goes to stdout and stderr: safe on any terminal, in any encoding, also where closed."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import sys
import unicodedata
from typing import IO, TYPE_CHECKING, Any, Final

import click

from camtool.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN: Final = {
    "─": "-", "×": "x", "≥": ">=", "≤": "<=", "±": "+-", "…": "...", "–": "-", "—": "-", "→": "->",
    "·": ".", "²": "2", "‘": "'", "’": "'", "“": '"', "”": '"', "Σ": "sum", "✓": "yes",
}  # fmt: skip
_KEPT: Final = "\n\t"
_BIDIRECTIONAL: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


def safe(text: str) -> str:
    r"""Return a text in which nothing controls the terminal or changes the direction of writing.

    Names and labels from outside may hold such characters; here they are seen as escapes.

    Example:
        >>> print(safe("a\x1b[31mb\u202ec"))
        a\u001b[31mb\u202ec
    """
    if text.isprintable():
        return text
    return "".join(c if c in _KEPT or not _controls(c) else _escaped(c) for c in text)


def _controls(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cc", "Cs", "Zl", "Zp") or character in _BIDIRECTIONAL


def _escaped(text: str) -> str:
    """Return characters as JSON escapes them."""
    return json.dumps(text)[1:-1]


def encodable(text: str, encoding: str | None, *, data: bool = False) -> str:
    """Return a text as an encoding can write it: signs by their likes in ASCII, others escaped.

    Args:
        text: any text.
        encoding: of the stream; None for ASCII.
        data: JSON, in which only escapes mean the same.
    """
    try:
        codec = codecs.lookup(encoding or "ascii")
    except LookupError:
        codec = codecs.lookup("ascii")
    try:
        codec.encode(text)
    except UnicodeEncodeError:
        return "".join(c if _fits(c, codec) else _like(c, codec, data) for c in text)
    return text


def _like(character: str, codec: codecs.CodecInfo, data: bool) -> str:
    """Return what stands for a character that an encoding does not have."""
    plain = "" if data else _PLAIN.get(character, "")
    return plain if plain and _fits(plain, codec) else _escaped(character)


def _fits(character: str, codec: codecs.CodecInfo) -> bool:
    try:
        codec.encode(character)
    except UnicodeEncodeError:
        return False
    return True


def say(text: str, *, err: bool = False, data: bool = False) -> None:
    """Write a text and a line end to stdout or stderr.

    Args:
        text: any text.
        err: to stderr, which may be closed: then nobody wants to hear it.
        data: JSON, which stays the same data in any encoding.

    Raises:
        RunError: stdout cannot be written, for instance since the disk is full.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is None:
        return
    line = encodable(safe(text), getattr(stream, "encoding", None), data=data)
    try:
        click.echo(line, file=stream)
        stream.flush()
    except BrokenPipeError:
        _swallow(stream)
        if not err:
            raise SystemExit(0) from None  # whoever reads it has seen enough
    except (OSError, ValueError) as error:
        _swallow(stream)
        if not err:
            reason = getattr(error, "strerror", None) or str(error)
            raise RunError(f"stdout cannot be written: {reason}") from error


def _swallow(stream: IO[Any]) -> None:
    """Let Python's own flush at the end find nothing to complain of."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """End the process with one line and 130 when it is interrupted, whatever it was doing.

    Raises:
        SystemExit: with 130.
    """
    try:
        yield
    except KeyboardInterrupt:
        _end_interrupted()
    except SystemExit:
        raise
    except BaseException as error:
        # Libraries turn an interrupt into an error of their own, or meet it while they import.
        if _interrupt_within(error):
            _end_interrupted()
        raise


def _interrupt_within(error: BaseException) -> bool:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, KeyboardInterrupt):
            return True
        current = current.__cause__ or current.__context__
    return False


def _end_interrupted() -> None:
    say("camtool: interrupted; start again to go on", err=True)
    raise SystemExit(130) from None
