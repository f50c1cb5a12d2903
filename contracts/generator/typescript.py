"""events.ts: the events as a discriminated union, so that a switch over `type` knows the payload."""

import json

from .text import NOTE

WIDTH = 120
SIMPLE = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null",
          "object": "JsonObject", "array": "JsonValue[]"}


def camel(name):
    return "".join(part.capitalize() for part in name.split("_"))


class TypeScript:
    def __init__(self, schema, types, entities):
        self.schema, self.types, self.entities = schema, types, entities
        self.definitions = schema["$defs"]

    def kind(self, schema):
        """A member's type."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            own = "properties" in self.definitions[name] or "enum" in self.definitions[name]
            return camel(name) if own else self.kind(self.definitions[name])
        if "enum" in schema:
            return " | ".join(map(json.dumps, schema["enum"]))
        if "const" in schema:
            return json.dumps(schema["const"])
        if "items" in schema:
            inner = self.kind(schema["items"])
            return f"({inner})[]" if " " in inner else f"{inner}[]"
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        return " | ".join(dict.fromkeys(SIMPLE[kind] for kind in kinds)) or "JsonValue"

    def members(self, schema):
        lines = []
        for name, member in schema.get("properties", {}).items():
            mark = "" if name in schema.get("required", []) else "?"
            if "description" in member:
                lines.append(f"  /** {member['description']} */")
            lines.append(f"  {name}{mark}: {self.kind(member)};")
        return [*lines, "  [further: string]: JsonValue | undefined;"]

    def interface(self, name, about, schema):
        return ["", f"/** {about} */", f"export interface {name} {{", *self.members(schema), "}"]

    def union(self, name, about, members):
        return ["", f"/** {about} */", f"export type {name} =", *[f"  | {member}" for member in members[:-1]],
                f"  | {members[-1]};"]

    def array(self, name, about, values):
        return ["", f"/** {about} */", f"export const {name} = [", *[f"  {json.dumps(value)}," for value in values],
                "] as const;"]

    def lines(self):
        names = [name for name, _ in self.types]
        lines = [
            f"// {NOTE.format('run_events.schema.json and entity_types.json')}",
            "",
            "export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;",
            "export interface JsonObject {",
            "  [member: string]: JsonValue | undefined;",
            "}",
            "",
            f"export const SCHEMA_VERSION = {json.dumps(self.definitions['schema_version']['const'])};",
            *self.array("EVENT_TYPES", "Every type, in the order of their numbers (from 1).", names),
            "",
            "export type EventType = (typeof EVENT_TYPES)[number];",
            *self.array("TERMINAL_TYPES", "They end their run.", [n for n, d in self.types if d.get("x-terminal")]),
            *self.array("RESERVED_TYPES", "Only the server writes them.", [n for n, d in self.types if d.get("x-reserved")]),
            *self.array("ENTITY_TYPES", "What sources, entities and artifacts may be.",
                        [item["name"] for group in self.entities["groups"] for item in group["types"]]),
            "",
            "export type EntityType = (typeof ENTITY_TYPES)[number];",
        ]
        for name, definition in self.definitions.items():
            if "x-number" not in definition and "properties" in definition:
                lines += self.interface(camel(name), definition["description"], definition)
        for name, definition in self.types:
            lines += self.interface(f"{camel(name)}Payload", definition["description"], definition["properties"]["payload"])
        lines += ["", "/** The payload of each type. */", "export interface EventPayloads {",
                  *[f"  {name}: {camel(name)}Payload;" for name in names], "}"]
        lines += ["", "/** An event as it comes back. */", "export interface EventOf<T extends EventType> {",
                  "  run_id: string;", "  /** 1, 2, 3 … without a hole */", "  seq: number;", "  type: T;",
                  "  /** RFC 3339, UTC */", "  ts: string;", "  payload: EventPayloads[T];", "}"]
        lines += self.union("RunEvent", "Any event: `type` tells which payload it has.",
                            [f'EventOf<"{name}">' for name in names])
        lines += ["", "/** An event as a client appends it. A missing payload is {}. */",
                  "export type NewEventOf<T extends EventType> = {", "  type: T;",
                  "  schema_version?: typeof SCHEMA_VERSION;",
                  "} & ({} extends EventPayloads[T] ? { payload?: EventPayloads[T] } : { payload: EventPayloads[T] });"]
        lines += self.union("NewEvent", "Any event a client may append.",
                            [f'NewEventOf<"{name}">' for name, definition in self.types if not definition.get("x-reserved")])
        return lines
