#!/usr/bin/python3
"""Which requirement numbers of a list have a test: `requirements.py FILE`.

A Python test names them in a marker, `@pytest.mark.requirement("R044", "I3")`; a C test in a comment, `R044`; a check of the
sources in its first words.
Without FILE, only what the tests name is printed.
"""

import re
import sys

from tree import files, read

NUMBER = re.compile(r"\b[RI]\d{1,3}\b")
MARKER = re.compile(r"\brequirement\(([^)]*)\)")
FIRST_WORDS = re.compile(r'\A#![^\n]*\n""".*?"""', re.S)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


def named_by_tests():
    """Number -> the test files that name it."""
    found = {}
    for name in files(".py", ".c"):
        if not name.startswith("tests/"):
            continue
        if name.startswith("tests/checks/") and not name.startswith("tests/checks/check_"):
            continue
        pattern = FIRST_WORDS if name.startswith("tests/checks/") else MARKER if name.endswith(".py") else COMMENT
        for match in pattern.finditer(read(name)):
            for number in NUMBER.findall(match[0]):
                found.setdefault(number, set()).add(name.removeprefix("tests/"))
    return found


def listed(path):
    """Number -> its text, from lines like `- **R044** [I] what must hold`."""
    wanted = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if match := re.match(r"\W*([RI]\d{1,3})\b[*: ]*(.*)", line):
                wanted.setdefault(match[1], match[2].strip())
    return wanted


def main():
    found = named_by_tests()
    wanted = listed(sys.argv[1]) if len(sys.argv) > 1 else dict.fromkeys(sorted(found), "")
    missing = [number for number in wanted if number not in found]
    for number in wanted:
        if number in found:
            print(f"{number}  {', '.join(sorted(found[number]))}")
    for number in missing:
        print(f"{number}  no test   {wanted[number][:90]}")
    unknown = sorted(set(found) - set(wanted))
    if unknown:
        print(f"named by tests but not in the list: {', '.join(unknown)}")
    print(f"{len(wanted) - len(missing)} of {len(wanted)} have a test, {len(missing)} have none")


main()
