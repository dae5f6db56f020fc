"""batch and generate: what they print, how they end, what they refuse."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from dslkit.ledger import Ledger

if TYPE_CHECKING:
    from conftest import Dslkit

WISHES = """\
{"id": "b", "requirement": "Sum up an input (variable text). Return the result (variable gist).", "outputs": ["gist"]}
{"id": "a", "requirement": "Translate a text (variable text) and return it (variable translation)."}
"""
DIRECT = ("--no-engine", "--no-notebook", "--no-report")


@pytest.fixture
def wishes(tmp_path: Path) -> str:
    path = tmp_path / "wishes.jsonl"
    path.write_text(WISHES)
    return str(path)


def test_batch(dslkit: Dslkit, wishes: str) -> None:
    """A table in the order of the file and a line that sums it up; a second run is free."""
    done = dslkit("batch", wishes, "--out", "flows", *DIRECT)
    assert done.code == 0
    lines = done.out.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["b", "clean", "not"], ["a", "clean", "not"]]
    assert re.match(r"2 items: 2 clean, 1 of 1 with exact names; 2 calls, [\d,]+ tokens, \$0", lines[3])
    assert {path.name for path in Path("flows").iterdir()} == {"a.yml", "b.yml"}
    again = dslkit("batch", wishes, "--out", "flows", *DIRECT)
    assert "2 of them reused" in again.out
    assert "; 0 calls, 0 tokens" in again.out


def test_a_long_batch_shows_what_is_unfinished_and_how_to_see_the_rest(
    dslkit: Dslkit, wishes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts are of all items."""
    monkeypatch.setattr("dslkit.cli.items.MOST_SHOWN", 1)
    Path("flows/a.yml").mkdir(parents=True)
    done = dslkit("batch", wishes, "--out", "flows", *DIRECT)
    assert done.code == 1
    _, only, total = done.out.splitlines()
    assert only.split()[:2] == ["a", "failed"]
    assert total.startswith("2 items: 1 clean, 1 failed, 1 of 1 with exact names; 2 calls")
    assert "a: [Errno" in done.err
    told = re.search(r'1 more item is not listed; .*: dslkit sql "(.*)"', done.err)
    assert told is not None
    assert {"a", "b"} <= set(dslkit("sql", told[1]).out.split())


@pytest.mark.engine
def test_a_run_that_found_its_items_better_has_its_own_report(dslkit: Dslkit, wishes: str) -> None:
    first = dslkit("batch", wishes, "--no-notebook", "--no-engine")
    second = dslkit("batch", wishes, "--no-notebook")
    third = dslkit("batch", wishes, "--no-notebook")
    assert ["2 clean" in first.out, "2 working, 2 of them reused" in second.out] == [True, True]
    reports = [re.search(r"report (\S+)", done.out)[1] for done in (first, second, third)]  # type: ignore[index]
    assert reports[0] != reports[1]
    assert "2 of 2 workflows work" in Path(reports[1]).read_text(encoding="utf-8")
    assert "2 of 2 workflows work" in Path(reports[2]).read_text(encoding="utf-8")


def test_a_long_batch_without_anything_unfinished_is_told_by_its_count(
    dslkit: Dslkit, wishes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dslkit.cli.items.MOST_SHOWN", 1)
    done = dslkit("batch", wishes, *DIRECT)
    (total,) = done.out.splitlines()
    assert total.startswith("2 items: 2 clean")
    assert "\n2 items are not listed; all are in the ledger" in f"\n{done.err}"


@pytest.mark.parametrize("there", [True, False])
def test_a_run_that_did_nothing_names_the_report_of_the_one_that_did(
    dslkit: Dslkit, wishes: str, monkeypatch: pytest.MonkeyPatch, *, there: bool
) -> None:
    """Unless that is gone: then it writes its own (what is in a report is tested with the reports)."""
    monkeypatch.setattr("dslkit.report.write", lambda home, output, run: f"written {output}", raising=False)
    assert dslkit("batch", wishes, *DIRECT).code == 0
    home = Ledger(os.environ["DSLKIT_HOME"])
    ((first,),) = home.sql("SELECT run_id FROM runs").fetchall()
    if there:
        Path("reports").mkdir()
        Path("reports", f"{first}.html").write_text("report")
    done = dslkit("batch", wishes, "--no-engine", "--no-notebook")
    ((second,),) = home.sql("SELECT run_id FROM runs ORDER BY started_at DESC LIMIT 1").fetchall()
    said = f"report reports/{first}.html" if there else f"report written reports/{second}.html"
    assert done.out.splitlines()[-1] == said


def test_batch_through_the_notebook(dslkit: Dslkit, wishes: str) -> None:
    """The same, in a kernel, recorded as the notebook's run, and kept."""
    done = dslkit("batch", wishes, "--out", "flows", "--no-engine", "--no-report")
    assert (done.code, "2 items: 2 clean" in done.out) == (0, True), done.out + done.err
    assert {path.name for path in Path("flows").iterdir()} == {"a.yml", "b.yml"}
    runs = Ledger(os.environ["DSLKIT_HOME"]).sql("SELECT parse_filename(notebook), status FROM runs").fetchall()
    assert runs == [("generate_batch.ipynb", "completed")]
    copy = re.search(r"notebook (\S+)", done.err)
    assert copy is not None
    assert Path(copy[1]).is_file()


@pytest.mark.parametrize("choice", [(), ("--no-notebook",)])
@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143)])
def test_a_stopped_batch_says_how_to_go_on(
    dslkit: Dslkit, wishes: str, monkeypatch: pytest.MonkeyPatch, choice: tuple[str, ...], stop: BaseException
) -> None:
    def interrupted(*_: object, **__: object) -> object:
        raise stop

    monkeypatch.setattr("dslkit.batch.many.generate_batch", interrupted)
    monkeypatch.setattr("dslkit.notebooks.run", interrupted)
    done = dslkit("batch", wishes, *choice)
    assert done.code == (143 if isinstance(stop, SystemExit) else 130)
    assert "the same command goes on from here" in done.err


