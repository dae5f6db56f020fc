"""Talking to a model: throttled, retried and recorded at the transport, so that any use of the openai SDK is."""

from dslkit.llm.account import account_error
from dslkit.llm.attribution import attributed, current

__all__ = ["account_error", "attributed", "current"]
