#!/usr/bin/python3
"""Nothing promised and not kept: every setting and every metric of the tables is used by some program."""

import re
import sys

from tree import c_files, read, report

TABLES = [
    ("actors/runtime/base/settings.def", r"^SETTING\((\w+),", "SETTING_"),
    ("actors/runtime/base/metrics.def", r"^(?:COUNTER|GAUGE)\((\w+),", "METRIC_"),
    ("actors/runtime/base/metrics.def", r"^HISTOGRAM\((\w+),", "HISTOGRAM_"),
]


def main():
    code = "\n".join(read(name) for name in c_files() if not name.startswith("tests/"))
    used = set(re.findall(r"\b(?:SETTING|METRIC|HISTOGRAM)_\w+", code))
    offences = []
    for table, pattern, prefix in TABLES:
        for name in re.findall(pattern, read(table), re.M):
            if prefix + name not in used:
                offences.append(f"{table}: {prefix}{name} is used nowhere")
    return report(offences)


sys.exit(main())
