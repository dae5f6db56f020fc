"""Templates in other words: what they become in Jinja, and that they then say the same."""

from __future__ import annotations

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dslkit.dify.repair import dialects

VALUES = {"xs": ["a", "b", "c"], "ys": [1, 2], "name": "Ann", "none": [], "rows": [{"k": "x"}, {"k": "y"}]}


def _is_list(name: str) -> bool:
    return isinstance(VALUES.get(name), list)


def _rendered(template: str) -> str:
    return ImmutableSandboxedEnvironment().from_string(template).render(VALUES)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ len(xs) }}", "3"),
        ("{% for x, y in zip(xs, ys) %}{{ x }}{{ y }} {% endfor %}", "a1 b2 "),
        ("{% for x, y in ys|zip(xs) -%}\n {{ x }}{{ y }} {% endfor %}", "1a 2b "),
        ("{% for i, x in enumerate(xs) %}{{ i }}{{ x }}{% endfor %}", "0a1b2c"),
        ("{% for i, x in enumerate(xs, start=1) %}{{ i }}{{ x }}{% endfor %}", "1a2b3c"),
    ],
)
def test_python_in_a_template(template: str, text: str) -> None:
    assert _rendered(dialects.calls(template, set())) == text


def test_a_variable_of_that_name_is_no_function() -> None:
    assert dialects.calls("{{ len(xs) }}", {"len"}) == "{{ len(xs) }}"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{#each xs}}{{@index}}{{this}}{{/each}}", "0a1b2c"),
        ("{{#xs}}{{index}}{{.}},{{/xs}}", "1a,2b,3c,"),
        ("{{#each rows}}{{k}}{{this.k}}{{name}} {{/each}}", "xxAnn yyAnn "),
        ("{{#if name}}{{name}}{{else}}nobody{{/if}}", "Ann"),
        ("{{#name}}Dear {{name}}{{/name}}", "Dear Ann"),
    ],
)
def test_sections_of_handlebars(template: str, text: str) -> None:
    assert _rendered(dialects.handlebars(template, VALUES.keys(), _is_list)) == text


@pytest.mark.parametrize(
    "template", ["{{#each xs}}{{this}}", "{{#if a}}{{/each}}", "{{/if}}", "{{^xs}}{{/xs}}", "{{ name }}", ""]
)
def test_what_does_not_close_or_is_jinja_stays(template: str) -> None:
    assert dialects.handlebars(template, VALUES.keys(), _is_list) == template
