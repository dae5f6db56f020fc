"""Requirement files: every good form gives the same values, every bad one says line, problem and remedy."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslkit.batch import requirements
from dslkit.batch.requirements import from_text, load
from dslkit.errors import UsageError
from dslkit.records import Requirement

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = Requirement(
    id="digest",
    messages=("Digest a page", "Add a title"),
    inputs=("url",),
    outputs=(("digest", "title"), ("error",)),
    related_nodes=("llm", "http-request"),
    tags={"team": "news", "round": "2"},
)
ROUTE = Requirement(id="route", messages=("Route, or refuse, a ticket",), inputs=("ticket",), outputs=(("team",),))

JSONL = """
{"id": "digest", "requirement": ["Digest a page", "Add a title"], "inputs": ["url"], "outputs": [["digest", "title"],
 ["error"]], "related_nodes": ["llm", "http-request"], "tags": {"team": "news"}, "round": 2}
{"id": "route", "requirement": "Route, or refuse, a ticket", "inputs": ["ticket"], "outputs": ["team"], "tags": null}
""".replace(",\n ", ", ")
CSV = """id,requirement,inputs,outputs,related_nodes,tags,round
digest,"[""Digest a page"", ""Add a title""]",url,digest;title|error,llm; http-request,team=news,2
route,"Route, or refuse, a ticket",ticket,team,,,
"""
YAML = """
- id: digest
  requirement: [Digest a page, Add a title]
  inputs: [url]
  outputs: [[digest, title], [error]]
  related_nodes: [llm, http-request]
  tags: {team: news}
  round: 2
- id: route
  requirement: Route, or refuse, a ticket
  inputs: [ticket]
  outputs: [team]
"""


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.jsonl", JSONL),
        ("r.csv", CSV),
        ("r.csv", CSV.replace("\n", "\r\n")),
        ("r.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("r.tsv", 'id\trequirement\nroute\t"Route, or refuse, a ticket"\n'),
        ("r.yaml", YAML),
        ("r.YML", YAML),
    ],
)
def test_every_form_gives_the_same_values(tmp_path: Path, name: str, content: str | bytes) -> None:
    loaded = load(written(tmp_path, name, content))
    if name == "r.tsv":
        assert loaded == (Requirement(id="route", messages=ROUTE.messages),)
    else:
        assert loaded == (DIGEST, ROUTE)


def test_node_types_by_any_name_are_taken(tmp_path: Path) -> None:
    """Dify's own, those of the tools that a plan names, and other names in use."""
    row = {"requirement": "x", "related_nodes": ["trigger-webhook", "tts", "template", "variable-assigner"]}
    assert load(written(tmp_path, "r.jsonl", json.dumps(row)))[0].related_nodes == tuple(row["related_nodes"])


def test_plain_text_is_one_requirement_a_line(tmp_path: Path) -> None:
    """Empty lines and comments are no requirements; names come from the words, not from the position."""
    path = written(tmp_path, "r.txt", "# ours\nSummarise a report in five points\n\n  Route a ticket \n")
    first, second = load(path)
    assert first.messages == ("Summarise a report in five points",)
    assert re.fullmatch(r"summarise-a-report-in-five-points-[0-9a-f]{8}", first.id)
    assert second.messages == ("Route a ticket",)
    assert load(written(tmp_path, "s.txt", "Another\nRoute a ticket"))[1].id == second.id


def test_yaml_list_of_texts(tmp_path: Path) -> None:
    """A YAML list may hold bare texts."""
    assert load(written(tmp_path, "r.yml", "- Route a ticket\n"))[0].messages == ("Route a ticket",)


def test_a_node_type_that_is_not_known_may_be_a_plugins(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"requirement": "x", "related_nodes": ["llm", "house_weather"]}', encoding="utf-8")
    assert load(path)[0].related_nodes == ("llm", "house_weather")


