"""Batches end to end, with the offline model and with models behind real HTTP: results, faults, resume."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from model_server import ModelServer, RefusalError, serving

from dslkit.agents import offline_author
from dslkit.batch import generate, generate_batch
from dslkit.batch.artefact import sha256_of
from dslkit.errors import AccountError, UsageError
from dslkit.ledger import Ledger
from dslkit.records import Requirement
from dslkit.settings import Settings

if TYPE_CHECKING:
    from dslkit.batch import BatchResult
    from dslkit.records import Item

DIGEST = Requirement(
    id="digest",
    messages=(
        "Summarise an uploaded document (variable document) with a language model. Return it (variable digest).",
    ),
    inputs=("document",),
    outputs=(("digest",),),
    tags={"team": "news"},
)
ROUTE = Requirement(
    id="route",
    messages=("Sort a ticket (variable ticket) into fault or question and answer it. Return it (variable answer).",),
)
PAGE = Requirement(
    id="page", messages=("Fetch a web page (variable url) and let a language model translate it (variable text).",)
)
ALL = (DIGEST, ROUTE, PAGE)


@pytest.fixture
def home() -> Path:
    return Path(os.environ["DSLKIT_HOME"])


def run(*requirements: Requirement, **choices: Any) -> BatchResult:
    return asyncio.run(generate_batch(requirements, **{"out": "out", "engine": False, **choices}))


def ask_ledger(home: Path, query: str) -> list[tuple[Any, ...]]:
    return Ledger(home).sql(query).fetchall()


def calls(home: Path) -> int:
    return int(ask_ledger(home, "SELECT count(*) FROM calls")[0][0])


def real(server: ModelServer, **changes: Any) -> Settings:
    return Settings(
        openai_api_key="sk-test", openai_base_url=server.url, requests_per_minute=10_000, **{"model": "m", **changes}
    )


def test_a_batch_makes_files_items_and_calls(home: Path) -> None:
    """One file an item, whole; items in the order of the requirements; calls know their run, item, stage and tags."""
    result = run(*ALL)
    assert [item.item_id for item in result.items] == ["digest", "route", "page"]
    assert {item.verdict for item in result.items} == {"clean"}
    assert {item.engine for item in result.items} == {"not run"}
    assert sorted(path.name for path in Path("out").iterdir()) == ["digest.yml", "page.yml", "route.yml"]
    assert yaml.safe_load(Path("out/digest.yml").read_text())["kind"] == "app"
    assert result.items[0].judgement.inputs_exact is True
    assert result.items[0].judgement.outputs_exact is True
    rows = ask_ledger(home, "SELECT run_id, item_id, stage, tags['team'], outcome FROM calls ORDER BY item_id")
    assert rows == [
        (result.run_id, "digest", "configuration", "news", "ok"),
        (result.run_id, "page", "configuration", None, "ok"),
        (result.run_id, "route", "configuration", None, "ok"),
    ]
    assert ask_ledger(home, "SELECT run_id, status FROM runs") == [(result.run_id, "completed")]
    assert not list((home / "answers").rglob("*.json"))


@pytest.mark.parametrize(
    ("mode", "stages"),
    [
        ("simple", ["configuration"]),
        ("rag", ["configuration"]),
        ("multi_agent", ["architecture", "configuration", "requirements"]),
    ],
)
def test_modes(home: Path, mode: str, stages: list[str]) -> None:
    """Each mode asks its agents, and gives a workflow."""
    (item,) = run(DIGEST, mode=mode).items
    assert item.verdict == "clean"
    assert [row[0] for row in ask_ledger(home, "SELECT stage FROM calls ORDER BY stage")] == stages


def test_a_chatflow(home: Path) -> None:
    """Ends in answers, and is not what a workflow of the same words is."""
    (item,) = run(ROUTE, app_mode="advanced-chat", complexity="simple").items
    document = yaml.safe_load(Path("out/route.yml").read_text())
    assert (item.verdict, document["app"]["mode"]) == ("clean", "advanced-chat")
    assert {"answer"} == {node["data"]["type"] for node in document["workflow"]["graph"]["nodes"]} & {"answer", "end"}
    assert run(ROUTE).items[0].reused_from is None


@pytest.mark.parametrize("choice", [{"app_mode": "chat"}, {"complexity": "hard"}, {"mode": "clever"}])
def test_choices_are_checked(choice: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        run(ROUTE, **choice)


def test_a_second_run_asks_nothing(home: Path) -> None:
    """Nothing is asked, nothing written, and the items say who did the work."""
    first = run(*ALL)
    written = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    seen: list[Item] = []
    second = run(*ALL, progress=seen.append)
    assert calls(home) == 3
    assert {item.reused_from for item in second.items} == {first.run_id}
    assert {item.run_id for item in second.items} == {second.run_id}
    assert {path: path.stat().st_mtime_ns for path in Path("out").iterdir()} == written
    assert sorted(item.item_id for item in seen) == ["digest", "page", "route"]
    assert [item.findings for item in second.items] == [item.findings for item in first.items]
    assert [item.judgement for item in second.items] == [item.judgement for item in first.items]


def test_only_what_changed_is_made_again(home: Path) -> None:
    """A file that was touched, one that is gone, and one whose requirement changed."""
    run(*ALL)
    Path("out/digest.yml").write_text("changed")
    Path("out/route.yml").unlink()
    result = run(*ALL)
    assert [item.reused_from is None for item in result.items] == [True, True, False]
    later = run(DIGEST, ROUTE, replace(PAGE, messages=(*PAGE.messages, "Add a title (variable title).")))
    assert [item.reused_from is None for item in later.items] == [False, False, True]


def test_other_expectations_cost_nothing(home: Path) -> None:
    """What a result is held against may change: it is judged again, not made again."""
    run(DIGEST)
    (item,) = run(replace(DIGEST, outputs=(("other",),))).items
    assert calls(home) == 1
    assert item.judgement.outputs_exact is False
    assert item.judgement.inputs_exact is True
    assert [finding.code for finding in item.findings] == ["requirement-outputs"]
    (again,) = run(replace(DIGEST, inputs=("paper",))).items
    assert [finding.code for finding in again.findings] == ["requirement-inputs"]
    assert run(DIGEST).items[0].findings == ()


def test_what_was_not_asked_for_is_told_but_not_mended(home: Path) -> None:
    """Names other than those asked for are warnings of the item: the verdict stays, and no agent is asked again."""
    wanted = replace(DIGEST, outputs=(("other",),), related_nodes=("code",))
    with serving(offline_author.answer) as server:
        (item,) = run(wanted, model="m", settings=real(server)).items
    assert [(finding.code, finding.severity) for finding in item.findings] == [
        ("requirement-outputs", "warning"),
        ("requirement-node", "warning"),
    ]
    assert (item.verdict, item.rounds, len(server.asked)) == ("clean", 0, 1)
    assert ask_ledger(home, "SELECT warning_findings FROM items") == [(2,)]


def test_redo_all(home: Path) -> None:
    run(DIGEST)
    (item,) = run(DIGEST, redo="all").items
    assert item.reused_from is None
    assert calls(home) == 2


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_place_that_takes_no_files_costs_nothing(home: Path, out: str) -> None:
    Path("file").touch()
    with pytest.raises(UsageError, match="nothing can be written there"):
        run(*ALL, out=out)
    assert not home.exists()


def test_one_failure_leaves_the_others_alone(home: Path) -> None:
    """A folder stands where the file should go: that item fails and says so."""
    Path("out/route.yml").mkdir(parents=True)
    result = run(*ALL)
    assert [item.verdict for item in result.items] == ["clean", "failed", "clean"]
    assert result.unfinished == (result.items[1],)
    assert result.items[1].error_type == "IsADirectoryError"
    assert ask_ledger(home, "SELECT verdict FROM items WHERE item_id = 'route'") == [("failed",)]
    assert not [path for path in Path("out").iterdir() if path.name.startswith(".")]


def test_a_failed_item_finds_its_answers_again(home: Path) -> None:
    """It is tried again, but what was answered is not asked again."""
    Path("out/route.yml").mkdir(parents=True)
    with serving(offline_author.answer) as server:
        run(ROUTE, model="m", settings=real(server))
        Path("out/route.yml").rmdir()
        (item,) = run(ROUTE, model="m", settings=real(server)).items
    assert (item.verdict, item.reused_from) == ("clean", None)
    assert ask_ledger(home, "SELECT count(*) FILTER (NOT cache_hit), count(*) FILTER (cache_hit) FROM calls") == [
        (1, 1)
    ]
    assert not list((home / "answers").rglob("*.json"))


@pytest.mark.parametrize("concurrency", [1, 3])
def test_equal_requirements_are_asked_once(home: Path, concurrency: int) -> None:
    """Each has its own file and item, in this run, in a second one, in another folder, and when all is made again."""
    wanted = [replace(DIGEST, id=name) for name in ("a", "b", "c")]
    for out, redo, asked in (("out", "none", 1), ("out", "none", 1), ("other", "none", 1), ("out", "all", 2)):
        result = run(*wanted, out=out, redo=redo, concurrency=concurrency)
        assert calls(home) == asked
        assert [(item.item_id, item.verdict) for item in result.items] == [(name, "clean") for name in "abc"]
        for item in result.items:
            assert item.artefact == f"{out}/{item.item_id}.yml"
            assert item.artefact_sha256 == sha256_of(Path(item.artefact))
            assert yaml.safe_load(Path(item.artefact).read_text())["app"]["name"] == item.item_id


def test_what_was_only_printed_is_no_file_yet(home: Path) -> None:
    asyncio.run(generate(DIGEST, engine=False))
    (item,) = run(DIGEST).items
    assert (item.reused_from, item.artefact) == (None, "out/digest.yml")
    assert Path("out/digest.yml").is_file()
    assert calls(home) == 2


def test_twins_are_refused() -> None:
    with pytest.raises(UsageError, match="'digest' stands twice"):
        run(DIGEST, replace(ROUTE, id="digest"))


def test_requirements_are_pulled_one_by_one() -> None:
    """A generator is read no further than there are hands: what is not pulled when a batch stops is not there."""
    pulled: list[str] = []

    def endless() -> Any:
        for number in range(1000):
            pulled.append(str(number))
            yield replace(DIGEST, id=str(number))

    def refuse(_: list[dict[str, Any]]) -> str:
        raise RefusalError(401, "invalid_api_key")

    with serving(refuse) as server, pytest.raises(AccountError):
        asyncio.run(generate_batch(endless(), out="out", engine=False, model="m", concurrency=3, settings=real(server)))
    assert len(pulled) == 3


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "invalid_api_key", "OPENAI_API_KEY"),
        (403, "model_not_allowed", "permissions"),
        (404, "model_not_found", "model's name"),
        (429, "insufficient_quota", "no credit"),
    ],
)
def test_a_refused_account_stops_the_batch(home: Path, status: int, code: str, message: str) -> None:
    """At the first answer: with one at a time, one question is asked; the item and the run say why."""

    def refuse(_: list[dict[str, Any]]) -> str:
        raise RefusalError(status, code)

    with serving(refuse) as server, pytest.raises(AccountError, match=message) as caught:
        run(*ALL, model="m", concurrency=1, settings=real(server))
    assert len(server.asked) == 1
    assert caught.value.__context__ is None  # a group around it would be a circle, which Jupyter cannot print
    assert ask_ledger(home, "SELECT item_id, verdict, error_type FROM items") == [("digest", "failed", "AccountError")]
    assert ask_ledger(home, "SELECT status, error_type FROM runs") == [("failed", "AccountError")]
    assert not Path("out").exists()


def test_replies_without_a_plan_end_in_errors(home: Path) -> None:
    """The quality agent is asked as often as allowed; a second run pays nothing, one with more rounds goes on."""
    with serving(lambda messages: "Lorem ipsum dolor sit amet.") as server:
        settings = real(server)
        (item,) = run(DIGEST, model="m", max_rounds=2, settings=settings).items
        assert (item.verdict, item.rounds, item.artefact) == ("errors", 2, None)
        assert any(finding.severity == "error" for finding in item.findings)
        assert len(server.asked) == 3
        (again,) = run(DIGEST, model="m", max_rounds=2, settings=settings).items
        assert again.reused_from == item.run_id
        assert len(server.asked) == 3
        run(DIGEST, model="m", max_rounds=3, settings=settings)
        run(DIGEST, model="m", max_rounds=3, settings=settings, redo="errors")
        assert len(server.asked) == 3 + 4 + 4
    stages = ask_ledger(home, "SELECT stage, count(*) FROM calls GROUP BY stage ORDER BY stage")
    assert stages == [("configuration", 3), ("quality", 8)]
    assert not Path("out").exists()


def test_the_quality_agent_mends_what_it_is_told(home: Path) -> None:
    """A first reply without a plan, then a good one: the item is clean after one round."""

    def answer(messages: list[dict[str, Any]]) -> str:
        return offline_author.answer(messages) if len(server.asked) > 1 else "no plan"

    with serving(answer) as server:
        (item,) = run(DIGEST, model="m", settings=real(server)).items
    assert (item.verdict, item.rounds) == ("clean", 1)


def batches(server: ModelServer, file: Path, *folders: str) -> list[subprocess.Popen[bytes]]:
    """Processes at the same batch, each with a folder for its files."""
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": server.url,
        "DSLKIT_REQUESTS_PER_MINUTE": "10000",
    }
    command = [sys.executable, "-c", BATCH, str(file)]
    return [subprocess.Popen([*command, out], env=environment, stdout=subprocess.DEVNULL) for out in folders]


@pytest.mark.parametrize("folders", [("out", "out"), ("out", "other")])
def test_two_batches_at_once_share_the_work(home: Path, many: Path, folders: tuple[str, str]) -> None:
    """Nothing is asked by both, and both have all items."""
    with serving(offline_author.answer, latency_s=0.1) as server:
        assert [process.wait() for process in batches(server, many, *folders)] == [0, 0]
        assert len(server.asked) == 16
    assert {len(list(Path(out).glob("*.yml"))) for out in folders} == {16}
    per_run = "SELECT count(*), count(*) FILTER (verdict = 'clean') FROM items GROUP BY run_id"
    assert ask_ledger(home, per_run) == [(16, 16), (16, 16)]


BATCH = """
import asyncio, sys
from dslkit.batch import generate_batch, load
result = asyncio.run(generate_batch(load(sys.argv[1]), out=sys.argv[2], model="m", engine=False, concurrency=4))
print(result.run_id)
"""


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Sixteen requirements."""
    path = tmp_path / "many.jsonl"
    path.write_text(
        "\n".join(json.dumps({"id": f"r{n}", "requirement": f"{ROUTE.messages[0]} Case {n}."}) for n in range(16))
    )
    return path


