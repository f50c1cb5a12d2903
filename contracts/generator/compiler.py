"""Compiles a subset of JSON Schema 2020-12 to the tables of contracts/schema_table.h.

A keyword that is neither compiled nor listed as an annotation fails the build with its name: a rule that nobody checks
would be worse than none.
"""

import json

from .text import c_string

ANNOTATIONS = {"title", "description", "examples", "default", "$comment", "x-number", "x-terminal", "x-reserved"}
ROOT_ONLY = {"$schema", "$id"}
TYPES = {"null": "NULL", "boolean": "BOOLEAN", "integer": "INTEGER", "number": "NUMBER", "string": "STRING",
         "array": "ARRAY", "object": "OBJECT"}
FORMATS = {"uuid": "SCHEMA_UUID", "date-time": "SCHEMA_DATE_TIME"}
COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
APPLIED = {"allOf": "ALL_OF", "anyOf": "ANY_OF", "oneOf": "ONE_OF", "not": "NOT"}
KEYWORDS = {"type", "format", "enum", "const", "properties", "required", "additionalProperties", "items", "$ref",
            "$defs", "x-needs", *COUNTS, *BOUNDS, *APPLIED}
REQUIRED_MAX = 64
TABLE_MAX = 65535


class Unsupported(Exception):
    """A schema that says something the compiler does not know."""


def capitals(keyword):
    return "SCHEMA_" + "".join("_" + letter if letter.isupper() else letter for letter in keyword).upper()


