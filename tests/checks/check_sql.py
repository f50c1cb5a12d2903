#!/usr/bin/python3
"""Where SQL may stand: DDL in migrations only; other statements in store.c files, sequencer/projections and ops/cli.

An exception is a comment `allows ddl: why` or `allows sql: why` on the line or the line above it.
"""

import re
import sys

from tree import c_files, is_excepted, read, report, strings_of

DDL = re.compile(r"\b(?:create|alter|drop)\s+(?:or\s+replace\s+)?(?:unique\s+)?"
                 r"(?:table|index|type|function|procedure|view|schema|trigger|sequence|role|user|database|extension|policy)\b"
                 r"|^\s*(?:grant|revoke)\s+\w+.*\b(?:on|to)\b", re.I)
STATEMENT = re.compile(r"^\s*(?:select\s(?!%d$)|insert\s+into\s|update\s+\w+.*\sset\s|delete\s+from\s|with\s+\w+.*\sas\s*\(|"
                       r"merge\s+into\s|truncate\s|call\s+\w+\s*\(|copy\s+\w+.*\s(?:from|to)\s|"
                       r"(?:begin|commit|rollback)\s*;?\s*$|set\s+(?:local\s+|session\s+)?\w+\s*(?:=|to\s))", re.I)
STORES = re.compile(r"actors/[a-z-]+/store(?:_\w+)?\.c|actors/sequencer/projections/\w+\.c|ops/cli/\w+\.[ch]|"
                    r"actors/runtime/db\.c")


def main():
    offences = []
    for name in c_files():
        if name.startswith("tests/"):
            continue
        text = read(name)
        for number, content in strings_of(text):
            if DDL.search(content) and not is_excepted(text, number, "ddl"):
                offences.append(f"{name}:{number}: DDL belongs into migrations/: {content[:60]}")
            elif STATEMENT.match(content) and not STORES.fullmatch(name) and not is_excepted(text, number, "sql"):
                offences.append(f"{name}:{number}: SQL belongs into a store.c: {content[:60]}")
    return report(offences)


sys.exit(main())
