"""Workflow patterns: each one shipped runs; search, add and delete work, for many processes and on a read-only home."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from dslkit.dify.engine import Engine
from dslkit.dify.workflow import Workflow
from dslkit.errors import UsageError
from dslkit.knowledge import Knowledge, Pattern, shipped_patterns
from dslkit.knowledge.index import KEPT_INDEXES
from dslkit.knowledge.patterns import ID_FORM, dump, parse

if TYPE_CHECKING:
    from pathlib import Path

PLAN = {
    "nodes_info": [
        {"id": "1", "type": "start", "param": {"variables": [["star", "string"]]}},
        {"id": "2", "type": "end", "param": {"outputs": [["star", ["star", "1"]]]}},
    ],
    "edges": [["1", 0, "2"]],
}
HOROSCOPE = Pattern(id="horoscope", title="Write a horoscope", description="Zodiac signs and fortune.", plan=PLAN)
BY_ID = pytest.mark.parametrize("pattern", shipped_patterns(), ids=lambda pattern: pattern.id)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def knowledge(home):
    opened = Knowledge(home)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shipped_only(tmp_path_factory):
    """For tests that only search: one index for all."""
    opened = Knowledge(tmp_path_factory.mktemp("knowledge"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def engine():
    found = Engine.find(os.environ.get("DSLKIT_ENGINE_PYTHON"))
    if found is None:
        pytest.skip("Dify's engine is not installed: dslkit engine install")
    with found:
        yield found


def workflow_of(pattern):
    return Workflow.from_reply(json.dumps(dict(pattern.plan)), name=pattern.title, mode=pattern.mode)


# ---- the shipped patterns --------------------------------------------------------------------------------------------


@BY_ID
def test_shipped_pattern_has_nothing_to_mend(pattern):
    workflow = workflow_of(pattern)
    assert (workflow.findings, workflow.repairs) == ((), ())
    assert ID_FORM.fullmatch(pattern.id)
    assert (resources.files("dslkit.knowledge") / "shipped" / f"{pattern.id}.yml").is_file()
    assert pattern.tags
    assert all(node.get("title") for node in pattern.nodes)


@pytest.mark.engine
@BY_ID
def test_shipped_pattern_runs(pattern, engine):
    run = engine.run(workflow_of(pattern).document)
    assert (run.status, run.findings) == ("ran", ())


@BY_ID
def test_code_of_a_pattern_is_what_it_declares(pattern):
    """Run here: it is our own.  Each main takes its variables and returns its outputs."""
    for node in pattern.nodes:
        if node["type"] == "code":
            names = {}
            exec(node["param"]["code"], names)  # ours, from the package
            texts = [CODE_INPUTS.get(name, "text") for name, _ in node["param"]["variables"]]
            assert set(names["main"](*texts)) == {name for name, _ in node["param"]["outputs"]}


CODE_INPUTS = {"repository": "https://github.com/o/r.git", "program": "result = case_input", "html": "<p>a</p>"}


def test_there_are_patterns_for_most_node_types():
    types = {kind for pattern in shipped_patterns() for kind in pattern.node_types}
    assert len(shipped_patterns()) >= 18
    assert {"iteration", "question-classifier", "if-else", "http-request", "code", "tts", "answer"} <= types
    assert {pattern.mode for pattern in shipped_patterns()} == {"workflow", "advanced-chat"}


@pytest.mark.parametrize(
    ("node", "arguments", "expected"),
    [
        (
            "Readable text of the web page",
            ["<style>x</style><p>Tea &amp; rice</p>\n<p>b</p>"],
            {"text": "Tea & rice\nb"},
        ),
        ("Main text of an article page", ["<nav>n</nav><article>a <b>b</b></article><p>c</p>"], {"text": "a b"}),
        ("Sums by label for a chart", ["a;b;a", "1;-2 euros;1,003.5"], {"labels": "a;b", "numbers": "1004.5;-2"}),
        (
            "Sums by quarter, a period of time",
            ["2024-04-01;2024-02-03;2024-03-31", "1;2;3"],
            {"quarters": "2024 Q1;2024 Q2", "sums": "5;1"},
        ),
        ("Drop empty and duplicate rows", ["a, b\n\na,b\nc,d"], {"cleaned": "a,b\nc,d"}),
        ("Run a Python program on an input", ["```python\nresult = case_input * 2\n```", "ab"], {"result": "abab"}),
        ("Run a Python program", ["print(1 / 0)"], {"result": "ZeroDivisionError: division by zero"}),
        (
            "Calculate count, sum and average of the numbers",
            ['{"a": 1, "b": -2.5, "c": "v3"}'],
            {"statistics": "count 2, sum -1.5, average -0.75, lowest -2.5, highest 1"},
        ),
    ],
)
def test_code_of_patterns_computes_what_its_title_says(node, arguments, expected):
    code = {n["title"]: n["param"]["code"] for p in shipped_patterns() for n in p.nodes if n["type"] == "code"}[node]
    names = {}
    exec(code, names)  # ours, from the package
    assert names["main"](*arguments) == expected


# ---- search ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Draw a pie chart of the sales in an Excel file", "chart-from-spreadsheet"),
        ("Read the fields of an invoice in a photo", "fields-from-image"),
        ("Explain a GitHub repository", "github-project"),
        ("Sort customer messages by intent and reply", "route-by-intent"),
        ("Make a podcast", "read-aloud"),
        ("Check a contract for risks", "review-document-to-pdf"),
        ("Search the web for news", "web-research"),
        ("Summarise many documents one after the other", "batch-documents"),
    ],
)
def test_search_finds_the_fitting_pattern(shipped_only, text, expected):
    matches = shipped_only.search(text, 3)
    assert expected in [match.pattern.id for match in matches]
    assert [match.score for match in matches] == sorted((match.score for match in matches), reverse=True)


@pytest.mark.parametrize(
    ("text", "limit", "count"), [("tea", 2, 2), ("tea", 10_000, len(shipped_patterns())), ("tea", 0, 0), (" ", 5, 0)]
)
def test_search_limits(shipped_only, text, limit, count):
    assert len(shipped_only.search(text, limit)) == count


def test_recommendations_bring_something_new_each(shipped_only):
    """The second best that has no other node types than the best is not worth reading."""
    matches = shipped_only.recommend("Read an Excel file, sum the profit by quarter and draw a line chart")
    seen = set()
    for match in matches:
        assert set(match.pattern.node_types) - seen
        seen |= set(match.pattern.node_types)
    assert 1 <= len(matches) <= 3
    assert shipped_only.recommend("xyzzy plugh") == ()


# ---- the user's own patterns -----------------------------------------------------------------------------------------


def test_added_pattern_is_found_kept_and_deleted(knowledge, home):
    path = knowledge.add(HOROSCOPE)
    assert path == home / "patterns" / "horoscope.yml"
    assert knowledge.search("horoscope of a zodiac sign", 1)[0].pattern == HOROSCOPE
    again = Knowledge(home)
    assert again.get("horoscope") == HOROSCOPE
    assert again.statistics()["user"] == 1
    again.delete("horoscope")
    with pytest.raises(UsageError, match="no pattern 'horoscope'"):
        again.get("horoscope")
    assert "horoscope" not in [match.pattern.id for match in knowledge.search("horoscope of a zodiac sign", 30)]


def test_own_pattern_stands_before_a_shipped_one(knowledge):
    assert "hides the shipped pattern" in knowledge.behind("web-research")
    knowledge.add(Pattern(id="web-research", title="Mine", description="d", plan=PLAN))
    assert "replaces your own" in knowledge.behind("web-research")
    assert knowledge.behind("of-no-one") == ""
    assert knowledge.get("web-research").title == "Mine"
    assert knowledge.statistics()["total"] == len(shipped_patterns())
    knowledge.delete("web-research")
    assert knowledge.get("web-research").title != "Mine"


def test_a_pattern_lies_in_a_file_of_any_name(knowledge, home):
    other = knowledge.add(HOROSCOPE).rename(home / "patterns" / "Mine.yaml")
    (home / "patterns" / ".hidden.yml").write_text("no pattern")
    assert Knowledge(home).get("horoscope") == HOROSCOPE
    knowledge.add(HOROSCOPE)
    assert not other.exists()
    (home / "patterns" / "horoscope.yml").rename(other)
    knowledge.delete("horoscope")
    assert not other.exists()


def test_statistics_count_patterns(shipped_only):
    statistics = shipped_only.statistics()
    assert (statistics["total"], statistics["shipped"], statistics["user"]) == (
        len(shipped_patterns()),
        len(shipped_patterns()),
        0,
    )
    assert statistics["by_node_type"]["start"] == len(shipped_patterns())
    assert "wordllama" in statistics["embedding"]


@pytest.mark.parametrize(
    ("pattern_id", "said"), [("web-research", "ships with dslkit"), ("unknown", "no pattern"), ("../x", "cannot be")]
)
def test_what_cannot_be_deleted(knowledge, pattern_id, said):
    with pytest.raises(UsageError, match=said):
        knowledge.delete(pattern_id)


@pytest.mark.parametrize("pattern_id", ["", "Upper", "a b", "../escape", "-a", "a" * 81, "a/b", "ä"])
def test_ids_that_are_no_file_names_are_refused(knowledge, home, pattern_id):
    with pytest.raises(UsageError, match="cannot be a pattern's id"):
        knowledge.add(Pattern(id=pattern_id, title="t", description="d", plan=PLAN))
    assert not home.exists()


@pytest.mark.parametrize("plan", [{}, {"nodes_info": [], "edges": []}, {"nodes_info": [{"id": "1"}], "edges": []}])
def test_a_pattern_without_a_plan_is_refused(knowledge, home, plan):
    with pytest.raises(UsageError, match="plan"):
        knowledge.add(Pattern(id="p", title="t", description="d", plan=plan))
    assert not (home / "patterns" / "p.yml").exists()


@pytest.mark.parametrize(
    "content", [b"a: [", b"\xff\xfe", b"", b"- 1", b"id: x", b"!!python/object/apply:os.getcwd []"]
)
def test_a_broken_file_is_named(knowledge, home, content):
    (home / "patterns").mkdir(parents=True)
    (home / "patterns" / "broken.yml").write_bytes(content)
    with pytest.raises(UsageError, match=r"broken\.yml"):
        knowledge.list()


@BY_ID
def test_a_pattern_survives_its_file(pattern):
    assert parse(dump(pattern), "x") == pattern


# ---- the index -------------------------------------------------------------------------------------------------------


def fingerprints(folder: Path):
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_built_index_is_never_modified(home):
    first = Knowledge(home)
    found = first.search("chart", 3)
    before = fingerprints(home / "knowledge")
    assert before
    second = Knowledge(home)
    assert second.search("chart", 3) == found
    first.close()
    second.close()
    assert fingerprints(home / "knowledge") == before


def test_old_indexes_are_pruned(home):
    knowledge = Knowledge(home)
    for number in range(KEPT_INDEXES + 2):
        knowledge.add(Pattern(id=f"p{number}", title="t", description="d", plan=PLAN))
        knowledge.search("t", 1)
    knowledge.close()
    assert len(list((home / "knowledge").iterdir())) == KEPT_INDEXES


def test_a_home_that_cannot_be_written_can_be_searched(tmp_path):
    """Below a file no folder can be made, whoever runs the test."""
    (tmp_path / "file").write_text("")
    knowledge = Knowledge(tmp_path / "file" / "home")
    assert knowledge.search("chart", 1)[0].pattern.id == "chart-from-spreadsheet"
    knowledge.close()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The temporary folder, which is ours alone."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def test_nothing_is_left_in_the_temporary_folder(home, temporary):
    knowledge = Knowledge(home)
    knowledge.search("chart", 1)
    assert list(temporary.iterdir())
    knowledge.close()
    assert not list(temporary.iterdir())


LEFT_BEHIND = """
import os, signal, sys
from pathlib import Path
from dslkit.knowledge import Knowledge, index
if sys.argv[2] == "while building":
    index._prune = lambda cached: os.kill(os.getpid(), signal.SIGKILL)
