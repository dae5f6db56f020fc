"""USD a token of each kind, found by pricing small samples: what adds up tokens needs no call to be priced again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dslkit.records import Usage

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from dslkit.pricing import Prices

_SAMPLE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD a request, and a token of input read anew, from the provider's cache or into it, of output, of reasoning."""

    request: Decimal
    input: Decimal
    cache_read: Decimal
    cache_creation: Decimal
    output: Decimal
    reasoning: Decimal


def rates_of(
    prices: Prices, provider: str, model: str, at: datetime, *, tier: str | None = None, size: int = 0
) -> Rates | None:
    """The rates at an instant, None when any is unknown; ``size`` is the input of a typical call, for tiered prices."""
    samples = (
        Usage(input_tokens=0, output_tokens=0),
        Usage(input_tokens=size, output_tokens=0),
        Usage(input_tokens=size + _SAMPLE, output_tokens=0),
        Usage(input_tokens=size + _SAMPLE, output_tokens=0, cache_read_input_tokens=_SAMPLE),
        Usage(input_tokens=size + _SAMPLE, output_tokens=0, cache_creation_input_tokens=_SAMPLE),
        Usage(input_tokens=size, output_tokens=_SAMPLE),
        Usage(input_tokens=size, output_tokens=_SAMPLE, reasoning_output_tokens=_SAMPLE),
    )
    costs = [prices.price(one, provider=provider, model=model, date=at, tier=tier).cost_usd for one in samples]
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    request, base, *more = known
    anew, read, written, answer, reasoned = ((cost - base) / _SAMPLE for cost in more)
    return Rates(
        request=request, input=anew, cache_read=read, cache_creation=written, output=answer, reasoning=reasoned
    )
