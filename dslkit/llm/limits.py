"""How fast to go: the limits a user states, as one small value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dslkit.llm.gate import DEFAULT_CONCURRENCY
from dslkit.llm.throttle import DEFAULT_WINDOW_S, Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """At most ``requests`` and ``tokens`` within any ``window_s`` seconds, and ``concurrency`` in flight per process.

    A limit of None is taken from what the server says of itself; a stated one is never exceeded, whatever it says.
    ``more`` are further windows (per day, say).  ``refunds`` says that the server charges what was used in the end, not
    what the request allowed.  ``max_wait_s`` bounds the time in the queue.  ``shared`` windows hold for all processes.
    With ``adapts``, fewer than ``concurrency`` are in flight at a server that says nothing of its limits, for as long
    as more only make it slower; with nothing stated the first few find out.
    """

    requests: float | None = None
    tokens: float | None = None
    window_s: float = DEFAULT_WINDOW_S
    concurrency: int = DEFAULT_CONCURRENCY
    more: tuple[Limit, ...] = ()
    refunds: bool = False
    max_wait_s: float | None = None
    shared: bool = True
    unlimited: bool = False
    adapts: bool = True

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")
        if self.max_wait_s is not None and not (math.isfinite(self.max_wait_s) and self.max_wait_s >= 0):
            raise ValueError(f"max_wait_s must be 0 or more, not {self.max_wait_s}")
        if self.unlimited and (self.requests is not None or self.tokens is not None or self.more):
            raise ValueError("unlimited contradicts stated limits")
        _ = self.windows  # each limit checks itself

    @property
    def stated(self) -> bool:
        """Whether any limit is stated, and not left to the server."""
        return self.requests is not None or self.tokens is not None

    @property
    def windows(self) -> tuple[Limit, ...]:
        """The windows of a key and model; none when there is nothing to limit."""
        if self.unlimited:
            return ()
        plain = (Limit("requests", self.requests, self.window_s), Limit("tokens", self.tokens, self.window_s))
        return plain + self.more


UNLIMITED = Limits(unlimited=True, shared=False, adapts=False)
