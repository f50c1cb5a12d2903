"""The schemas of payloads, compiled: one node a type of event."""

from .compiler import Compiler, Unsupported
from .text import NOTE, guard


def payload_header():
    return [
        "/*",
        " * " + NOTE.format("run_events.schema.json"),
        " *",
        " * What the payload of each type of event must be, for schema_check (runtime/schema.h).",
        " */",
        f"#ifndef {guard('payloads')}",
        f"#define {guard('payloads')}",
        "",
        '#include "contracts/generated/event_types.h"',
        '#include "contracts/schema_table.h"',
        "",
        "extern const struct schema_table payload_schemas;",
        "",
        "/* Node of the payloads of a type; 0, which allows everything, for a number that is no type. */",
        "uint16_t payload_node(enum event_type type);",
        "/* Node of `schema_version`. */",
        "uint16_t payload_version_node(void);",
        "",
        "#endif",
    ]


def payload_code(schema, types):
    compiler = Compiler()
    try:
        version = compiler.compile(schema, schema["$defs"]["schema_version"])
        rows = [f"[EVENT_TYPE_{name}] = {compiler.compile(schema, definition['properties']['payload'])},"
                for name, definition in types]
    except Unsupported as why:
        raise SystemExit(f"run_events.schema.json: {why}") from None
    return [
        "/* " + NOTE.format("run_events.schema.json") + " */",
        '#include "contracts/generated/payloads.h"',
        "",
        "#include <stddef.h>",
        "",
        *compiler.tables("payload_schemas"),
        "",
        "static const uint16_t payloads[EVENT_TYPE_MAX + 1] = {",
        *rows,
        "};",
        "",
        "uint16_t payload_node(enum event_type type)",
        "{",
        "return (unsigned)type <= EVENT_TYPE_MAX ? payloads[type] : 0;",
        "}",
        "",
        "uint16_t payload_version_node(void)",
        "{",
        f"return {version};",
        "}",
    ]
