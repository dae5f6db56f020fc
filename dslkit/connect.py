"""Wires llm, ledger and prices together: what the face exports as clients.

What is not passed is read from the settings.  All clients of one home share its ledger and, per key and model, its
windows, whatever process they live in.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import UTC
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from dslkit.errors import SettingsError
from dslkit.ledger import Ledger
from dslkit.llm import client as clients
from dslkit.llm import many
from dslkit.llm.budget import Budget
from dslkit.llm.cache import AnswerStore
from dslkit.llm.estimate import Estimator
from dslkit.llm.gates import Gates, LaneStatus, shared_status
from dslkit.llm.limits import UNLIMITED, Limits
from dslkit.llm.many import Ask, Asks, Completed, ManyOptions
from dslkit.llm.offline import Answerer, OfflineServer
from dslkit.llm.recorder import AttemptHook, HookedRecorder, Recorder
from dslkit.llm.retry import RetryPolicy
from dslkit.llm.seam import Seam
from dslkit.pricing import Prices, load_rates
from dslkit.records import Usage
from dslkit.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
    from datetime import date, datetime
    from pathlib import Path

OFFLINE_PROVIDER = "dslkit"
_OFFLINE_URL = "http://offline.invalid/v1"
_STUBBORN = RetryPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to talk to a model; every field has a default that comes from the settings.

    ``answer`` selects the server without a network.  ``limits`` None takes those of the settings (offline: none).
    ``cache`` True answers equal requests from ``home``/cache, a store answers from its own folder.  ``recorder`` None
    records in the ledger of the home.  Prompts and answers are stored there only with ``store_content``.
    """

    answer: Answerer | None = None
    limits: Limits | None = None
    retry: RetryPolicy = _STUBBORN
    cache: AnswerStore | bool = False
    recorder: Recorder | None = None
    on_attempt: AttemptHook | None = None
    store_content: bool = False
    latency_s: float = 0.0


def async_openai_client(
    *, connection: Connection | None = None, settings: Settings | None = None, **options: Any
) -> clients.AsyncOpenAI:
    """A plain AsyncOpenAI whose every attempt is throttled, retried and recorded.

    ``options`` are fields of ``Connection`` (``answer``, ``limits``, ``cache``, …) or arguments of AsyncOpenAI
    (``api_key``, ``base_url``, ``timeout``, ``max_retries``, …).  Raises SettingsError when a key is missing.
    """
    wiring = _Wiring(connection, settings, options)
    return clients.async_client(wiring.seam(), inner=wiring.inner(), **wiring.openai_options())


def openai_client(
    *, connection: Connection | None = None, settings: Settings | None = None, **options: Any
) -> clients.OpenAI:
    """A plain OpenAI; as ``async_openai_client``."""
    wiring = _Wiring(connection, settings, options)
    return clients.client(wiring.seam(), inner=wiring.inner(), **wiring.openai_options())


def async_http_client(
    *, connection: Connection | None = None, settings: Settings | None = None, **options: Any
) -> clients.AsyncHttpClient:
    """The bare asynchronous httpx client, for libraries that build their own AsyncOpenAI.

    ``options`` are fields of ``Connection`` or arguments of httpx2.AsyncClient.  Switch the library's own retries off.
    """
    wiring = _Wiring(connection, settings, options)
    return clients.async_http_client(wiring.seam(), inner=wiring.inner(), **wiring.options)


def http_client(
    *, connection: Connection | None = None, settings: Settings | None = None, **options: Any
) -> clients.HttpClient:
    """The bare synchronous httpx client; as ``async_http_client``."""
    wiring = _Wiring(connection, settings, options)
    return clients.http_client(wiring.seam(), inner=wiring.inner(), **wiring.options)


def acomplete_many(
    asks: Asks, *, client: clients.AsyncOpenAI | None = None, settings: Settings | None = None, **options: Any
) -> AsyncIterator[Completed]:
    """Complete (key, request) pairs for ``async for``: pulled lazily, errors as values.

    A request is the keyword arguments of ``chat.completions.create``.  ``options`` are fields of ``ManyOptions``
    (``at_once``, ``in_order``, ``checkpoint``, ``on_progress``), and those of ``async_openai_client`` unless a
    ``client`` is given.  Raises AccountError when the provider refuses the key, the model or the account, and
    BudgetError when a budget is spent.
    """
    own, rest = _split(options, ManyOptions)
    own.setdefault("at_once", _at_once(rest, settings))
    if client is not None:
        return many.acomplete_many(asks, client=client, options=ManyOptions(**own))
    made = async_openai_client(settings=settings, **rest)
    return _closing(made, many.acomplete_many(asks, client=made, options=ManyOptions(**own)))


def complete_many(asks: Iterable[Ask], *, settings: Settings | None = None, **options: Any) -> Iterator[Completed]:
    """Complete (key, request) pairs from code that does not await; as ``acomplete_many``, with a client of its own."""
    own, rest = _split(options, ManyOptions)
    own.setdefault("at_once", _at_once(rest, settings))
    settings = settings or load_settings()
    made = partial(async_openai_client, settings=settings, **rest)
    return many.complete_many(asks, make_client=made, options=ManyOptions(**own))


def throttle_status(client: object | None = None, *, settings: Settings | None = None) -> tuple[LaneStatus, ...]:
    """What goes on at the gates of a client (an openai or http client from here), or of all processes of the home."""
    if client is None:
        return shared_status((settings or load_settings()).home / "throttle")
    seam = clients.seam_of(client)
    if seam is None or not isinstance(seam.gate_for, Gates):
        raise TypeError("throttle_status takes a client that was made by dslkit")
    return seam.gate_for.status()


