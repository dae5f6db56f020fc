"""One chat completion of one stage, through any client of the openai SDK's shape."""

from __future__ import annotations

from typing import Any, Protocol

from dslkit.llm.attribution import attributed


class ChatClient(Protocol):
    """What is needed of ``openai.AsyncOpenAI``."""

    @property
    def chat(self) -> Any:
        """Has ``completions.create``."""


class Ask(Protocol):
    """Sends a system and a user message and gives the reply's text."""

    async def __call__(self, stage: str, system: str, user: str) -> str:
        """``stage`` names the agent that asks; the ledger keeps it with the call."""


class Asker:
    """An ``Ask`` over a client.

    Args:
        client: an ``AsyncOpenAI``, throttled and recorded by its transport.
        model: the model asked for.
        options: further arguments of ``chat.completions.create`` (``temperature``, ``max_completion_tokens``, …).
    """

    def __init__(self, client: ChatClient, model: str, **options: Any) -> None:
        self._client = client
        self._model = model
        self._options = options

    async def __call__(self, stage: str, system: str, user: str) -> str:
        """Give the reply's text; empty when the model said nothing.  Errors of the SDK pass through."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        with attributed(stage=stage):
            completion = await self._client.chat.completions.create(
                model=self._model, messages=messages, **self._options
            )
        return completion.choices[0].message.content or "" if completion.choices else ""
