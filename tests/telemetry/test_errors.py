"""Errors as a Sentry server on loopback receives them, envelope and all."""

from __future__ import annotations

import gzip
import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from dslkit import notebooks
from dslkit.cli import main
from dslkit.dify.workflow import Workflow
from dslkit.errors import BudgetError, LedgerError
from dslkit.knowledge import shipped_patterns
from dslkit.ledger import Ledger
from dslkit.telemetry import errors as room
from dslkit.telemetry.errors import Reporter
from tests.analysis.receivers import Received, receiving
from tests.telemetry.test_traces import RUN, item

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
PROMPT = "the prompt that nobody may see"


@pytest.fixture
def server() -> Iterator[Received]:
    with receiving() as server:
        yield server


def dsn(server: Received) -> str:
    return f"{server.url.replace('http://', 'http://public@')}/7"


def events(server: Received) -> list[dict[str, Any]]:
    """The events in the envelopes that came: each a header line, then items of a header line and a payload."""
    found = []
    for body, headers in zip(server.bodies, server.headers, strict=True):
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        lines = plain.split(b"\n")[1:]
        found += [
            json.loads(payload) for head, payload in zip(lines[::2], lines[1::2], strict=False) if b'"event"' in head
        ]
    return found


def broken(prompt: str, key: str) -> None:
    """Fails with all that must not leave: in a message, in a local variable, in the line of code itself."""
    answer = f"{prompt} {key}"
    raise ValueError(f"cannot parse {answer} the prompt that nobody may see")


def test_a_crash_says_where_and_what_kind_and_nothing_that_was_said(server: Received) -> None:
    try:
        broken(PROMPT, KEY)
    except ValueError as error:
        Reporter(dsn(server)).crash(error, run="r1", token=f"Bearer {KEY}")
    (event,) = events(server)
    (told,) = event["exception"]["values"]
    assert (told["type"], told["stacktrace"]["frames"][-1]["function"]) == ("ValueError", "broken")
    assert set(told) == {"type", "stacktrace"}
    assert event["tags"] == {"run": "r1", "token": "[removed]"}
    assert server.paths == ["/api/7/envelope/"]
    whole = json.dumps(event)
    assert not [word for word in (PROMPT, KEY, "cannot parse", "answer") if word in whole]


def test_our_own_words_are_told_without_keys(server: Received) -> None:
    Reporter(dsn(server)).crash(BudgetError(f"The budget of $2 is spent. {KEY}"))
    assert events(server)[0]["exception"]["values"][0]["value"] == "The budget of $2 is spent. [removed]"


