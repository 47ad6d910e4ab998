"""The command line: `camtool COMMAND`. One thin file a command, imported only when it is called."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

__all__ = ["interrupted", "main"]

_interrupts: list[int] = []


def interrupted() -> bool:
    """Tell whether an interrupt came, also one that went down in a library's own clean-up.

    Example:
        >>> interrupted()
        False
    """
    return bool(_interrupts)


def _interrupt(number: int, frame: object) -> NoReturn:
    del frame
    # Python drops what is raised while an object is destroyed; the list keeps it.
    _interrupts.append(number)
    raise KeyboardInterrupt


def _unraisable(dropped: sys.UnraisableHookArgs) -> None:
    if not isinstance(dropped.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)


def main() -> None:
    """Run the program.

    An interrupt at any moment, while modules load or the process ends among them, is one line and
    exit code 130.

    Example:
        >>> from contextlib import suppress
        >>> from unittest.mock import patch
        >>> with patch("sys.argv", ["camtool", "--version"]), suppress(SystemExit):
        ...     main()
        camtool, version ...
    """
    try:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _unraisable
        from camtool.cli.group import run

        run()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("camtool: interrupted; start again to go on\n")
        sys.exit(130)
    finally:
        # What is left to do takes no time, and would only print how far it was.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
