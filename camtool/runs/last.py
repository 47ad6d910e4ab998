"""Remembers, for each working folder, the run that was written last."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

__all__ = ["last_run", "remember"]


def _pointer() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    place = hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:16]
    return Path(base).expanduser() / "camtool" / "last-run" / place


def remember(run: Path) -> None:
    """Make `run` the default of `eval` in this working folder.

    A home that cannot be written to is no reason to fail a finished run: the default is then
    `runs/localize`.
    """
    pointer = _pointer()
    with contextlib.suppress(OSError):
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.write_bytes(os.fsencode(run.resolve()))


def last_run() -> Path | None:
    """Return the run that was written last from this working folder, if it still is there."""
    candidates = [Path("runs/localize")]
    with contextlib.suppress(OSError):
        candidates.insert(0, Path(os.fsdecode(_pointer().read_bytes())))
    return next((c for c in candidates if (c / "manifest.json").is_file()), None)
