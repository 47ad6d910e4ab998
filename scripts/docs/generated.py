"""Pages of the docs that are made from the code when the site is built: a hook of MkDocs.

Commands, settings, methods, formats, configs, the Python API and the changelog: no such page is
kept in the tree, so none can be out of date.
"""

from __future__ import annotations

import inspect
import posixpath
import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import camtool
from camtool.cli import group
from camtool.cli.formats_command import tables
from camtool.cli.methods_command import kinds, part_name
from camtool.pipelines.experiment import Experiment
from camtool.settings import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

    from camtool.settings import Settings
    from camtool.settings.describe import SettingRow

ROOT = Path(__file__).resolve().parents[2]

API: Final = {
    "localize": ("Pictures to boxes", ("Localizer", "Localization", "localize")),
    "score": ("Scores", ("evaluate_files", "evaluate", "Evaluation", "EvalSettings")),
    "train": ("Training", ("train", "TrainResult")),
    "runs": (
        "Runs, reports, exports",
        (
            "Run", "read_predictions", "read_manifest", "MapFiles", "report", "export", "Selection",
            "ExportResult",
        ),
    ),
    "annotations": ("Annotations", ("read_annotations", "read_labels", "AnnotationSet")),
    "settings": (
        "Settings",
        (
            "load_settings", "Experiment", "LocalizeSettings", "ModelSettings", "Cam", "PaperBoxes",
            "Squeeze", "CenterCrop",
        ),
    ),
    "records": (
        "Records",
        (
            "Prediction", "ClassPrediction", "ScoredBox", "Box", "ScoreMap", "Annotation",
            "AnnotatedObject",
        ),
    ),
    "errors": ("Errors", ("CamtoolError",)),
}  # fmt: skip
"""Pages of the Python API: title, and the names of `camtool` in reading order."""

LINKS: Final = {
    "camtool config describe": "reference/settings.md",
    "camtool formats": "reference/formats.md",
    "camtool methods": "reference/methods.md",
    "configs/": "reference/configs.md",
}
"""What a page says in code, and the page that holds it: each is a link on the site."""


def pages() -> dict[str, str]:
    """Return the text of every generated page by its place below `docs`."""
    made = {
        "reference/commands.md": commands(),
        "reference/settings.md": settings(),
        "reference/methods.md": methods(),
        "reference/formats.md": formats(),
        "reference/configs.md": configs(),
        "reference/changelog.md": (ROOT / "CHANGELOG.md").read_text("utf-8"),
    }
    return made | {f"reference/python/{name}.md": api(name) for name in API}


def commands() -> str:
    """Every command with its usage, words and options."""
    parts = [
        "# Commands",
        "`camtool COMMAND --help` prints the same. Exit codes: 0 done, 2 settings, 3 data, 4 model,"
        " 5 evaluation, 6 run folder, 75 stopped early with everything saved, 130 interrupted.",
    ]
    top = click.Context(group.camtool, info_name="camtool", help_option_names=["-h", "--help"])
    parts.append(_options(group.camtool, top))
    for name in group.COMMANDS:
        command = group.camtool.get_command(top, name)
        assert command is not None
        parts += _command(command, click.Context(command, top, info_name=name), "##")
    return "\n\n".join(parts) + "\n"


def _command(command: click.Command, context: click.Context, level: str) -> list[str]:
    usage = f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}"
    told = inspect.cleandoc(command.help or "").replace("\b", "")
    parts = [f"{level} {context.command_path}", f"```text\n{usage}\n```", _plain(told)]
    parts.append(_options(command, context))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            parts += _command(inner, click.Context(inner, context, info_name=name), f"{level}#")
    return parts


def _options(command: click.Command, context: click.Context) -> str:
    options = [one for one in command.get_params(context) if isinstance(one, click.Option)]
    records = filter(None, (one.get_help_record(context) for one in options))
    rows = [(f"`{name}`", _plain(text)) for name, text in records]
    return _table(("option", "what it does"), rows)


def settings() -> str:
    """Every setting, a table for each section and each choice of a part."""
    parts = [
        "# Settings",
        "The keys of the YAML, of `--set KEY=VALUE` and of `load_settings`; `camtool"
        " config describe KEY` prints the same rows. A part that can be exchanged has a `name`,"
        " and the settings under a name hold for that choice alone. `null` stands for nothing.",
    ]
    for section, rows in groupby(describe(Experiment), lambda row: row.key.split(".")[0]):
        parts.append(f"## {section}")
        for (part, when), these in groupby(rows, lambda row: (_part(row), row.when)):
            parts += _settings_table(section, part, when, list(these))
    return "\n\n".join(parts) + "\n"


def _part(row: SettingRow) -> str:
    """The part of the settings that a row stands under: `localize.cam` for its layer."""
    if row.when:
        return row.when.partition(".name=")[0]
    return ".".join(row.key.split(".")[:2]) if row.key.count(".") > 1 else row.key.split(".")[0]


def _settings_table(section: str, part: str, when: str, rows: Sequence[SettingRow]) -> list[str]:
    name = when.partition("=")[2]
    table = _table(
        ("key", "what may be written", "default", "what it does"),
        [
            (
                f"`{row.key}`",
                _plain(row.type),
                "**required**" if row.default is None else f"`{row.default}`",
                _plain(" ".join(row.doc.split())),
            )
            for row in rows
        ],
    )
    if when:
        return [f"### {part}: {name} {{ #{_anchor(part, name)} }}", table]
    return ([f"### {part} {{ #{part} }}"] if part != section else []) + [table]


