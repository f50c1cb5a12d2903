"""What the checks share: the files of the tree, C without comments and strings, the report."""

import pathlib
import re
import subprocess
import sys

# What .gitignore names, for trees without git.
IGNORED = {".git", "build", "var", "node_modules", "__pycache__", ".pytest_cache", ".hypothesis"}
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def files(*endings):
    """Committed and new files (not ignored ones), as paths below ROOT, optionally by ending."""
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT,
                            capture_output=True, text=True)
    if listed.returncode == 0:
        names = [name for name in listed.stdout.split("\0") if name]
    else:  # an unpacked archive
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")
                 if path.is_file() and not set(path.relative_to(ROOT).parts) & IGNORED]
    return sorted(name for name in set(names) if (not endings or name.endswith(endings)) and (ROOT / name).is_file())


def c_files():
    return files(".c", ".h")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def without(text, comments=True, strings=True):
    """C text with comments and strings blanked, lines kept."""
    def blank(match):
        is_comment = match[0].startswith("/")
        if (is_comment and comments) or (not is_comment and strings):
            return re.sub(r"[^\n]", " ", match[0])
        return match[0]
    return TOKEN.sub(blank, text)


def strings_of(text):
    """(line, content) of every string literal; neighbouring ones joined as the compiler does."""
    found = []
    clean = without(text, strings=False)
    for match in re.finditer(r'"(?:\\.|[^"\\\n])*"(?:\s*"(?:\\.|[^"\\\n])*")*', clean):
        line = clean.count("\n", 0, match.start()) + 1
        found.append((line, "".join(re.findall(r'"((?:\\.|[^"\\\n])*)"', match[0]))))
    return found


def is_excepted(text, number, what):
    """Whether line `number` or the one above it carries the comment `allows WHAT: why`."""
    lines = text.splitlines()[max(0, number - 2):number]
    return any(re.search(rf"allows {re.escape(what)}: \S", line) for line in lines)


def report(offences):
    """Prints what is wrong; the exit code."""
    for offence in offences:
        print(offence)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit("a library of the checks")
