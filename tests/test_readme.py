"""The README says what the program does: its generated parts are fresh, its commands run."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def block_after(heading, language):
    section = README.split(f"## {heading}\n", 1)[1]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)[1]


def test_generated_parts_are_fresh():
    spec = importlib.util.spec_from_file_location("readme_script", ROOT / "scripts" / "readme.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for page in script.PAGES:
        text = page.read_text("utf-8")
        assert script.generated(text) == text, "run scripts/readme.py"
    assert "| `grad-cam` |" in README
    assert "| `maxboxacc-v2` |" in README


def test_the_page_of_the_code_names_every_package_and_nothing_that_is_not_there():
    page = (ROOT / "docs" / "structure.md").read_text("utf-8")
    packages = {path.parent.name for path in ROOT.glob("camtool/*/__init__.py")}
    assert {name for name in packages if f"`camtool/{name}`" not in page} == set()
    named = re.findall(r"`(camtool/[\w/.]+)`", page)
    assert [path for path in named if not (ROOT / path).exists()] == []
    for package, files in re.findall(r"- `camtool/(\w+)`: ((?:.|\n(?!- |\n))*)", page):
        stems = {path.stem for path in (ROOT / "camtool" / package).rglob("*.py")}
        for stem in re.findall(r"`([a-z_]+)`", files):
            assert stem in stems, f"{package}: {stem}"


def test_the_readme_is_short():
    text = re.sub(r"```.*?```|<!-- (\w+) -->.*?<!-- /\1 -->", "", README, flags=re.DOTALL)
    assert 450 < len(re.findall(r"[A-Za-z]{2,}", text)) < 900


def test_files_that_the_readme_links_are_there():
    assert "docs/overview.jpg" in README
    for page in (ROOT / "README.md", *ROOT.glob("docs/*.md")):
        links = re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text("utf-8"))
        assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_two_commands_are_scripts_that_run():
    for line in block_after("Two commands", "bash").splitlines():
        script = ROOT / line.split()[0]
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the things that the README's commands name."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copytree(ROOT / "examples" / "images", folder / "photos")
    shutil.copytree(ROOT / "examples" / "images", folder / "val")
    shutil.copy(ROOT / "examples" / "val.xml", folder)
    with tarfile.open(folder / "val.tgz", "w:gz") as tar:
        tar.add(folder / "val.xml", "val/val.xml")
    # A guess (class, box) a line, for the images in the order of their names.
    (folder / "guesses.txt").write_text("1 0 0 99 99\n" * len(list((folder / "val").iterdir())))
    return folder


def test_cli_lines_run_as_written(desk):
    environment = {**os.environ, "XDG_STATE_HOME": str(desk / "state")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    lines = block_after("Sixty seconds", "bash").splitlines()
    assert len(lines) == 6
    for line in lines:
        done = subprocess.run(
            line, shell=True, cwd=desk, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (desk / "runs" / "localize" / "overlays" / "cat.jpg").exists()
    assert (desk / "report.html").stat().st_size > 100_000


def test_python_lines_run_as_written(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    code = block_after("In Python", "python")
    assert len(code.splitlines()) == 5
    exec(compile(code, "README.md", "exec"), {})
    printed = block_after("In Python", "text")
    assert printed.splitlines()[0] in capsys.readouterr().out
    assert (tmp_path / "overlay.jpg").stat().st_size > 10_000
