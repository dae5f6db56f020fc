"""How long a server's window is, told from what it says of resets.

A response tells a limit, what is left of it, and when it will be whole again.  Two kinds of server are common.  One
counts a sliding window, which is whole again a window's length after the latest request.  The other keeps a bucket,
which refills in proportion to what is gone.  Each response narrows down how long the window can be under either
reading; the reading that its server contradicts is dropped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LONGEST_S = 86_400.0
_ENOUGH = 3  # responses before anything is concluded
_MANY = 20  # before the longest reset is believed to be a whole window of a server of neither kind
_ROUNDING_S = 0.002
_ROUNDING = 0.01
_USUAL_S = (1.0, 60.0, 3600.0, 86_400.0)
_Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Word:
    """What one response says of one limit: how much, what is left, and in how many seconds it is whole again."""

    limit: float | None = None
    left: float | None = None
    reset_s: float | None = None


class Cadence:
    """Of one limit of one server."""

    __slots__ = ("_bucket", "_heard", "_longest_reset", "_sliding")

    def __init__(self) -> None:
        self._sliding: _Span = (0.0, math.inf)
        self._bucket: _Span = (0.0, math.inf)
        self._heard = 0
        self._longest_reset = 0.0

    def heard(self, limit: float, left: float, reset_s: float, under_way_s: float) -> None:
        """A request that was ``under_way_s`` was answered so; the server counted one no earlier than when it left."""
        used = limit - left
        if used < 1 or not 0 < reset_s <= LONGEST_S:
            return
        rounding = 0.5 if reset_s.is_integer() else _ROUNDING_S + _ROUNDING * reset_s
        low, high = reset_s - rounding, reset_s + rounding
        at_most = high * limit / (used - 1.5) if used > 1.5 else math.inf  # noqa: PLR2004 - what is left is rounded, too
        self._sliding = _overlap(self._sliding, (low, high + under_way_s))
        self._bucket = _overlap(self._bucket, (low * limit / (used + 0.5), at_most))
        self._longest_reset = max(self._longest_reset, reset_s)
        self._heard += 1

    def length(self, current_s: float) -> float:
        """The window's length in seconds; ``current_s`` as long as that may be right, or nothing better is known."""
        possible = [span for span in (self._sliding, self._bucket) if span[0] <= min(span[1], LONGEST_S)]
        if self._heard < (_ENOUGH if possible else _MANY) or any(low <= current_s <= high for low, high in possible):
            return current_s
        found = [_likely(span) for span in possible] or [float(math.ceil(self._longest_reset))]
        return min(max(current_s, min(found)), max(found))


def _overlap(one: _Span, other: _Span) -> _Span:
    return max(one[0], other[0]), min(one[1], other[1])


def _likely(span: _Span) -> float:
    """A usual length inside, else the longest in whole seconds, else the longest."""
    low, high = span
    usual = next((length for length in _USUAL_S if low <= length <= high), None)
    if usual is not None:
        return usual
    if math.isinf(high):
        return low
    whole = float(math.floor(high))
    return whole if whole >= max(low, 1.0) else high