knowledge = Knowledge(sys.argv[1])
knowledge.search("chart", 1)
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def search_and_stay(home, temporary):
    """Starts a process with an index of this home, which lives until it is killed."""
    processes = []

    def start(when=""):
        process = subprocess.Popen(
            [sys.executable, "-c", LEFT_BEHIND, str(home), when],
            env={**os.environ, "TMPDIR": str(temporary)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        processes.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_what_the_killed_leave_is_removed_and_what_the_living_use_stays(home, tmp_path, temporary, search_and_stay):
    """Also what one left in the home that was killed while it put its index in place; a stranger's stays."""
    search_and_stay("while building").wait(timeout=60)
    assert list((home / "knowledge").glob(".building-*"))
    (killed,) = temporary.iterdir()
    search_and_stay()
    assert not killed.exists()
    (used,) = temporary.iterdir()
    (temporary / "dslkit-index-strange" / "index").mkdir(parents=True)
    next((home / "knowledge").glob("[!.]*")).rename(tmp_path / "elsewhere")  # so that it is built anew
    knowledge = Knowledge(home)
    knowledge.search("chart", 1)
    knowledge.close()
    assert {path.name for path in temporary.iterdir()} == {used.name, "dslkit-index-strange"}
    assert (used / "index").is_dir()
    assert not list((home / "knowledge").glob(".building-*"))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_filesystem_without_locks(home, temporary, monkeypatch, number):
    """Search goes on, and what may belong to somebody is let be."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    first, second = Knowledge(home), Knowledge(home)
    for knowledge in (first, second, first):
        assert knowledge.search("chart", 1)
    assert len(list(temporary.iterdir())) == 2
    first.close()
    second.close()
    assert not list(temporary.iterdir())


CUT_SHORT = """
import os, signal, sys
from dslkit.knowledge import Knowledge
knowledge = Knowledge(sys.argv[1])
knowledge.search("chart", 1)
left = int(sys.argv[2])
def count(event, _):
    global left
    if event in {"os.remove", "os.rmdir"}:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
knowledge.close()
"""


@pytest.mark.parametrize("removed", [0, 1, 6, 7, 8])
def test_a_removal_cut_short_is_taken_up(home, temporary, removed):
    """Killed after so many of the copy's files and folders are gone."""
    Knowledge(home).search("chart", 1)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    ran = subprocess.run([sys.executable, "-c", CUT_SHORT, str(home), str(removed)], env=environment, check=False)
    assert ran.returncode == -signal.SIGKILL
    assert list(temporary.iterdir())
    knowledge = Knowledge(home)
    knowledge.search("chart", 1)
    knowledge.close()
    assert not list(temporary.iterdir())


def test_an_empty_folder_is_removed(home, temporary):
    """Left by a process that was killed as soon as it had made the folder."""
    (temporary / "dslkit-index-empty").mkdir()
    knowledge = Knowledge(home)
    knowledge.search("chart", 1)
    knowledge.close()
    assert not list(temporary.iterdir())


def test_the_root_logger_is_left_alone():
    """Also by threads that load it at once; in a process of its own: here pytest has handlers on it already."""
    code = (
        "import logging, threading, dslkit.knowledge.embedding as e;"
        "all_ = [threading.Thread(target=e.WordLlamaEmbedding) for _ in range(4)];"
        "[each.start() for each in all_]; [each.join() for each in all_];"
        "print(logging.getLogger().handlers, logging.getLogger().level == logging.WARNING)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[] True\n"


SEARCH = """
import sys
from dslkit.knowledge import Knowledge
knowledge = Knowledge(sys.argv[1])
print([match.pattern.id for match in knowledge.search("draw a chart", 3)])
knowledge.close()
"""


def test_several_processes_build_and_read_at_once(home):
    """All see the same, and exactly one index is left."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SEARCH, str(home)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    results = [process.communicate(timeout=180) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert len({output for output, _ in results}) == 1
    assert len(list((home / "knowledge").iterdir())) == 1


def test_patterns_load_without_chroma():
    """The offline author reads patterns at every start; Chroma takes a second and a half."""
    code = "import sys, dslkit.knowledge.patterns as p; p.shipped_patterns(); print('chromadb' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
