"""C enums of names, found by name and named by number: event types, entity types."""

from .text import NOTE, c_string, guard


def lookup_code(prefix, struct, names):
    """Tables and functions PREFIX_name and PREFIX_find over `names`, numbered from 1. Names are looked for among those of
    their length only."""
    top = prefix.upper()
    longest = max(map(len, names))
    order = sorted(range(len(names)), key=lambda i: (len(names[i]), i))
    first = [sum(len(name) < length for name in names) for length in range(longest + 2)]
    return [
        f"static const char *const names[{top}_MAX + 1] = {{",
        *[f"[{top}_{name.upper()}] = {c_string(name)}," for name in names],
        "};",
        "",
        "/* Ordered by the length of their names; those of length n begin at first[n]. */",
        f"static const {struct} by_length[{top}_MAX] = {{",
        *[f"{top}_{names[i].upper()}," for i in order],
        "};",
        "",
        f"static const uint8_t first[{top}_NAME_MAX + 2] = {{{', '.join(map(str, first))}}};",
        "",
        f"const char *{prefix}_name({struct} type)",
        "{",
        f"return (unsigned)type <= {top}_MAX ? names[type] : NULL;",
        "}",
        "",
        f"int {prefix}_find(const char *name, size_t length, {struct} *type_out)",
        "{",
        f"if (length > {top}_NAME_MAX) {{ return -1; }}",
        "for (unsigned i = first[length]; i < first[length + 1]; i++) {",
        "if (memcmp(names[by_length[i]], name, length) == 0) {",
        "*type_out = by_length[i];",
        "return 0;",
        "}",
        "}",
        "return -1;",
        "}",
    ]


def event_header(types):
    return [
        "/*",
        " * " + NOTE.format("run_events.schema.json"),
        " *",
        " * The types of run events. The numbers travel on the bus and are never reused; the names are those",
        " * of the public interface and of the type run_event_type in the database.",
        " */",
        f"#ifndef {guard('event_types')}",
        f"#define {guard('event_types')}",
        "",
        "#include <stdbool.h>",
        "#include <stddef.h>",
        "",
        "enum event_type {",
        *[f"EVENT_TYPE_{name} = {definition['x-number']}," for name, definition in types],
        "};",
        "",
        "enum { EVENT_TYPE_MAX = %d, EVENT_TYPE_NAME_MAX = %d };" % (
            types[-1][1]["x-number"], max(len(name) for name, _ in types)),
        "",
        '/* "RUN_STARTED"; NULL for a number that is no type. */',
        "const char *event_type_name(enum event_type type);",
        "/* 0 and the type, or -1. Names are exact: capitals, no blanks. */",
        "__attribute__((warn_unused_result)) int event_type_find(const char *name, size_t length, enum event_type *type_out);",
        "/* Whether the event ends its run. */",
        "bool event_type_is_terminal(enum event_type type);",
        "/* Whether only the server may write it. */",
        "bool event_type_is_reserved(enum event_type type);",
        "",
        "#endif",
    ]


def event_code(types):
    def any_of(mark):
        return " || ".join(f"type == EVENT_TYPE_{name}" for name, definition in types if definition.get(mark))

    return [
        "/* " + NOTE.format("run_events.schema.json") + " */",
        '#include "contracts/generated/event_types.h"',
        "",
        "#include <stdint.h>",
        "#include <string.h>",
        "",
        *lookup_code("event_type", "enum event_type", [name for name, _ in types]),
        "",
        "bool event_type_is_terminal(enum event_type type)",
        "{",
        f"return {any_of('x-terminal')};",
        "}",
        "",
        "bool event_type_is_reserved(enum event_type type)",
        "{",
        f"return {any_of('x-reserved')};",
        "}",
    ]


def entity_header(groups):
    names = [item["name"] for group in groups for item in group["types"]]
    lines = [
        "/*",
        " * " + NOTE.format("entity_types.json"),
        " *",
        " * What sources, extracted entities and artifacts may be. The numbers are those of this build only;",
        " * what is stored and sent is the name.",
        " */",
        f"#ifndef {guard('entity_types')}",
        f"#define {guard('entity_types')}",
        "",
        "#include <stddef.h>",
        "",
        "enum entity_type {",
    ]
    for group in groups:
        lines.append(f"/* {group['name']}: {group['description']} */")
        for item in group["types"]:
            start = " = 1" if item["name"] == names[0] else ""
            lines.append(f"ENTITY_TYPE_{item['name'].upper()}{start},")
    return lines + [
        "};",
        "",
        f"enum {{ ENTITY_TYPE_MAX = {len(names)}, ENTITY_TYPE_NAME_MAX = {max(map(len, names))} }};",
        "",
        '/* "web_page"; NULL for a number that is no type. */',
        "const char *entity_type_name(enum entity_type type);",
        "/* 0 and the type, or -1. Names are exact. */",
        "__attribute__((warn_unused_result)) int entity_type_find(const char *name, size_t length, enum entity_type *type_out);",
        "",
        "#endif",
    ]


def entity_code(groups):
    names = [item["name"] for group in groups for item in group["types"]]
    return [
        "/* " + NOTE.format("entity_types.json") + " */",
        '#include "contracts/generated/entity_types.h"',
        "",
        "#include <stdint.h>",
        "#include <string.h>",
        "",
        *lookup_code("entity_type", "enum entity_type", names),
    ]
