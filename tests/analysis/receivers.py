"""Servers on loopback that take what is sent to them: HTTP, plain or encrypted."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Received:
    """Requests as they came, and the statuses to answer with: one after another, the last for ever.

    ``meanwhile`` is done when a request has come and before it is answered; ``answer`` makes the answer of its body.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.statuses = [200]
        self.retry_after: str | None = None
        self.answer: Callable[[bytes], bytes] = lambda _body: b""
        self.url = ""
        self.meanwhile: Callable[[], object] = lambda: None

    def status(self) -> int:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@contextlib.contextmanager
def receiving(certificate: Path | None = None, port: int = 0) -> Iterator[Received]:
    """An HTTP server, encrypted with the certificate and key of a file where one is given."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            received.headers.append({name.lower(): value for name, value in self.headers.items()})
            received.paths.append(self.path)
            received.meanwhile()
            status = received.status()
            self.send_response(status)
            if status == 429 and received.retry_after is not None:
                self.send_header("Retry-After", received.retry_after)
            if status in {301, 302, 307}:
                self.send_header("Location", f"{received.url}/elsewhere")
            answer = received.answer(received.bodies[-1])
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST  # noqa: N815 - the name that http.server calls, should a redirect be followed

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_arguments: None  # type: ignore[method-assign] # a client may refuse our certificate
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    received.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certificate(folder: Path) -> Path:
    """A fresh key with a certificate for 127.0.0.1 that it signed itself, in one file."""
    target = folder / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=loopback",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", folder / "key.pem", "-out", target],
        check=True, capture_output=True,
    )  # fmt: skip
    with target.open("a", encoding="ascii") as file:
        file.write((folder / "key.pem").read_text(encoding="ascii"))
    return target
