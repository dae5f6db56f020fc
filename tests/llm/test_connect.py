"""Clients as they come out: plain, wired to the settings, wrapped on every way; a killed batch pays nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from openai import AsyncOpenAI, OpenAI

from dslkit.connect import Connection, async_http_client, async_openai_client, http_client, openai_client
from dslkit.errors import SettingsError
from dslkit.ledger import Ledger
from dslkit.llm.client import seam_of
from dslkit.llm.limits import UNLIMITED, Limits
from dslkit.llm.transport import AsyncSeamTransport, SeamTransport
from dslkit.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.llm.recorder import MemoryRecorder
    from tests.llm.conftest import FakeServer

pytestmark = pytest.mark.anyio
ASK: Any = {"model": "offline", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_real_model_needs_a_key() -> None:
    with pytest.raises(SettingsError, match=r"OPENAI_API_KEY.*'offline'"):
        openai_client()


def test_key_and_address_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    with openai_client() as client:
        assert (client.api_key, str(client.base_url)) == ("sk-env", "http://127.0.0.1:1/v1/")
        assert client.max_retries == 0
    with openai_client(api_key="sk-own", base_url="http://127.0.0.1:2/v1") as client:
        assert (client.api_key, str(client.base_url)) == ("sk-own", "http://127.0.0.1:2/v1/")


async def test_the_sdks_number_of_retries_is_ours() -> None:
    made: tuple[Any, ...] = (
        openai_client(answer=str, max_retries=3),
        async_openai_client(answer=str, max_retries=3),
        http_client(answer=str, max_retries=3),
    )
    for client in made:
        seam = seam_of(client)
        assert seam is not None
        assert seam.retry.failures == 4
        assert getattr(client, "max_retries", 0) == 0
    with pytest.raises(TypeError, match=r"dslkit\.http_client"):
        openai_client(answer=str, http_client=None)


async def test_proxies_are_wrapped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    async with async_http_client(settings=Settings(openai_api_key="k")) as client:
        ways = [client._transport, *[way for way in client._mounts.values() if way is not None]]
        assert len(ways) == 2
        assert all(isinstance(way, AsyncSeamTransport) for way in ways)
    with http_client(settings=Settings(openai_api_key="k")) as plain:
        ways_of_threads = [plain._transport, *[way for way in plain._mounts.values() if way is not None]]
        assert len(ways_of_threads) == 2
        assert all(isinstance(way, SeamTransport) for way in ways_of_threads)


async def test_a_library_that_builds_its_own_client(recorder: MemoryRecorder) -> None:
    http = async_http_client(answer=lambda _: "Hi", recorder=recorder)
    async with AsyncOpenAI(api_key="k", base_url="http://x.invalid/v1", http_client=http) as client:
        await client.with_options(timeout=5).chat.completions.create(**ASK)
    with (
        http_client(answer=lambda _: "Hi", recorder=recorder) as plain,
        OpenAI(api_key="k", base_url="http://x.invalid/v1", http_client=plain) as threaded,
    ):
        threaded.chat.completions.create(**ASK)
    assert [end.outcome for end in recorder.ends] == ["ok", "ok"]


def test_the_ledger_is_the_recorder(tmp_path: Path) -> None:
    with openai_client(answer=lambda _: "Hi", settings=Settings(home=tmp_path)) as client:
        client.chat.completions.create(**ASK)
    Ledger(tmp_path).recorder().flush()
    rows = Ledger(tmp_path).sql("SELECT provider_name, request_model, outcome, cost_usd FROM calls").fetchall()
    assert [(row[0], row[1], row[2], float(row[3])) for row in rows] == [("dslkit", "offline", "ok", 0.0)]


def test_a_hook_sees_each_attempt_and_costs_nothing_when_it_breaks(recorder: MemoryRecorder) -> None:
    seen = []

    def hook(start: Any, end: Any) -> None:
        seen.append((start.call_id == end.call_id, end.outcome))
        raise ZeroDivisionError

    connection = Connection(answer=lambda _: "Hi", recorder=recorder, on_attempt=hook)
    with openai_client(connection=connection) as client:
        client.chat.completions.create(**ASK)
    assert seen == [(True, "ok")]


@pytest.mark.parametrize("bad", [{"requests": 0}, {"tokens": float("nan")}, {"concurrency": 0}, {"max_wait_s": -1}])
def test_limits_that_cannot_be(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(**bad)
    with pytest.raises(ValueError, match="contradicts"):
        Limits(unlimited=True, requests=3)


KILLED = """
import sys
from pathlib import Path
from dslkit.connect import complete_many
from dslkit.llm.limits import UNLIMITED
asks = ((n, {"model": "m", "messages": [{"role": "user", "content": f"[rid:{n}]"}]}) for n in range(200))
done = 0
for result in complete_many(asks, limits=UNLIMITED, cache=True, at_once=16):
    done += 1
    if done == int(sys.argv[1]):
        print("there", flush=True)
        sys.stdin.read()
