"""docs/events.md: every type of event and of entity, for people."""

from .text import NOTE

HEAD = ["| Member | Type | Needed | Meaning |", "| --- | --- | --- | --- |"]


def is_page(definition):
    """Whether a common definition has a section of its own: objects do, the rest is told where it is used."""
    return "properties" in definition


class Pages:
    def __init__(self, schema, types, entities):
        self.schema, self.types, self.entities = schema, types, entities
        self.definitions = schema["$defs"]

    def referred(self, schema):
        return self.definitions[schema["$ref"].rsplit("/", 1)[1]]

    def kind(self, schema):
        """What a member may be, in words."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            if name == "entity_type":
                return "[entity type](#entity-types)"
            return f"[{name}](#{name})" if is_page(self.referred(schema)) else self.kind(self.referred(schema))
        if "enum" in schema:
            return " or ".join(f"`{value}`" for value in schema["enum"])
        kind = schema.get("type", "any")
        kind = " or ".join(kind) if isinstance(kind, list) else kind
        if kind == "array" and "items" in schema:
            kind = f"array of {self.kind(schema['items'])}"
        return kind + self.bounds(schema)

    def bounds(self, schema):
        if "format" in schema:
            return f" ({schema['format']})"
        if "minimum" in schema and "maximum" in schema:
            return f", {schema['minimum']}..{schema['maximum']}"
        if "minimum" in schema:
            return ", not negative" if schema["minimum"] == 0 else f", {schema['minimum']} or more"
        if "maxLength" in schema:
            least, most = schema.get("minLength", 0), schema["maxLength"]
            return f", {most} characters" if least == most else f", {least}..{most} characters"
        return ", not empty" if schema.get("minLength") == 1 else ""

    def rows(self, schema):
        needed = schema.get("required", [])
        return [f"| {name} | {self.kind(field)} | {'yes' if name in needed else 'no'} | {field.get('description', '')} |"
                for name, field in schema["properties"].items()]

    def section(self, name, definition, members):
        needs = [f"Needed: {members['x-needs']}.", ""] if "x-needs" in members else []
        return ["", f"## {name}", "", definition["description"], "", *needs, *HEAD, *self.rows(members)]

    def entity_section(self):
        lines = ["", "## Entity types", "", "What sources, entities and artifacts may be; other names are refused. "
                 + " ".join(f"`{old}` is now `{new}`." for old, new in self.entities["renamed"].items()), "",
                 "| Type | Is | Group |", "| --- | --- | --- |"]
        return lines + [f"| `{item['name']}` | {item['description']} | {group['name']}: {group['description']} |"
                        for group in self.entities["groups"] for item in group["types"]]

    def events(self):
        lines = [
            "# Events of a run",
            "",
            f"<!-- {NOTE.format('run_events.schema.json')} -->",
            "",
            'A client sends `{"type", "payload", "schema_version"}`; a missing payload is `{}`, a missing schema_version is',
            f"{self.definitions['schema_version']['const']}, the only one there is. Events come back with `run_id`, `seq` (1, 2, 3 … without a hole) and `ts`. A payload",
            "is an object; it may have more members than named here, and comes back as it was sent. Each is checked when it is",
            "written, and `errors` of the answer point at what is wrong.",
            "Machine-readable: `contracts/run_events.schema.json`, with samples in `contracts/sample_events.json`;",
            "`contracts/generated/events.ts` has the same for TypeScript.",
            "",
            "| Number | Type | Says |",
            "| --- | --- | --- |",
            *[f"| {d['x-number']} | [{name}](#{name.lower()}) | {d['description']} |" for name, d in self.types],
        ]
        for name, definition in self.types:
            lines += self.section(name, definition, definition["properties"]["payload"])
        for name, definition in self.definitions.items():
            if "x-number" not in definition and is_page(definition):
                lines += self.section(name, definition, definition)
        return lines + self.entity_section()