def methods() -> str:
    """Every exchangeable part: a table for each kind, then what each one does."""
    from camtool.cam.method import PASSES_NOTE

    described = {(row.when.partition("=")[0], row.when.partition("=")[2]) for row in
                 describe(Experiment)}  # fmt: skip
    parts = [
        "# Methods and other parts",
        "What `camtool methods` lists: each is the `name` of a part of the settings, such as"
        " `localize: {cam: {name: layer-cam}}`. `camtool methods NAME` tells of one.",
    ]
    for setting, columns, members in kinds():
        parts.append(f"## {setting} {{ #{setting} }}")
        head = ("name", *(title for title, _ in columns))
        parts.append(
            _table(
                head,
                [
                    (
                        f"[`{part_name(one)}`](#{_anchor(setting, part_name(one))})",
                        *(_plain(str(getattr(one, key))) for _, key in columns),
                    )
                    for one in members
                ],
            )
        )
        if setting == "localize.cam":
            parts.append(PASSES_NOTE)
        for one in members:
            parts += _method(setting, one, linked=(f"{setting}.name", part_name(one)) in described)
    return "\n\n".join(parts) + "\n"


def _method(setting: str, part: type[Settings], *, linked: bool) -> list[str]:
    name = part_name(part)
    told = (inspect.getdoc(part) or "").partition("Example:")[0].strip()
    anchor = _anchor(setting, name)
    after = [f"[Its settings](settings.md#{anchor})"] if linked else []
    return [f"### {name} {{ #{anchor} }}", told, *after]


def formats() -> str:
    """What is read, and the table of images that `eval` writes."""
    titles = ("Annotations and labels", "Predictions", "Masks", "Table of images")
    from camtool.images.decode import FORMATS

    parts = ["# Files that can be read", "What `camtool formats` lists."]
    for title, (head, *rows) in zip(titles, tables(), strict=True):
        parts.append(f"## {title}")
        layout = head[-1] == "layout"
        cells = [
            (f"`{name}`", *map(_plain, rest[:-1]), f"`{rest[-1]}`")
            if layout
            else (f"`{name}`" if name != "folder" else name, *map(_plain, rest))
            for name, *rest in rows
        ]
        parts.append(_table(head, cells))
    parts += ["## Images", f"By content, whatever the file is called: {', '.join(FORMATS)}."]
    return "\n\n".join(parts) + "\n"


def configs() -> str:
    """Every file of `configs`, whole."""
    parts = [
        "# Configs",
        "Settings files that come with camtool: `camtool COMMAND -c FILE` runs one, and its comment"
        " says what it is for.",
    ]
    for file in sorted((ROOT / "configs").rglob("*.yaml")):
        text = file.read_text("utf-8").rstrip()
        parts.append(f"## {file.relative_to(ROOT).as_posix()}\n\n```yaml\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def api(page: str) -> str:
    """One page of the Python API, from the docstrings."""
    title, names = API[page]
    parts = [f"# {title}"]
    if page == "errors":
        told = inspect.getdoc(inspect.getmodule(camtool.CamtoolError)) or ""
        first, tree, last = told.split("\n\n", 2)
        parts += [first, f"```text\n{inspect.cleandoc(tree)}\n```", last]
    parts += [f"::: camtool.{name}" for name in names]
    return "\n\n".join(parts) + "\n"


def _anchor(setting: str, name: str) -> str:
    return f"{setting}-{name}".replace("+", "p")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(c) for c in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _plain(text: str) -> str:
    """Text of the code as Markdown: what is meant as it stands stays so outside of `code`."""
    pieces = text.split("`")
    for place in range(0, len(pieces), 2):
        piece = re.sub(r"([\\*_\[\]])", r"\\\1", pieces[place].replace("<", "&lt;"))
        pieces[place] = re.sub(r"arXiv:(\d+\.\d+)", r"[\g<0>](https://arxiv.org/abs/\1)", piece)
    return "`".join(pieces)


# The hook --------------------------------------------------------------------------------------


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for place, text in pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Make links of what has a page of its own on the site."""
    here = page.file.src_uri
    if here.startswith("reference/"):
        return markdown
    pieces = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    pieces[::2] = [_linked(text, here) for text in pieces[::2]]
    return "".join(pieces)


def _linked(text: str, here: str) -> str:
    folder = posixpath.dirname(here)
    for code, target in LINKS.items():
        to = posixpath.relpath(target, folder or ".")
        text = re.sub(rf"(?<!\[)`{re.escape(code)}`", f"[`{code}`]({to})", text)

    def inside(match: re.Match[str]) -> str:
        label, target = match[1], match[2].rstrip("/")
        if not target.startswith("configs"):
            raise PluginError(f"{here}: ../{target} is no page of the site: say it in code")
        anchor = "" if target == "configs" else f"#{target.replace('/', '').replace('.', '')}"
        return f"[{label}](reference/configs.md{anchor if target.endswith('.yaml') else ''})"

    text = re.sub(r"\[[^\]]+\.md\]\(([\w-]+\.md)\)", _titled, text)
    return re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", inside, text)


def _titled(link: re.Match[str]) -> str:
    """A link to a page that is called by its file, called by the page's title."""
    page = ROOT / "docs" / link[1]
    if not page.is_file():
        return link[0]  # MkDocs says so
    title = page.read_text("utf-8").partition("\n")[0].removeprefix("# ")
    return f"[{title}]({link[1]})"
