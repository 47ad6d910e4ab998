from __future__ import annotations

import subprocess
import sys


def test_scoring_imports_no_torch():
    program = (
        "import sys, camtool.evaluation.evaluate, camtool.evaluation.compare, "
        "camtool.reports.evaluation, camtool.reports.comparison\n"
        "print(sorted({'torch', 'torchvision', 'timm'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"
