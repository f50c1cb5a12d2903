"""The compiled schemas against the JSON Schema Test Suite, and what the compiler refuses."""

import json

import pytest
from contract import suite
from contract.judge import Judge
from generator.compiler import Compiler, Unsupported  # found by way of contract.suite

GROUPS = suite.compiled()[1]


@pytest.fixture(scope="module")
def judge():
    with Judge() as running:
        yield running


@pytest.mark.requirement("R030")
@pytest.mark.parametrize("number", [pytest.param(number, id=group.name) for number, group in enumerate(GROUPS)
                                    if group.name not in suite.EXCEPTIONS])
def test_group(judge, number):
    group = GROUPS[number]
    assert group.refused is None
    for case in group.tests:
        text = json.dumps(case["data"], ensure_ascii=False)
        found = judge.ask("suite", number, text)
        if found["verdict"] == "refused":
            assert "\\u0000" in text, text  # the one thing in the suite that never comes so far
        else:
            assert found["verdict"] == ("valid" if case["valid"] else "invalid"), (case, found)


def test_every_exception_is_one():
    assert set(suite.EXCEPTIONS) <= {group.name for group in GROUPS}
    assert len(GROUPS) - len(suite.EXCEPTIONS) >= 70


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"pattern": "^a"}, "pattern"),
        ({"properties": {"a": {"items": {"multipleOf": 2}}}}, "multipleOf"),
        ({"$defs": {"x": {"frmat": "uuid"}}, "$ref": "#/$defs/x"}, "frmat"),
        ({"anyOf": [{"if": True}]}, "if"),
        ({"items": {"$id": "other"}}, r"\$id"),
        ({"format": "email"}, "email"),
        ({"type": "strin"}, "strin"),
        ({"$ref": "https://example.org/x"}, "another document"),
        ({"$ref": "#/$defs/none"}, "nothing"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "itself"),
        ({"minLength": 1.5}, "minLength"),
        ({"required": [f"m{n}" for n in range(65)]}, "required"),
    ],
)
def test_what_nobody_would_check_fails_the_build(schema, named):
    with pytest.raises(Unsupported, match=named):
        Compiler().compile(schema)


def test_where_an_unknown_keyword_stands_is_told():
    with pytest.raises(Unsupported, match="#/properties/a/items: the keyword multipleOf"):
        Compiler().compile({"properties": {"a": {"items": {"multipleOf": 2}}}})
