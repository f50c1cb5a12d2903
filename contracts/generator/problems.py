"""problems.json as C tables and pages."""

from .text import NOTE, c_string


def problem_enum(slug):
    return "PROBLEM_" + slug.upper().replace("-", "_")


def problem_header(problems):
    return [
        "/*",
        " * " + NOTE.format("problems.json"),
        " *",
        " * Problem types of the public interface (RFC 9457). `type` of a problem document is",
        ' * "/problems/" and the slug; docs/problems has a page for each.',
        " */",
        "#ifndef SIGNALBOX_CONTRACTS_PROBLEMS_H",
        "#define SIGNALBOX_CONTRACTS_PROBLEMS_H",
        "",
        "enum problem {",
        *[f"{problem_enum(problem['slug'])}," for problem in problems],
        "};",
        "",
        f"enum {{ PROBLEM_COUNT = {len(problems)} }};",
        "",
        "struct problem_info {",
        "const char *slug;",
        "int status;",
        "const char *title;",
        "};",
        "",
        "/* Never NULL for a value of the enum. */",
        "const struct problem_info *problem_info(enum problem problem);",
        "/* 0 and the problem, or -1 when there is no such slug. */",
        "__attribute__((warn_unused_result)) int problem_find(const char *slug, enum problem *problem_out);",
        "",
        "#endif",
    ]


def problem_code(problems):
    return [
        "/* " + NOTE.format("problems.json") + " */",
        '#include "contracts/generated/problems.h"',
        "",
        "#include <stddef.h>",
        "#include <string.h>",
        "",
        "static const struct problem_info problems[PROBLEM_COUNT] = {",
        *[f"[{problem_enum(p['slug'])}] = {{{c_string(p['slug'])}, {p['status']}, {c_string(p['title'])}}}," for p in problems],
        "};",
        "",
        "const struct problem_info *problem_info(enum problem problem)",
        "{",
        "return (unsigned)problem < PROBLEM_COUNT ? &problems[problem] : NULL;",
        "}",
        "",
        "int problem_find(const char *slug, enum problem *problem_out)",
        "{",
        "for (unsigned i = 0; i < PROBLEM_COUNT; i++) {",
        "if (strcmp(problems[i].slug, slug) == 0) {",
        "*problem_out = (enum problem)i;",
        "return 0;",
        "}",
        "}",
        "return -1;",
        "}",
    ]


def problem_page(problem):
    lines = [f"# {problem['title']}", "", f"<!-- {NOTE.format('problems.json')} -->", "",
             f"`/problems/{problem['slug']}`, status {problem['status']}", "", problem["meaning"], ""]
    if fields := problem.get("fields"):
        lines += ["Additional members of the document:", "", *[f"- `{name}`: {meaning}" for name, meaning in fields.items()], ""]
    return lines + ["**What to do.** " + problem["what_to_do"]]


def problem_index(problems):
    return ["# Problems", "", f"<!-- {NOTE.format('problems.json')} -->", "",
            "Errors are `application/problem+json` documents (RFC 9457): `type`, `title`, `status`, `detail`, and with wrong members",
            "in a request `errors`, each with a JSON pointer. The `type` ends in one of these:", "",
            "| Type | Status | Title |", "| --- | --- | --- |",
            *[f"| [{p['slug']}]({p['slug']}.md) | {p['status']} | {p['title']} |" for p in problems]]
