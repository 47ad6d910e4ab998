"""Cost of `camtool eval` over a large XML archive against reading and parsing that archive alone.

    python scripts/bench/files.py BBOX.tgz [--rounds R]

Timed in turn as whole processes, R rounds: `tarfile` + `defusedxml` over every member, and
`camtool eval` of as many made-up guess lines (five guesses each) against the same archive. Also
`python -c "import click"` against `camtool --help`. Printed are CPU seconds and ratios.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PARSE = """
import sys, tarfile
from defusedxml.ElementTree import fromstring
with tarfile.open(sys.argv[1], "r|*") as tar:
    for member in tar:
        if member.name.endswith(".xml"):
            fromstring(tar.extractfile(member).read())
"""


def cpu_seconds(command: list[str]) -> float:
    """CPU time, user and system, of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def compare(title: str, ours: list[str], theirs: list[str], rounds: int) -> None:
    """Time two commands in turn and print the ratio."""
    pairs = [(cpu_seconds(ours), cpu_seconds(theirs)) for _ in range(rounds + 1)][1:]
    a, b = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    ratio = statistics.median(x / y for x, y in pairs)
    print(f"{title}: {a:.2f} s / {b:.2f} s = {ratio:.2f}")


def main() -> None:
    """Run both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    camtool = str(Path(sys.executable).with_name("camtool"))
    with tarfile.open(options.archive) as tar:
        count = sum(m.name.endswith(".xml") for m in tar)
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        guesses = Path(folder) / "guesses.txt"
        guesses.write_text(
            "".join(
                " ".join(
                    f"{rng.randint(1, 1000)} 10 20 {rng.randint(50, 400)} 300" for _ in "12345"
                )
                + "\n"
                for _ in range(count)
            )
        )
        compare(
            f"eval of {count:,} XML files and guess lines / parsing the XML alone",
            [camtool, "eval", "--predictions", str(guesses), "--boxes", str(options.archive)],
            [sys.executable, "-c", PARSE, str(options.archive)],
            options.rounds,
        )
    compare(
        "camtool --help / python -c 'import click'",
        [camtool, "--help"],
        [sys.executable, "-c", "import click"],
        10 * options.rounds,
    )


if __name__ == "__main__":
    main()