def test_edit(dslkit: Dslkit) -> None:
    """The change goes where it is told; the file stays as it was, and a file without a workflow is refused."""
    words = ("generate", "Translate a text (variable text) and return it (variable translation).", "--no-engine")
    assert dslkit(*words, "-o", "t.yml").code == 0
    before = Path("t.yml").read_text()
    change = "Also return the number of words (variable words)."
    done = dslkit("edit", "t.yml", change, "--no-engine", "-o", "changed.yml")
    assert (done.code, done.out) == (0, ""), done.err
    assert Path("t.yml").read_text() == before
    changed = yaml.safe_load(Path("changed.yml").read_text())
    assert changed["app"]["name"] == "t"
    assert "words" in Path("changed.yml").read_text()
    assert yaml.safe_load(dslkit("edit", "t.yml", change, "--no-engine").out)["app"] == changed["app"]
    Path("none.yml").write_text("app: {name: x}\nkind: app\n")
    assert dslkit("edit", "none.yml", change).code == 2


def test_a_failed_item_is_told_and_makes_the_exit_code(dslkit: Dslkit, wishes: str) -> None:
    Path("flows/a.yml").mkdir(parents=True)
    done = dslkit("batch", wishes, "--out", "flows", *DIRECT)
    assert done.code == 1
    assert "1 clean, 1 failed" in done.out
    assert "a: " in done.err
    assert "Is a directory" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "the file is empty"),
        ('{"id": "../x", "requirement": "y"}', "line 1: id '../x' cannot name a file"),
        ('{"id": "x", "requirement": "y", "ouputs": []}', "line 1: unknown column 'ouputs'"),
        ('{"id": "x", "requirement": "y"}\n{"id": "x", "requirement": "y"}', "line 2: id 'x' stands on line 1"),
    ],
)
def test_bad_requirements_end_in_2(dslkit: Dslkit, tmp_path: Path, content: str, problem: str) -> None:
    """Before anything is started or written."""
    file = tmp_path / "r.jsonl"
    file.write_text(content)
    done = dslkit("batch", str(file), "--out", "flows")
    assert done.code == 2
    assert problem in done.err
    assert not Path("flows").exists()
    assert not Path(os.environ["DSLKIT_HOME"]).exists()


@pytest.mark.parametrize("verb", [("batch", "WISHES"), ("generate", "Translate a text")])
def test_a_real_model_needs_a_key(dslkit: Dslkit, wishes: str, verb: tuple[str, str]) -> None:
    words = [wishes if word == "WISHES" else word for word in verb]
    done = dslkit(*words, "--model", "gpt-4o-mini")
    assert done.code == 2
    assert "OPENAI_API_KEY" in done.err
    assert "--model offline" in done.err


def test_wrong_settings_end_in_2_without_their_value(
    dslkit: Dslkit, wishes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSLKIT_CONCURRENCY", "hunter2")
    done = dslkit("batch", wishes)
    assert done.code == 2
    assert "DSLKIT_CONCURRENCY" in done.err
    assert "hunter2" not in done.err


def test_unknown_options_end_in_2(dslkit: Dslkit, wishes: str) -> None:
    assert dslkit("batch", wishes, "--mode", "clever").code == 2
    assert dslkit("batch", wishes, "--concurrency", "0").code == 2


def test_generate_to_a_file_and_to_standard_output(dslkit: Dslkit) -> None:
    words = ("generate", "Translate a text (variable text) and return it (variable translation).", "--no-engine")
    done = dslkit(*words, "-o", "t.yml")
    assert done.code == 0
    assert done.out == ""
    assert "clean, engine not run; " in done.err
    app = yaml.safe_load(Path("t.yml").read_text())
    assert app["app"]["name"] == "t"
    shown = yaml.safe_load(dslkit(*words).out)
    assert shown["workflow"] == app["workflow"]
