"""Writes what the README shows from the code: tables of commands, methods, protocols; the picture.

python scripts/readme.py            rewrite the generated parts of README.md
python scripts/readme.py --picture  also docs/overview.jpg, with the bundled network
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from PIL import Image

from camtool.cam import CamMethod, MapMethod
from camtool.cli.group import COMMANDS
from camtool.metrics import PROTOCOLS
from camtool.settings import Settings, members

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md",)
PICTURES = ("cat", "red_panda", "photographer", "jaguars", "coffee", "macaw")
WIDTH, GAP = 1100, 6


def commands() -> str:
    """The table of commands."""
    rows = [f"| `camtool {name}` | {text} |" for name, text in COMMANDS.items()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])


def methods() -> str:
    """The table of localizers."""
    rows = [
        f"| `{_name(cam)}` | {cam.paper} | {cam.needs} | {cam.passes} |"
        for cam in members(CamMethod, MapMethod)
    ]
    return "\n".join(["| method | paper | needs | passes |", "|---|---|---|---|", *rows])


def protocols() -> str:
    """The table of protocols."""
    rows = [f"| `{_name(one)}` | {one.measure} | {one.paper} |" for one in PROTOCOLS]
    return "\n".join(["| protocol | measures | paper |", "|---|---|---|", *rows])


def _name(part: type[Settings]) -> str:
    return str(part.model_fields["name"].default)


def generated(text: str) -> str:
    """A page's text with its generated parts made anew."""
    for name, part in (
        ("commands", commands()), ("methods", methods()), ("protocols", protocols()),
    ):  # fmt: skip
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
