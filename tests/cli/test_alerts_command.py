"""The verb alerts, from rules in a file to messages at a webhook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dslkit.analysis.alerts_told import Told
from dslkit.analysis.schedules import Schedule, register
from dslkit.ledger import Ledger
from tests.analysis.receivers import Received, receiving
from tests.analysis.test_live import end, start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Dslkit

RULES = '[[rule]]\nname = "budget"\nkind = "spend"\nper = "day"\nabove_usd = 0.1\n'
HOOK = '[webhook]\nurl_env = "ALERT_WEBHOOK"\n'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    with receiving() as server:
        monkeypatch.setenv("ALERT_WEBHOOK", server.url)
        yield server


def spend() -> None:
    recorder = Ledger(os.environ["DSLKIT_HOME"]).recorder()
    call = start(1, 0)
    now = datetime.now(UTC)
    call = type(call)(**{name: getattr(call, name) for name in call.__slots__} | {"started_at": now})
    recorder.reserve(call)
    recorder.settle(end(call))


def texts(server: Received) -> list[str]:
    return [json.loads(body)["text"] for body in server.bodies]


def test_tells_once_and_again_when_it_is_over(dslkit: Dslkit, server: Received) -> None:
    Path("alerts.toml").write_text(RULES + HOOK, encoding="utf-8")
    assert dslkit("alerts") == (0, "no alert\n", "")
    spend()
    first, second = dslkit("alerts"), dslkit("alerts")
    said = "ALERT budget: $0.15 spent today (UTC), more than $0.10."
    assert first == (1, f"{said}\n", "webhook: told of 1 new, 0 resolved\n")
    assert second == (1, f"{said}\n", ""), "it still fires, and the webhook knows"
    Path("alerts.toml").write_text((RULES + HOOK).replace("0.1\n", "1\n"), encoding="utf-8")
    assert dslkit("alerts") == (0, "no alert\n", "webhook: told of 0 new, 1 resolved\n")
    assert texts(server) == [said, f"resolved: {said.removeprefix('ALERT ')}"]


def test_what_was_not_delivered_is_tried_by_the_next_run(dslkit: Dslkit, server: Received) -> None:
    Path("alerts.toml").write_text(RULES + HOOK, encoding="utf-8")
    spend()
    server.statuses = [404, 200]
    failed = dslkit("alerts", "--json")
    assert failed.code == 1
    assert json.loads(failed.out)["sent"]["webhook"]["error"] == "the server answered 404"
    assert failed.err == "webhook: not delivered, the server answered 404. The next run tries again.\n"
    assert dslkit("alerts").code == 1
    assert texts(server)[0] == texts(server)[1].splitlines()[0]
    assert "An earlier message may not have arrived" in texts(server)[1]
    dslkit("alerts")
    assert len(server.bodies) == 2


COMMAND = (sys.executable, "-c", "from dslkit.cli import main; main()", "alerts")


def test_a_message_whose_sender_was_killed_goes_again_and_says_so(dslkit: Dslkit, server: Received) -> None:
    """The server has it, and the process dies before it can write that down: at least once."""
    Path("alerts.toml").write_text(RULES + HOOK, encoding="utf-8")
    spend()
    with subprocess.Popen(COMMAND) as sender:
        server.meanwhile = sender.kill
        assert sender.wait() == -signal.SIGKILL
    server.meanwhile = lambda: None
    assert dslkit("alerts").code == 1
    first, second = texts(server)
    assert second.splitlines()[0] == first
    assert "An earlier message may not have arrived" in second
    dslkit("alerts")
    assert len(server.bodies) == 2


def test_of_several_at_once_one_sends(dslkit: Dslkit, server: Received) -> None:
    Path("alerts.toml").write_text(RULES + HOOK, encoding="utf-8")
    spend()
    others = []
    server.meanwhile = lambda: others or others.extend(subprocess.Popen(COMMAND) for _ in range(2))
    assert dslkit("alerts").code == 1
    assert [other.wait() for other in others] == [1, 1]
    assert len(server.bodies) == 1


def test_who_had_to_wait_looks_again(dslkit: Dslkit, server: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would tell of the end of an alert that had begun while it waited."""
    Path("alerts.toml").write_text(RULES + HOOK, encoding="utf-8")
    enter = Told.__enter__

    def wait(self: Told) -> Told:
        monkeypatch.setattr(Told, "__enter__", enter)
        spend()
        assert dslkit("alerts").code == 1
        return enter(self)

    monkeypatch.setattr(Told, "__enter__", wait)
    assert dslkit("alerts").code == 1
    assert len(texts(server)) == 1


def test_where_nothing_can_be_remembered_nothing_is_sent(dslkit: Dslkit, server: Received) -> None:
    Path("alerts.toml").write_text(RULES + HOOK, encoding="utf-8")
    spend()
    (Path(os.environ["DSLKIT_HOME"]) / "alerts.json.lock").mkdir()
    done = dslkit("alerts")
    assert (done.code, server.bodies) == (1, [])
    assert done.err.startswith("dslkit: Nothing is sent: ")


@pytest.mark.parametrize(
    "address",
    ["https://hooks.example/T0 SECRET", "https://hooks.example:SECRET/", "https://me:SECRET@hooks.example/",
     "https://[SECRET", "https://hooks.example/SECRET\u00fc", "https:///SECRET", "http://hooks.example/SECRET"],
)  # fmt: skip
def test_an_address_that_is_none_is_named_by_its_variable(
    dslkit: Dslkit, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    Path("alerts.toml").write_text(RULES + HOOK, encoding="utf-8")
    monkeypatch.setenv("ALERT_WEBHOOK", address)
    assert dslkit("alerts") == (2, "", "dslkit: ALERT_WEBHOOK holds no https:// address.\n")


def test_a_dry_run_sends_and_remembers_nothing(dslkit: Dslkit, server: Received, tmp_path: Path) -> None:
    rules = tmp_path / "other.toml"
    rules.write_text(RULES + HOOK, encoding="utf-8")
    spend()
    done = dslkit("alerts", "--rules", str(rules), "--dry-run", "--json")
    assert done.code == 1
    assert json.loads(done.out)["firing"][0]["rule"] == "budget"
    assert server.bodies == []
    assert not (Path(os.environ["DSLKIT_HOME"]) / "alerts.json").exists()


def test_a_schedule_that_did_not_run_is_told(dslkit: Dslkit) -> None:
    Path("alerts.toml").write_text('[[rule]]\nname = "night"\nkind = "missed_schedule"\n', encoding="utf-8")
    since = datetime.now(UTC) - timedelta(hours=3)
    register(
        Path(os.environ["DSLKIT_HOME"]), Schedule(name="hourly", notebook="n.ipynb", every="0 * * * *", since=since)
    )
    done = dslkit("alerts")
    assert done.code == 1
    assert done.out.startswith("ALERT night: schedule hourly did not run at ")


def test_half_a_file_is_the_callers_mistake(dslkit: Dslkit) -> None:
    Path("alerts.toml").write_text(RULES + "[[rule]\n", encoding="utf-8")
    done = dslkit("alerts")
    assert done.code == 2
    assert "alerts.toml, line 6: " in done.err
