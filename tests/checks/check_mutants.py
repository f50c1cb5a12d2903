#!/usr/bin/python3
"""Every planted bug still fits the sources: a mutant whose place has moved would prove nothing."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

sys.exit(subprocess.run([sys.executable, "tests/mutants/run.py", "--check"], cwd=ROOT).returncode)
