"""Prices: right where rates are known, unknown where they are not, and never an exception."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import genai_prices
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dslkit.errors import SettingsError
from dslkit.pricing import Prices
from dslkit.records import Price, Usage

if TYPE_CHECKING:
    from pathlib import Path

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
MILLION = 1_000_000


def cost(
    model: str, *, provider: str = "openai", date: datetime = NOVEMBER, tier: str | None = None, **tokens: Any
) -> Decimal | None:
    return Prices().price(Usage(**tokens), provider=provider, model=model, date=date, tier=tier).cost_usd


@pytest.mark.parametrize(
    ("model", "input_usd", "output_usd"),
    [
        ("gpt-4o", "2.50", "10"),
        ("gpt-4o-mini", "0.15", "0.60"),
        ("gpt-4", "30", "60"),
        ("gpt-3.5-turbo", "0.50", "1.50"),
    ],
)
def test_list_prices(model: str, input_usd: str, output_usd: str) -> None:
    """A million tokens of each kind."""
    assert cost(model, input_tokens=MILLION, output_tokens=0) == Decimal(input_usd)
    assert cost(model, input_tokens=0, output_tokens=MILLION) == Decimal(output_usd)


CASES = {
    "a dated model": ("gpt-4o-mini-2024-07-18", {"input_tokens": MILLION, "output_tokens": 0}, {}, "0.15"),
    "cached tokens at their own rate": (
        "gpt-4o", {"input_tokens": MILLION, "output_tokens": 0, "cache_read_input_tokens": 400_000}, {}, "2.00"),
    "cache writes at their own rate": (
        "claude-sonnet-4-5", {"input_tokens": 100_000, "output_tokens": 0, "cache_creation_input_tokens": 40_000},
        {"provider": "anthropic"}, "0.33"),
    "reasoning tokens once, as output": (
        "o1", {"input_tokens": 0, "output_tokens": MILLION, "reasoning_output_tokens": 900_000}, {}, "60"),
    "a batch at half the price": (
        "gpt-4o", {"input_tokens": MILLION, "output_tokens": MILLION}, {"tier": "batch"}, "6.25"),
    "a dearer tier": ("gpt-4o", {"input_tokens": MILLION, "output_tokens": 0}, {"tier": "priority"}, "4.25"),
    "the standard tier by name": ("gpt-4o", {"input_tokens": MILLION, "output_tokens": 0}, {"tier": "auto"}, "2.5"),
    "an embedding, which has no output": ("text-embedding-3-small", {"input_tokens": MILLION}, {}, "0.02"),
    "a host of a known provider": (
        "gpt-4o", {"input_tokens": MILLION, "output_tokens": 0}, {"provider": "api.openai.com"}, "2.5"),
    "Azure by its name": (
        "gpt-4o", {"input_tokens": MILLION, "output_tokens": 0}, {"provider": "azure.ai.openai"}, "2.5"),
    "one token": ("gpt-4o-mini", {"input_tokens": 1, "output_tokens": 0}, {}, "0.00000015"),
    "less than the ledger's last digit": (
        "gpt-4o-mini", {"input_tokens": 1, "output_tokens": 0, "cache_read_input_tokens": 1}, {}, "0.000000075"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_priced(name: str) -> None:
    """Each kind of token at its rate, exactly."""
    model, tokens, options, wanted = CASES[name]
    assert cost(model, **tokens, **options) == Decimal(wanted)


UNKNOWN = {
    "a model nobody knows": ("zork-9b", {"input_tokens": 1, "output_tokens": 1}, {}),
    "no tokens known": ("gpt-4o", {}, {}),
    "output unknown": ("gpt-4o", {"input_tokens": 5}, {}),
    "input unknown": ("gpt-4o", {"output_tokens": 5}, {}),
    "more cached than input": (
        "gpt-4o", {"input_tokens": 5, "output_tokens": 0, "cache_read_input_tokens": 6}, {}),
    "negative cached": ("gpt-4o", {"input_tokens": 5, "output_tokens": 0, "cache_read_input_tokens": -6}, {}),
    "negative input": ("gpt-4o", {"input_tokens": -5, "output_tokens": 0}, {}),
    "a tier without a rate": ("gpt-4", {"input_tokens": 5, "output_tokens": 0}, {"tier": "priority"}),
    "a tier nobody knows": ("gpt-4o", {"input_tokens": 5, "output_tokens": 0}, {"tier": "zork"}),
    "a tier before its rate is known": (
        "gpt-4o", {"input_tokens": 5, "output_tokens": 0}, {"tier": "batch", "date": datetime(2025, 1, 1, tzinfo=UTC)}),
    "a subscription, listed without rates": (
        "gpt-4o", {"input_tokens": 5, "output_tokens": 0}, {"provider": "github-copilot"}),
    "tokens that are none": ("gpt-4o", {"input_tokens": "many", "output_tokens": 0}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_stays_unknown(name: str) -> None:
    """None, not zero, not the standard price, and no exception."""
    model, tokens, options = UNKNOWN[name]
    assert cost(model, **tokens, **options) is None


def test_no_usage_has_no_price() -> None:
    """Nothing known of an attempt is not an attempt for nothing."""
    assert Prices().price(None, provider="openai", model="gpt-4o", date=NOVEMBER) == Price(cost_usd=None)


@pytest.mark.parametrize(("provider", "model"), [("dslkit", "offline"), ("dslkit", "another"), ("any", "offline")])
def test_the_offline_model_costs_nothing(provider: str, model: str) -> None:
    """It is no LLM, and its price says so."""
    price = Prices().price(None, provider=provider, model=model, date=NOVEMBER)
    assert price == Price(cost_usd=Decimal(0), source="offline")


def test_a_gateway_is_priced_as_the_maker() -> None:
    """The source tells the difference, whatever prefix the gateway gives the model."""
    usage = Usage(input_tokens=MILLION, output_tokens=0)
    direct = Prices().price(usage, provider="openai", model="gpt-4o", date=NOVEMBER)
    gateway = Prices().price(usage, provider="127.0.0.1", model="openai/gpt-4o", date=NOVEMBER)
    assert direct.cost_usd == gateway.cost_usd
    assert (direct.source, gateway.source) == ("genai-prices", "genai-prices (maker's price)")
    assert direct.version == genai_prices.__version__


def test_rates_are_those_of_the_day() -> None:
    """A price that was cut in between."""
    before, after = datetime(2025, 1, 31, tzinfo=UTC), datetime(2025, 7, 1, tzinfo=UTC)
    prices = Prices()
    usage = Usage(input_tokens=MILLION, output_tokens=0)
    costs = [prices.price(usage, provider="openai", model="o3", date=day).cost_usd for day in (before, after, before)]
    assert costs == [Decimal(10), Decimal(2), Decimal(10)]


def test_rates_that_change_by_the_hour_are_not_remembered() -> None:
    """Half price at night, also after a call by day."""
    prices, usage = Prices(), Usage(input_tokens=MILLION, output_tokens=0)
    hours = [datetime(2025, 7, 1, hour, tzinfo=UTC) for hour in (12, 20, 12)]
    day, night, again = (
        prices.price(usage, provider="deepseek", model="deepseek-chat", date=hour).cost_usd for hour in hours
    )
    assert day == again
    assert day != night


@given(
    model=st.sampled_from(["gpt-4o", "gpt-5", "o1", "claude-sonnet-4-5", "gemini-2.5-pro", "deepseek-chat", "grok-4"]),
    fresh=st.integers(0, 400_000),
    cached=st.integers(0, 400_000),
    written=st.integers(0, 50_000),
    output=st.integers(0, 100_000),
)
def test_agrees_with_genai_prices_own_arithmetic(
    model: str, fresh: int, cached: int, written: int, output: int
) -> None:
    """Also across thresholds of prompt size."""
    provider = genai_prices.data_snapshot.get_snapshot().find_provider(model, None, None).id
    counts = {"input_tokens": fresh + cached + written, "output_tokens": output}
    theirs = genai_prices.calc_price(
        genai_prices.Usage(**counts, cache_read_tokens=cached, cache_write_tokens=written),
        model,
        provider_id=provider,
        genai_request_timestamp=NOVEMBER,
    ).total_price
    ours = cost(model, provider=provider, **counts, cache_read_input_tokens=cached, cache_creation_input_tokens=written)
    assert ours == theirs.quantize(Decimal("1e-9"))


OVERRIDES = """
[[price]]
model = "house-model"
input = 1
output = "2.5"
cache_read = 0.1

