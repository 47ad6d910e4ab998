"""Damage that files suffer on their way, drawn by a seed: every try can be repeated by its number.

A mutation takes the bytes of a valid file and returns others. Bytes know nothing of the format;
tokens, JSON values, texts of XML and blocks of a tar are replaced one by one, by what programs
write that were written in a hurry, and by what somebody would write who means harm.
"""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Mutation = Callable[[Random, bytes], bytes]

LONG_NAME = "n" * 5000
CONTROLS = "a\x1b[31m\x07b"
DEEP = 10_000

ODD_TEXTS = (
    "", " ", "None", "True", "-1", "--1", "+-1", "1.5", "1e400", "-1e400", "1" * 400, "9" * 5000,
    str(2**63), str(2**64), "1e9", "NaN", "inf", "-inf", "0", "00", "-0", "0x10", "1_0", "\x00",
    "\x7f", CONTROLS, LONG_NAME, "\u0663", "\uff11", "\u00b2", "\u202e", "\u2028", "\x85", "\ufeff",
    "[]", "{}", '"', "'", "#", "<", "&amp;", "&x;", "]]>", "a\rb", "../../etc/passwd",
    "/etc/passwd", "C:\\x.jpg", ".", "..", "a/", "\\", "%s", "http://", "file:///etc/passwd",
    "a::b", "n01440764", "cat;dog", "[" * DEEP, "x.png",
)  # fmt: skip
"""What a word or a number of a line may become."""

ODD_JSON = (
    "null", "true", "-1", "0", "1", "1.5", "1e400", "-1e400", "1" * 401, "1" * 5000, str(2**63),
    str(2**64), "1e308", "NaN", "-Infinity", '""', '"\\u0000"', "[]", "{}", "[[]]", '"1"', '"-1"',
    "[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "0" + "}" * DEEP, json.dumps(LONG_NAME),
    json.dumps(CONTROLS), '"\\ud800"', '"\u202e"', '"a/../../b"',
)  # fmt: skip
"""JSON texts that a value may become; some are none, and only other programs write them."""

_SEPARATORS = re.compile(rb"([,;\t\n =:{}\[\]]+)")
_EXTREMES = tuple(
    number.to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for number in (0, 1, (1 << 8 * size - 1) - 1, 1 << 8 * size - 1, (1 << 8 * size) - 1)
    for order in ("little", "big")
)


def of_bytes(random: Random, data: bytes) -> bytes:
    """Flip, cut out, repeat, insert or cut off, once to three times."""
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(data) + 1)
        stop = min(len(data), place + random.choice((1, 2, 4, 16, 200)))
        match random.randrange(6):
            case 0:
                flipped = bytes(byte ^ 1 << random.randrange(8) for byte in data[place : place + 1])
                data = data[:place] + flipped + data[place + 1 :]
            case 1:
                data = data[:place] + data[stop:]
            case 2:
                data = data[:stop] + data[place:stop] * random.choice((1, 2, 50)) + data[stop:]
            case 3:
                data = data[:place] + random.randbytes(random.randint(1, 8)) + data[place:]
            case 4:
                extreme = random.choice(_EXTREMES)
                data = data[:place] + extreme + data[place + len(extreme) :]
            case _:
                data = data[:place]
    return data


def of_tokens(random: Random, data: bytes) -> bytes:
    """Replace words and numbers of a text by odd ones, or repeat or drop one of its lines."""
    if random.random() < 0.2:
        lines = data.splitlines(keepends=True) or [b""]
        place = random.randrange(len(lines))
        lines[place : place + 1] = [lines[place]] * random.choice((0, 2, 3))
        return b"".join(lines)
    parts = _SEPARATORS.split(data)
    for _ in range(random.randint(1, 2)):
        parts[random.randrange(0, len(parts), 2)] = random.choice(ODD_TEXTS).encode()
    return b"".join(parts)


def of_json(random: Random, data: bytes) -> bytes:
    """Replace, drop or repeat a value of a JSON document, or of one line of several."""
    lines = data.split(b"\n")
    place = random.randrange(len(lines))
    if not lines[place].strip():
        return data
    holder = [json.loads(lines[place])]
    marks: dict[str, str] = {}
    for number in range(random.randint(1, 2)):
        section, key = random.choice(list(_values(holder)))
        match random.randrange(8):
            case 0 if section is not holder:
                del section[key]
            case 1 if isinstance(section, list):
                section.insert(key, copy.deepcopy(section[key]))
            case 2 if isinstance(section, dict):
                section[random.choice(ODD_TEXTS)] = section.pop(key)
            case _:
                mark = f"replaced {number}"
                section[key], marks[json.dumps(mark)] = mark, random.choice(ODD_JSON)
    text = json.dumps(holder[0]) if holder else ""
    for mark, odd in marks.items():
        text = text.replace(mark, odd)
    lines[place] = text.encode("utf-8", "surrogatepass")
    return b"\n".join(lines)


def _values(section: Any):
    for key in list(section) if isinstance(section, dict) else range(len(section)):
        yield section, key
        if isinstance(section[key], dict | list):
            yield from _values(section[key])


_TAG = re.compile(rb"</?[^<>]*>")


def of_xml(random: Random, data: bytes) -> bytes:
    """Replace, repeat or drop a text, an attribute or a tag; or put what is deep in its place."""
    for _ in range(random.randint(1, 2)):
        tags = [(found.start(), found.end()) for found in _TAG.finditer(data)]
        if not tags:
            return data
        place = random.randrange(len(tags))
        start, stop = tags[place]
        # Up to the next tag, and up to one of those behind it: whole elements among them.
        end = (*tags, (len(data), 0))[place + 1][0]
        further = tags[min(len(tags) - 1, place + random.randint(0, 6))][1]
        match random.randrange(8):
            case 0 | 1 | 2:
                data = data[:stop] + random.choice((_odd, _escaped, _escaped))(random) + data[end:]
            case 3:
                data = data[:start] + data[stop:]
            case 4:
                data = data[:further] + data[start:further] + data[further:]
            case 5:
                data = data[:start] + data[further:]
            case 6:
                data = data[:stop] + b"<a>" * DEEP + b"1" + b"</a>" * DEEP + data[end:]
            case _:
                data = data[:start] + _with_attribute(random, data[start:stop]) + data[stop:]
    return data


def _odd(random: Random) -> bytes:
    return random.choice(ODD_TEXTS).encode()


def _escaped(random: Random) -> bytes:
    odd = _odd(random).replace(b"&", b"&amp;").replace(b"<", b"&lt;")
    return odd.replace(b'"', b"&quot;")


def _with_attribute(random: Random, tag: bytes) -> bytes:
    values = re.split(rb'("[^"]*")', tag)
    if len(values) > 1:
        values[random.randrange(1, len(values), 2)] = b'"' + _escaped(random) + b'"'
    return b"".join(values)


_SUM = slice(148, 156)


def of_tar(random: Random, data: bytes) -> bytes:
    """Change a header of a tar and write its sum of bytes anew, so that it counts as sound."""
    headers = [at for at in range(0, len(data), 512) if data[at + 257 : at + 262] == b"ustar"]
    at = random.choice(headers)
    block = bytearray(data[at : at + 512])
    first, last = random.choice(((0, 100), (124, 136), (156, 157), (157, 257), (345, 500)))
    for _ in range(random.randint(1, 12)):
        block[random.randrange(first, last)] = random.choice(b"0123456789gKLSx\0\xff\x80/.\x1b")
    block[_SUM] = b" " * 8
    block[_SUM] = b"%06o\0 " % sum(block)
    return data[:at] + bytes(block) + data[at + 512 :]
