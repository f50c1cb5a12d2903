"""Values for JSON Schemas (hypothesis): ones that fit, and ones that are likely not to. As much of the language as contracts/ uses."""

from hypothesis import strategies as st

WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8).filter(lambda text: "\0" not in text), st.just([]), st.just({}), st.just([{}]), st.just({"x": [1]}),
)  # fmt: skip
TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=20)
ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)), max_leaves=6,
)  # fmt: skip


def fitting(document, schema):
    """A strategy of values that the schema allows (nearly always: patterns that overlap are not solved)."""
    schema = document.resolve(schema)
    if schema is True or schema == {}:
        return ANY
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return st.one_of([fitting(document, one) for one in schema[several]])
    kinds = schema.get("type", "object" if "properties" in schema else "any")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return st.one_of([of_kind(document, schema, kind) for kind in kinds])


def of_kind(document, schema, kind):
    if kind == "object":
        return objects(document, schema)
    if kind == "array":
        return st.lists(fitting(document, schema.get("items", {})), min_size=schema.get("minItems", 0),
                        max_size=min(schema.get("maxItems", 5), 5))  # fmt: skip
    if kind == "string":
        if "pattern" in schema:
            return st.from_regex(schema["pattern"], fullmatch=True).filter(
                lambda text: schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 1 << 20)
            )
        return st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"),
                       min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 40), 40))  # fmt: skip
    if kind == "integer":
        return st.integers(schema.get("minimum", -(2**63)), schema.get("maximum", 2**63 - 1))
    if kind == "number":
        return st.floats(schema.get("minimum", -1e9), schema.get("maximum", 1e9), allow_nan=False)
    return {"boolean": st.booleans(), "null": st.none(), "any": ANY}[kind]


def objects(document, schema):
    properties = schema.get("properties", {})
    required = {name: fitting(document, properties.get(name, {})) for name in schema.get("required", [])}
    optional = {name: fitting(document, s) for name, s in properties.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


@st.composite
def doubtful(draw, document, schema):
    """A value that fits, with one part of it replaced, left out or added."""
    value = draw(fitting(document, schema))
    if not isinstance(value, dict) or not value:
        return draw(st.one_of(WRONG, st.just(value)))
    value = dict(value)
    name = draw(st.sampled_from(sorted(value)))
    match draw(st.integers(0, 2)):
        case 0:
            value[name] = draw(WRONG)
        case 1:
            del value[name]
        case _:
            value[draw(st.sampled_from(["unheard_of", "Type", "", "a/b~c"]))] = draw(WRONG)
    return value
