"""Budgets in USD that stop before sending: spent, plus what is under way at its estimate, plus this request.

The sums live in one small file under a lock, so they hold for all processes of a home.  A reservation counts as spent
from the moment it is made and is corrected when its price is known; what a killed process had under way, and every call
of unknown outcome, therefore stays counted at its estimate.  A file that is lost or damaged is rebuilt from the ledger.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from dslkit.errors import BudgetError
from dslkit.records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PriceOf: TypeAlias = Callable[[str, str, Usage, datetime, str | None], Decimal | None]
SpentBefore: TypeAlias = Callable[[date, str | None], tuple[Decimal, Decimal]]

_NANO = Decimal(1_000_000_000)
_KEPT_DAYS = 3
_KEPT_RUNS = 500
_PATIENCE_S = 5.0
_SPIN_S = 0.001


def nothing_before(_day: date, _run_id: str | None) -> tuple[Decimal, Decimal]:
    """For a budget without a ledger: nothing was spent before."""
    return Decimal(0), Decimal(0)


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one attempt may cost, booked on a day and a run."""

    day: str
    run: str
    nano_usd: int


class Budget:
    """The budgets of one home.

    ``price_of`` (provider, model, usage, moment, tier) gives USD, or None when unknown.  ``spent_before`` (day, run)
    gives what the ledger knows of a day and a run, in USD, where the file does not.
    """

    def __init__(
        self,
        path: Path,
        *,
        price_of: PriceOf,
        per_run_usd: Decimal | None = None,
        per_day_usd: Decimal | None = None,
        spent_before: SpentBefore = nothing_before,
    ) -> None:
        for name, limit in (("per_run_usd", per_run_usd), ("per_day_usd", per_day_usd)):
            if limit is not None and not (limit.is_finite() and limit > 0):
                raise ValueError(f"{name} must be above 0, not {limit}")
        self._path = path
        self._price_of = price_of
        self._per_run = per_run_usd
        self._per_day = per_day_usd
        self._spent_before = spent_before
        self._no_run = f"without a run: {uuid.uuid4()}"

    def reserve(
        self, provider: str, model: str, usage: Usage, *, moment: datetime, run_id: str | None, tier: str | None = None
    ) -> Reservation:
        """Book a request at its estimated ``usage``; BudgetError, and nothing is booked, when it would be too much."""
        price = self._price_of(provider, model, usage, moment, tier)
        if price is None:
            raise BudgetError(
                f"The price of {model!r} at {provider} is unknown, so no budget can be kept: "
                "give one in the file that DSLKIT_PRICES names, or unset the budget."
            )
        reservation = Reservation(moment.date().isoformat(), run_id or self._no_run, _nano(price))
        with self._sums(moment.date(), run_id) as sums:
            self._check(sums, reservation)
            _book(sums, reservation, reservation.nano_usd)
        return reservation

    def settle(
        self, reservation: Reservation, provider: str, model: str, usage: Usage, *, moment: datetime, tier: str | None
    ) -> None:
        """The attempt used this much; when that has no price its estimate stays."""
        price = self._price_of(provider, model, usage, moment, tier)
        if price is not None:
            self._correct(reservation, _nano(price) - reservation.nano_usd, moment)

    def cancel(self, reservation: Reservation, *, moment: datetime) -> None:
        """The attempt cost nothing: it was not sent, or refused."""
        self._correct(reservation, -reservation.nano_usd, moment)

    def spent(self, *, moment: datetime, run_id: str | None = None) -> tuple[Decimal, Decimal]:
        """USD of this day, and of this run, with what is under way."""
        with self._sums(moment.date(), run_id) as sums:
            day, run = moment.date().isoformat(), run_id or self._no_run
            return sums["days"][day] / _NANO, sums["runs"].get(run, 0) / _NANO

    def _check(self, sums: dict[str, Any], reservation: Reservation) -> None:
        scopes = (
            ("day", self._per_day, sums["days"][reservation.day]),
            ("run", self._per_run, sums["runs"][reservation.run]),
        )
        for name, limit, spent in scopes:
            if limit is not None and spent + reservation.nano_usd > int(limit * _NANO):
                raise BudgetError(
                    f"Not sent: this request may cost {_usd(reservation.nano_usd)} USD, and of the {limit} USD "
                    f"budgeted for this {name} {_usd(spent)} are spent or under way. "
                    f"Raise DSLKIT_BUDGET_PER_{name.upper()}_USD to go on."
                )

    def _correct(self, reservation: Reservation, difference: int, moment: datetime) -> None:
        if difference:
            with self._sums(moment.date(), None) as sums:
                _book(sums, reservation, difference)

    @contextmanager
    def _sums(self, day: date, run_id: str | None) -> Iterator[dict[str, Any]]:
        """The sums in nano-USD under the file's lock, written back when all went well."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(file, self._path)
            sums = _read(file)
            self._complete(sums, day, run_id)
            yield sums
            _write(file, sums)
        finally:
            os.close(file)

    def _complete(self, sums: dict[str, Any], day: date, run_id: str | None) -> None:
        """Ask the ledger for what the file does not know."""
        run = run_id or self._no_run
        if day.isoformat() in sums["days"] and run in sums["runs"]:
            return
        on_day, in_run = self._spent_before(day, run_id)
        sums["days"].setdefault(day.isoformat(), _nano(on_day))
        sums["runs"].setdefault(run, _nano(in_run))


def _book(sums: dict[str, Any], reservation: Reservation, nano_usd: int) -> None:
    for scope, name in (("days", reservation.day), ("runs", reservation.run)):
        if name in sums[scope]:
            sums[scope][name] = max(0, sums[scope][name] + nano_usd)


def _read(file: int) -> dict[str, Any]:
    try:
        sums: dict[str, Any] = json.loads(os.pread(file, os.fstat(file).st_size, 0))
        return {"days": dict(sums["days"]), "runs": dict(sums["runs"])}
    except (ValueError, KeyError, TypeError):
        return {"days": {}, "runs": {}}


def _write(file: int, sums: dict[str, Any]) -> None:
    for name in sorted(sums["days"])[:-_KEPT_DAYS]:
        del sums["days"][name]
    for name in list(sums["runs"])[:-_KEPT_RUNS]:
        del sums["runs"][name]
    content = json.dumps(sums).encode()
    os.pwrite(file, content + b" " * max(0, os.fstat(file).st_size - len(content)), 0)
    os.ftruncate(file, len(content))


def _lock(file: int, path: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise BudgetError(f"The budget cannot be checked: a stopped process holds {path}.") from None
            time.sleep(_SPIN_S)
        else:
            return


def _nano(usd: Decimal) -> int:
    return int((usd * _NANO).to_integral_value(ROUND_CEILING))


def _usd(nano: int) -> str:
    return f"{Decimal(nano) / _NANO:.6f}"