[[price]]
model = "gpt-4o*"
provider = "127.0.0.1"
input = 3

[[price]]
model = "house-model"
from = 2026-06-01
input = 0.7

[[price]]
model = "house-model"
tier = "batch"
input = 0.5
"""


@pytest.mark.parametrize(
    ("model", "options", "wanted"),
    [
        ("house-model", {"date": datetime(2026, 5, 31, 23, 59, tzinfo=UTC)}, "3.5"),
        ("house-model", {}, "0.7"),
        ("house-model", {"tier": "batch"}, "0.5"),
        ("gpt-4o-2024-08-06", {"provider": "127.0.0.1"}, "3"),
        ("gpt-4o-2024-08-06", {"provider": "openai"}, "12.5"),
        ("house-model-2", {}, None),
    ],
)
def test_overrides(tmp_path: Path, model: str, options: dict[str, Any], wanted: str | None) -> None:
    """By model, provider, tier and date, before the lists; nothing else is touched."""
    path = tmp_path / "prices.toml"
    path.write_text(OVERRIDES)
    usage = Usage(input_tokens=MILLION, output_tokens=MILLION)
    price = Prices(path).price(usage, model=model, **{"provider": "any", "date": NOVEMBER, **options})
    assert price.cost_usd == (Decimal(wanted) if wanted else None)


def test_an_override_is_named_as_the_source(tmp_path: Path) -> None:
    """With the file it came from; cached tokens at their overridden rate."""
    path = tmp_path / "prices.toml"
    path.write_text(OVERRIDES)
    usage = Usage(input_tokens=MILLION, output_tokens=0, cache_read_input_tokens=500_000)
    price = Prices(path).price(usage, provider="any", model="house-model", date=datetime(2026, 1, 1, tzinfo=UTC))
    assert price == Price(cost_usd=Decimal("0.55"), source="override", version="prices.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[price]]\nmodel = 'a'", "price.0.input"),
        ("[[price]]\nmodel = 'a'\ninput = -1", "price.0.input"),
        ("[[price]]\nmodel = 'a'\ninput = 1\nimput = 2", "imput"),
        ("[[prices]]\nmodel = 'a'\ninput = 1", "prices"),
        ("[[price]\n", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
    ],
)
def test_wrong_overrides_are_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    """At once, by name; a price file with a typing error must not silently price at the list."""
    path = tmp_path / "prices.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError, match=said):
        Prices(path)


def test_a_missing_override_file_is_refused(tmp_path: Path) -> None:
    """A setting that leads nowhere."""
    with pytest.raises(SettingsError, match="cannot be read"):
        Prices(tmp_path / "none.toml")
