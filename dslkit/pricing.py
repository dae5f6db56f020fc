"""Usage to USD, or None when unknown.  The only importer of ``genai_prices``; nothing here touches a network.

Rates are those of the instant of the call.  Four facts of genai-prices shape this module: an unknown model raises
``LookupError``; more cached tokens than input raise ``ValueError``; a price context that no variant knows silently
gives the standard price; and a model may be listed with no rate at all.  In each of these the honest answer is
"unknown", so that a sum says how many calls it leaves out instead of being quietly wrong.
"""

from __future__ import annotations

import contextlib
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import genai_prices
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices, TimeOfDateConstraint
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dslkit.errors import SettingsError
from dslkit.records import Price, Usage

if TYPE_CHECKING:
    from pathlib import Path

OFFLINE = "offline"  # the model that is no LLM; its provider is this package
_FREE = frozenset({OFFLINE, "dslkit"})
UNKNOWN = Price(cost_usd=None)

_BILLIONTH = Decimal("1e-9")  # the ledger keeps DECIMAL(18,9)
_MILLION = 1_000_000
_STANDARD_TIERS = frozenset({"", "auto", "default", "standard"})
_MEMO_LIMIT = 4096  # a long-lived server would otherwise collect one entry per model and day for ever

_Rate = Decimal | TieredPrices
_UsdPerMillion = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class PriceOverride(BaseModel):
    """One ``[[price]]`` table of an override file: USD per million tokens, and what it holds for.

    ``model`` is a model's name as asked for or answered; a trailing ``*`` stands for any ending.  Of several that hold
    for a call, the one with the latest ``from`` counts, then the one further down the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    model: Annotated[str, Field(min_length=1)]
    input: _UsdPerMillion
    output: _UsdPerMillion = Decimal(0)
    cache_read: _UsdPerMillion | None = None
    cache_write: _UsdPerMillion | None = None
    reasoning: _UsdPerMillion | None = None
    provider: str | None = None
    tier: str | None = None
    since: Annotated[date, Field(alias="from")] = date.min

    def holds(self, provider: str, model: str, day: date, tier: str) -> bool:
        """Whether this override is for such a call."""
        named = model.startswith(self.model[:-1]) if self.model.endswith("*") else model == self.model
        theirs = _normal_tier(self.tier)
        return named and self.provider in (None, provider) and theirs == tier and self.since <= day


class _OverrideFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    price: tuple[PriceOverride, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rates:
    """USD per million tokens of one model at one time.  None: this kind of token is charged as its parent."""

    source: str
    version: str
    input: _Rate | None
    output: _Rate | None
    cache_read: _Rate | None = None
    cache_write: _Rate | None = None
    reasoning: _Rate | None = None
    per_request: Decimal = field(default=Decimal(0))


class Prices:
    """Prices calls; holds the overrides and a memo of rates.  One instance serves a process, from any thread.

    Args:
        overrides: a TOML file of ``[[price]]`` tables (see PriceOverride), or None.

    Raises:
        SettingsError: the file of overrides cannot be read; it names the entry and what is wrong.
    """

    def __init__(self, overrides: Path | None = None) -> None:
        self._overrides = _read_overrides(overrides) if overrides is not None else ()
        self._override_version = overrides.name if overrides is not None else ""
        self._memo: dict[tuple[str, str, str, object], _Rates | None] = {}

    def price(
        self, usage: Usage | None, *, provider: str, model: str, date: datetime, tier: str | None = None
    ) -> Price:
        """What one attempt cost; ``cost_usd`` is None when its usage or its rates are unknown.  Never raises.

        Args:
            usage: tokens of the attempt, cached ones included in ``input_tokens``.
            provider: name as in ``gen_ai.provider.name``, or the host of the server; one that genai-prices does not
                know (a gateway, a proxy) is priced at the rates of the model's own maker, and the source says so.
            model: name as asked for, or better as answered.
            date: the instant of the call (aware).
            tier: service tier (``flex``, ``priority``, …) or ``batch``; one without a known rate is unknown.
        """
        if provider in _FREE or model == OFFLINE:
            return Price(cost_usd=Decimal(0), source=OFFLINE)
        try:
            rates = self._rates(provider, model, date.astimezone(UTC), _normal_tier(tier))
            cost = _cost(usage, rates) if usage is not None and rates is not None else None
        except (ArithmeticError, LookupError, TypeError, ValueError):
            return UNKNOWN
        if rates is None or cost is None:
            return UNKNOWN
        return Price(cost_usd=cost, source=rates.source, version=rates.version)

    def _rates(self, provider: str, model: str, when: datetime, tier: str) -> _Rates | None:
        key = (provider, model, tier, when.date())
        if key in self._memo:
            return self._memo[key]
        rates, whole_day = self._find_rates(provider, model, when, tier)
        if whole_day:
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            self._memo[key] = rates
        return rates

    def _find_rates(self, provider: str, model: str, when: datetime, tier: str) -> tuple[_Rates | None, bool]:
        """The rates, and whether they are the same for the whole UTC day (some models are cheaper at night)."""
        held = [one for one in self._overrides if one.holds(provider, model, when.date(), tier)]
        if held:
            return self._overridden(max(enumerate(held), key=lambda pair: (pair[1].since, pair[0]))[1]), True
        found = _find_model(provider, model)
        if found is None:
            return None, True
        info, source = found
        price = _price_at(info, when, tier)
        rates = _as_rates(price, source) if price is not None else None
        return rates, not _changes_by_hour(info)

    def _overridden(self, override: PriceOverride) -> _Rates:
        return _Rates(
            source="override",
            version=self._override_version,
            input=override.input,
            output=override.output,
            cache_read=override.cache_read,
            cache_write=override.cache_write,
            reasoning=override.reasoning,
        )


def load_rates() -> None:
    """Load the table of rates, as the first price does: some 40 ms that no call need wait for."""
    get_snapshot()


def _read_overrides(path: Path) -> tuple[PriceOverride, ...]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        return _OverrideFile.model_validate(table).price
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise SettingsError(f"Prices in {path} are wrong: {wrong}. Correct the file and try again.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"Prices in {path} cannot be read: {error}. Correct the file or unset it.") from None


def _normal_tier(tier: str | None) -> str:
    lowered = (tier or "").lower()
    return "" if lowered in _STANDARD_TIERS else lowered


def _find_model(provider: str, model: str) -> tuple[ModelInfo, str] | None:
    """The model as its provider lists it; for a provider that nobody lists, as its maker does."""
    snapshot = get_snapshot()
    owner = _find_provider(snapshot, provider)
    if owner is not None:
        info, source = owner.find_model(model, all_providers=snapshot.providers), "genai-prices"
    else:
        info, source = _find_at_maker(snapshot, model), "genai-prices (maker's price)"
    return (info, source) if info is not None else None


def _find_provider(snapshot: DataSnapshot, name: str) -> Provider | None:
    for provider_id, url in ((None, f"https://{name}/"), (name, None)):
        with contextlib.suppress(LookupError):
            return snapshot.find_provider(None, provider_id, url)
    return None


def _find_at_maker(snapshot: DataSnapshot, model: str) -> ModelInfo | None:
    name = model.rsplit("/", maxsplit=1)[-1]  # gateways prefix the maker: openai/gpt-4o-mini
    with contextlib.suppress(LookupError):
        return snapshot.find_provider_model(name, None, None, None)[1]
    return None


def _price_at(info: ModelInfo, when: datetime, tier: str) -> ModelPrice | None:
    """The model's rates at that time; None for a tier that no active variant names."""
    if not tier:
        return info.get_prices(when)
    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    active = (one for one in info.price_variants or () if one.constraint is None or one.constraint.active(when))
    return info.get_prices(when, context) if any(one.when == context for one in active) else None


