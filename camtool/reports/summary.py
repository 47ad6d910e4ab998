"""The part of a page above its images: how a run was made, its figures, curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from camtool.evaluation.convention import box_rule_of
from camtool.reports.charts import Chart
from camtool.reports.comparison import comparison_document
from camtool.reports.diagnosis import KIND_OWNERS
from camtool.reports.document import Notes
from camtool.reports.evaluation import evaluation_document
from camtool.reports.markup import drawn_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camtool.evaluation.result import Comparison, Evaluation
    from camtool.metrics.diagnosis import Diagnosis
    from camtool.reports.document import Block


@dataclass(frozen=True, slots=True)
class Shares:
    """How many images are of each kind of error, for the template.

    Attributes:
        title: whose kinds.
        rows: kind, share in percent, and both share and number as text.
    """

    title: str
    rows: Sequence[tuple[str, float, str]]

    @classmethod
    def of(cls, name: str, diagnosis: Diagnosis) -> Shares:
        """Return the shares of `top1` or `gt_known`."""
        rows = [
            (
                kind.replace("_", " "),
                rate.value,
                f"{rate.value:.1f} % ({diagnosis.counts[kind]:,})",
            )
            for kind, rate in diagnosis.kinds.items()
        ]
        return cls(f"Kinds of errors: {KIND_OWNERS[name]}", rows)


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the summary, for the template.

    Attributes:
        title: what it is of; empty for none.
        blocks: tables and paragraphs, each with the name of its kind.
        charts: curves.
        shares: kinds of errors.
        run: which run it is of, counted from 0.
        folded: whether it is shown only when asked for.
    """

    title: str
    blocks: Sequence[tuple[str, Block]] = ()
    charts: Sequence[Chart] = ()
    shares: Sequence[Shares] = ()
    run: int = 0
    folded: bool = False


def run_section(name: str, manifest: Mapping[str, Any]) -> Section:
    """Return how a run was made, as its manifest says."""
    return Section("", drawn_blocks([Notes("", [("run", name), *_made(manifest)])]))


def _made(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    program = manifest.get("program")
    found = {
        "network": _entry(manifest, "model", "backbone"),
        "maps": _entry(manifest, "experiment", "localize", "cam", "name"),
        "boxes": box_rule_of(manifest),
        "images": _counted(manifest.get("counts") or {}),
        "made by": " ".join(map(str, program.values())) if isinstance(program, dict) else None,
    }
    return [(title, str(text)) for title, text in found.items() if text]


def _entry(manifest: object, *keys: str) -> object:
    """Return an entry of a manifest, whose deeper parts may be anything; None where it is not."""
    for key in keys:
        manifest = manifest.get(key) if isinstance(manifest, dict) else None
    return manifest


def _counted(counts: Mapping[str, Any]) -> str | None:
    if "localized" not in counts:
        return None
    return f"{counts['localized']:,} localized, {counts.get('skipped', 0):,} skipped"


def scored_sections(evaluation: Evaluation, name: str = "", run: int = 0) -> list[Section]:
    """Return figures with their intervals and baselines, curves, and, folded, everything else.

    Args:
        evaluation: the scores.
        name: of the run, where the page shows two.
        run: which of them it is, counted from 0.
    """
    of = f" of {name}" if name else ""
    kinds = evaluation.details.diagnoses if evaluation.details else {}
    short, whole = (evaluation_document(evaluation, details=d) for d in (False, True))
    # Its last paragraph names options of another command.
    blocks = [block for block in short.blocks if not _is_advice(block)]
    charts = [Chart.of(name, curve) for name, curve in evaluation.curves.items()]
    return [
        Section(
            f"Scores{of}: {short.title}",
            drawn_blocks(blocks),
            charts=charts,
            shares=[Shares.of(owner, diagnosis) for owner, diagnosis in kinds.items()],
            run=run,
        ),
        Section(f"All tables and the convention{of}", drawn_blocks(whole.blocks), folded=True),
    ]


def compared_sections(comparison: Comparison) -> list[Section]:
    """Return the paired differences of two runs, and, folded, everything else."""
    short, whole = (comparison_document(comparison, details=d) for d in (False, True))
    blocks = [block for block in short.blocks if not _is_advice(block)]
    return [
        Section("The two runs compared", drawn_blocks(blocks)),
        Section("Images that changed, kinds of errors, the convention",
                drawn_blocks(whole.blocks), folded=True),
    ]  # fmt: skip


def _is_advice(block: Block) -> bool:
    return isinstance(block, Notes) and [title for title, _ in block.rows] == ["more"]
