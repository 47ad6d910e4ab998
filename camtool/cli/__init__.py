"""The command line: `camtool COMMAND`. One thin file a command, imported only when it is called."""

from __future__ import annotations

from camtool.cli.group import main

__all__ = ["main"]
