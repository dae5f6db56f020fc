"""What the calls of a client share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from dslkit.llm.estimate import Estimator
from dslkit.llm.gate import Gate
from dslkit.llm.recorder import NullRecorder, Recorder
from dslkit.llm.retry import RetryPolicy

if TYPE_CHECKING:
    from dslkit.llm.budget import Budget
    from dslkit.llm.cache import AnswerStore

GateFor: TypeAlias = Callable[[str, str, str], Gate]
DEFAULT_UNREAD_S = 60.0


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seam:
    """What calls share: where to queue, whom to tell, how stubborn to be.

    ``gate_for`` gives the gate of (provider, key, model).  ``provider_name`` is derived from the address when None.
    A stream that nobody reads for ``unread_s`` seconds is closed.  With ``store_content`` the recorder gets the bodies.
    """

    gate_for: GateFor
    recorder: Recorder = field(default_factory=NullRecorder)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    estimator: Estimator = field(default_factory=Estimator)
    provider_name: str | None = None
    refunds: bool = False
    max_wait_s: float | None = None
    unread_s: float = DEFAULT_UNREAD_S
    cache: AnswerStore | None = None
    budget: Budget | None = None
    store_content: bool = False
    utc_now: Callable[[], datetime] = utc_now
