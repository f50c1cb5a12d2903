#!/usr/bin/python3
"""Links between pages lead somewhere: every relative link of a Markdown file names a file of the tree."""

import re
import sys
from urllib.parse import unquote

from tree import ROOT, files, read, report

LINK = re.compile(r"(?<!`)\[[^\]\n]*\]\(([^)\s]+)\)")


def headings(name):
    """The anchors of a page, as usual viewers make them."""
    found = set()
    for line in read(name).splitlines():
        if match := re.match(r"#+ +(.*)", line):
            plain = re.sub(r"[`*\[\]]|\(.*?\)", "", match[1]).strip().lower()
            found.add(re.sub(r"[^\w -]", "", plain).replace(" ", "-"))
    return found


def main():
    offences = []
    for name in files(".md"):
        text = re.sub(r"```.*?```", "", read(name), flags=re.S)
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = unquote(target).partition("#")
            page = (ROOT / name).parent / path if path else ROOT / name
            if not page.exists():
                offences.append(f"{name}: link to nowhere: {target}")
            elif anchor and page.suffix == ".md" and anchor not in headings(str(page.resolve().relative_to(ROOT))):
                offences.append(f"{name}: no such heading: {target}")
    return report(offences)


sys.exit(main())
