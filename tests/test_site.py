"""The site of the docs: its generated pages hold all that the code has, and it needs no network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import camtool
from camtool.cli.group import COMMANDS
from camtool.cli.methods_command import kinds, part_name
from camtool.pipelines.experiment import Experiment
from camtool.settings import describe

pytest.importorskip("material", reason="the dependency group docs is not installed")
pytest.importorskip("mkdocstrings", reason="the dependency group docs is not installed")

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "scripts" / "docs" / "mkdocs.yml"


@pytest.fixture(scope="module")
def generated():
    spec = importlib.util.spec_from_file_location("generated", CONFIG.with_name("generated.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", CONFIG, "-d", folder],
        capture_output=True, text=True, timeout=300, cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_every_setting_method_and_command_is_told(generated):
    pages = generated.pages()
    for row in describe(Experiment):
        assert f"| `{row.key}` |" in pages["reference/settings.md"]
    for setting, _, parts in kinds():
        for part in parts:
            assert f"### {part_name(part)} {{ #{setting}-" in pages["reference/methods.md"]
    for name in COMMANDS:
        assert f"## camtool {name}\n" in pages["reference/commands.md"]
    assert "| `-o, --out DIR` | Run folder \\[runs/localize\\]. |" in pages["reference/commands.md"]
    assert "| `voc-xml` | reads annotations |" in pages["reference/formats.md"]
    for file in ROOT.glob("configs/**/*.yaml"):
        assert f"## {file.relative_to(ROOT)}\n" in pages["reference/configs.md"]


def test_every_public_name_has_its_place_on_one_page(generated):
    named = [name for _, names in generated.API.values() for name in names]
    assert sorted(named) == sorted(set(camtool.__all__) - {"__version__"})


def test_text_of_the_code_stays_as_it_stands(generated):
    assert generated._plain("a*b <id> [x] `c*d`") == r"a\*b &lt;id> \[x\] `c*d`"
    assert generated._plain("arXiv:1512.04150") == (
        "[arXiv:1512.04150](https://arxiv.org/abs/1512.04150)"
    )
    assert generated._cell("a | b\nc") == r"a \| b c"


def test_links_out_of_the_docs_lead_to_pages(generated):
    linked = generated._linked
    assert linked("see [configs/](../configs)", "settings.md") == (
        "see [configs/](reference/configs.md)"
    )
    assert linked("[one](../configs/train/smoke.yaml)", "training.md") == (
        "[one](reference/configs.md#configstrainsmokeyaml)"
    )
    assert linked("`camtool methods` lists", "a.md") == (
        "[`camtool methods`](reference/methods.md) lists"
    )
    assert linked("[own-classes.md](own-classes.md)", "a.md") == (
        "[Your own classes](own-classes.md)"
    )
    assert linked("[gone.md](gone.md)", "a.md") == "[gone.md](gone.md)"
    with pytest.raises(generated.PluginError, match=r"\.\./camtool/x\.py is no page"):
        linked("[x](../camtool/x.py)", "a.md")


def test_the_site_has_every_page_and_fetches_nothing(site):
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert pages <= {page.stem for page in site.glob("*.html")}
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]*src=\"?(?:https?:)?//", text), page
        assert not re.findall(r"<link[^>]*href=\"?(?:https?:)?//", text), page


def test_the_docstrings_are_on_the_site(site):
    page = (site / "reference" / "python" / "localize.html").read_text("utf-8")
    for name in ("Localizer.__call__", "Localizer.stream", "Localization.heatmap", "localize"):
        assert re.search(rf'<h[23] id="camtool\.{name}"', page), name
    assert "&gt;&gt;&gt;" in page
    assert "A network with its settings, which localizes its classes in pictures." in page


def test_every_page_is_in_the_menu():
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    listed = [
        page if isinstance(page, str) else next(iter(page.values()))
        for section in config["nav"]
        for page in next(iter(section.values()))
    ]
    assert len(listed) == len(set(listed))
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name in listed
