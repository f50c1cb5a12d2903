#!/usr/bin/python3
"""Looks at built programs: `programs.py FOLDER`. The supervisor needs libc alone; all are hardened as the flags promise."""

import pathlib
import re
import subprocess
import sys

LIBC = {"libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def readelf(option, program):
    return subprocess.run(["readelf", "-W", option, str(program)], capture_output=True, text=True, check=True).stdout


def check(program, offences):
    dynamic, segments = readelf("-d", program), readelf("-l", program)
    needed = set(re.findall(r"\(NEEDED\).*\[(.+?)\]", dynamic))
    if program.name == "signalbox-supervisor" and not needed <= LIBC:
        offences.append(f"{program.name} needs {', '.join(sorted(needed - LIBC))}; it may need libc only")
    if "DYN" not in readelf("-h", program):
        offences.append(f"{program.name} is not position independent")
    if "BIND_NOW" not in dynamic and "NOW" not in "".join(re.findall(r"FLAGS_1.*", dynamic)):
        offences.append(f"{program.name} binds lazily")
    if "GNU_RELRO" not in segments:
        offences.append(f"{program.name} has no read-only relocations")
    if not re.search(r"GNU_STACK.* RW ", segments):
        offences.append(f"{program.name} has an executable stack")
    if "__stack_chk_fail" not in readelf("--dyn-syms", program):
        offences.append(f"{program.name} has no stack protector")


def main():
    folder = pathlib.Path(sys.argv[1])
    programs = sorted(path for path in folder.iterdir() if path.is_file())
    offences = [] if programs else [f"{folder}: no programs"]
    for program in programs:
        check(program, offences)
    print("\n".join(offences))
    return 1 if offences else 0


sys.exit(main())
