"""The YAML reader: everything Dify writes, and nothing that brings it down."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dslkit.dify.workflow import Workflow
from dslkit.dify.yaml_text import read_yaml, write_yaml

from .workflow_samples import codes


def _bomb() -> str:
    levels = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    levels += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(levels)


REFUSED: list[tuple[str, str | bytes]] = [
    ("yaml-bomb", _bomb()),
    ("yaml-bomb", "- a\n" * 700_000),
    ("yaml-too-large", "a" * 10_000_000),
    ("yaml-too-deep", "- " * 5_000),
    ("yaml-invalid", "[" * 100_000),
    ("yaml-invalid", "{a: b"),
    ("yaml-invalid", "a: *b"),
    ("yaml-invalid", "a: &a [*a]"),
    ("yaml-invalid", "a: 1\n---\nb: 2"),
    ("yaml-invalid", "? [a]\n: b"),
    ("yaml-invalid", "!!python/object/apply:os.system [ls]"),
    ("yaml-invalid", "!!int abc"),
    ("yaml-invalid", "\x00\x01"),
    ("yaml-encoding", b"\xff\xfe\x00"),
]


@pytest.mark.parametrize(("code", "text"), REFUSED, ids=[f"{code}-{n}" for n, (code, _) in enumerate(REFUSED)])
def test_hostile_yaml_is_a_finding_soon(code: str, text: str | bytes) -> None:
    started = time.process_time()
    workflow = Workflow.from_yaml(text)
    assert codes(workflow.errors) == [code]
    assert workflow.document == {}
    assert time.process_time() - started < 5


@pytest.mark.parametrize("text", ["", "a", "[1, 2]", "3"])
def test_what_is_no_mapping_is_no_document(text: str) -> None:
    assert codes(Workflow.from_yaml(text).errors) == ["document-shape"]


def test_duplicate_keys_are_named() -> None:
    value, findings = read_yaml("a: 1\na: 2")
    assert value == {"a": 2}
    assert codes(findings) == ["yaml-duplicate-key"]


def test_merge_keys_and_aliases_are_followed() -> None:
    value, findings = read_yaml("base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}")
    assert (value["more"], findings) == ({"x": 1, "y": 3}, ())
    value["base"]["x"] = 9
    assert value["more"]["x"] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.6", 0.6),
        ("0.6.0", "0.6.0"),
        ("'1'", "1"),
        ("1_000", 1000),
        ("yes", True),
        ("~", None),
        ("2024-01-01", "2024-01-01"),
        ("!!str 5", "5"),
        ("'<<'", "<<"),
    ],
)
def test_scalars_are_read_as_dify_reads_them(text: str, expected: object) -> None:
    """But for dates, which stay text: JSON knows none."""
    assert read_yaml(f"a: {text}") == ({"a": expected}, ())


_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab1. -", max_size=5), inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(_values)
def test_what_is_written_is_read_again(value: object) -> None:
    text = write_yaml(value)
    assert read_yaml(text) == (value, ())
    assert yaml.safe_load(text) == value


@settings(deadline=None)
@given(st.text(max_size=300) | st.binary(max_size=300))
def test_any_input_is_answered(text: str | bytes) -> None:
    value, findings = read_yaml(text)
    assert value is None or not [f for f in findings if f.severity == "error"]
