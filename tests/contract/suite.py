"""The groups of the JSON Schema Test Suite that our subset covers, as tables for tests/contract/schema_judge.c.

suite.py OUT.c     writes them; group n of groups() is number n there

The suite is that of the Debian package json-schema-test-suite (draft 7, the newest it has). For our keywords draft 7 and
2020-12 say the same, but for the names in EXCEPTIONS.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "contracts"))

from generator.compiler import Compiler, Unsupported  # noqa: E402
from generator.text import laid_out  # noqa: E402

FOLDER = pathlib.Path("/usr/share/json-schema-test-suite/tests/draft7")
# Files that must be covered whole, but for the groups that are listed.
FILES = ("additionalProperties", "allOf", "anyOf", "boolean_schema", "const", "default", "enum", "exclusiveMaximum",
         "exclusiveMinimum", "items", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength",
         "minProperties", "minimum", "not", "oneOf", "properties", "ref", "required", "type",
         "optional/format/date-time", "optional/zeroTerminatedFloats")
EXCEPTIONS = {
    "additionalProperties: additionalProperties being false does not allow other properties": "patternProperties",
    "additionalProperties: non-ASCII pattern with additionalProperties": "patternProperties",
    "items: an array of schemas for items": "draft 7 only",
    "items: items with boolean schemas": "draft 7 only",
    "properties: properties, patternProperties, additionalProperties interaction": "patternProperties",
    "ref: relative pointer ref to array": "draft 7 only",
    "ref: escaped pointer ref": "schemas under names that are no keywords",
    "ref: ref overrides any sibling keywords": "draft 7 only",
    "ref: remote ref, containing refs itself": "another document",
    "ref: Recursive references between schemas": "another document",
}


def modern(schema):
    """A schema of draft 7 as 2020-12 writes it."""
    if isinstance(schema, list):
        return [modern(part) for part in schema]
    if isinstance(schema, dict):
        named = {"definitions": "$defs"}
        return {named.get(name, name): modern(part) if name != "const" and name != "enum" else part
                for name, part in schema.items()}
    return schema.replace("#/definitions/", "#/$defs/") if isinstance(schema, str) else schema


class Group:
    def __init__(self, file, group):
        self.name = f"{file}: {group['description']}"
        self.schema, self.tests = modern(group["schema"]), group["tests"]
        self.node, self.refused = 0, None


def compiled():
    """The compiler with every group's schema, and the groups."""
    compiler, groups = Compiler(), []
    for file in FILES:
        for group in json.loads((FOLDER / f"{file}.json").read_text()):
            group = Group(file, group)
            try:
                Compiler().compile(group.schema)  # a refused one leaves half a node behind
                group.node = compiler.compile(group.schema)
            except Unsupported as why:
                group.refused = str(why)
            groups.append(group)
    return compiler, groups


def main():
    compiler, groups = compiled()
    lines = ['#include "tests/contract/schema_judge.h"', "", "#include <stddef.h>", "",
             *compiler.tables("suite_schemas"), "",
             "const uint16_t suite_nodes[] = {" + ", ".join(str(group.node) for group in groups) + "};", "",
             "const size_t suite_count = sizeof suite_nodes / sizeof suite_nodes[0];"]
    pathlib.Path(sys.argv[1]).write_text(laid_out("suite.c", "\n".join(lines) + "\n"))


if __name__ == "__main__":
    main()
