"""The report of a run as a page: figures, curves, and every image with its maps and boxes.

    run (× true boxes) ── evaluate ──▶ figures, marks ──▶ page.html
                       └─ records ───▶ small pictures, maps, boxes ──▶ blocks of images within it

The page carries everything in itself; with `assets` the pictures and blocks of images lie in a
folder beside it. It is written whole or not at all, a block at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from camtool.annotations import read_annotations
from camtool.annotations.reader import bulk_creation
from camtool.errors import SettingsError
from camtool.evaluation.compare import compare_runs
from camtool.evaluation.convention import swept_rule_of
from camtool.evaluation.settings import EvalSettings
from camtool.metrics.thresholds import Sweep
from camtool.progress import progress
from camtool.reports.cards import Cards
from camtool.reports.gallery import BLOCK, Gallery, Side
from camtool.reports.holders import AssetsFolder, Inline, checked_target
from camtool.reports.marks import marked
from camtool.reports.markup import embedded, shown, templates
from camtool.reports.summary import compared_sections, run_section, scored_sections
from camtool.runs import read_manifest
from camtool.runs.writing import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from camtool.reports.marks import Marked
    from camtool.reports.summary import Section

MOST_INLINE: Final = 1000
"""Images that a page carries in itself at most: some tens of megabytes."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A run that is shown: where it lies, its manifest, and its scores where it was scored."""

    path: Path
    manifest: Mapping[str, Any]
    scored: Marked | None


@bulk_creation()
def report(
    run: str | Path,
    second: str | Path | None = None,
    *,
    boxes: str | Path | None = None,
    out: str | Path = "report.html",
    settings: EvalSettings | None = None,
    assets: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write the report of a run, or of two side by side, as one page for a browser.

    Example:
        >>> from camtool import Experiment, localize
        >>> run = localize(["examples/images"], Experiment()).folder
        >>> report(run, boxes="examples/val.xml").name
        'report.html'

    Args:
        run: run folder of `camtool localize`.
        second: another run of the same images, which is shown beside the first.
        boxes: true boxes; without them the page shows images, maps and boxes, and no scores.
        out: the page.
        settings: how is scored, as for `camtool eval`; `boxes` goes before its annotations.
        assets: write small pictures and maps into a folder beside the page, from which it loads
            them as they are looked at: for more than some hundred images.
        overwrite: replace a page that is there.

    Returns:
        The path of the page.

    Raises:
        SettingsError: too many images for one file, or settings that make no sense here.
        DataError: annotations or predictions cannot be read.
        EvaluationError: run and annotations, or the two runs, do not fit together.
        RunError: a folder holds no finished run, or the page cannot be written or is there.
    """
    page = checked_target(Path(out), assets=assets, overwrite=overwrite)
    settings = _settings(settings, boxes)
    runs = _read([Path(path) for path in (run, second) if path is not None], settings)
    sections = _sections(runs, settings)
    positions = _positions(runs, settings)
    sides = [
        Side(one.path, Cards(one.path, swept_rule_of(one.manifest), positions), one.scored)
        for one in runs
    ]
    gallery = Gallery(sides, positions)
    data = gallery.data()
    if gallery.images > MOST_INLINE and not assets:
        raise SettingsError(
            f"{gallery.images:,} images are too many for one file, at most {MOST_INLINE:,}:"
            " --assets writes them into a folder beside it"
        )
    with AssetsFolder(page) if assets else Inline() as holder, atomic_file(page) as file:
        pieces = templates().get_template("page.html.jinja").generate(
            title=" and ".join(shown(one.path.name or str(one.path)) for one in runs),
            made=[run_section(str(one.path), one.manifest) for one in runs],
            sections=sections,
            data=embedded({**data, "assets": holder.name}),
            sides=sides,
            gallery=gallery,
            scored=runs[0].scored is not None,
            blocks=_placed(gallery, holder),
        )  # fmt: skip
        for piece in pieces:
            file.write(piece.encode())
        holder.finish()
    return page


def _settings(settings: EvalSettings | None, boxes: str | Path | None) -> EvalSettings:
    settings = settings or EvalSettings()
    if settings.every_protocol:
        raise SettingsError("--protocol all: images are marked by one protocol; name it")
    # What is scored are the runs, whatever the settings of one of them say.
    update: dict[str, Any] = {"predictions": None, "baselines_only": False}
    if boxes is not None:
        update["annotations"] = Path(boxes)
    return settings.model_copy(update=update)


def _read(runs: Sequence[Path], settings: EvalSettings) -> list[_Read]:
    manifests = [read_manifest(run) for run in runs]
    scored: list[Marked | None] = [None] * len(runs)
    if settings.annotations is not None:
        annotations = read_annotations(settings.annotations, settings.format)
        scored = [marked(run, annotations, settings) for run in runs]
    return [_Read(*one) for one in zip(runs, manifests, scored, strict=True)]


def _sections(runs: Sequence[_Read], settings: EvalSettings) -> list[Section]:
    sections: list[Section] = []
    scored = [one.scored for one in runs if one.scored is not None]
    if len(scored) > 1:
        compared = compare_runs([one.path for one in runs], settings)
        sections += compared_sections(compared)
    for number, one in enumerate(scored):
        name = str(runs[number].path) if len(runs) > 1 else ""
        sections += scored_sections(one.evaluation, name, number)
    return sections


def _positions(runs: Sequence[_Read], settings: EvalSettings) -> list[float]:
    """Return the thresholds that the slider stops at, each run's own among them."""
    found = set((settings.sweep or Sweep()).thresholds().tolist())
    for one in runs:
        found |= set(one.scored.thresholds if one.scored else ())
        rule = swept_rule_of(one.manifest)
        if rule is not None and isinstance(rule.own_threshold, float):
            found.add(rule.own_threshold)
    return sorted(found)


def _placed(gallery: Gallery, holder: AssetsFolder | Inline) -> Iterator[tuple[int, str]]:
    """Yield the blocks that stand within the page, as JSON."""
    total = -(-gallery.images // BLOCK)
    blocks = progress(gallery.blocks(holder), total, 0, "blocks of images")
    for number, block in enumerate(blocks):
        if (placed := holder.place(number, block)) is not None:
            yield number, placed
