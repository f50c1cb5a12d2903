#!/usr/bin/python3
"""Generated files are what their generators make now: runs the generators in a copy of the tree and compares."""

import difflib
import pathlib
import shutil
import subprocess
import sys
import tempfile

from tree import ROOT, files, report

GENERATORS = ["proto/generate.py", "contracts/generate.py", "ops/generate_settings.py"]


def copy_tree(names, target):
    for name in names:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, path)


def show_difference(name, made):
    old = (ROOT / name).read_text(errors="replace").splitlines(True)
    new = made.read_text(errors="replace").splitlines(True)
    sys.stdout.writelines(difflib.unified_diff(old, new, name, f"{name} as it is made now"))


def main():
    offences = []
    names = [name for name in files() if not name.startswith(("tests/", "build/"))]
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder)
        copy_tree(names, copy)
        for generator in GENERATORS:
            result = subprocess.run([sys.executable, str(copy / generator)], capture_output=True, text=True)
            if result.returncode != 0:
                offences.append(f"{generator}: {result.stderr.strip() or result.stdout.strip()}")
        made = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
        made = {name for name in made if "__pycache__" not in name}
        for name in sorted(set(names) | made):
            if name not in made:
                offences.append(f"{name}: is not made any more; remove it")
            elif name not in names:
                offences.append(f"{name}: is missing; run `make codegen` and add it")
            elif (copy / name).read_bytes() != (ROOT / name).read_bytes():
                offences.append(f"{name}: is stale; run `make codegen`")
                show_difference(name, copy / name)
    return report(offences)


sys.exit(main())