def json_text(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def same(left, right):
    """Equality of JSON values: 1 is 1.0, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool) or type(left) is not type(right):
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (left, right))
        return left is right or (numbers and left == right)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return left == right


class Compiler:
    """Tables that several documents may share: `compile` gives the index of a schema's node."""

    def __init__(self):
        self.nodes, self.properties, self.limits, self.values = [], [], [], []
        self.applied, self.alternatives = [], []
        self.known = {}
        self.documents = []  # all of them: a key below holds while its document lives
        self.document = True
        self.add_node({})

    def compile(self, document, schema=None):
        """Node of `schema`, a part of `document` (or all of it)."""
        self.document = document
        self.documents.append(document)
        return self.node(document if schema is None else schema, "#", schema is None)

    def add_node(self, node):
        self.nodes.append(node)
        return len(self.nodes) - 1

    def add(self, table, rows):
        """Index of `rows` in a table; the same rows are there once."""
        key = (id(table), json_text(rows))
        if rows and key not in self.known:
            self.known[key] = len(table)
            table.extend(rows)
        return self.known.get(key, 0)

    # ---- references ----

    def target(self, reference, path):
        if not reference.startswith("#"):
            raise Unsupported(f"{path}: $ref to another document: {reference}")
        found = self.document
        for part in reference[1:].split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(part) if isinstance(found, list) else part]
            except (KeyError, ValueError, IndexError, TypeError):
                raise Unsupported(f"{path}: $ref to nothing: {reference}") from None
        return found

    def resolved(self, schema, path):
        """Follows references that say nothing else."""
        seen = set()
        while isinstance(schema, dict) and "$ref" in schema and not schema.keys() - ANNOTATIONS - {"$ref"}:
            if schema["$ref"] in seen:
                raise Unsupported(f"{path}: $ref leads back to itself: {schema['$ref']}")
            seen.add(schema["$ref"])
            schema = self.target(schema["$ref"], path)
        return schema

    # ---- nodes ----

    def node(self, schema, path, is_root=False):
        schema = self.resolved(schema, path)
        if schema is True:
            return 0
        if schema is False:
            schema = {"enum": []}
        if not isinstance(schema, dict):
            raise Unsupported(f"{path}: no schema: {json_text(schema)}")
        self.check_keywords(schema, path, is_root or schema is self.document)
        said = {name: value for name, value in schema.items() if name in KEYWORDS - {"$defs"}}
        if not said:
            return 0
        key = (id(self.document), json.dumps(said, sort_keys=True))
        if key not in self.known:
            self.known[key] = self.add_node(None)  # before its parts are compiled: they may lead back here
            self.nodes[self.known[key]] = self.filled(said, path)
        return self.known[key]

    def check_keywords(self, schema, path, is_root):
        known = KEYWORDS | ANNOTATIONS | (ROOT_ONLY if is_root else set())
        for keyword in schema:
            if keyword not in known:
                raise Unsupported(f"{path}: the keyword {keyword} is not known to the compiler")

    def filled(self, schema, path):
        node = {"types": self.types(schema, path)}
        if "format" in schema:
            if schema["format"] not in FORMATS:
                raise Unsupported(f"{path}: the format {schema['format']} is not known to the compiler")
            node["format"] = FORMATS[schema["format"]]
        self.fill_values(node, schema)
        self.fill_limits(node, schema, path)
        self.fill_members(node, schema, path)
        self.fill_applied(node, schema, path)
        if "x-needs" in schema:
            node["needs"] = c_string(schema["x-needs"])
        return node

    def types(self, schema, path):
        if schema.get("enum") == []:
            return "0"
        kinds = schema.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        for kind in kinds:
            if kind not in TYPES:
                raise Unsupported(f"{path}: there is no type {kind}")
        return " | ".join(f"SCHEMA_{TYPES[kind]}" for kind in kinds) or "SCHEMA_EVERY_TYPE"

    def fill_values(self, node, schema):
        if "const" not in schema and not schema.get("enum"):
            return
        values = schema.get("enum", [schema.get("const")])
        if "const" in schema:
            values = [value for value in values if same(value, schema["const"])]
            if not values:
                node["types"] = "0"
        node["values"] = self.add(self.values, [json_text(value) for value in values]), len(values)

    def fill_limits(self, node, schema, path):
        rows = []
        for keyword in COUNTS:
            if keyword in schema:
                if schema[keyword] != int(schema[keyword]) or schema[keyword] < 0:
                    raise Unsupported(f"{path}: {keyword} must be a whole number")
                rows.append([capitals(keyword), int(schema[keyword]), None])
        rows += [[capitals(keyword), 0, json_text(schema[keyword])] for keyword in BOUNDS if keyword in schema]
        if rows:
            node["limits"] = self.add(self.limits, rows), len(rows)

    def fill_members(self, node, schema, path):
        needed = schema.get("required", [])
        named = schema.get("properties", {})
        # Needed ones first: their bit is their place.
        names = list(dict.fromkeys([*needed, *named]))
        if len(set(needed)) > REQUIRED_MAX:
            raise Unsupported(f"{path}: required: more than {REQUIRED_MAX} names")
        rows = []
        for name in names:
            further = schema.get("additionalProperties", True)  # holds for a needed name that `properties` does not tell
            rows.append([name, self.node(named.get(name, further), f"{path}/properties/{name}")])
        if rows:
            node["properties"] = self.add(self.properties, rows), len(rows)
            node["required"] = f"0x{(1 << len(set(needed))) - 1:x}"
        for keyword, member in (("additionalProperties", "additional"), ("items", "items")):
            if keyword in schema:
                node[member] = self.node(schema[keyword], f"{path}/{keyword}")

    def fill_applied(self, node, schema, path):
        rows = []
        for keyword, kind in APPLIED.items():
            if keyword in schema:
                parts = [schema[keyword]] if keyword == "not" else schema[keyword]
                nodes = [self.node(part, f"{path}/{keyword}") for part in parts]
                rows.append([kind, self.add(self.alternatives, nodes), len(nodes)])
        if "$ref" in schema:
            nodes = [self.node({"$ref": schema["$ref"]}, path)]
            rows.append(["ALL_OF", self.add(self.alternatives, nodes), 1])
        if rows:
            node["applied"] = self.add(self.applied, rows), len(rows)

    # ---- C ----

    def node_row(self, node):
        row = [f".types = {node.get('types', 'SCHEMA_EVERY_TYPE')}"]
        row += [f".{name} = {node[name]}" for name in ("required", "format", "additional", "items", "needs") if name in node]
        for table, word in (("properties", "property"), ("limits", "limit"), ("values", "value"), ("applied", "applied")):
            if table in node:
                row.append(f".first_{word} = {node[table][0]}, .{word}_count = {node[table][1]}")
        return "{" + ", ".join(row) + "},"

    def tables(self, name):
        """The tables as C; `name` is the struct schema_table that holds them."""
        for table in (self.nodes, self.properties, self.limits, self.values, self.applied, self.alternatives):
            if len(table) > TABLE_MAX:
                raise Unsupported("a table is too long")
        # An array needs one row at least.
        properties = [f"{{{c_string(row[0])}, {len(row[0].encode())}, {row[1]}}}," for row in self.properties]
        limits = [f"{{{kind}, {count}, {'NULL' if number is None else c_string(number)}}},"
                  for kind, count, number in self.limits]
        values = [f"{{{c_string(text)}, {len(text.encode())}}}," for text in self.values]
        applied = [f"{{SCHEMA_{kind}, {first}, {count}}}," for kind, first, count in self.applied]
        return [
            "static const struct schema_property properties[] = {", *(properties or ["{NULL, 0, 0},"]), "};", "",
            "static const struct schema_limit limits[] = {", *(limits or ["{SCHEMA_MIN_LENGTH, 0, NULL},"]), "};", "",
            "static const struct schema_value values[] = {", *(values or ["{NULL, 0},"]), "};", "",
            "static const struct schema_applied applied[] = {", *(applied or ["{SCHEMA_ALL_OF, 0, 0},"]), "};", "",
            "static const uint16_t alternatives[] = {" + ", ".join(map(str, self.alternatives or [0])) + "};", "",
            "static const struct schema_node nodes[] = {", *map(self.node_row, self.nodes), "};", "",
            f"const struct schema_table {name} = {{nodes, properties, limits, values, applied, alternatives}};",
        ]
