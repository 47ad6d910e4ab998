"""What a plain YAML word means: the rules of the YAML 1.2 core schema, made stricter.

YAML 1.1, which PyYAML follows by itself, reads `yes` as true, `1e-3` as text, `010` as eight,
`1:30` as ninety and `2024-01-01` as a date. Here the first, third, fourth and fifth are text, which
then fails as a wrong type where a number or a truth value is expected, and the second is a number.
"""

from __future__ import annotations

import re

__all__ = ["Scalar", "looks_like_a_number", "plain_scalar"]

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "false": False,
}
# Python refuses to convert integers of thousands of digits; far below that they are no numbers.
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,299})")
_OCTAL = re.compile(r"0o[0-7]{1,99}")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,99}")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)\.[0-9]*|(0|[1-9][0-9]*)(?=[eE]))([eE][-+]?[0-9]+)?"
)
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def plain_scalar(text: str) -> Scalar:
    """Return the value of an unquoted YAML scalar; whatever is not plainly something is text."""
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, base=0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def looks_like_a_number(text: str) -> bool:
    """Whether `text` would have been a number without its quotes."""
    return isinstance(plain_scalar(text), int | float) and text not in _WORDS