print("end", done, flush=True)
"""

KILLED_CLIENT = """
import asyncio, sys
from dslkit.connect import async_openai_client
from dslkit.llm.limits import Limits

async def main(stop_at):
    done = 0
    async def ask(client, number):
        nonlocal done
        message = {"role": "user", "content": f"[rid:{number}]"}
        await client.chat.completions.create(model="m", messages=[message])
        done += 1
        if done == stop_at:
            print("there", flush=True)
            sys.stdin.read()
    async with async_openai_client(limits=Limits(requests=10**6, concurrency=16), cache=True) as client:
        await asyncio.gather(*[ask(client, number) for number in range(200)])
    print("end", done, flush=True)

asyncio.run(main(int(sys.argv[1])))
"""


@pytest.mark.shared
@pytest.mark.parametrize("script", [KILLED, KILLED_CLIENT], ids=["many", "client"])
def test_killed_in_the_middle_and_resumed(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """What was answered and recorded before kill -9 is not paid for again."""
    server.reset(lat_median=0.01)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("DSLKIT_HOME", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", script, "80"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    ledger = Ledger(tmp_path)
    (recorded,) = ledger.sql("SELECT count(*) FROM calls WHERE outcome = 'ok'").fetchall()[0]
    assert recorded >= 80
    again = subprocess.run([sys.executable, "-c", script, "0"], capture_output=True, text=True, check=True)
    assert again.stdout == "end 200\n"
    stats = server.stats()
    assert stats["unique_ok"] == 200
    hits, paid = ledger.sql(
        "SELECT count(*) FILTER (cache_hit), count(*) FILTER (outcome = 'ok' AND NOT cache_hit) FROM calls"
    ).fetchall()[0]
    assert hits >= recorded
    assert paid <= 200 + 16


def test_json_of_a_lane_names_no_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with openai_client(answer=lambda _: "Hi", settings=settings, limits=Limits(requests=5)) as client:
        client.chat.completions.create(**ASK)
    (about,) = (tmp_path / "throttle").glob("*.json")
    assert json.loads(about.read_text()) == {"provider_name": "dslkit", "model": "offline"}


async def test_no_limits_means_no_file(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    async with async_openai_client(answer=lambda _: "Hi", settings=settings, limits=UNLIMITED) as client:
        await client.chat.completions.create(**ASK)
    assert not (tmp_path / "throttle").exists()


TWO_LOOPS = """
import asyncio, sys
from dslkit.connect import async_openai_client, throttle_status
from dslkit.llm.limits import Limits
from dslkit.llm.recorder import MemoryRecorder

recorder = MemoryRecorder()
limits = Limits(requests=1000, concurrency=4, shared=False)
client = async_openai_client(api_key="k", base_url=sys.argv[1], recorder=recorder, limits=limits)

async def ask(count, within_s):
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
    try:
        async with asyncio.timeout(within_s):
            return len(await asyncio.gather(*[client.chat.completions.create(**request) for _ in range(count)]))
    except TimeoutError:
        return 0

print(asyncio.run(ask(100, 0.2)), asyncio.run(ask(12, 30)))
(lane,) = throttle_status(client)
print(lane.gate.in_flight, lane.gate.waiting, len(recorder.open))
"""


@pytest.mark.shared
def test_one_client_in_two_loops_one_after_the_other(server: FakeServer) -> None:
    """As in a script that calls asyncio.run twice, the first time cut short with calls queued and in flight."""
    server.reset(lat_median=0.05, lat_sigma=0.0)
    command = [sys.executable, "-c", TWO_LOOPS, server.url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert shown.split() == ["0", "12", "0", "0", "0"]