def _changes_by_hour(info: ModelInfo) -> bool:
    listed = info.prices if isinstance(info.prices, list) else []
    constraints = [one.constraint for one in (*listed, *(info.price_variants or ()))]
    return any(isinstance(one, TimeOfDateConstraint) for one in constraints)


def _as_rates(price: ModelPrice, source: str) -> _Rates | None:
    rates = price.__dict__
    if rates.get("input_mtok") is None and rates.get("output_mtok") is None:
        return None  # listed without token rates (subscriptions, audio by the hour): not known to be free
    return _Rates(
        source=source,
        version=genai_prices.__version__,
        input=rates.get("input_mtok"),
        output=rates.get("output_mtok"),
        cache_read=rates.get("cache_read_mtok"),
        cache_write=rates.get("cache_write_mtok"),
        reasoning=rates.get("output_reasoning_mtok"),
        per_request=(rates.get("requests_kcount") or Decimal(0)) / 1000,
    )


def _cost(usage: Usage, rates: _Rates) -> Decimal | None:
    """Price each token once, at the most particular rate there is; None when a count that matters is unknown."""
    sides = (
        (usage.input_tokens, rates.input, (usage.cache_read_input_tokens, rates.cache_read),
         (usage.cache_creation_input_tokens, rates.cache_write)),
        (usage.output_tokens, rates.output, (usage.reasoning_output_tokens, rates.reasoning)),
    )  # fmt: skip
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    total = Decimal(0)
    for tokens, rate, *parts in sides:
        if rate is None:
            continue
        if tokens is None:
            return None
        total += _side(tokens, rate, parts, usage.input_tokens or 0)
    return (total / _MILLION + rates.per_request).quantize(_BILLIONTH)


def _side(tokens: int, rate: _Rate, parts: list[tuple[int | None, _Rate | None]], input_tokens: int) -> Decimal:
    rest, total = tokens, Decimal(0)
    for count, special in parts:
        if special is not None and count:
            rest -= count
            total += count * _step(special, input_tokens)
    if rest < 0 or any((count or 0) < 0 for count, _ in parts):
        raise ValueError("parts exceed the whole")
    return total + rest * _step(rate, input_tokens)


def _step(rate: _Rate, input_tokens: int) -> Decimal:
    """The rate for a request of this size: crossing a threshold moves all its tokens to the higher rate."""
    if isinstance(rate, Decimal):
        return rate
    steps = [one.price for one in rate.tiers if input_tokens > one.start]
    return steps[-1] if steps else rate.base