@pytest.mark.parametrize(
    ("name", "content", "line", "problem"),
    [
        ("r.jsonl", "", None, "empty"),
        ("r.jsonl", " \n\n", None, "empty"),
        ("r.txt", "# nothing but a comment\n", None, "no requirement in it"),
        ("r.jsonl", b'{"id": 1}\n\x7fELF\x00\x01', 2, "binary"),
        ("r.jsonl", "a".encode("utf-16"), None, "UTF-16"),
        ("r.csv", "id,requirement\na,Größe".encode("latin-1"), 2, "not UTF-8"),
        ("r.docx", "text", None, "unknown kind of file"),
        ("r.jsonl", '{"requirement": "x"}\n{"requirement": ', 2, "not JSON"),
        ("r.jsonl", '{"requirement": "x"}\n[1]', 2, "neither a text nor an object"),
        (
            "r.jsonl",
            '{"id": "a", "requirement": "x"}\n\n{"id": "A", "requirement": "y"}',
            3,
            "stands on line 1 already",
        ),
        ("r.jsonl", '{"id": "a"}', 1, "'requirement' must be"),
        ("r.jsonl", '{"id": "a", "requirement": "\\ud800"}', 1, "half a character ('\\ud800')"),
        ("r.jsonl", '{"id": "\\ud800", "requirement": "x"}', 1, "half a character"),
        ("r.jsonl", '{"requirement": "x", "inputs": ["\\ud800"], "tags": {}}', 1, "half a character"),
        ("r.jsonl", '{"requirement": "x", "tags": {"a": "\\ud800"}}', 1, "half a character"),
        ("r.jsonl", '{"id": "a", "requirement": ["x", ""]}', 1, "'requirement' must be"),
        ("r.jsonl", '{"id": "a", "requirement": "x", "ouputs": ["y"]}', 1, "Did you mean 'outputs'"),
        ("r.jsonl", '{"id": "a", "requirement": "x", "zzz": 1}', 1, "put it into 'tags'"),
        (
            "r.jsonl",
            '{"id": "a", "requirement": "x", "inputs": "a b" , "outputs": 3}',
            1,
            "'outputs' must be a list of names",
        ),
        ("r.jsonl", '{"id": "a", "requirement": "x", "outputs": ["y", ["z"]]}', 1, "'outputs' must be a list of names"),
        ("r.jsonl", '{"id": "a", "requirement": "x", "inputs": [1]}', 1, "'inputs' must be a list of names"),
        ("r.jsonl", '{"id": true, "requirement": "x"}', 1, "'id' must be"),
        ("r.jsonl", '{"id": "a", "requirement": "x", "tags": {"a": [1]}}', 1, "'tags' must be"),
        ("r.jsonl", '"x"\n{"requirement": "y", "related_nodes": ["llm", "llmm"]}', 2, "Did you mean 'llm'?"),
        ("r.csv", "requirement,related_nodes\nx,HTTP_Request\n", 2, "Did you mean 'http-request'?"),
        ("r.csv", 'id,requirement\na,"x\ny"\nb,z,extra\n', 4, "3 cells"),
        ("r.csv", "id,text\na,x\n", 1, "no column 'requirement'"),
        ("r.csv", "id,id,requirement\na,b,x\n", 1, "stands twice"),
        ("r.csv", 'id,requirement\na,"x" y\n', 2, "not CSV"),
        ("r.csv", "id,requirement,tags\na,x,team\n", 2, "not name=value"),
        ("r.yaml", "- a\n- b: [\n", 3, "not YAML"),
        ("r.yaml", "id: a\n", 1, "one list"),
        ("r.yaml", "- a\n- !!python/object:os.system {}\n", 2, "not plain YAML"),
    ],
)
def test_bad_files_are_explained(
    tmp_path: Path, name: str, content: str | bytes, line: int | None, problem: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(UsageError, match=re.escape(problem)) as caught:
        load(path)
    assert str(path) in str(caught.value)
    if line is not None:
        assert f"line {line}:" in str(caught.value)


@pytest.mark.parametrize(
    "item_id",
    [
        *(
            "../a",
            "a/b",
            "/etc/passwd",
            "..",
            ".hidden",
            "a.",
            "a\\b",
            "c:a",
            "a\nb",
            "a\0b",
            "CON",
            "nul.txt",
            "-rf",
            "x" * 121,
        ),
        *("a*b", "what?", "ä" * 61),
    ],
)
def test_ids_that_cannot_name_a_file_are_refused(tmp_path: Path, item_id: str) -> None:
    path = written(tmp_path, "r.jsonl", json.dumps({"id": item_id, "requirement": "x"}))
    with pytest.raises(UsageError, match=r"line 1: id .* cannot name a file"):
        load(path)


@pytest.mark.parametrize(
    ("item_id", "name"), [("a.b-c_1", "a.b-c_1"), (7, "7"), ("论文 1", "论文 1"), ("e\u0301", "é")]
)
def test_ids_that_can_name_a_file_are_kept(tmp_path: Path, item_id: object, name: str) -> None:
    path = written(tmp_path, "r.jsonl", json.dumps({"id": item_id, "requirement": "x"}))
    assert load(path)[0].id == name


@pytest.mark.parametrize("row", ['{"id": "é", "requirement": "x"}', '"Größe"'])
def test_a_locale_without_such_file_names_is_told(tmp_path: Path, row: str) -> None:
    """Python takes UTF-8 unless somebody insists on something else."""
    path = written(tmp_path, "r.jsonl", row)
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", "import sys; from dslkit.batch import load; load(sys.argv[1])", str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "set PYTHONUTF8=1" in done.stderr


def test_all_bad_rows_are_listed(tmp_path: Path) -> None:
    """One pass tells everything, ten lines of it at most."""
    path = written(tmp_path, "r.jsonl", '{"id": "a"}\n' * 12)
    with pytest.raises(UsageError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:11]] == [f"line {n}" for n in range(1, 11)]
    assert lines[11].strip() == "… and 2 more"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(UsageError, match=r"cannot be read|no requirement file"):
            load(path)


