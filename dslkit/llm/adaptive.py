"""How many requests a server without rate-limit headers takes at once: found out by asking, pure arithmetic.

Grows by one for each answer at first, so doubles each round trip; once there was trouble, by one each round trip.
Refusals, overload and timeouts halve it; answers that take several times as long as the quickest did mean a queue on
the other side, and lower it a little.  Each at most once a round trip: what is under way tells the same again.
"""

from __future__ import annotations

import math

START = 8.0
_SMOOTH = 0.2
_FORGET = 0.001  # the quickest time is believed a little less with each round trip
_QUEUEING = 4.0
_SHARP, _GENTLE = 0.5, 0.9


class Adaptive:
    """Of one gate.  ``limit`` is how many may be in flight; ``highest`` bounds it."""

    __slots__ = ("_calm_from", "_latency", "_quickest", "_starting", "_value", "highest", "off")

    def __init__(self, highest: int, start: float = START) -> None:
        self.highest = highest
        self.off = False
        self._value = min(start, float(highest))
        self._starting = True
        self._latency = 0.0
        self._quickest = math.inf
        self._calm_from = -math.inf

    @property
    def limit(self) -> int:
        """In flight at most, as of now."""
        return self.highest if self.off else int(self._value)

    def answered(self, now: float, latency_s: float, in_flight: int) -> None:
        """An answer came after ``latency_s``, while so many were in flight."""
        self._latency += (_SMOOTH if self._latency else 1.0) * (latency_s - self._latency)
        self._quickest = min(self._quickest * (1 + _FORGET / self._value), self._latency)
        if self._latency > _QUEUEING * self._quickest:
            self._lower(now, _GENTLE)
        elif in_flight * 2 >= self.limit:  # else there is no demand that more room would serve
            self._value = min(self.highest, self._value + (1.0 if self._starting else 1.0 / self._value))

    def overloaded(self, now: float) -> None:
        """The server refused, was overloaded or did not answer in time."""
        self._lower(now, _SHARP)

    def _lower(self, now: float, share: float) -> None:
        if now < self._calm_from:
            return
        self._calm_from = now + self._latency
        self._starting = False
        self._value = max(1.0, self._value * share)
