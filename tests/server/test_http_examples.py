"""The curl commands of the README and of the page on the API, run against a server started as these say."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import TOKEN

if TYPE_CHECKING:
    from tests.server.conftest import Served

ROOT = Path(__file__).resolve().parents[2]


def commands(page: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("curl ")]


@pytest.mark.parametrize(("page", "count"), [("README.md", 2), ("docs/http-api.md", 4)])
def test_the_commands_of_the_page_work(served: Served, page: str, count: int) -> None:
    found, environment = commands(page), {"TOKEN": TOKEN, "PATH": os.environ["PATH"]}
    assert len(found) == count
    for command in found:
        here = command.replace("http://127.0.0.1:8888", served.url)
        done = subprocess.run(
            ["sh", "-c", here],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        answer = json.loads(done.stdout)
        if "?wait=false" in command:
            assert answer["status"] in {"queued", "running"}
        elif "reset" in command:
            assert answer["status"] == "success"
        elif "usage" in command:
            assert answer["usage_stats"]["total_requests"] >= 1
        else:
            assert answer["verdict"] in {"working", "clean"}
