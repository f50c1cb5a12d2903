"""The pre-commit hook: `make hooks` installs it, it lets good commits through and stops bad ones."""

import shutil
import subprocess

import pytest
from harness.paths import ROOT

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="needs a git checkout to copy"
)


@pytest.fixture
def clone(tmp_path):
    """The files of this tree in a repository of their own, with the hook."""
    folder = tmp_path / "tree"
    listed = git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout.split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "config", "user.name", "tester")
    git(folder, "config", "user.email", "tester@example.org")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "as it is")
    subprocess.run(["make", "-s", "hooks"], cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


def git(folder, *arguments, check=True):
    command = ["git", "-c", "safe.directory=*", *arguments]
    return subprocess.run(command, cwd=folder, check=check, capture_output=True, text=True, timeout=120)


def commit(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    return git(folder, "commit", "-m", "a change", check=False)


@pytest.mark.requirement("R184")
def test_the_hook_stops_what_breaks_a_rule(clone):
    good = commit(clone, "docs/glossary.md", (clone / "docs/glossary.md").read_text(encoding="utf-8") + "\n")
    assert good.returncode == 0, good.stdout + good.stderr
    ragged = commit(clone, "actors/runtime/base/ragged.c", "/* Not laid out. */\nint  ragged( void ){return 1;}\n")
    assert ragged.returncode != 0 and "make format" in ragged.stderr
    git(clone, "reset", "-q", "--hard")
    banned = commit(clone, "supervisor/banned.c",
                    '/* Calls what we do not call. */\n#include <stdlib.h>\n\nint banned(const char *text)\n{\n'
                    "    return atoi(text);\n}\n")  # fmt: skip
    assert banned.returncode != 0 and "atoi" in banned.stderr
    assert git(clone, "log", "--oneline").stdout.count("\n") == 2