async def _closing(client: clients.AsyncOpenAI, results: AsyncIterator[Completed]) -> AsyncIterator[Completed]:
    async with client:
        async for completed in results:
            yield completed


def _split(options: Mapping[str, Any], kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that are fields of ``kind``, and the others."""
    names = {entry.name for entry in fields(kind)}
    own = {name: value for name, value in options.items() if name in names}
    return own, {name: value for name, value in options.items() if name not in own}


def _at_once(options: Mapping[str, Any], settings: Settings | None) -> int:
    """As many as the client lets be in flight."""
    limits = options.get("limits")
    return limits.concurrency if isinstance(limits, Limits) else (settings or load_settings()).concurrency


class _Wiring:
    """Settings, connection and the remaining options of one client."""

    def __init__(self, connection: Connection | None, settings: Settings | None, options: Mapping[str, Any]) -> None:
        own, self.options = _split(options, Connection)
        retries = self.options.pop("max_retries", None)
        if retries is not None:  # of the SDK, whose own layer is switched off
            own.setdefault("retry", replace(_STUBBORN, failures=retries + 1))
        if "http_client" in self.options:
            raise TypeError("http_client is dslkit's own: pass dslkit.http_client() to a library that needs one")
        self._settings = settings or load_settings()
        self._connection = replace(connection or Connection(), **own)

    def inner(self) -> OfflineServer | None:
        """The server without a network, when the connection names an answerer."""
        answer = self._connection.answer
        return OfflineServer(answer, self._connection.latency_s) if answer is not None else None

    def openai_options(self) -> dict[str, Any]:
        """Arguments for the SDK's clients."""
        if self._connection.answer is not None:
            return {"api_key": OFFLINE_PROVIDER, "base_url": _OFFLINE_URL, **self.options}
        key, url = self._settings.openai_api_key, self._settings.openai_base_url
        options = {"api_key": key.get_secret_value() if key else None, "base_url": url, **self.options}
        if not options["api_key"]:
            raise SettingsError(
                "A real model needs a key: set OPENAI_API_KEY (for a server that needs none, any text will do), "
                "or use the model 'offline', which needs no key and no network."
            )
        return options

    def seam(self) -> Seam:
        """What the client's calls share."""
        offline = self._connection.answer is not None
        if not offline:
            load_rates()  # now, not while the first answers come in and the next requests should leave
        limits = self._limits()
        return Seam(
            gate_for=Gates(limits, self._home / "throttle"),
            recorder=self._recorder(),
            retry=self._connection.retry,
            estimator=Estimator(refunds=limits.refunds),
            provider_name=OFFLINE_PROVIDER if offline else None,
            refunds=limits.refunds,
            max_wait_s=limits.max_wait_s,
            cache=self._cache(),
            budget=self._budget(),
            store_content=self._connection.store_content,
        )

    @property
    def _home(self) -> Path:
        return self._settings.home

    def _limits(self) -> Limits:
        given = self._connection.limits
        if given is not None:
            return given
        concurrency = self._settings.concurrency
        if self._connection.answer is not None:
            return replace(UNLIMITED, concurrency=concurrency)
        return Limits(
            requests=self._settings.requests_per_minute,
            tokens=self._settings.tokens_per_minute,
            concurrency=concurrency,
        )

    def _budget(self) -> Budget | None:
        per_run, per_day = self._settings.budget_per_run_usd, self._settings.budget_per_day_usd
        if per_run is None and per_day is None:
            return None
        prices = Prices(self._settings.prices)
        return Budget(
            self._home / "throttle" / "budget.json",
            price_of=partial(_price_of, prices),
            per_run_usd=per_run,
            per_day_usd=per_day,
            spent_before=partial(_spent_before, Ledger(self._home), prices),
        )

    def _cache(self) -> AnswerStore | None:
        wanted = self._connection.cache
        if isinstance(wanted, AnswerStore):
            return wanted
        return AnswerStore(self._home / "cache") if wanted else None

    def _recorder(self) -> Recorder:
        recorder: Recorder = self._connection.recorder or Ledger(self._home, prices=self._settings.prices).recorder()
        hook = self._connection.on_attempt
        return HookedRecorder(recorder, hook) if hook is not None else recorder


def _price_of(
    prices: Prices, provider: str, model: str, usage: Usage, moment: datetime, tier: str | None
) -> Decimal | None:
    return prices.price(usage, provider=provider, model=model, date=moment, tier=tier).cost_usd


_SPENT = """
    SELECT run_id, provider_name, request_model, service_tier, started_at, outcome, cost_usd,
           estimated_input_tokens, estimated_output_tokens
    FROM calls
    WHERE started_at::TIMESTAMP::DATE = ? OR run_id = ?
"""


def _spent_before(ledger: Ledger, prices: Prices, day: date, run_id: str | None) -> tuple[Decimal, Decimal]:
    """USD of a day and of a run by the ledger; calls of unknown outcome at the price of their estimate."""
    on_day = in_run = Decimal(0)
    for run, provider, model, tier, started_at, outcome, cost, input_tokens, output_tokens in (
        ledger.snapshot().execute(_SPENT, [day, run_id]).fetchall()
    ):
        known = cost
        if known is None and outcome == "unknown":
            usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
            known = _price_of(prices, provider, model, usage, started_at, tier)
        on_day += (known or 0) if started_at.astimezone(UTC).date() == day else 0
        in_run += (known or 0) if run_id is not None and run == run_id else 0
    return on_day, in_run
