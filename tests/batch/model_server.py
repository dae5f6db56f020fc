"""A model behind real HTTP on loopback: what it answers is handed to it, what it was asked it remembers."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class RefusalError(Exception):
    """Raised by an answerer: the status, code and message that the server refuses with."""

    def __init__(self, status: int, code: str, message: str = "refused") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ModelServer(ThreadingHTTPServer):
    """Speaks chat completions; ``answer`` is given the messages and returns the text, or raises RefusalError."""

    daemon_threads = True

    def __init__(self, answer: Callable[[list[dict[str, Any]]], str], latency_s: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.latency_s = latency_s
        self.asked: list[list[dict[str, Any]]] = []
        self.answered = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed has broken its connection; that is all there is to say."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body["messages"])
        time.sleep(self.server.latency_s)
        try:
            self._send(200, self._completion(body, self.server.answer(body["messages"])))
            self.server.answered += 1
        except RefusalError as refusal:
            error = {"message": str(refusal), "type": "invalid_request_error", "code": refusal.code}
            self._send(refusal.status, {"error": error})

    def _completion(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        words = sum(len(message["content"].split()) for message in body["messages"])
        return {
            "id": f"chatcmpl-{len(self.server.asked)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {
                "prompt_tokens": words,
                "completion_tokens": len(text.split()),
                "total_tokens": words + len(text.split()),
            },
        }

    def _send(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Tests are quiet."""


@contextmanager
def serving(answer: Callable[[list[dict[str, Any]]], str], latency_s: float = 0.0) -> Iterator[ModelServer]:
    """A server on a free port of the loopback interface, as long as the block lasts."""
    server = ModelServer(answer, latency_s)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
