from __future__ import annotations

from pathlib import Path

import pytest

from camtool.errors import SettingsError
from camtool.settings import load_settings
from tests.settings.reading import problems, write
from tests.settings.sample_settings import AllBoxes, Experiment, Localize, PaperBoxes


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "---\n", "{}", "\ufeff", "localize: {}"]
)
def test_nothing_given_is_the_defaults(text):
    assert load_settings(Experiment, write(text)) == Experiment()


def test_no_file_is_the_defaults():
    assert load_settings(Experiment) == Experiment()


def test_values_arrive_in_their_types():
    loaded = load_settings(
        Experiment,
        write(
            "run: {dir: a/b, seed: -3, note: 'yes', weights: {a: 1e-3, b: 2}}\n"
            "localize:\n  resolution_wh: [320, 240]\n  grid: [[1, 2], [3, 4]]\n"
            "  overlays: false\n  top: labels\n  labels: null\n"
        ),
    )
    assert loaded.run.dir == Path("a/b")
    assert loaded.run.seed == -3
    assert loaded.run.note == "yes"
    assert loaded.run.weights == {"a": 0.001, "b": 2.0}
    assert loaded.localize.resolution_wh == (320, 240)
    assert loaded.localize.grid == [(1, 2), (3, 4)]
    assert loaded.localize.overlays is False
    assert loaded.localize.top == "labels"


class TestDefaultsOfParts:
    def test_a_mapping_without_a_name_means_the_default_part(self):
        loaded = load_settings(Localize, write("boxes: {threshold: 0.3}"))
        assert loaded.boxes == PaperBoxes(threshold=0.3)

    def test_what_the_default_object_sets_holds_unless_given(self):
        loaded = load_settings(Localize, write("tuned: {connectivity: 4}"))
        assert loaded.tuned == PaperBoxes(threshold=0.7, connectivity=4)
        named = load_settings(Localize, write("tuned: {name: paper, connectivity: 4}"))
        assert named == loaded

    def test_another_part_takes_nothing_from_the_default(self):
        loaded = load_settings(Localize, write("tuned: {name: all}"))
        assert loaded.tuned == AllBoxes()

    def test_the_default_of_a_section_holds_unless_given(self):
        loaded = load_settings(Experiment, write("localize: {top: 1}"))
        assert loaded.localize == Localize(mode="crop", top=1)

    def test_a_part_in_a_list_has_no_default(self):
        assert problems("more: [{smallest: 3}]", cls=Localize) == [
            "e.yaml:1: more[0]: 'name' is missing; there are: paper, all"
        ]

    def test_nor_has_an_optional_one(self):
        assert problems("second:\n  smallest: 3\n", cls=Localize) == [
            "e.yaml:1: second: 'name' is missing; there are: paper, all"
        ]


class TestFiles:
    def test_not_there(self):
        with pytest.raises(SettingsError, match=r"^no\.yaml: no such file; check the path$"):
            load_settings(Experiment, Path("no.yaml"))

    def test_a_folder(self, tmp_path):
        with pytest.raises(SettingsError, match=r"is a folder; name the YAML file in it$"):
            load_settings(Experiment, tmp_path)

    def test_unreadable(self):
        file = write("run: {}") / "below"
        with pytest.raises(
            SettingsError, match=r"^e\.yaml/below: cannot be read: Not a directory$"
        ):
            load_settings(Experiment, file)

    def test_an_impossible_name(self):
        with pytest.raises(SettingsError, match=r"^a\\x00b: cannot be read: embedded null byte$"):
            load_settings(Experiment, Path("a\0b"))

    def test_too_large(self):
        assert problems(b"#" * 1_000_001) == [
            "e.yaml: larger than 1,000,000 bytes, which no settings file is; check the path"
        ]

    @pytest.mark.parametrize(
        ("content", "line", "byte"),
        [("run: {}\nnote: é".encode("latin-1"), 2, "e9"), ("run: 1".encode("utf-16"), 1, "ff")],
    )
    def test_not_utf_8(self, content, line, byte):
        assert problems(content) == [
            f"e.yaml:{line}: not UTF-8 text (byte 0x{byte}); save the file as UTF-8"
        ]

    def test_the_root_is_a_mapping(self):
        assert problems("- 1") == ["e.yaml:1: expected settings, 'key: value' a line, got a list"]
        assert problems("\nword") == [
            "e.yaml:2: expected settings, 'key: value' a line, got a single value"
        ]
