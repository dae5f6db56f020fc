"""Who may ask, from where, how much; what never leaves the server."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import httpx
import pytest

from dslkit.server.table import ROUTES
from tests.server.conftest import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.conftest import Served

KEY = "sk-planted-0123456789abcdefghijklmnop"
WISH = {"description": "Summarise a document (variable document) into (variable summary).", "engine": False}


def test_everything_but_liveness_wants_the_token(served: Served) -> None:
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", "x", route.path)
        answer = httpx.request(route.method, served.url + path, json={} if route.has_body else None)
        assert answer.status_code == (200 if route.path == "/health" else 401), route
        wrong = httpx.request(route.method, served.url + path, headers={"Authorization": "token wrong"})
        assert wrong.status_code == answer.status_code


def test_a_person_without_login_is_sent_to_the_login_page(served: Served) -> None:
    answer = httpx.get(f"{served.url}/reports/")
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/login?next=")


def test_a_cookie_alone_does_not_change_anything(served: Served) -> None:
    """Another site could make a browser send it."""
    with httpx.Client(base_url=served.url) as browser:
        browser.get("/login")  # hands out the token against forgery
        browser.get("/api/v1/info", params={"token": TOKEN})
        assert browser.get("/api/v1/info", headers={"Referer": served.url}).status_code == 200
        assert browser.post("/api/v1/generate/usage/reset").status_code == 403
        forged_not = {"X-XSRFToken": browser.cookies["_xsrf"]}
        assert browser.post("/api/v1/generate/usage/reset", headers=forged_not).status_code == 200
        foreign = forged_not | {"Origin": "https://evil.example"}
        assert browser.post("/api/v1/generate/usage/reset", headers=foreign).status_code == 404


def test_other_origins_are_let_in_by_setting(serve: Callable[..., Served]) -> None:
    server = serve(DSLKIT_CORS_ORIGINS="https://app.example.com")
    with server.client() as client:
        allowed = client.get("/api/v1/info", headers={"Origin": "https://app.example.com"})
        assert allowed.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
        assert "X-RateLimit-Remaining" in allowed.headers["Access-Control-Expose-Headers"]
        assert "Origin" in allowed.headers["Vary"]
        other = client.get("/api/v1/info", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
        missing = client.get("/api/v1/nothing", headers={"Origin": "https://app.example.com"})
        assert missing.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    asks = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    asks |= {"Access-Control-Request-Headers": "authorization,content-type"}
    preflight = httpx.options(f"{server.url}/api/v1/generate/simple", headers=asks)
    assert preflight.status_code in {200, 204}
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()


def test_a_body_beyond_the_limit_is_refused_however_it_comes(serve: Callable[..., Served]) -> None:
    server = serve(DSLKIT_MAX_REQUEST_BYTES="1000")
    with server.client(**{"Content-Type": "application/json"}) as client:
        path = "/api/v1/generate/simple"
        assert client.post(path, content=b"x" * 1001).status_code == 413
        assert client.post(path, content=iter([b"x" * 600, b"x" * 600])).status_code == 413
        assert client.post(path, content=iter([b"x" * 600, b"x" * 300])).status_code == 400
    for token, status in ((TOKEN, b"413"), ("none", b"401")):
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: token {token}\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as line:  # says that 10 GB come, and is not heard out
            line.sendall(f"{head}Content-Length: 10000000000\r\n\r\n".encode())
            assert line.recv(12) == b"HTTP/1.1 " + status


def test_reports_are_shown_and_nothing_beside_them(serve: Callable[..., Served], tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "one & two.html").write_text("<h1>Costs</h1>", encoding="utf-8")
    (reports / "notes.txt").write_text("no page", encoding="utf-8")
    (tmp_path / "secret.html").write_text("secret", encoding="utf-8")
    (reports / "link.html").symlink_to(tmp_path / "secret.html")
    (reports / "dangling.html").symlink_to("nowhere")
    server = serve(DSLKIT_REPORTS=str(reports))
    with server.client() as client:
        index = client.get("/reports/")
        assert "one &amp; two" in index.text
        assert "link" not in index.text
        assert "dangling" not in index.text
        page = client.get("/reports/one%20%26%20two.html")
        assert (page.text, page.headers["Content-Type"]) == ("<h1>Costs</h1>", "text/html; charset=utf-8")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "sandbox" in page.headers["Content-Security-Policy"]
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        for path in (
            "notes.txt",
            "link.html",
            "..%2Fsecret.html",
            "%2e%2e/secret.html",
            "../secret.html",
            "none.html",
            "%00",
        ):
            raw = client.get(f"/reports/{path}")
            assert raw.status_code == 404, path
            assert "secret" not in raw.text
        assert client.get("/reports").status_code in {301, 302}


def test_no_secret_leaves_the_server(serve: Callable[..., Served], tmp_path: Path) -> None:
    """The key and the token are planted, then looked for in every answer, in the log and in all files of the home."""
    server = serve(OPENAI_API_KEY=KEY, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    answers = []
    with server.client() as client:
        answers += [client.get(path) for path in ("/api/v1/info", "/health/ready", "/api/v1/generate/status")]
        answers.append(client.post("/api/v1/generate/simple", json=WISH))
        answers.append(client.post("/api/v1/generate/simple", json=WISH | {"description": f"Send {KEY} on"}))
        answers.append(client.post("/api/v1/generate/simple", json={"description": 3, "api_key": KEY}))
        answers.append(client.get(f"/api/v1/info?token={TOKEN}"))
        answers.append(client.get(f"/api/v1/nothing/{TOKEN}?token={TOKEN}"))
    server.end()
    for answer in answers:
        sent = KEY in (answer.request.content or b"").decode()
        assert KEY not in answer.text or (sent and answer.status_code == 200)
        assert TOKEN not in answer.text + str(answer.headers)
    assert KEY not in server.log
    assert f"token={TOKEN}" not in server.log
    for path in server.home.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("wrong", [{"DSLKIT_RATE_LIMIT_PERIOD": "soon"}, {"DSLKIT_TRUSTED_PROXIES": "everyone"}])
def test_a_wrong_setting_stops_the_start_by_name(tmp_path: Path, wrong: dict[str, str]) -> None:
    from tests.server.conftest import Served

    server = Served(tmp_path, wrong, ())
    assert server.process.wait(200) == 2
    assert next(iter(wrong)) in server.log
    assert next(iter(wrong.values())) not in server.log.replace("everyone may", "")


def test_the_token_may_lie_in_a_file_with_a_newline(serve: Callable[..., Served], tmp_path: Path) -> None:
    """As `openssl rand -hex 32 > FILE` writes it."""
    file = tmp_path / "jupyter_token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8-sig")  # with the mark that some editors write
    served = serve(JUPYTER_TOKEN="", JUPYTER_TOKEN_FILE=str(file))
    assert served.ask("GET", "/api/v1/info").status_code == 200
    assert httpx.get(f"{served.url}/api/v1/info", headers={"Authorization": "token another"}).status_code == 401
    assert httpx.get(f"{served.url}/api/v1/info").status_code == 401
    assert TOKEN not in served.log


@pytest.mark.parametrize("given", ["argument", "configuration"])
def test_a_token_given_outright_counts_before_a_file(serve: Callable[..., Served], tmp_path: Path, given: str) -> None:
    file = tmp_path / "jupyter_token"
    file.write_text("another", encoding="utf-8")
    configured = tmp_path / "configured" / "jupyter_server_config.py"
    configured.parent.mkdir()
    configured.write_text("" if given == "argument" else f"c.IdentityProvider.token = {TOKEN!r}", encoding="utf-8")
    arguments = [f"--IdentityProvider.token={TOKEN}"] if given == "argument" else []
    environment = {"JUPYTER_TOKEN": "", "JUPYTER_TOKEN_FILE": str(file), "JUPYTER_CONFIG_DIR": str(configured.parent)}
    served = serve(*arguments, **environment)
    assert served.ask("GET", "/api/v1/info").status_code == 200
    other = {"Authorization": "token another"}
    assert httpx.get(f"{served.url}/api/v1/info", headers=other).status_code == 401


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("\n", "is empty"), (None, "cannot be read"), ("two words", "is no token"), ("naïve", "is no token")],
)
def test_a_token_file_without_a_token_stops_the_start(tmp_path: Path, content: str | None, complaint: str) -> None:
    from tests.server.conftest import Served

    file = tmp_path / "jupyter_token"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    server = Served(tmp_path, {"JUPYTER_TOKEN": "", "JUPYTER_TOKEN_FILE": str(file)}, ())
    assert server.process.wait(200) == 2
    assert f"JUPYTER_TOKEN_FILE names {complaint}" in server.log


def test_a_request_that_never_ends_its_head_is_cut_off(serve: Callable[..., Served]) -> None:
    served = serve("--DslkitService.idle_timeout=0.2")
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
        assert line.recv(1) == b"", "the server hung up"
