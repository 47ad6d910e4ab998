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
    assert "camtool/\n" in script.generated((ROOT / "docs" / "structure.md").read_text("utf-8"))


def test_files_that_the_readme_links_are_there():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert "docs/overview.jpg" in links
    assert [link for link in links if not (ROOT / link).exists()] == []


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
    lines = block_after("On the command line", "bash").splitlines()
    assert len(lines) == 5
    for line in lines:
        done = subprocess.run(
            line, shell=True, cwd=desk, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert (desk / "runs" / "localize" / "overlays" / "cat.jpg").exists()
    assert "GT-known" in done.stdout


def test_python_lines_run_as_written(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    code = block_after("In Python", "python")
    assert len(code.splitlines()) == 5
    exec(compile(code, "README.md", "exec"), {})
    assert "Egyptian cat: 0.80" in capsys.readouterr().out
    assert (tmp_path / "overlay.jpg").stat().st_size > 10_000


def test_settings_block_is_valid(tmp_path):
    from camtool import Experiment, load_settings

    file = tmp_path / "settings.yaml"
    file.write_text(block_after("Settings", "yaml"))
    assert load_settings(Experiment, file).localize.boxes.components == "all"
