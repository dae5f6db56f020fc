"""Messages sent to real servers on loopback: HTTP and SMTP, plain and encrypted, willing and not."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from dslkit.analysis import alerts_sending
from dslkit.analysis.alerts_rules import Email, Rules, Spike, Webhook
from dslkit.analysis.alerts_sending import DeliveryError, channels, persistently
from dslkit.errors import UsageError
from tests.analysis.receivers import certificate, receiving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RULE = Spike(name="spike", kind="spike")


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What would have been slept."""
    slept: list[float] = []
    monkeypatch.setattr(alerts_sending, "persistently", lambda send: persistently(send, slept.append))
    return slept


def webhook(url: str) -> Callable[[str], None]:
    return channels(Rules(rule=(RULE,), webhook=Webhook(url_env="HOOK")), {"HOOK": url})["webhook"]


def email(environment: dict[str, str] | None = None, **values: Any) -> Callable[[str], None]:
    given = {"host": "127.0.0.1", "sender": "dslkit@example.org", "to": ("team@example.org",), **values}
    return channels(Rules(rule=(RULE,), email=Email(**given)), environment or {})["email"]


def test_a_webhook_takes_what_slack_takes() -> None:
    with receiving() as server:
        webhook(f"{server.url}/services/T0")("ALERT a <!channel> & b")
    assert json.loads(server.bodies[0]) == {"text": "ALERT a &lt;!channel&gt; &amp; b"}
    assert (server.paths, server.headers[0]["content-type"]) == (["/services/T0"], "application/json")


def test_what_passes_is_tried_again(pauses: list[float]) -> None:
    with receiving() as server:
        server.statuses = [503, 429, 200]
        webhook(server.url)("text")
    assert (len(server.bodies), pauses) == (3, [1.0, 3.0])


@pytest.mark.parametrize(("status", "attempts"), [(503, 3), (404, 1), (302, 1)])
def test_what_does_not_arrive_is_said(status: int, attempts: int) -> None:
    with receiving() as server:
        server.statuses = [status]
        with pytest.raises(DeliveryError, match=f"^the server answered {status}$"):
            webhook(f"{server.url}/secret")("text")
    assert len(server.bodies) == attempts, "a redirect is not followed"


def test_a_server_that_is_gone_is_said() -> None:
    with receiving() as server:
        pass
    with pytest.raises(DeliveryError, match="cannot be reached") as error:
        webhook(f"{server.url}/secret")("text")
    assert "secret" not in str(error.value)


def test_a_server_of_another_kind_is_said(pauses: list[float]) -> None:
    """A mail server, say: its greeting is no answer to a POST, and is not repeated."""
    with speaking(b"220 SECRET ESMTP\r\n") as port, pytest.raises(DeliveryError, match="does not speak HTTP") as error:
        webhook(f"http://127.0.0.1:{port}/x")("text")
    assert ("SECRET" in str(error.value), len(pauses)) == (False, 2)


def test_silence_is_a_time_out(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    monkeypatch.setattr(alerts_sending, "TIMEOUT_S", 0.05)
    with speaking(b"") as port:
        with pytest.raises(DeliveryError, match=r"^the server cannot be reached: timed out$"):
            webhook(f"http://127.0.0.1:{port}/x")("text")
        with pytest.raises(DeliveryError, match=r"^the mail server cannot be reached: .*timed out$"):
            email(port=port, security="none")("text")
    assert len(pauses) == 4


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        webhook(server.url)("text")
    assert (len(server.bodies), proxy.bodies) == (1, [])


@contextlib.contextmanager
def speaking(words: bytes) -> Iterator[int]:
    """A port where whoever comes hears these words, and then silence."""
    taken = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(server.accept()[0])
                taken[-1].sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in taken:
        connection.close()


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = certificate(tmp_path)
    with receiving(ours) as server:
        with pytest.raises(DeliveryError, match="certificate is not to be trusted"):
            webhook(server.url)("text")
        assert server.bodies == []
        monkeypatch.setenv("SSL_CERT_FILE", str(ours))
        webhook(server.url)("text")
    assert len(server.bodies) == 1


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "secret"])
def test_only_encrypted_addresses_are_taken(url: str) -> None:
    with pytest.raises(UsageError, match=r"^HOOK holds no https:// address\.$"):
        webhook(url)


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(UsageError, match="environment variable HOOK, which is not set"):
        channels(Rules(rule=(RULE,), webhook=Webhook(url_env="HOOK")), {})


