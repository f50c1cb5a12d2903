#!/usr/bin/python3
"""Functions we do not call, and assertions that do work.

An exception is a comment `allows NAME: why` on the line or the line above it.
"""

import re
import sys

from tree import c_files, is_excepted, read, report, without

BANNED = {
    "sprintf": "snprintf or buffer_printf", "vsprintf": "vsnprintf", "strcpy": "a length that is known",
    "strncpy": "memcpy with a length that is known", "strcat": "buffer_append", "strncat": "buffer_append",
    "strtok": "a cursor", "gets": "read", "alloca": "a bounded array or the heap",
    "atoi": "number_parse", "atol": "number_parse", "atoll": "number_parse", "strtol": "number_parse",
    "strtoul": "number_parse", "strtoll": "number_parse", "strtoull": "number_parse", "sscanf": "number_parse",
    "system": "posix_spawn or fork and exec", "popen": "fork and exec", "tmpnam": "mkstemp", "mktemp": "mkstemp",
    "sleep": "a timer or poll on what is waited for", "usleep": "a timer or poll on what is waited for",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
ASSERTION = re.compile(r"\bassert\s*\(")
EFFECT = re.compile(r"\+\+|--|(?<![=!<>])=(?!=)")


def argument(text, start):
    """What stands between the parentheses that open at `start`."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + 1:at]
    return text[start:]


def main():
    offences = []
    for name in c_files():
        text = read(name)
        clean = without(text)
        for match in CALL.finditer(clean):
            number = clean.count("\n", 0, match.start()) + 1
            if not is_excepted(text, number, match[1]):
                offences.append(f"{name}:{number}: {match[1]}: use {BANNED[match[1]]}")
        for match in ASSERTION.finditer(clean):
            if EFFECT.search(argument(clean, match.end() - 1)):
                number = clean.count("\n", 0, match.start()) + 1
                offences.append(f"{name}:{number}: an assertion must not change anything")
    return report(offences)


sys.exit(main())
