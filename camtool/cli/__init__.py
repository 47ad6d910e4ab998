"""The command line: `camtool COMMAND`. One thin file a command, imported only when it is called."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


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
        from camtool.cli.group import run

        run()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("camtool: interrupted; start again to go on\n")
        sys.exit(130)
    finally:
        # What is left to do takes no time, and would only print how far it was.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
