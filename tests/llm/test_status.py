"""What one sees of the gates: of a client, and of all processes of a home."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from openai import AsyncOpenAI

from dslkit.connect import async_http_client, async_openai_client, throttle_status
from dslkit.llm.limits import Limits

if TYPE_CHECKING:
    from dslkit.llm.recorder import MemoryRecorder

pytestmark = pytest.mark.anyio
ASK: Any = {"model": "offline", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}


async def test_of_a_client(recorder: MemoryRecorder) -> None:
    limits = Limits(requests=10, tokens=1000)
    async with async_openai_client(answer=lambda _: "Hi", recorder=recorder, limits=limits) as client:
        assert throttle_status(client) == ()
        await client.chat.completions.create(**ASK)
        (lane,) = throttle_status(client)
    assert (lane.provider_name, lane.model) == ("dslkit", "offline")
    uses = {use.unit: (use.used, use.limit) for use in lane.gate.windows}
    assert uses == {"requests": (1, 10), "tokens": (11, 1000)}
    assert (lane.gate.in_flight, lane.gate.waiting, lane.gate.sent, lane.gate.refused) == (0, 0, 1, 0)


def test_of_all_processes(recorder: MemoryRecorder) -> None:
    script = """
import dslkit, sys
from dslkit.llm.limits import Limits
client = dslkit.openai_client(answer=lambda messages: (print("asked", flush=True), sys.stdin.readline())[1],
                              limits=Limits(requests=10))
client.chat.completions.create(model="offline", messages=[{"role": "user", "content": "Hello"}])
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asked\n"
        (lane,) = throttle_status()
        process.communicate("Hi\n")
    assert (lane.model, lane.gate.in_flight, lane.gate.all_in_flight) == ("offline", 0, 1)
    limits = {use.unit: use.limit for use in lane.gate.windows}
    assert limits == {"requests": 10, "tokens": math.inf}, "those that the other process keeps"
    (lane,) = throttle_status()
    assert (lane.gate.all_in_flight, lane.gate.sent) == (0, 1)


async def test_of_bare_clients_and_of_strangers() -> None:
    async with async_http_client(answer=lambda _: "Hi") as client:
        assert throttle_status(client) == ()
    async with AsyncOpenAI(api_key="k") as stranger:
        with pytest.raises(TypeError, match="made by dslkit"):
            throttle_status(stranger)
