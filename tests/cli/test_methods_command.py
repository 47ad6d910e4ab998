"""camtool methods prints every method from the code."""

from __future__ import annotations

from camtool.cam import CAMS
from tests.commands import run_here


def test_every_method_with_paper_needs_and_cost():
    done = run_here("methods")
    assert done.code == 0
    rows = {line.split("  ")[0]: line for line in done.out.split("\n\n")[0].splitlines()}
    for kind in CAMS:
        row = rows[kind.model_fields["name"].default]
        assert all(text in row for text in (kind.paper, kind.needs, kind.passes))
    assert "(+1): one more where a layer is named, or the network has no linear head" in rows