def test_a_cell_that_begins_like_json_may_be_text(tmp_path: Path) -> None:
    for text in ("[urgent] route tickets", "[" * 100_000):
        path = written(tmp_path, "r.csv", f"id,requirement\na,{text}\n")
        assert load(path)[0].messages == (text,)


def test_equal_texts_without_ids_are_numbered(tmp_path: Path) -> None:
    """Each gets a file of its own, also where another took the number."""
    first = load(written(tmp_path, "r.txt", "Route"))[0].id
    assert [each.id for each in load(written(tmp_path, "r.txt", "Route\nRoute\nRoute"))] == [
        first,
        f"{first}-2",
        f"{first}-3",
    ]
    rows = "\n".join(json.dumps(row) for row in ({"id": f"{first}-2", "requirement": "x"}, "Route", "Route"))
    assert [each.id for each in load(written(tmp_path, "r.jsonl", rows))] == [f"{first}-2", first, f"{first}-3"]


@given(st.text(min_size=1).filter(str.strip))
def test_any_text_gets_a_portable_name(text: str) -> None:
    """A name made from words passes the rules for given ids."""
    made = from_text(text)
    assert requirements._portable(made.id) == made.id


@pytest.mark.parametrize(("text", "item_id"), [("", None), ("  ", None), ("x", "../x"), ("\ud800", None)])
def test_from_text_refuses(text: str, item_id: str | None) -> None:
    with pytest.raises(UsageError):
        from_text(text, item_id=item_id)


def test_json_is_one_object_or_a_list_of_them(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in JSONL.splitlines() if line.strip()]
    assert load(written(tmp_path, "all.json", json.dumps(rows, indent=2))) == (DIGEST, ROUTE)
    assert load(written(tmp_path, "one.json", json.dumps(rows[1]))) == (ROUTE,)
    with pytest.raises(UsageError, match=r"line 2: 'requirement' must be"):
        load(written(tmp_path, "bad.json", '[{"requirement": "x"},\n {"id": "a"}]'))
    with pytest.raises(UsageError, match=r"line 2: not JSON"):
        load(written(tmp_path, "bad.json", '[{"requirement": "x"},\n'))


def test_a_folder_gives_its_requirements_file(tmp_path: Path) -> None:
    """What else a benchmark ships (answers, a licence) is none of its tasks."""
    (tmp_path / "replies").mkdir()
    written(tmp_path, "requirements.jsonl", JSONL)
    written(tmp_path, "replies/model.jsonl", '{"workflow": "…"}')
    written(tmp_path, "LICENSE.txt", "Permission is hereby granted")
    assert load(tmp_path) == (DIGEST, ROUTE)


def test_a_folder_without_one_gives_all_files_below(tmp_path: Path) -> None:
    """One file a task, in folders; each complaint names its file."""
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    written(tmp_path, "b/route.json", '{"id": "2", "requirement": "Route a ticket", "complexity": "high"}')
    written(tmp_path, "a.yaml", "- {id: 1, requirement: Summarise}")
    written(tmp_path, ".git/x.json", "{}")
    assert [(each.id, dict(each.tags)) for each in load(tmp_path)] == [("1", {}), ("2", {"complexity": "high"})]
    written(tmp_path, "c.jsonl", '{"id": "2", "requirement": "Route another"}')
    with pytest.raises(UsageError, match=r"c\.jsonl, line 1: id '2' stands on b/route\.json, line 1 already"):
        load(tmp_path)


def test_a_folder_without_requirements_is_told(tmp_path: Path) -> None:
    written(tmp_path, "notes.txt", "nothing")
    with pytest.raises(UsageError, match=r"no requirement file .*\.csv"):
        load(tmp_path)