class Box:
    """Keeps mail; refuses recipients of another house."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.logins: list[tuple[bytes, bytes]] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if not address.endswith("@example.org"):
            return "550 not here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 kept"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's side of encryption, whose certificate is trusted here."""
    ours = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ours))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours)
    return context


class Loopback(Controller):  # type: ignore[misc] # ships no types
    """A mail server on whatever port is free."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def serving() -> Iterator[Callable[..., tuple[Box, int]]]:
    """Starts mail servers; gives their box and port."""
    controllers: list[Loopback] = []

    def start(**options: Any) -> tuple[Box, int]:
        box = Box()
        controller = Loopback(box, hostname="127.0.0.1", port=0, authenticator=box.authenticate, **options)
        controller.start()
        controllers.append(controller)
        return box, controller.port

    yield start
    for controller in controllers:
        controller.stop()


def test_mail_goes_encrypted_with_a_login(serving: Any, trusted: ssl.SSLContext) -> None:
    box, port = serving(tls_context=trusted, require_starttls=True)
    send = email({"USER": "ops", "WORD": "right"}, port=port, user_env="USER", password_env="WORD")
    send("ALERT spend: $9 — more than $5.\nALERT errors: many.")
    assert box.logins == [(b"ops", b"right")]
    mail = box.mails[0]
    assert (mail["From"], mail["To"]) == ("dslkit@example.org", "team@example.org")
    assert mail["Subject"] == "dslkit: ALERT spend: $9 — more than $5."
    assert mail.get_content().replace("\r\n", "\n").strip() == "ALERT spend: $9 — more than $5.\nALERT errors: many."


def test_a_wrong_password_is_said_and_not_shown(serving: Any, trusted: ssl.SSLContext, pauses: list[float]) -> None:
    box, port = serving(tls_context=trusted, require_starttls=True)
    send = email({"USER": "ops", "WORD": "wr0ng"}, port=port, user_env="USER", password_env="WORD")
    with pytest.raises(DeliveryError, match=r"^the mail server answered 535$"):
        send("text")
    assert (box.mails, pauses) == ([], [])


def test_a_password_never_goes_to_an_unknown_server(serving: Any, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    box, port = serving(tls_context=context)
    send = email({"USER": "ops", "WORD": "right"}, port=port, user_env="USER", password_env="WORD")
    with pytest.raises(DeliveryError, match="certificate is not to be trusted"):
        send("text")
    assert (box.logins, box.mails) == ([], [])


def test_a_server_that_cannot_encrypt_gets_nothing(serving: Any) -> None:
    box, port = serving()
    with pytest.raises(DeliveryError, match="STARTTLS"):
        email(port=port)("text")
    assert box.mails == []


def test_mail_on_this_machine_may_go_plain(serving: Any) -> None:
    box, port = serving()
    email(port=port, security="none")("text")
    assert len(box.mails) == 1
    with pytest.raises(UsageError, match="for a mail server on this machine"):
        email(port=port, security="none", host="smtp.example.org")


def test_refused_recipients_are_named(serving: Any) -> None:
    _, port = serving()
    with pytest.raises(DeliveryError, match=r"refuses boss@example\.com"):
        email(port=port, security="none", to=("boss@example.com",))("text")


def test_half_a_login_is_refused() -> None:
    with pytest.raises(UsageError, match="both user_env and password_env"):
        email({"USER": "ops"}, user_env="USER")


def test_a_login_that_cannot_be_sent_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError, match=r"^User and password of a mail server must be ASCII"):
        email({"USER": "ops", "WORD": "gehe\u00fcm"}, user_env="USER", password_env="WORD")


def test_a_mail_server_that_is_gone_is_tried_again(pauses: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(DeliveryError, match="mail server cannot be reached"):
        email(port=port, security="none")("text")
    assert pauses == [1.0, 3.0]
