#!/usr/bin/python3
"""Every C file is as the formatter leaves it (`make format`)."""

import subprocess
import sys

from tree import ROOT, c_files, report


def main():
    result = subprocess.run(["clang-format-14", "--dry-run", "-Werror", *c_files()], cwd=ROOT, capture_output=True, text=True)
    names = {line.split(":")[0] for line in result.stderr.splitlines() if "error:" in line}
    return report([f"{name}: run `make format`" for name in sorted(names)]) or result.returncode


sys.exit(main())
