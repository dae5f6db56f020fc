"""Reading JSON as language models write it."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dslkit.dify.loose_json import LooseJsonError, read

FORGIVEN = [
    ('{"a": 1, /* why */ "b": 2} // end', {"a": 1, "b": 2}, "comment"),
    ('{"a": [1, 2,],}', {"a": [1, 2]}, "trailing-comma"),
    ('{"a": 1 "b": 2}', {"a": 1, "b": 2}, "missing-comma"),
    ("[1,,2]", [1, 2], "extra-comma"),
    ("{'a': 'it's'}", {"a": "it's"}, "quotes"),
    ("{\u201ca\u201d: \u201cb\u201d}", {"a": "b"}, "quotes"),
    ('{"a": "say "hi" now"}', {"a": 'say "hi" now'}, "inner-quote"),
    ('{"a": "x\ny"}', {"a": "x\ny"}, "raw-line-break"),
    ('{"a": None, "b": True}', {"a": None, "b": True}, "python-literal"),
    ("{a: 1}", {"a": 1}, "bare-word"),
    ('{"a": (1, 2)}', {"a": [1, 2]}, None),
    ('{"a": [["x", ["y", "8"]]\n}, "b": 1}', None, None),
    ('{"a": {"b": [["x", 1]}, "c": 2}', {"a": {"b": [["x", 1]]}, "c": 2}, "bracket"),
    ('[{"a": 1, "b": {"c": 2}, {"a": 3}]', [{"a": 1, "b": {"c": 2}}, {"a": 3}], "bracket"),
    ('{"a": [1, 2', {"a": [1, 2]}, "cut-off"),
    ('{"a": "unfinished', {"a": "unfinished"}, "cut-off"),
    ('{"a": 1} and so on', {"a": 1}, "trailing-text"),
]


@pytest.mark.parametrize(("text", "value", "code"), FORGIVEN)
def test_reads_the_one_thing_meant(text: str, value: object, code: str | None) -> None:
    """Each liberty is taken where one reading is possible, and named."""
    read_value, forgiven = read(text)
    if value is not None:
        assert read_value == value
    if code:
        assert code in forgiven


def test_strict_json_is_no_liberty() -> None:
    assert read('{"a": [1, null, "\\u00e9"]}') == ({"a": [1, None, "é"]}, {})


@pytest.mark.parametrize("text", ["", "}", "[" * 200 + "]" * 200, '{"a": : 1}'])
def test_what_has_no_reading_is_refused(text: str) -> None:
    with pytest.raises(LooseJsonError):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ' * 50_000,
        "'" * 300_000,
        "{" + "/* " * 300_000,
        "{" + '" ' * 300_000,
        '{"a": [' + "}" * 30 + "1," * 100_000,
    ],
)
def test_hostile_text_is_answered_soon(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(LooseJsonError):
        read(text)
    assert time.process_time() - started < 5


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)
@given(_values)
def test_all_json_is_read_as_it_is(value: object) -> None:
    assert read(json.dumps(value)) == (value, {})


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_value_or_refused(text: str) -> None:
    with contextlib.suppress(LooseJsonError):
        read(text)