def test_killed_half_way_nothing_is_paid_twice(home: Path, many: Path) -> None:
    """SIGKILL in the middle; afterwards no question has a second paid answer in the ledger."""
    with serving(offline_author.answer, latency_s=0.05) as server:
        (victim,) = batches(server, many, "out")
        while server.answered < 6 and victim.poll() is None:
            time.sleep(0.005)  # the other process runs on its own clock
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert Path("out").is_dir()
        assert len(list(Path("out").glob("*.yml"))) < 16
        assert [process.wait() for process in batches(server, many, "out")] == [0]
    # An answer that was kept when the kill came, but not settled yet, is a call of unknown outcome and then a hit.
    query = """SELECT item_id, count(*) FILTER (outcome = 'ok' AND NOT cache_hit), count(*) FILTER (cache_hit)
        FROM calls GROUP BY item_id"""
    paid = {item: (asked, hits) for item, asked, hits in ask_ledger(home, query)}
    assert paid.keys() == {f"r{n}" for n in range(16)}
    assert all(asked == 1 or (asked, hits) == (0, 1) for asked, hits in paid.values())
    assert len(list(Path("out").glob("*.yml"))) == 16
    latest = "SELECT count(DISTINCT item_id) FROM items WHERE verdict = 'clean'"
    assert ask_ledger(home, latest) == [(16,)]
    assert not list((home / "answers").rglob("*.json"))
