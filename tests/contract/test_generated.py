"""Nobody changes a generated file by hand, or adds a type of event on some surfaces only (K23), unnoticed."""

import re
import shutil
import subprocess
import sys

import pytest
from harness.paths import ROOT

CHECKS = ROOT / "tests" / "checks"
IGNORED = shutil.ignore_patterns("build", "var", ".git", "node_modules", "__pycache__", ".pytest_cache", ".hypothesis")


@pytest.fixture
def tree(tmp_path):
    """A copy of the sources, without git: the checks look at what lies there."""
    return shutil.copytree(ROOT, tmp_path / "tree", ignore=IGNORED)


def check(tree, name):
    return subprocess.run([sys.executable, tree / "tests/checks" / f"check_{name}.py"], capture_output=True, text=True,
                          timeout=120)


def generated(tree):
    """Files that say of themselves that they are generated, and those beside them."""
    marked = [path for path in tree.rglob("*") if path.suffix in (".c", ".h", ".md", ".ts", ".sql", ".json")
              and path.is_file() and "edit that and run `make codegen`" in path.read_text(errors="replace")[:400]]
    return {str(path.relative_to(tree)) for path in [*marked, *(tree / "contracts/generated").iterdir()]}


@pytest.mark.requirement("R180", "R181")
def test_a_change_by_hand_is_seen_in_every_generated_file(tree):
    names = generated(tree)
    assert len(names) > 30 and "contracts/generated/events.ts" in names and "docs/events.md" in names
    for name in names:
        with open(tree / name, "a", encoding="utf-8") as file:
            file.write("\nby hand\n")
    done = check(tree, "generated")
    assert done.returncode == 1
    for name in names:
        assert f"{name}: is stale" in done.stdout, name
        assert f"--- {name}" in done.stdout, name
    assert done.stdout.count("-by hand") == len(names)


def test_what_is_not_made_any_more_is_seen(tree):
    (tree / "contracts/generated/of_old.h").write_text("/* nobody makes this */\n")
    (tree / "contracts/generated/payloads.c").unlink()
    done = check(tree, "generated")
    assert done.returncode == 1
    assert "contracts/generated/of_old.h: is not made any more" in done.stdout
    assert "contracts/generated/payloads.c: is missing" in done.stdout


SURFACES = {
    "contracts/run_events.schema.json": r', "WARNING"\n',
    "contracts/generated/event_types.h": r"    EVENT_TYPE_WARNING = 45,\n",
    "contracts/generated/payloads.c": r"    \[EVENT_TYPE_WARNING\] = \d+,\n",
    "contracts/generated/types.sql": r",\n    'WARNING'",
    "contracts/generated/events.ts": r"  WARNING: WarningPayload;\n",
    "docs/events.md": r"## WARNING\n",
    "migrations/0004_event_types.up.sql": r"alter type run_event_type add value 'WARNING';\n",
    "contracts/sample_events.json": r',\n    {"type": "WARNING"[^\n]*',
}


@pytest.mark.requirement("R181")
@pytest.mark.parametrize("name", SURFACES)
def test_a_type_must_be_on_every_surface(tree, name):
    assert check(tree, "contracts").returncode == 0
    path = tree / name
    changed, count = re.subn(SURFACES[name], "\n" if name.endswith("schema.json") else "", path.read_text(), count=1)
    assert count == 1
    path.write_text(changed)
    done = check(tree, "contracts")
    assert done.returncode == 1 and "WARNING" in done.stdout, done.stdout + done.stderr


def test_an_entity_type_must_be_in_the_database(tree):
    path = tree / "migrations/0004_event_types.up.sql"
    path.write_text(path.read_text().replace("'web_page', ", ""))
    done = check(tree, "contracts")
    assert done.returncode == 1 and "entity_types.json" in done.stdout