def test_a_failed_run_is_one_event_and_each_kind_of_failed_item_another(server: Received, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for name, kind in (("a", "AccountError"), ("b", "AccountError"), ("c", "APITimeoutError")):
        item(tmp_path, name, 50, verdict="failed", error_type=kind, error_message=PROMPT)
    item(tmp_path, "d", 50, verdict="errors")
    failed = replace(RUN, status="failed", error_type="DeadKernelError", error_message=PROMPT, parameters={"x": PROMPT})
    ledger.recorder().run(failed)
    ledger.recorder().run(replace(failed, run_id="other", error_type="UsageError"))
    reporter = Reporter(dsn(server))
    reporter.run(ledger.snapshot(), "r1")
    reporter.run(ledger.snapshot(), "other")
    told = [(event["exception"]["values"][0]["type"], event["tags"].get("failed_items")) for event in events(server)]
    assert told == [("DeadKernelError", None), ("APITimeoutError", "1"), ("AccountError", "2")]
    assert events(server)[0]["tags"] == {"run": "r1", "notebook": "generate_batch.ipynb"}
    assert PROMPT not in json.dumps(events(server))


def test_a_failed_notebook_is_told(server: Received, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = {"cell_type": "code", "metadata": {}, "source": f"1 / 0  # {PROMPT}", "outputs": [], "execution_count": None}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [cell | {"id": "a"}], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "wrong.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    monkeypatch.setenv("SENTRY_DSN", dsn(server))
    assert run_cli(monkeypatch, "run", "wrong.ipynb") == 1
    (event,) = events(server)
    assert event["exception"]["values"] == [{"type": "ZeroDivisionError"}]
    assert event["tags"]["notebook"] == "wrong.ipynb"


def test_a_crash_of_the_command_line_is_told(server: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_arguments: object, **_values: object) -> None:
        raise RuntimeError(PROMPT)

    monkeypatch.setenv("SENTRY_DSN", dsn(server))
    monkeypatch.setattr(Ledger, "usage", crash)
    with pytest.raises(RuntimeError):
        run_cli(monkeypatch, "usage")
    assert events(server)[0]["exception"]["values"][0]["type"] == "RuntimeError"


def test_a_mistake_of_the_caller_is_not_told(server: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTRY_DSN", dsn(server))
    assert run_cli(monkeypatch, "sql", "SELECT nonsense") == 2
    assert server.bodies == []


WORD = "heliotrope"  # stands in what must not leave, wherever that could be seen
VERBS = {
    "generate": ("generate", f"Answer a {WORD} (variable x).", "--model", "gpt-4o-mini"),
    "edit": ("edit", "draft.yml", f"Answer a {WORD} (variable x).", "--model", "gpt-4o-mini"),
    "batch": ("batch", f"{WORD}.txt", "--out", "out", "--model", "gpt-4o-mini", "--no-notebook", "--no-report"),
    "run": ("run", f"{WORD}.ipynb", "-p", "question", WORD),
}


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_that_was_said_leaves_whatever_fails(
    server: Received, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], verb: str
) -> None:
    """A model's server refuses with the words it was sent, key and all; or a notebook does, in its own words."""
    home = tmp_path / "home" / WORD
    home.mkdir(parents=True)
    monkeypatch.chdir(home)
    key = f"sk-{WORD}-abcdefghijklmnopqrstuvwxyz"
    (home / f"{WORD}.txt").write_text(f"Answer a {WORD} (variable x).\n", encoding="utf-8")
    (home / "draft.yml").write_text(_draft(), encoding="utf-8")
    failing = f'question = ""\nraise ValueError("{WORD}", question, "{key}")'
    (home / f"{WORD}.ipynb").write_text(_notebook(failing), encoding="utf-8")
    with receiving() as model:
        model.statuses = [400]
        model.answer = lambda body: json.dumps({"error": {"message": f"bad: {body!r} {key}"}}).encode()
        for name, value in {
            "SENTRY_DSN": dsn(server),
            "OPENAI_API_KEY": key,
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "DSLKIT_HOME": str(home / "ledger"),
            "PRIVATE_TOKEN": f"{WORD}-token",
        }.items():
            monkeypatch.setenv(name, value)
        assert run_cli(monkeypatch, *VERBS[verb]) == 1
    assert "Traceback" not in capfd.readouterr().err, "what a server refuses is no crash"
    (event,) = events(server)
    kinds = {one["type"] for one in event["exception"]["values"]}
    assert kinds & {"ValueError" if verb == "run" else "BadRequestError"}
    whole = json.dumps(event).replace(f"{WORD}.ipynb", "")  # the name of a notebook is told
    assert not [word for word in (WORD, str(tmp_path), key, "abcdefghij", os.environ["HOME"]) if word in whole]


def _draft() -> str:
    pattern = shipped_patterns()[0]
    return Workflow.from_reply(json.dumps(dict(pattern.plan)), name="draft", mode=pattern.mode).yaml


def _notebook(source: str) -> str:
    cell = {"cell_type": "code", "source": source, "outputs": [], "execution_count": None, "id": "a"}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [
        cell | {"metadata": {"tags": ["parameters"]}, "source": 'question = ""'},
        cell | {"metadata": {}, "id": "b"},
    ]
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


def test_an_error_of_ours_is_told_by_whatever_verb(server: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_values: object) -> None:
        raise LedgerError("/home/somebody/.dslkit cannot be read")

    monkeypatch.setenv("SENTRY_DSN", dsn(server))
    monkeypatch.setattr(Ledger, "usage", refuse)
    assert run_cli(monkeypatch, "usage") == 1
    (told,) = events(server)[0]["exception"]["values"]
    assert (told["type"], "value" in told) == ("LedgerError", False), "it names a path"
    assert events(server)[0]["release"].startswith("dslkit@")


def test_code_outside_packages_is_named_without_its_folder(server: Received, tmp_path: Path) -> None:
    script = tmp_path / "somebody" / "plain.py"
    try:
        exec(compile("1 / 0", script, "exec"), {"__name__": None})
    except ZeroDivisionError as error:
        Reporter(dsn(server)).crash(error)
    frames = events(server)[0]["exception"]["values"][0]["stacktrace"]["frames"]
    assert frames[-1]["filename"] == "plain.py"
    assert "somebody" not in json.dumps(events(server))


def run_cli(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["dslkit", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_a_server_that_is_gone_changes_nothing() -> None:
    with receiving() as server:
        pass
    Reporter(dsn(server)).failure("SomeError")


@pytest.mark.parametrize(
    "given", ["nonsense", "https://example.org/x", "https://key@host:port/1", "https://key@[host/1"]
)
def test_a_wrong_address_is_said_and_not_shown(given: str) -> None:
    heard: list[object] = []
    Reporter(given, heard.append).failure("SomeError")
    assert heard == [room.WRONG]


def test_a_wrong_address_is_said_once_by_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the work, and not again when that breaks."""

    def refuse(*_arguments: object, **_values: object) -> None:
        raise LedgerError("broken")

    monkeypatch.setenv("SENTRY_DSN", "https://key@host:port/1")
    monkeypatch.setattr(notebooks, "run", refuse)
    assert run_cli(monkeypatch, "run", "any.ipynb") == 1
    assert capsys.readouterr().err == f"{room.WRONG}\ndslkit: broken\n"


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    heard: list[object] = []
    Reporter("https://key@example.org/1", heard.append).failure("SomeError")
    assert heard == ["SENTRY_DSN is set, but Sentry's SDK is not installed: pip install 'dslkit[sentry]'."]


def test_without_an_address_nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_client", None)
    Reporter(None).failure("SomeError")
    Reporter(None).crash(ValueError())
    assert "SENTRY_DSN" not in os.environ
