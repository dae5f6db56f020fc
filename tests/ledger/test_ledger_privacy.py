"""What was asked and answered is stored when somebody asks for it, keys never; every file is searched for both."""

from __future__ import annotations

import gzip
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import duckdb
import openai
import pytest
from ledger_writing import NOON, call, item, run

from dslkit import openai_client
from dslkit.ledger import Ledger
from dslkit.ledger.redact import REMOVED
from dslkit.llm.retry import RetryPolicy
from dslkit.records import Finding
from dslkit.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "sk-proj-Abc123Def456Ghi789"
PROMPT, ANSWER = "the prompt of Tom", "an answer for Tom"
ASKED: Any = [{"role": "user", "content": f"{PROMPT}, with a key: {KEY}"}]


def artefacts(home: Path) -> str:
    """All that lies in any file of the home, unpacked."""
    texts = []
    for path in sorted(home.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            texts.append((gzip.decompress(content) if path.suffix == ".gz" else content).decode(errors="replace"))
        if path.is_file() and path.suffix == ".parquet":
            texts.append(str(duckdb.read_parquet(str(path)).fetchall()))
    return "\n".join(texts)


def answer(_: list[dict[str, Any]]) -> str:
    return ANSWER


def ask(home: Path, **options: Any) -> None:
    """Once plain, once streamed."""
    with openai_client(answer=answer, settings=Settings(home=home), **options) as client:
        client.chat.completions.create(model="offline", messages=ASKED)
        stream = client.chat.completions.create(model="offline", messages=ASKED, stream=True)
        assert [chunk for chunk in stream if chunk.choices]


@pytest.mark.parametrize("taken_in", [False, True])
def test_contents_are_not_stored(home: Path, *, taken_in: bool) -> None:
    """Unless asked for: in no file, before and after compaction."""
    ask(home)
    ledger = Ledger(home)
    ledger.recorder().close()
    if taken_in:
        ledger.compact()
    assert ledger.calls().fetchall()
    assert ledger.contents().fetchall() == []
    stored = artefacts(home)
    for secret in (PROMPT, ANSWER, KEY):
        assert secret not in stored


def test_contents_on_request(home: Path) -> None:
    """Whole, of each attempt, joined to its call; without keys; pruned with the call, and rebuilt."""
    ask(home, store_content=True)
    ledger = Ledger(home)
    ledger.recorder().close()
    query = "SELECT request, response FROM contents JOIN calls USING (call_id, attempt) ORDER BY stream"
    before = ledger.sql(query).fetchall()
    (request, response), (_, streamed) = before
    assert json.loads(request)["messages"][0]["content"] == f"{PROMPT}, with a key: {REMOVED}"
    assert json.loads(response)["choices"][0]["message"]["content"].startswith(ANSWER)
    assert streamed.startswith("data:")
    assert streamed.rstrip().endswith("[DONE]")
    ledger.compact()
    assert ledger.sql(query).fetchall() == before
    assert ledger.rebuild().equal is True
    assert ledger.sql(query).fetchall() == before
    assert KEY not in artefacts(home)
    ((latest,),) = ledger.sql("SELECT max(started_at) + INTERVAL 1 SECOND FROM calls").fetchall()
    ledger.prune(latest)
    assert PROMPT not in artefacts(home)


class Echo(BaseHTTPRequestHandler):
    """A provider that refuses a key and repeats it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        said = f"Incorrect API key provided: {self.headers['authorization']}"
        body = json.dumps({"error": {"message": said, "code": "invalid_api_key"}}).encode()
        self.send_response(401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def provider() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("store_content", [False, True])
def test_a_key_in_a_header_is_in_no_file(home: Path, provider: str, *, store_content: bool) -> None:
    """Not even where the provider repeats it, and contents are stored."""
    with (
        openai_client(
            api_key=KEY,
            base_url=provider,
            settings=Settings(home=home),
            retry=RetryPolicy(failures=1),
            store_content=store_content,
        ) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(model="m", messages=ASKED)
    ledger = Ledger(home)
    ledger.recorder().close()
    ledger.compact()
    assert len(ledger.contents().fetchall()) == store_content
    stored = artefacts(home)
    assert f"Incorrect API key provided: {REMOVED}" in stored
    assert KEY not in stored


def test_what_is_removed_leaves_json_whole(ledger: Ledger) -> None:
    """Parameters, findings, tags: the credential goes, the form stays."""
    recorder = ledger.recorder()
    parameters = {"api_key": "hunter2hunter2", "nested": [f"Bearer {KEY}"], "max_tokens": 100_000}
    recorder.run(run(parameters=parameters, tags={"key": KEY}))
    recorder.item(item(findings=(Finding(code="E", severity="error", message=f"found {KEY}"),)))
    call(recorder, started_at=NOON, tags={"owner": KEY})
    ((found, tags),) = ledger.sql("SELECT parameters, tags FROM runs").fetchall()
    assert json.loads(found) == {"api_key": REMOVED, "nested": [REMOVED], "max_tokens": 100_000}
    assert tags == {"key": REMOVED}
    assert ledger.sql("SELECT findings[1].message FROM items").fetchall() == [(f"found {REMOVED}",)]
    assert ledger.sql("SELECT tags FROM calls").fetchall() == [({"owner": REMOVED},)]
    assert KEY not in artefacts(ledger.home)


def test_what_a_server_says_may_repeat_the_key(home: Path) -> None:
    """Also in its headers and ids, which are stored."""
    recorder = Ledger(home).recorder()
    said = {"server_request_id": f"req {KEY}", "response_id": KEY, "response_model": KEY, "finish_reason": KEY}
    call(recorder, ending=said)
    recorder.close()
    assert KEY not in artefacts(home)
