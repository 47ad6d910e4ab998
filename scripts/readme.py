"""Writes what the documentation shows from the code: the file tree, the command table, the picture.

python scripts/readme.py            rewrite the generated parts of README.md and docs/structure.md
python scripts/readme.py --picture  also docs/overview.jpg, with the bundled network
"""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

from PIL import Image

from camtool.cli.group import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "structure.md")
PICTURES = ("cat", "red_panda", "photographer", "jaguars", "coffee", "macaw")
WIDTH, GAP = 1100, 6


def tree() -> str:
    """The package's files, each with the first sentence of its docstring."""
    lines = ["camtool/"]
    for path in sorted((ROOT / "camtool").rglob("*.py"), key=_place):
        parts = path.relative_to(ROOT / "camtool").parts
        doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        phrase = re.split(r"(?<=[a-z\d)`])\.(?:\s|$)", doc.replace("\n", " "), maxsplit=1)[0]
        indent = "  " * len(parts)
        if len(parts) > 1 and parts[-1] == "__init__.py":
            lines.append(f"{indent[2:]}{parts[-2]}/".ljust(28) + phrase)
        else:
            lines.append(f"{indent}{parts[-1]}".ljust(28) + phrase)
    return "```\n" + "\n".join(line.rstrip() for line in lines) + "\n```"


def _place(path: Path) -> tuple[tuple[bool, str], ...]:
    """Files before folders, `__init__.py` first."""
    *folders, name = path.relative_to(ROOT / "camtool").parts
    return (*((True, f) for f in folders), (False, "" if name == "__init__.py" else name))


def commands() -> str:
    """The table of commands."""
    rows = [f"| `camtool {name}` | {text} |" for name, text in COMMANDS.items()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def generated(text: str) -> str:
    """A page's text with its generated parts made anew."""
    for name, part in (("tree", tree()), ("commands", commands())):
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda m, p=part: f"{m[1]}{p}\n{m[2]}",
            text,
            flags=re.DOTALL,
        )
    return text


def picture() -> Image.Image:
    """Overlays of the example photos, in rows of equal width."""
    from camtool import Localizer

    localizer = Localizer()
    panels = [
        localizer(ROOT / "examples" / "images" / f"{name}.jpg").overlay() for name in PICTURES
    ]
    rows = [_in_a_row(panels[:3]), _in_a_row(panels[3:])]
    sheet = Image.new("RGB", (WIDTH, sum(r.height for r in rows) + GAP), (255, 255, 255))
    sheet.paste(rows[0], (0, 0))
    sheet.paste(rows[1], (0, rows[0].height + GAP))
    return sheet


def _in_a_row(panels: list[Image.Image]) -> Image.Image:
    height = round((WIDTH - GAP * (len(panels) - 1)) / sum(p.width / p.height for p in panels))
    row = Image.new("RGB", (WIDTH, height), (255, 255, 255))
    x = 0
    for panel in panels:
        small = panel.resize((round(panel.width * height / panel.height), height))
        row.paste(small, (x, 0))
        x += small.width + GAP
    return row


def main() -> None:
    """Rewrite the files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--picture", action="store_true")
    options = parser.parse_args()
    for page in PAGES:
        page.write_text(generated(page.read_text("utf-8")), "utf-8")
    if options.picture:
        picture().save(ROOT / "docs" / "overview.jpg", quality=86)


if __name__ == "__main__":
    main()
